"""Players who moderate: whom they may hit, what they may do, and what everybody else sees."""

import pytest

from cloudlink import slices
from cloudlink.admin.actors import AdminError
from cloudlink.admin.moderation import LONGEST_MUTE, Moderation
from cloudlink.slices import SliceQueue
from tests.support.adminwire import Administrators, FakePlayer
from tests.support.clock import TickingClock


class Game:
    """Mia moderates in her rooms; bob and a second bob are with her, eve is elsewhere, tom moderates too."""

    def __init__(self):
        self.administrators = Administrators()
        self.server = self.administrators.server
        self.mia, self.bob = FakePlayer(1, "mia"), FakePlayer(2, "bob", address="203.0.113.8")
        self.eve, self.tom = FakePlayer(3, "eve", room="elsewhere"), FakePlayer(4, "tom")
        self.server.add(self.mia, self.bob, self.eve, self.tom)
        self.grants = self.administrators.core.grants
        for player in (self.mia, self.tom):
            self.grants.give(player.snowflake, 10)
        self.moderation = Moderation(self.administrators.core)

    def ask(self, method, **params):
        return self.moderation.run(self.mia, {"method": method, "params": params})

    def refused(self, method, **params):
        with pytest.raises(AdminError) as refusal:
            self.ask(method, **params)
        return refusal.value.code

    @property
    def kicked(self):
        return [snowflake for snowflake, _, _ in self.server.closed]


@pytest.fixture
def game():
    return Game()


def test_only_players_with_a_grant_may_moderate(game):
    assert game.moderation.may_moderate(game.mia)
    assert not game.moderation.may_moderate(game.bob)
    game.grants.revoke("1")
    assert not game.moderation.may_moderate(game.mia)


@pytest.mark.parametrize(
    "whom",
    [{"id": "2"}, {"ids": ["2", "2"]}, {"name": "bob"}, {"name": "B o b"}, {"name": "bob", "all": True}],
)
def test_a_kick_hits_those_nearby_and_says_why(game, whom):
    assert game.ask("clients.kick", **whom, reason="spam") == {"kicked": 1}
    assert game.server.closed == [("2", 4004, "You were kicked: spam")]
    row = game.administrators.rows[-1]
    assert (row["actor"], row["role"], row["via"], row["from"]) == (
        "mia",
        "moderator",
        "scratch",
        "203.0.113.7",
    )
    assert (row["method"], row["outcome"], row["reason"]) == ("clients.kick", "ok", "spam")


def test_several_of_a_name_have_to_be_meant(game):
    game.server.add(FakePlayer(5, "bob"), FakePlayer(6, "bob", room="elsewhere"))
    assert game.refused("clients.kick", name="bob") == "ambiguous"
    assert game.ask("clients.kick", name="bob", all=True) == {"kicked": 2}
    assert game.kicked == ["2", "5"]


def test_a_name_is_looked_for_in_turns(game, monkeypatch):
    due = []
    monkeypatch.setattr(slices.time, "perf_counter", TickingClock(1.0))  # a slice in each turn
    monkeypatch.setattr(game.administrators.sanctions, "slices", SliceQueue(due.append))
    kicking = game.ask("clients.kick", name="bob")
    failing = game.ask("clients.kick", name="eve")
    assert game.kicked == []
    while due:
        due.pop()()
    assert kicking.result() == {"kicked": 1}
    assert game.kicked == ["2"]
    assert failing.exception().code == "not_found"
    assert game.administrators.rows[-1]["outcome"] == "not_found"


@pytest.mark.parametrize(
    ("method", "params", "code"),
    [
        ("clients.kick", {"id": "3"}, "not_found"),  # in another room
        ("clients.kick", {"id": "99"}, "not_found"),
        ("clients.kick", {"name": "eve"}, "not_found"),
        ("clients.kick", {"id": "4"}, "protected"),
        ("clients.kick", {"name": "tom"}, "protected"),
        ("clients.kick", {"ids": ["2", "4"]}, "protected"),
        ("clients.kick", {"ids": ["2", "3"]}, "not_found"),
        ("clients.kick", {}, "invalid"),
        ("clients.kick", {"id": "2", "name": "bob"}, "invalid"),
        ("clients.kick", {"id": 2}, "invalid"),
        ("clients.kick", {"id": "2", "force": True}, "invalid"),
        ("mutes.add", {"target": {"client": "3"}, "seconds": 5, "reason": ""}, "not_found"),
        ("mutes.add", {"target": {"client": "4"}, "seconds": 5, "reason": ""}, "protected"),
        ("mutes.add", {"target": {"address": "203.0.113.8"}, "seconds": 5, "reason": ""}, "forbidden"),
        ("mutes.add", {"target": {"network": "203.0.113.0/24"}, "seconds": 5, "reason": ""}, "forbidden"),
        ("mutes.add", {"target": {"client": "2"}, "seconds": 5, "reason": "", "hidden": True}, "forbidden"),
        ("mutes.add", {"target": {"client": "2"}, "seconds": LONGEST_MUTE + 1, "reason": ""}, "invalid"),
        ("rooms.set", {"name": "elsewhere", "locked": True}, "forbidden"),
        ("rooms.set", {"name": "*", "frozen": True}, "forbidden"),
        ("bans.add", {"target": {"client": "2"}, "seconds": 5, "reason": ""}, "forbidden"),
        ("accounts.add", {"name": "x", "password": "x", "role": "owner"}, "forbidden"),
        ("clients.list", {}, "forbidden"),
        ("nonsense", {}, "unknown_method"),
    ],
)
def test_what_players_may_not_do(game, method, params, code):
    assert game.refused(method, **params) == code
    assert game.server.closed == []
    assert len(game.administrators.sanctions.policy.mutes) == 0
    if code in ("forbidden", "not_found", "protected"):
        row = game.administrators.rows[-1]
        assert (row["actor"], row["via"], row["method"], row["outcome"]) == ("mia", "scratch", method, code)


@pytest.mark.parametrize("target", [{"client": "2"}, {"name": "bob"}])
def test_a_mute_is_of_the_connection_and_tells_no_address(game, target):
    assert game.ask("mutes.add", target=target, seconds=LONGEST_MUTE, reason="shouting") == {"hit": 1}
    (mute,) = game.administrators.sanctions.policy.mutes
    assert (mute.kind, mute.value, mute.hidden, mute.by) == ("client", "2", False, "mia")


def test_rooms_are_ruled_by_those_who_are_in_them(game):
    game.mia.joined = {"arena": None}
    assert game.ask("rooms.set", name="arena", locked=True, frozen=True) == {}
    assert game.administrators.rows[-1]["method"] == "rooms.set"
    game.mia.joined = {}
    assert game.refused("rooms.set", name="arena", locked=False) == "forbidden"


@pytest.mark.parametrize(
    "request_", [None, {}, [], "clients.kick", {"method": 5}, {"method": "clients.kick", "params": []}]
)
def test_what_is_no_request_is_refused_and_not_worth_a_line(game, request_):
    with pytest.raises(AdminError) as refusal:
        game.moderation.run(game.mia, request_)
    assert refusal.value.code == "invalid"
    assert game.administrators.rows == []


def test_a_player_cannot_fill_the_audit(game):
    codes = [game.refused("clients.kick", id="99") for _ in range(30)]
    assert codes.count("throttled") >= 8
    assert len(game.administrators.rows) < 20
