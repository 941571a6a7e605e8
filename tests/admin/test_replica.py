"""The records of several nodes: whoever has the newer stamp is right, and an unban stays."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudlink.admin.database import Change
from cloudlink.admin.replica import KEPT, SHARDS, STAMP, Replica, is_same, packed, unpacked
from cloudlink.admin.store import AdminStore
from cloudlink.cluster.clock import HybridClock
from tests.support.clock import FakeClock

BAN = {
    "id": 1,
    "kind": "name",
    "value": "bob",
    "by": "mia",
    "at": 5,
    "until": None,
    "hits": 0,
    "last_hit": None,
}
KEY = "name:bob"
KEYS = (KEY, "name:a", "address:192.0.2.1")


def node(name, wall=None):
    wall = wall or FakeClock(1_800_000_000.0)
    return Replica(HybridClock(name, wall), wall)


def held(replica):
    return {one[:2]: (one.value, one.stamp) for number in range(SHARDS) for one in replica.shard(number)}


def meet(*nodes):
    """Have nodes tell each other of the bans in the tests, in the form in which changes travel."""
    for one in nodes:
        found = [one.find("ban", key) for key in KEYS]
        text = json.dumps(packed(each for each in found if each is not None))
        for other in nodes:
            other.accept(unpacked(json.loads(text)))


def test_a_change_is_taken_once():
    one, other = node("a"), node("b")
    stamped = one.stamp([Change("ban", KEY, BAN), Change("act", "mode", {}), Change("known", "x", 5)])
    assert [each.change for each in stamped] == [Change("ban", KEY, BAN)]
    assert other.accept(stamped) == stamped
    assert other.accept(stamped) == one.accept(stamped) == []


def test_an_unban_stays_whatever_a_node_says_that_was_away():
    one, other = node("a"), node("b")
    other.accept(one.stamp([Change("ban", KEY, BAN)]))
    one.stamp([Change("ban", KEY, None)])
    other.rows([Change("ban", KEY, {**BAN, "hits": 7})])  # it has turned somebody away meanwhile
    meet(one, other)
    assert one.find("ban", KEY).value is other.find("ban", KEY).value is None


def test_what_ends_by_itself_yields_to_what_somebody_does():
    one, other = node("a"), node("b", FakeClock(1_800_000_000.0 - 5))  # whose clock is slow
    other.accept(one.stamp([Change("ban", KEY, BAN)]))
    renewed = {**BAN, "until": 9}
    one.stamp([Change("ban", KEY, renewed)])
    other.stamp([Change("ban", KEY, None)], is_expiry=True)
    meet(one, other)
    assert other.find("ban", KEY).change.value == renewed
    for each in (one, other, other):
        each.stamp([Change("ban", KEY, None), Change("ban", "name:a", None)], is_expiry=True)
    assert held(one) == held(other)
    assert len(held(one)) == 1


def test_removals_are_kept_for_thirty_days():
    wall = FakeClock(1_800_000_000.0)
    replica = node("a", wall)
    replica.stamp([Change("ban", KEY, BAN), Change("room", "den", {"name": "den"})])
    replica.stamp([Change("ban", KEY, None)])
    wall.now += KEPT - 1
    assert replica.prune() == []
    wall.now += 2
    assert replica.prune() == [Change(STAMP, f"ban {KEY}", None)]
    assert list(held(replica)) == [("room", "den")]


keys = st.sampled_from(KEYS)
steps = st.tuples(st.integers(0, 2), keys, st.sampled_from([None, 1, 2]), st.booleans(), st.integers(-3, 3))


@given(st.lists(steps, max_size=20), st.permutations(range(3)))
def test_nodes_agree_after_whatever_happened(script, order):
    walls = [FakeClock(1_800_000_000.0 + skew) for skew in (0, 4, -4)]
    nodes = [node(name, wall) for name, wall in zip("abc", walls, strict=True)]
    for who, key, value, is_expiry, moved in script:
        walls[who].now += moved
        nodes[who].stamp([Change("ban", key, value)], is_expiry=is_expiry and value is None)
        if moved > 0:
            meet(nodes[who], nodes[(who + 1) % 3])
    meet(*(nodes[number] for number in order))
    assert held(nodes[0]) == held(nodes[1]) == held(nodes[2])


class TestFile:
    """A node whose records are in a file, with their stamps beside them."""

    @pytest.fixture
    def path(self, tmp_path):
        return tmp_path / "admin.db"

    def opened(self, path, name="a", wall=None):
        store = AdminStore(path)
        store.open()
        return store, store.share(node(name, wall))

    def write(self, path, *changes):
        """Change the file as the terminal does without a server."""
        store = AdminStore(path)
        store.open()
        store.save(changes)
        store.close()

    def test_stamps_outlive_a_restart(self, path):
        store, _ = self.opened(path)
        store.stamp([Change("ban", KEY, BAN), Change("ban", "name:x", BAN)])
        store.save([Change("ban", KEY, BAN), Change("ban", "name:x", BAN)])
        store.stamp([Change("ban", "name:x", None)])
        store.save([Change("ban", "name:x", None)])
        before = held(store.replica)
        store.save([Change("ban", KEY, {**BAN, "hits": 9})])
        store.close()
        store, changed = self.opened(path)
        assert changed == []
        assert {key: stamp for key, (_, stamp) in held(store.replica).items()} == {
            key: stamp for key, (_, stamp) in before.items()
        }
        assert dict(store.records("ban"))[KEY]["hits"] == 9
        store.close()

    def test_what_another_program_changes_without_a_server_is_noticed(self, path):
        store, _ = self.opened(path)
        for key in ("name:x", KEY):
            store.stamp([Change("ban", key, BAN)])
            store.save([Change("ban", key, BAN)])
        store.close()
        self.write(path, Change("ban", KEY, None), Change("ban", "name:new", BAN))
        self.write(path, Change("ban", "name:x", {**BAN, "reason": "y"}))
        store, changed = self.opened(path)
        assert sorted(changed) == [
            Change("ban", KEY, None),
            Change("ban", "name:new", BAN),
            Change("ban", "name:x", {**BAN, "reason": "y"}),
        ]
        told = []
        store.on_saved = told.extend
        store.tell_saved(changed)
        assert len(told) == 3
        store.close()
        store, changed = self.opened(path)
        assert changed == []
        store.close()

    def test_what_another_program_changes_beside_a_server_is_told(self, path):
        store, _ = self.opened(path)
        store.save([Change("act", "x", {})])  # so that there is a file
        told, seen = [], []
        store.on_saved = told.extend
        store.watch("ban", lambda key, value: seen.append((key, value)))
        self.write(path, Change("ban", KEY, BAN))
        store.save([Change("act", "y", {})])
        assert [row[:3] for row in told] == [["ban", KEY, BAN]]
        assert seen == [(KEY, BAN)]
        assert is_same(Change("ban", KEY, BAN), store.replica.find("ban", KEY))
        store.close()

    def test_workers_of_one_machine_share_stamps_and_file(self, path):
        first, _ = self.opened(path)
        first.save([Change("act", "x", {})])
        second, _ = self.opened(path, "b")
        told = []
        second.on_saved = told.extend
        first.stamp([Change("ban", KEY, BAN)])
        first.save([Change("ban", KEY, BAN)])
        second.save([Change("act", "y", {})])
        assert second.replica.find("ban", KEY) == first.replica.find("ban", KEY)
        assert told == []
        first.close()
        second.close()

    def test_changes_of_other_machines_are_saved_with_their_stamps(self, path):
        store, _ = self.opened(path)
        elsewhere = node("b")
        stamped = elsewhere.stamp([Change("ban", KEY, BAN)])
        seen = []
        store.watch("ban", lambda key, value: seen.append(value))
        store.take_stamped(stamped, is_to_save=True)
        assert len(seen) == 1
        store.take_stamped(stamped, is_to_save=True)
        assert len(seen) == 1
        store.close()
        store, changed = self.opened(path)
        assert (changed, store.replica.find("ban", KEY)) == ([], stamped[0])
        assert seen == [BAN]
        store.close()
