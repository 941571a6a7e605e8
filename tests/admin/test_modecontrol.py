"""Modes and the drain."""

from __future__ import annotations

import itertools

import pytest

from tests.admin.conftest import MODERATOR, NOW, OWNER, judged, refusal

# Modes.


def test_moderators_may_only_guard(world):
    assert world.sanctions.set_mode(MODERATOR, "guarded").result == {"mode": "guarded"}
    assert refusal(world.sanctions.set_mode, MODERATOR, "open") == "forbidden"
    assert refusal(world.sanctions.set_mode, OWNER, "ajar") == "invalid"
    assert refusal(world.sanctions.set_mode, OWNER, "closed", message="x" * 1001) == "invalid"
    assert world.host.modes == ["guarded"]


def test_closed(world):
    world.sanctions.set_mode(OWNER, "closed")
    assert world.policy.closing("192.0.2.1") == (1013, "This server takes no new players at the moment.")
    world.sanctions.set_mode(OWNER, "closed", message="Back\nat six")
    assert world.policy.closing("192.0.2.1").reason == "Back at six"
    world.sanctions.set_mode(OWNER, "open")
    assert world.policy.closing("192.0.2.1") is None


def test_newcomers_are_muted_for_ten_seconds(world):
    world.sanctions.set_mode(OWNER, "guarded")
    new = world.host.add("new", birth_time=0.0)
    assert judged(world, new).text == "You are muted until 2026-01-31 18:01 UTC"
    world.pass_time(9)
    world.sanctions.set_mode(OWNER, "open")
    assert judged(world, new).text
    world.pass_time(1)
    assert judged(world, new) is None
    world.pass_time(9)
    assert not world.policy.judges_packets


def test_a_rush_switches_the_guarded_mode_on_and_off(make_world):
    world = make_world(guard_at=5.0, guard_time=60.0)
    for _ in range(5):
        world.sanctions.count_connection()
    assert world.sanctions.mode == "open"
    world.sanctions.count_connection()
    assert world.sanctions.mode == "guarded"
    assert "guards itself for 1 minute" in world.sanctions.notices[0]["text"]
    world.pass_time(50)
    for _ in range(6):
        world.sanctions.count_connection()
    world.pass_time(50)
    world.sanctions.tick()
    assert world.sanctions.mode == "guarded"
    world.pass_time(10)
    world.sanctions.tick()
    assert world.sanctions.mode == "open"
    assert [row["params"]["mode"] for row in world.rows] == ["guarded", "open"]


def test_of_several_processes_the_one_with_the_connection_too_many_acts(make_world):
    worlds = [make_world(guard_at=5.0) for _ in range(2)]
    count = itertools.count(1)
    for world in worlds:
        world.policy.modes.count_newcomer = count.__next__
    for number in range(12):
        worlds[number % 2].sanctions.count_connection()
    assert [world.sanctions.mode for world in worlds] == ["open", "guarded"]
    assert [row["params"] for row in worlds[1].rows] == [{"mode": "guarded", "connections": 6}]


def test_a_rush_leaves_a_mode_alone_that_a_person_chose(make_world):
    world = make_world(guard_at=1.0)
    world.sanctions.set_mode(OWNER, "guarded")
    for _ in range(5):
        world.sanctions.count_connection()
    world.pass_time(10_000)
    world.sanctions.tick()
    assert world.sanctions.mode == "guarded"


# The drain.


def test_a_drain_disconnects_200_a_second(world):
    for _ in range(100):
        world.host.add("x")
    outcome = world.sanctions.drain(OWNER, seconds=300, stop=True)
    assert outcome.result == {"mode": "draining", "until": int(NOW) + 300}
    assert world.host.announced == [("This server closes in 5 minutes.", None, "motd")]
    assert world.policy.closing("192.0.2.1") == (1013, "This server is about to close.")
    delays = world.host.run_due()
    assert delays == [300, *[0.05] * 10]
    assert len(world.host.closed) == 100
    assert world.host.closed[0][1:] == (1001, "The server is shutting down")
    assert world.host.is_stopped


def test_a_drain_is_cancelled(world):
    world.host.add("x")
    world.sanctions.drain(OWNER, seconds=1, message="Soon")
    world.sanctions.set_mode(OWNER, "open")
    world.host.run_due()
    assert world.host.closed == []
    assert world.policy.closing("192.0.2.1") is None
    for _ in range(40):
        world.host.add("x")
    world.sanctions.drain(OWNER, seconds=0, message="Soon")
    world.host.run_due(most=2)
    world.sanctions.set_mode(OWNER, "open")
    world.host.run_due()
    assert len(world.host.closed) == 20
    assert world.host.closed[0][2] == "Soon"


def test_wrong_drains(world):
    for seconds in (-1, 86_401):
        assert refusal(world.sanctions.drain, OWNER, seconds=seconds) == "invalid"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 seconds"), (1, "1 second"), (90, "90 seconds"), (60, "1 minute"), (7200, "2 hours")],
)
def test_times_in_words(world, seconds, words):
    world.sanctions.drain(OWNER, seconds=seconds)
    assert world.host.announced[0][0] == f"This server closes in {words}."
