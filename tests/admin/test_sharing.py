"""Several processes of one server: what one of them does, the others do too."""

from __future__ import annotations

import pytest

from cloudlink.admin.actors import AdminError
from tests.admin.conftest import NOW, OWNER


@pytest.fixture
def pair(make_world, tmp_path):
    def process(siblings="server 1"):
        world = make_world(tmp_path / "admin.db")
        world.host.siblings = siblings
        world.sanctions.load()
        return world

    return process(), process(), process


def notice(world):
    """Have a process notice what others wrote, as its thread does each second."""
    world.store.save([])


def test_kicks(pair):
    first, second, _ = pair
    alice, bob = first.host.add("alice"), first.host.add("bob")
    second.host.add("x")  # so that ids differ
    second.host.add("y")
    carl, other_bob = second.host.add("carl"), second.host.add("bob")
    kick = first.sanctions.kick
    assert kick(OWNER, id=carl.snowflake, reason="rude").result == {"kicked": 0}
    notice(second)
    assert second.host.closed == [(carl.snowflake, 4004, "You were kicked: rude")]
    assert kick(OWNER, name="bob").result == {"kicked": 1}
    notice(second)
    assert len(second.host.closed) == 1  # one was meant
    first.host.add("bob")
    assert kick(OWNER, name="bob", all=True).result == {"kicked": 1}
    notice(second)
    assert second.host.closed[-1][0] == other_bob.snowflake
    assert kick(OWNER, ids=[alice.snowflake]).result == {"kicked": 1}
    assert bob.snowflake in [entry[0] for entry in first.host.closed]
    kick(OWNER, name="nobody")
    notice(second)
    with pytest.raises(AdminError, match="only one"):
        kick(OWNER)


def test_modes_and_a_process_that_is_started_anew(pair):
    first, second, process = pair
    first.sanctions.set_mode(OWNER, "closed", message="Back at six.")
    notice(second)
    assert second.policy.closing("192.0.2.1") == (1013, "Back at six.")
    assert process().sanctions.mode == "closed"
    assert process("server 2").sanctions.mode == "open"  # another start of the server
    first.sanctions.set_mode(OWNER, "guarded")
    notice(second)
    assert second.sanctions.mode == "guarded"
    assert second.policy.modes.guarded_until is None


def test_a_drain(pair):
    first, second, _ = pair
    second.host.add("bob")
    first.sanctions.drain(OWNER, seconds=60, message="Bye", stop=True)
    notice(second)
    assert second.policy.modes.drained_at == NOW + 60
    assert second.host.announced == [("Bye", None, "motd")]
    assert second.host.run_due() == [60, 0.05]
    assert second.host.closed[0][1:] == (1001, "Bye")
    assert not second.host.is_stopped  # the process that was asked to stops them all
    first.sanctions.set_mode(OWNER, "open")
    notice(second)
    assert second.sanctions.mode == "open"


def test_announcements_and_mutes_of_connections(pair):
    first, second, _ = pair
    first.sanctions.broadcast(OWNER, "Hi", rooms=["r"], kind="gmsg")
    notice(second)
    assert second.host.announced == [("Hi", ["r"], "gmsg")]
    second.host.add("x")
    bob = second.host.add("bob")
    first.sanctions.add_mute(OWNER, {"client": bob.snowflake}, seconds=60)
    notice(second)
    assert second.sanctions.is_muted(bob)
    first.pass_time(31)
    first.sanctions.tick()
    assert len(first.policy.mutes) == 1


def test_acts_are_removed_after_a_minute_but_the_mode_stays(pair):
    first, second, _ = pair
    first.sanctions.set_mode(OWNER, "guarded")
    first.sanctions.broadcast(OWNER, "Hi")
    notice(second)
    second.pass_time(70)
    second.sanctions.tick()
    assert [record["act"] for _, record in second.store.records("act")] == ["mode"]
    notice(first)
    assert len(first.host.announced) == 1


def test_a_lone_process_writes_no_acts(make_world, tmp_path):
    world = make_world(tmp_path / "admin.db")
    world.sanctions.set_mode(OWNER, "guarded")
    world.sanctions.broadcast(OWNER, "Hi")
    assert list(world.store.records("act")) == []
