"""Several processes of one server: what one of them does, the others do too."""

from __future__ import annotations

import itertools

import pytest

from cloudlink.admin.actors import AdminError
from cloudlink.admin.grants import Grants
from cloudlink.slices import finish
from tests.admin.conftest import NOW, OWNER
from tests.support.adminpeers import MemoryPeers
from tests.support.sanctioning import add_ban


class Process:
    """What answers questions in one of the processes, as far as sanctions are concerned."""

    def __init__(self, world):
        self.sanctions = world.sanctions
        self.grants = Grants()


@pytest.fixture
def pair(make_world, tmp_path):
    peers = MemoryPeers()

    def process(siblings="server 1"):
        world = make_world(tmp_path / "admin.db")
        world.host.siblings = siblings
        world.sanctions.load()
        peers.join(f"n{len(peers.asking) + 1}", Process(world))
        return world

    return process(), process(), process


def whole(outcome):
    """The result for all processes."""
    return outcome.whole(outcome.result, outcome.replies.result())


def notice(world):
    """Have a process notice what others wrote, as its thread does each second."""
    world.store.save([])


def test_kicks(pair):
    first, second, _ = pair
    alice, bob = first.host.add("alice"), first.host.add("bob")
    second.host.ids = itertools.count(100)
    carl, other_bob = second.host.add("carl"), second.host.add("bob")
    kick = first.sanctions.kick
    assert whole(kick(OWNER, id=carl.snowflake, reason="rude")) == {"kicked": 1}
    assert second.host.closed == [(carl.snowflake, 4004, "You were kicked: rude")]
    with pytest.raises(AdminError, match="2 clients have this name") as ambiguous:
        whole(kick(OWNER, name="bob"))
    assert ambiguous.value.data == {"ids": [bob.snowflake, other_bob.snowflake]}
    assert whole(kick(OWNER, name="bob", all=True)) == {"kicked": 2}
    assert (first.host.closed[-1][0], second.host.closed[-1][0]) == (bob.snowflake, other_bob.snowflake)
    second.host.add("Dora")
    assert whole(kick(OWNER, name="dora")) == {"kicked": 1}
    assert whole(kick(OWNER, ids=[alice.snowflake, "99"])) == {"kicked": 1}
    for nobody in ({"name": "nobody"}, {"id": "99"}):
        with pytest.raises(AdminError) as missing:
            whole(kick(OWNER, **nobody))
        assert missing.value.code == "not_found"
    with pytest.raises(AdminError, match="only one"):
        kick(OWNER)
    assert [(row["target"], row["outcome"]) for row in first.rows] == [
        (f"client:{carl.snowflake}", "ok"),
        ("name:bob", "ambiguous"),
        ("name:bob", "ok"),
        ("name:dora", "ok"),
        ("", "ok"),
        ("name:nobody", "not_found"),
        ("client:99", "ok"),
        ("", "invalid"),
    ]
    assert second.rows == []


def test_bans_and_mutes_act_in_all_processes_at_once(pair):
    first, second, _ = pair
    second.host.add("x", address="198.51.100.1")
    bob = second.host.add("bob", address="198.51.100.2")
    first.host.add("bobby", address="198.51.100.2")
    banned = whole(add_ban(first.sanctions, OWNER, {"address": "198.51.100.2"}, seconds=60))
    assert banned["hit"] == 2
    assert second.host.closed[0][:2] == (bob.snowflake, 4004)
    muted = whole(first.sanctions.add_mute(OWNER, {"name": "x"}, seconds=60))
    assert muted["hit"] == 1
    assert len(second.policy.mutes) == 1
    first.sanctions.remove_mute(OWNER, muted["mute"]["id"])
    first.sanctions.remove_ban(OWNER, id=banned["ban"]["id"])
    assert len(second.policy.mutes) == len(second.policy.bans) == 0
    first.sanctions.set_room(OWNER, "den", frozen=True)
    assert second.sanctions.room_rules("den")["frozen"]
    notice(second)
    assert len(second.policy.bans) == 0
    with pytest.raises(AdminError, match="no client 99"):
        whole(first.sanctions.add_mute(OWNER, {"client": "99"}, seconds=60))
    assert len(first.policy.mutes) == len(second.policy.mutes) == 0


def test_filters_are_taken_over_once(pair):
    first, second, _ = pair
    finish(first.sanctions.adding_filter(OWNER, kind="words", entries=["bad"], action="notice"))
    (one,) = second.policy.filters
    notice(second)
    assert list(second.policy.filters) == [one]
    first.sanctions.notify("Look!")
    assert second.sanctions.notices[-1]["text"] == "Look!"


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
    assert whole(finish(first.sanctions.broadcasting(OWNER, "Hi", rooms=["r"], kind="gmsg"))) == {"sent": 0}
    assert second.host.announced == [("Hi", ["r"], "gmsg")]
    second.host.add("x")
    bob = second.host.add("bob")
    first.sanctions.add_mute(OWNER, {"client": bob.snowflake}, seconds=60)
    assert second.sanctions.is_muted(bob)
    first.pass_time(31)
    first.sanctions.tick()
    assert len(first.policy.mutes) == 1


def test_an_older_mode_does_not_replace_a_newer_one(pair):
    first, second, process = pair
    first.sanctions.set_mode(OWNER, "closed")
    older = first.sanctions.shared_mode
    second.sanctions.set_mode(OWNER, "open")  # in the same moment
    first.sanctions.take_mode(older)
    notice(first)
    assert first.sanctions.mode == second.sanctions.mode == process().sanctions.mode == "open"


def test_a_process_that_is_started_anew_gets_what_no_file_keeps(make_world):
    old, new = make_world(), make_world()
    add_ban(old.sanctions, OWNER, {"name": "bob"}, seconds=60)
    old.sanctions.add_mute(OWNER, {"name": "carl"}, seconds=60)
    old.sanctions.set_room(OWNER, "den", frozen=True)
    finish(old.sanctions.adding_filter(OWNER, kind="words", entries=["bad"], action="mask"))
    for _ in range(2):
        new.sanctions.take_unsaved(old.sanctions.unsaved())
        assert new.sanctions.unsaved() == old.sanctions.unsaved()
    assert len(new.sanctions.unsaved()) == 4


def test_what_a_file_keeps_is_not_told_to_new_processes(pair):
    first, _, _ = pair
    add_ban(first.sanctions, OWNER, {"name": "bob"}, seconds=60)
    assert first.sanctions.unsaved() == []


def test_a_lone_process_writes_no_acts(make_world, tmp_path):
    world = make_world(tmp_path / "admin.db")
    world.sanctions.set_mode(OWNER, "guarded")
    finish(world.sanctions.broadcasting(OWNER, "Hi"))
    assert list(world.store.records("act")) == []
