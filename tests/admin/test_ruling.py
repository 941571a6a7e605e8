"""Rules of rooms and announcements."""

from __future__ import annotations

from cloudlink.slices import finish
from tests.admin.conftest import MODERATOR, OWNER, at_once, judged, refusal

# Rooms.


def test_rules_are_changed_one_by_one(world):
    assert world.sanctions.set_room(MODERATOR, "r", frozen=True).result == {
        "room": {"name": "r", "locked": False, "frozen": True, "slow": 0, "until": None}
    }
    world.sanctions.set_room(OWNER, "r", slow=5)
    world.sanctions.set_room(OWNER, "r", locked=True, frozen=False)
    assert world.sanctions.room_rules("r") == {
        "name": "r",
        "locked": True,
        "frozen": False,
        "slow": 5,
        "until": None,
    }
    assert world.sanctions.room_rules("other")["slow"] == 0


def test_rules_end_by_themselves(world):
    bob = world.host.add("bob")
    world.sanctions.set_room(OWNER, "r", frozen=True, seconds=60)
    assert judged(world, bob).text == "This room is quiet."
    assert judged(world, bob, ()) is None
    world.pass_time(60)
    assert judged(world, bob) is None
    assert world.sanctions.room_rules("r")["frozen"] is False
    world.sanctions.tick()
    assert not world.policy.judges_packets


def test_slow_is_counted_for_each_client_and_room(world):
    bob, carl = world.host.add("bob"), world.host.add("carl")
    world.sanctions.set_room(OWNER, "r", slow=10)
    world.sanctions.set_room(OWNER, "*", slow=2)
    assert judged(world, bob) is None
    assert judged(world, carl) is None
    assert judged(world, bob).text == "This room is slow: wait 10 s."
    world.pass_time(1.5)
    assert judged(world, bob, ()).text == "This room is slow: wait 1 s."
    world.pass_time(1)
    assert judged(world, bob, ("s",)) is None
    assert judged(world, bob).text == "This room is slow: wait 8 s."
    world.pass_time(7.5)
    assert judged(world, bob) is None


def test_who_spoke_is_forgotten_when_it_no_longer_counts(world, monkeypatch):
    monkeypatch.setattr("cloudlink.admin.roomrules._PRUNE_AT", 3)
    world.policy.rooms._prune_at = 3
    world.sanctions.set_room(OWNER, "r", slow=10)
    players = [world.host.add("x") for _ in range(8)]
    for player in players[:4]:
        assert judged(world, player) is None
    assert judged(world, players[0]).text
    world.pass_time(10)
    for player in players[4:]:
        assert judged(world, player) is None
    assert len(world.policy.rooms._spoken) < 8


def test_wrong_rules(world, monkeypatch):
    set_room = world.sanctions.set_room
    assert refusal(set_room, OWNER, "") == "invalid"
    assert refusal(set_room, OWNER, "default", locked=True) == "invalid"
    assert refusal(set_room, OWNER, "*", locked=True) == "invalid"
    for slow in (0.5, -1, 21_601):
        assert refusal(set_room, OWNER, "r", slow=slow) == "invalid"
    assert refusal(set_room, OWNER, "r", frozen=True, seconds=0) == "invalid"
    monkeypatch.setattr("cloudlink.admin.ruling.MOST_RULES", 1)
    set_room(OWNER, "r", frozen=True)
    assert refusal(set_room, OWNER, "s", frozen=True) == "too_many"
    set_room(OWNER, "r", frozen=False)


def test_rules_outlive_a_restart(make_world, tmp_path):
    first = make_world(tmp_path / "admin.db")
    first.sanctions.set_room(OWNER, "r\ud800", slow=5)
    second = make_world(tmp_path / "admin.db")
    assert second.sanctions.room_rules("r\ud800")["slow"] == 5
    second.sanctions.set_room(OWNER, "r\ud800", slow=0)
    first.store.save([])
    assert first.sanctions.room_rules("r\ud800")["slow"] == 0
    first.store.put("room", "x", {"name": 5})
    assert "cannot be read" in make_world(tmp_path / "admin.db").sanctions.notices[0]["text"]


# Announcements.


def test_wrong_texts(world):
    assert refusal(at_once(world.sanctions.broadcasting), OWNER, " ") == "invalid"
    assert refusal(at_once(world.sanctions.broadcasting), OWNER, "x" * 1001) == "invalid"
    assert refusal(at_once(world.sanctions.broadcasting), OWNER, "x", kind="shout") == "invalid"
    assert refusal(at_once(world.sanctions.broadcasting), OWNER, "x", rooms=["r"] * 1001) == "invalid"


def test_a_broadcast(world):
    world.host.add("x")
    assert finish(world.sanctions.broadcasting(OWNER, "Hi", rooms=["r"], kind="gmsg")).result == {"sent": 1}
    assert world.host.announced == [("Hi", ["r"], "gmsg")]
    assert "Hi" not in str(world.rows)
