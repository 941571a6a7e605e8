"""Lists of very many things, made in slices: what they show is right although things change meanwhile."""

from __future__ import annotations

import gc
import random
from collections import Counter
from concurrent.futures import Future

import pytest

from cloudlink import slices
from cloudlink.admin.merging import place_of
from cloudlink.admin.questions import answer, list_clients
from cloudlink.slices import SliceQueue, finish
from tests.admin.conftest import OWNER
from tests.support.adminwire import CONSOLE, Administrators, FakePlayer
from tests.support.clock import TickingClock
from tests.support.sanctioning import add_ban

PARAMS = {
    "search": None,
    "room": None,
    "protocol": None,
    "sort": "since",
    "after": None,
    "limit": 60,
    "is_owner": True,
}


@pytest.fixture
def clock(monkeypatch):
    """A clock by which each look at it takes 0.1 ms, so that a turn has three slices."""
    clock = TickingClock(0.0001)
    monkeypatch.setattr(slices.time, "perf_counter", clock)
    return clock


@pytest.fixture
def crowd():
    """An administration of 350 players, whose names repeat."""
    one = Administrators()
    chance = random.Random(1)
    one.server.add(
        *(
            FakePlayer(
                number,
                chance.choice(["", "Ann", "bob", f"Zoë {number % 90}"]),
                chance.choice(["den", "hall"]),
                chance.choice(["cl4", "scratch"]),
                f"203.0.113.{number % 7}",
            )
            for number in range(1, 351)
        )
    )
    return one


def pages(one, **params):
    """The ids of all pages of a list, and the total."""
    after = None
    found = []
    while True:
        page = finish(list_clients(one.core, {**PARAMS, **params, "after": after}))
        found += [item["id"] for item in page["items"]]
        after = page["next"]
        if after is None:
            return found, page["total"]


@pytest.mark.parametrize("sort", ["since", "-since", "name", "-name"])
@pytest.mark.parametrize(
    "wanted", [{}, {"search": "ZO"}, {"room": "den"}, {"protocol": "cl4", "room": "hall"}]
)
def test_pages_of_a_long_list(crowd, sort, wanted):
    players = [
        player
        for player in crowd.server.found.values()
        if wanted.get("search", "").casefold() in player.username.casefold()
        and wanted.get("room") in (None, player.room)
        and wanted.get("protocol") in (None, player.protocol)
    ]
    players.sort(
        key=lambda player: place_of(sort, player.snowflake, player.username), reverse=sort.startswith("-")
    )
    assert pages(crowd, sort=sort, **wanted) == ([player.snowflake for player in players], len(players))


@pytest.mark.usefixtures("clock")
def test_a_player_that_leaves_while_a_list_is_made_is_left_out(crowd):
    due = []
    crowd.sanctions.slices = SliceQueue(due.append)
    later = answer(crowd.core, "clients.list", {**PARAMS, "sort": "name"})
    first = pages(crowd, sort="name")[0][0]
    del crowd.server.found[first]
    while due:
        due.pop()()
    items = later.result(0)["items"]
    assert len(items) == 59
    assert first not in [item["id"] for item in items]


@pytest.mark.usefixtures("clock")
def test_bans_are_searched_while_others_come_and_go(make_world):
    world = make_world()
    sanctions = world.sanctions
    for number in range(400):
        add_ban(sanctions, OWNER, {"name": f"bad {number}"}, seconds=None)
    search = sanctions.look_for_bans(OWNER, search="b.a.d 3", limit=200)
    next(search)
    oldest = next(iter(world.policy.bans))
    sanctions.remove_ban(OWNER, id=oldest.id + 3)
    add_ban(sanctions, OWNER, {"name": "bad 3x"}, seconds=None)
    found = [ban["value"] for ban in finish(search)["items"]]
    assert found == [
        f"bad {number}" for number in range(399, -1, -1) if str(number).startswith("3") and number != 3
    ]


def test_the_counts_of_bans(make_world):
    world = make_world()
    for target in ({"name": "a"}, {"name": "A"}, {"address": "192.0.2.1"}, {"network": "198.51.100.0/24"}):
        add_ban(world.sanctions, OWNER, target, seconds=None)
    assert world.policy.bans.counts() == {"name": 1, "address": 1, "network": 1}
    for ban in tuple(world.policy.bans):
        world.sanctions.remove_ban(OWNER, id=ban.id)
    assert world.policy.bans.counts() == {"name": 0, "address": 0, "network": 0}


class Slow:
    """An administration whose slices run when the test says so, two at a time."""

    def __init__(self, crowd, monkeypatch):
        monkeypatch.setattr(slices, "_TURN", 0.00015)  # by the clock of these tests
        self.due = []
        crowd.sanctions.slices = SliceQueue(self.due.append)
        self.owner = crowd.connect(CONSOLE)

    def take_all(self):
        turns = 0
        while self.due:
            self.due.pop()()
            turns += 1
        return turns


@pytest.fixture
def slow(crowd, clock, monkeypatch):
    return Slow(crowd, monkeypatch)


def test_a_ban_holds_before_those_whom_it_hits_are_found(crowd, slow):
    policy, here = crowd.sanctions.policy, len(crowd.server.found)
    hit = sum(player.address == "203.0.113.3" for player in crowd.server.found.values())
    answer = slow.owner.request("bans.add", target={"address": "203.0.113.3"}, seconds=60, reason="x")
    assert answer is None
    assert policy.bans.for_address("203.0.113.3", crowd.wall_clock.now) is not None
    assert len(crowd.server.found) == here
    assert slow.take_all() > 1
    assert slow.owner.heard[-1]["result"]["hit"] == hit
    slow.owner.request("bans.remove", id=slow.owner.heard[-1]["result"]["ban"]["id"])
    slow.take_all()
    assert policy.bans.for_address("203.0.113.3", crowd.wall_clock.now) is None


def test_a_kick_by_name_is_looked_up(crowd, slow):
    named = sum(player.username == "bob" for player in crowd.server.found.values())
    for name in ("bob", "Bob"):
        assert slow.owner.request("clients.kick", name=name)["error"]["code"] == "ambiguous"
    assert slow.owner.request("clients.kick", name="BOB", all=True)["result"]["kicked"] == named


@pytest.mark.parametrize("limit", [60, 200])
def test_pages_of_many_rooms_and_projects(crowd, slow, limit):
    for player in crowd.server.found.values():
        player.room = f"room {int(player.snowflake) ** 2 % 431}"
    rooms = Counter(player.room for player in crowd.server.found.values())
    crowd.server.cloud = {str(number): {} for number in range(250)}
    expected = {
        "rooms.list": sorted(rooms, key=lambda name: (-rooms[name], name)),
        "cloud.projects": sorted(crowd.server.cloud),
    }
    for method, names in expected.items():
        found, after, turns = [], 0, 0
        while after is not None:
            slow.owner.request(method, after=after, limit=limit)
            turns = slow.take_all()
            page = slow.owner.heard[-1]["result"]
            assert page["total"] == len(names)
            found += [item.get("name") or item["project"] for item in page["items"]]
            after = page["next"]
        assert found == names
        assert turns > 1


def test_words_are_prepared_before_they_are_looked_for(crowd, slow):
    filters = crowd.sanctions.policy.filters
    words = {"kind": "words", "entries": [f"darn{number}" for number in range(100)], "action": "mask"}
    assert slow.owner.request("filters.add", **words) is None
    assert slow.owner.request("filters.add", kind="words", entries=["heck"], action="block") is None
    assert not filters.looks_at("messages")
    slow.take_all()
    # The second one came while the first was being prepared, and neither is lost.
    assert [filters.look_at_text(text, "messages").filter.action for text in ("darn99", "heck")] == [
        "mask",
        "block",
    ]
    slow.owner.request("filters.remove", id=filters.look_at_text("darn99", "messages").filter.id)
    assert filters.look_at_text("darn99", "messages") is None
    assert filters.look_at_text("heck", "messages").filter.action == "block"


def futures():
    return sum(isinstance(one, Future) for one in gc.get_objects())


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("clients.list", {"sort": "name"}),
        ("clients.list", {"search": "9"}),
        ("bans.preview", {"target": {"name": "bob"}}),
    ],
)
def test_an_answer_that_was_sent_is_freed_at_once(crowd, slow, method, params):
    gc.collect()
    gc.disable()
    try:
        before = futures()
        assert slow.owner.request(method, **params) is None
        slow.take_all()
        assert "result" in slow.owner.heard[-1]
        assert futures() == before
    finally:
        gc.enable()
