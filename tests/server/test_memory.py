"""One address cannot make the server keep more than its share, whatever it is made of."""

from __future__ import annotations

import pytest

from cloudlink.server.memory import TOO_MUCH_KEPT, Kept, MemoryAccounts
from tests.support.clock import FakeClock
from tests.support.memoryclients import MemoryClient, codes, named
from tests.support.servers import build

MB = 1 << 20
REFUSED = 108
HERE, ELSEWHERE = "203.0.113.7", "198.51.100.9"


class Someone:
    """A session that keeps something."""

    def __init__(self, accounts, owner, size):
        self.owner = owner
        self.size = size
        self.reason = ""
        accounts.append(self)

    def kept(self):
        return Kept(messages=self.size)

    def shed(self, reason):
        self.reason = reason
        self.size = 0


class Scene:
    """Accounts of which all together may keep 100 bytes."""

    def __init__(self):
        self.sessions = []
        self.due = []
        self.clock = FakeClock()
        self.accounts = MemoryAccounts(
            lambda: self.sessions,
            lambda: 100,
            lambda delay, work: self.due.append((delay, work)),
            self.clock,
            self.clock,
        )

    def add(self, owner, *sizes):
        return [Someone(self.sessions, owner, size) for size in sizes]

    def shed(self):
        """Measure; the sizes of those that were closed by it."""
        sizes = {someone: someone.size for someone in self.sessions}
        self.accounts.measure()
        return [sizes[someone] for someone in self.sessions if someone.reason]


@pytest.fixture
def scene():
    return Scene()


def test_an_address_may_keep_half(scene):
    scene.add("a", 20, 30)
    assert scene.shed() == []
    assert scene.accounts.kept == Kept(messages=50)


def test_beyond_that_its_largest_connections_are_closed_until_the_rest_fits(scene):
    scene.add("a", 10, 25, 30, 20)
    scene.add("b", 1)
    assert scene.shed() == [25, 30]
    assert {someone.reason for someone in scene.sessions} == {"", TOO_MUCH_KEPT}


def test_of_many_addresses_the_largest_pays(scene):
    scene.add("a", 40)
    scene.add("b", 30)
    scene.add("c", 10, 26)
    assert scene.shed() == [40, 26]


def test_something_is_always_left_for_a_newcomer(scene):
    for owner in "abcdefghij":
        scene.add(owner, 3, 3, 3)
    scene.shed()
    kept = sum(someone.size for someone in scene.sessions)
    assert kept <= 100 - max(9, 100 // 11)


def test_this_machine_itself_may_use_all_but_not_more(scene):
    scene.add(None, 50, 50)
    assert scene.shed() == []
    scene.add(None, 10)
    assert scene.shed() == [50]


def test_an_address_is_not_closed_for_what_this_machine_keeps(scene):
    scene.add(None, 60, 30)
    (other,) = scene.add("a", 15)
    assert scene.shed() == [60]
    assert not other.reason


def test_near_its_share_an_address_gets_no_more(scene):
    scene.add("a", 34)
    scene.add("b", 10)
    scene.accounts.measure()
    assert scene.accounts.is_full("a")
    assert not scene.accounts.is_full("b")
    assert not scene.accounts.is_full(None)
    scene.sessions[0].size = 20
    scene.accounts.measure()
    assert not scene.accounts.is_full("a")


def test_reasons_to_measure_are_collected_and_measuring_takes_a_twentieth_of_the_time(scene):
    kept = scene.add("a", 1)[0].kept

    def slowly():
        scene.clock.now += 0.1
        return kept()

    scene.sessions[0].kept = slowly
    scene.accounts.note()
    scene.accounts.note()
    ((delay, measure),) = scene.due
    assert delay == 0.05
    measure()
    scene.due.clear()
    scene.accounts.note()
    assert scene.due[0][0] == pytest.approx(2.0)


def test_much_growth_is_measured_at_once(scene):
    scene.accounts.note(12)
    scene.accounts.note(12)
    scene.accounts.note(12)
    assert [delay for delay, _ in scene.due] == [0.05, 0.0]
    scene.due[1][1]()
    scene.due.clear()
    scene.accounts.note(12)
    assert [delay for delay, _ in scene.due] == [0.05]


def test_large_messages_of_an_address_are_slowed_before_anything_is_refused(scene):
    scene.add("a", 27)
    scene.add("b", 3)
    scene.accounts.measure()
    assert scene.accounts.is_slowed("a")
    assert not scene.accounts.is_full("a")
    assert not scene.accounts.is_slowed("b")


def test_while_memory_is_scarce_many_addresses_are_slowed(scene):
    for owner in "abcdefgh":
        scene.add(owner, 7)
    scene.add("player", 1)
    scene.accounts.measure()
    assert all(scene.accounts.is_slowed(owner) for owner in "abcdefgh")
    assert not scene.accounts.is_slowed("player")


def test_nothing_is_measured_while_little_is_kept(scene):
    scene.add("a", 1)
    scene.accounts.measure()
    scene.accounts.tick(is_busy=False)
    assert not scene.due
    scene.accounts.tick(is_busy=True)
    assert len(scene.due) == 1


def test_while_much_is_kept_it_is_measured_each_second(scene):
    scene.add("a", 20)
    scene.accounts.measure()
    scene.accounts.tick(is_busy=False)
    assert len(scene.due) == 1


def test_the_log_names_the_address_once_a_minute(scene, caplog):
    for _ in range(3):
        scene.add("a", 60)
        scene.accounts.measure()
    assert caplog.text.count("max_kept_memory") == 1
    scene.clock.now += 60
    scene.add("a", 60)
    scene.accounts.measure()
    assert caplog.text.count("max_kept_memory") == 2


# The server.


@pytest.fixture
def server():
    return build({"max_kept_memory": MB, "trusted_proxies": ["192.0.2.1"], "identity_burst": 10_000})


def test_a_client_that_keeps_too_much_is_closed_and_dropped_and_the_others_play(server, caplog):
    player = named(server, "player", address=ELSEWHERE)
    clients = [named(server, f"c{number}", address=HERE) for number in range(3)]
    clients[1].connection.kept = 600_000
    server.memory.measure()
    assert [client.closed for client in clients] == [None, (1013, TOO_MUCH_KEPT), None]
    assert clients[1].connection.is_dropped
    assert server.counters.disconnected["memory"] == server.counters.limited["memory"] == 1
    assert "'c1'" in caplog.text
    assert HERE in caplog.text
    assert codes(player.ask({"cmd": "ping"})) == [100]


def test_an_address_that_keeps_much_gets_no_more_connections_and_rooms(server):
    client = named(server, "client", address=HERE)
    client.connection.kept = 400_000
    server.memory.measure()
    assert MemoryClient(server, address=HERE).closed == (1013, TOO_MUCH_KEPT)
    assert MemoryClient(server, address=ELSEWHERE).closed is None
    assert server.counters.refused["memory"] == 1
    assert codes(client.ask({"cmd": "link", "val": ["a", "b"]})) == [100]
    assert REFUSED in codes(client.ask({"cmd": "link", "val": [f"room {number}" for number in range(20)]}))
    client.connection.kept = 0
    server.memory.measure()
    assert codes(client.ask({"cmd": "link", "val": [f"room {number}" for number in range(20)]}))[-1] == 100


def test_a_large_message_is_read_slowly_when_its_address_keeps_much(server):
    client = named(server, "client", address=HERE)
    client.session.grown(1000)
    assert client.connection.slowed_down == 0
    client.connection.kept = 300_000
    server.memory.measure()
    client.session.grown(1000)
    assert client.connection.slowed_down == 1


def test_long_names_of_many_rooms_are_counted(server):
    client = named(server, "client", address=HERE)
    client.say({"cmd": "link", "val": [f"{number} " + "😀" * 900 for number in range(50)]})
    server.memory.measure()
    assert server.memory.kept.rooms > 50 * 900 * 4


def test_messages_that_wait_for_their_turn_are_counted(server):
    client = named(server, "client", address=HERE)
    share = server.fair_share
    share.put(client.session._account, client.session, lambda: None, 5000)
    assert client.session.kept().packets > 5000
    share._begin_turn()
    assert client.session.kept().packets == 0


def test_without_limits_anything_may_be_kept():
    server = build({"max_kept_memory": MB, "limits": False})
    client = named(server, "client", address=HERE)
    client.connection.kept = 10 * MB
    server.memory.measure()
    assert client.closed is None


def test_large_parts_of_messages_count_towards_the_turn(server, monkeypatch):
    turns = []
    monkeypatch.setattr(server.fair_share, "_call_soon", lambda work: turns.append(work) or True)
    client, other = (named(server, name, address=HERE) for name in ("client", "other"))
    player = named(server, "player", address=ELSEWHERE)
    server.fair_share.spent = 0.0
    client.session.grown(1_000_000)
    assert not client.connection.is_held
    for _ in range(5):
        client.session.grown(1_000_000)
    assert client.connection.is_held
    assert other.connection.is_held
    assert not player.connection.is_held
    while turns and client.connection.is_held:
        turns.pop()()
    assert not other.connection.is_held
