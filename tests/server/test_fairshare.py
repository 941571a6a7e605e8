"""While there is time, nobody waits; when there is not, addresses take turns by the time they have used."""

from __future__ import annotations

import sys

import pytest

from cloudlink.server.fairshare import NOTICEABLE, READ_AHEAD, TURN, FairShare
from tests.support.memoryclients import MemoryClient, named
from tests.support.servers import build


class Time:
    """A clock that work moves, and the turns of an event loop."""

    def __init__(self):
        self.now = 100.0
        self.processor = 0.0
        self.due = []

    def clock(self):
        return self.now

    def processor_clock(self):
        return self.processor

    def call_soon(self, callback):
        self.due.append(callback)
        return True

    def turn(self):
        due, self.due = self.due, []
        for callback in due:
            callback()


class Worker:
    """A worker that records its calls."""

    def __init__(self):
        self.is_held = False

    def hold(self):
        self.is_held = True

    def release(self):
        self.is_held = False


class Someone(Worker):
    """The same with a connection."""

    def __init__(self, share, address):
        super().__init__()
        self.account = share.open_account(address)


@pytest.fixture
def time():
    return Time()


@pytest.fixture
def share(time):
    return FairShare(time.call_soon, time.clock, processor_clock=time.processor_clock)


def working(time, done, who, seconds):
    def work():
        time.now += seconds
        done.append(who)

    return work


def test_addresses_take_turns_however_much_one_of_them_asks_for(time, share):
    flood, player, done = Someone(share, "192.0.2.1"), Someone(share, "192.0.2.2"), []
    for _ in range(100):
        share.put(flood.account, flood, working(time, done, "flood", 0.005))
    share.put(player.account, player, working(time, done, "player", 0.0001))
    time.turn()
    assert done.index("player") == 1
    assert done.count("flood") <= 3, "a turn takes 10 ms and at most one packet more"
    assert not player.is_held
    assert flood.is_held


def test_a_turn_ends_after_its_time_and_the_next_one_goes_on(time, share):
    one, done = Someone(share, "192.0.2.1"), []
    for number in range(25):
        share.put(one.account, one, working(time, done, number, 0.001))
    counts = []
    while time.due:
        before = len(done)
        time.turn()
        counts.append(len(done) - before)
    assert done == list(range(25)), "in the order they came"
    assert counts[:2] == [10, 10]
    assert sum(counts) == 25
    assert not one.is_held


def test_turns_are_shorter_while_iterations_take_long(time, share):
    one, done = Someone(share, "192.0.2.1"), []
    for number in range(20_000):
        share.put(one.account, one, working(time, done, number, 0.0001))

    def turn(seconds_for_each):
        """Process packets, and then write for so long because of each of them."""
        before = len(done)
        time.turn()
        time.processor += (len(done) - before) * seconds_for_each
        return len(done) - before

    assert [turn(0) for _ in range(3)] == [100, 100, 100], "10 ms"
    counts = [turn(0.001) for _ in range(12)]
    assert counts[0] == 100
    assert max(counts[-3:]) * 0.001 < 0.02, "the writing takes less than twice its time from then on"
    assert min(counts) >= 5
    counts = [turn(0) for _ in range(100)]
    assert counts == sorted(counts)
    assert max(counts) == 100, "with little to write, they become long again"


def test_even_the_shortest_turns_go_on(time, share):
    one, done = Someone(share, "192.0.2.1"), []
    for number in range(40):
        share.put(one.account, one, working(time, done, number, 0.0001))
    while time.due:
        time.turn()
        time.processor += 10.0
    assert done == list(range(40))


def test_addresses_with_equal_packets_are_served_equally(time, share):
    many = [Someone(share, f"192.0.2.{number}") for number in range(4)]
    done = []
    for number, one in enumerate(many):
        for _ in range(20 * (number + 1)):
            share.put(one.account, one, working(time, done, number, 0.001))
    for _ in range(6):
        time.turn()
    counts = [done.count(number) for number in range(4)]
    assert max(counts) - min(counts) <= 2, counts


def test_an_address_that_begins_to_wait_has_the_next_turn(time, share):
    floods, player, done = [Someone(share, f"192.0.2.{number}") for number in range(10)], [], []
    for flood in floods:
        for _ in range(100):
            share.put(flood.account, flood, working(time, done, "flood", 0.001))
    time.turn()
    player = Someone(share, "198.51.100.1")
    share.put(player.account, player, working(time, done, "player", 0.001))
    for flood in floods:
        share.put(flood.account, flood, working(time, done, "flood", 0.001))
    before = len(done)
    for _ in range(2):
        time.turn()
    assert done.index("player") - before <= 10, "only what had not had its first turn came before"


def test_an_address_that_asks_for_little_again_and_again_has_the_next_turn_once_in_a_round(time, share):
    flood, sly, done = Someone(share, "192.0.2.1"), Someone(share, "192.0.2.2"), []
    for _ in range(100):
        share.put(flood.account, flood, working(time, done, "flood", 0.001))

    def once_more():
        time.now += 0.001
        done.append("sly")
        share.put(sly.account, sly, once_more)

    share.put(sly.account, sly, once_more)
    for _ in range(8):
        time.turn()
    assert len(done) == 80, "one turn in each iteration of the loop"
    assert done.count("flood") == pytest.approx(done.count("sly"), abs=4)


def test_what_has_happened_so_far_is_counted_from_nothing(time, share):
    assert (share.total, share.waited, share.spent, share.is_busy) == (0, 0, 0, False)
    one, done = Someone(share, "192.0.2.1"), []
    for _ in range(2):
        share.put(one.account, one, working(time, done, 1, 0.004), cost=0.005)
    assert (share.waited, share.is_busy) == (2, True)
    time.turn()
    assert share.total == pytest.approx(0.008)
    assert (share.waited, share.is_busy) == (2, False)


def test_clients_of_one_address_share_its_turns(share):
    accounts = [share.open_account(address) for address in ("2001:db8::1", "2001:db8::2", "2001:db8:1::1")]
    assert accounts[0] is accounts[1]
    assert accounts[0] is not accounts[2]
    assert share.open_account("::ffff:192.0.2.1") is share.open_account("192.0.2.1")


def test_nothing_is_kept_of_an_address_that_is_gone(share):
    account = share.open_account("192.0.2.1")
    share.open_account("192.0.2.1")
    share.close_account(account)
    assert share.open_account("192.0.2.1") is account
    share.close_account(account)
    share.close_account(account)
    assert share.open_account("192.0.2.1") is not account


def test_an_address_that_waits_for_long_is_logged_once_a_minute(time, share, caplog):
    one = Someone(share, "192.0.2.1")
    for _ in range(300):
        share.put(one.account, one, working(time, [], "x", 0.01))
    while time.due:
        time.turn()
    assert caplog.text.count("192.0.2.1 asks for more than its share of the server's time") == 1


@pytest.mark.parametrize(("waited", "is_logged"), [(0.9, False), (1.1, True)])
def test_waiting_for_more_than_a_second_is_long(time, share, caplog, waited, is_logged):
    one = Someone(share, "192.0.2.1")
    share.put(one.account, one, lambda: None)
    time.now += waited
    time.turn()
    assert ("asks for more than its share" in caplog.text) is is_logged


def test_work_that_fails_ends_nobody_elses_turn(time, share, caplog):
    one, done = Someone(share, "192.0.2.1"), []
    share.put(one.account, one, lambda: 1 / 0)
    share.put(one.account, one, working(time, done, "after", 0.001))
    time.turn()
    assert done == ["after"]
    assert "ZeroDivisionError" in caplog.text


def test_work_is_charged_for_the_copies_that_it_causes(time):
    copies = 0
    share = FairShare(time.call_soon, time.clock, copies=lambda: copies)
    shouting, player, done = Someone(share, "192.0.2.1"), Someone(share, "192.0.2.2"), []

    def shout():
        nonlocal copies
        time.now += 0.0001
        copies += 20_000
        done.append("shout")

    for _ in range(5):
        share.put(shouting.account, shouting, shout)
    for _ in range(100):
        share.put(player.account, player, working(time, done, "player", 0.0001))
    time.turn()
    assert done.count("shout") == 1
    time.turn()
    time.turn()
    assert done.count("player") == 100
    assert done.count("shout") <= 2
    while time.due:
        time.turn()
    assert share.total == pytest.approx(105 * 0.0001), "what was estimated is not counted as work"


def test_work_for_an_address_is_done_at_once_while_there_is_time(time, share):
    stranger, done = Worker(), []
    share.do("192.0.2.1", stranger, working(time, done, "request", 0.004))
    assert done == ["request"]
    assert not stranger.is_held
    assert share.spent == pytest.approx(0.004)
    share.do("192.0.2.1", stranger, working(time, done, "handshake", 0.001), cost=0.003)
    assert share.spent == pytest.approx(0.007)
    time.turn()
    assert share.spent == 0


def test_work_for_an_address_waits_when_the_turn_is_used_up(time, share):
    strangers, done = [Worker() for _ in range(30)], []
    for number, stranger in enumerate(strangers):
        share.do("192.0.2.1", stranger, working(time, done, number, 0.004))
    assert done == [0, 1, 2]
    assert [stranger.is_held for stranger in strangers] == [False] * 3 + [True] * 27
    time.turn()
    assert 3 <= len(done) - 3 <= 4
    for _ in range(20):
        time.turn()
    assert done == list(range(30))
    assert not any(stranger.is_held for stranger in strangers)
    assert share._accounts == {}


def test_work_for_an_address_waits_behind_what_waits_already(time, share):
    flood, stranger, other, done = Someone(share, "192.0.2.1"), Worker(), Worker(), []
    share.put(flood.account, flood, working(time, done, "packet", 0.001))
    share.do("192.0.2.1", stranger, working(time, done, "request", 0.001))
    share.do("192.0.2.2", other, working(time, done, "other", 0.001))
    assert done == ["other"]
    time.turn()
    assert done == ["other", "packet", "request"]


def test_the_account_of_work_that_fails_is_closed(time, share, caplog):
    share.spent = 1.0
    share.do("192.0.2.1", Worker(), lambda: 1 / 0)
    time.turn()
    assert share._accounts == {}
    assert "Processing a message failed." in caplog.text


def test_packets_within_the_work_are_charged_once(time, share):
    def work():
        time.now += 0.003
        share.spent += 0.002  # a packet that came with the request

    share.do("192.0.2.1", Worker(), work)
    assert share.spent == pytest.approx(0.003)


def test_waiting_for_nothing_costs_what_is_said(time, share):
    many = [Someone(share, "192.0.2.1") for _ in range(25)]
    for one in many:
        share.put(one.account, one, lambda: None, cost=0.001)
    time.turn()
    assert sum(one.is_held for one in many) == 15
    time.turn()
    time.turn()
    assert not any(one.is_held for one in many)


# In a server.


@pytest.fixture
def server(time):
    server = build()
    server.fair_share = FairShare(time.call_soon, time.clock)
    return server


def test_packets_wait_while_the_turn_is_used_up_and_keep_their_order(server, time):
    alice = named(server, "alice")
    alice.heard()
    server.fair_share.spent = 1.0
    alice.say({"cmd": "gmsg", "val": 1})
    assert alice.heard() == []
    assert not alice.connection.is_held, (
        "stopping and resuming takes more time than reading another small packet"
    )
    server.fair_share.spent = 0.0
    alice.say({"cmd": "gmsg", "val": 2})
    assert alice.heard() == [], "the first one has its turn first"
    time.turn()
    assert [packet["val"] for packet in alice.heard()] == [1, 2]
    assert not alice.connection.is_held


@pytest.mark.parametrize(
    ("packet", "most"), [({"cmd": "ping"}, 15), ({"cmd": "gmsg", "val": "x" * READ_AHEAD}, 1)]
)
def test_nothing_more_is_read_once_more_than_a_few_packets_wait(server, time, packet, most):
    alice = named(server, "alice")
    server.fair_share.spent = 1.0
    said = 0
    while not alice.connection.is_held:
        alice.say(packet)
        said += 1
    assert most / 2 < said <= most
    time.turn()
    assert not alice.connection.is_held
    assert alice.session.kept().packets == 0


def test_a_connection_is_held_when_its_packets_are_followed_by_what_cannot_wait(server, time):
    alice = named(server, "alice")
    server.fair_share.spent = 1.0
    alice.say({"cmd": "ping"})
    alice.session.grown(1 << 20)
    assert alice.connection.is_held
    time.turn()
    assert not alice.connection.is_held


def test_frames_that_are_no_messages_are_charged_to_the_turn(server, time):
    alice = named(server, "alice")
    server.fair_share.spent = 0.0
    before = 0.0
    for admit in (lambda: alice.session.admit(5), lambda: alice.session.grown(1 << 20)):
        admit()
        assert server.fair_share.spent > before
        before = server.fair_share.spent
    assert time.due


def test_leaving_waits_while_the_turn_is_used_up(server, time):
    alice, bob = named(server, "alice"), named(server, "bob")
    bob.heard()
    server.fair_share.spent = 1.0
    alice.leave()
    assert bob.heard() == []
    assert alice.client.open
    time.turn()
    assert [packet["mode"] for packet in bob.heard()] == ["remove"]
    assert len(server.clients_manager) == 1


def test_leaving_is_charged_to_the_turn(server, time, monkeypatch):
    alice, bob = named(server, "alice"), named(server, "bob")

    @server.on_disconnect
    def leave(client):
        time.now += 0.02

    server.fair_share.spent = 0.0
    alice.leave()
    assert server.fair_share.spent == pytest.approx(0.02)
    bob.leave()
    assert len(server.clients_manager) == 1
    time.turn()
    assert len(server.clients_manager) == 0


def test_packets_that_take_hardly_any_time_schedule_nothing_until_it_adds_up(server, time):
    alice = named(server, "alice")
    time.turn()
    server.fair_share.spent = 0.9 * NOTICEABLE
    alice.say({"cmd": "ping"})
    assert not time.due
    server.fair_share.spent = NOTICEABLE
    alice.say({"cmd": "ping"}, {"cmd": "ping"})
    assert len(time.due) == 1
    time.turn()
    assert server.fair_share.spent == 0
    assert NOTICEABLE < TURN


def test_packets_sent_before_leaving_take_effect(server, time):
    alice, bob = named(server, "alice"), named(server, "bob")
    bob.heard()
    server.fair_share.spent = 1.0
    alice.say({"cmd": "gmsg", "val": "last words"})
    alice.leave()
    assert bob.heard() == []
    time.turn()
    heard = bob.heard()
    assert [packet["cmd"] for packet in heard] == ["gmsg", "ulist"]
    assert heard[1]["mode"] == "remove"
    assert len(server.clients_manager) == 1


def test_waiting_packets_of_a_kicked_client_are_discarded(server, time):
    alice, bob = named(server, "alice"), named(server, "bob")
    bob.heard()
    server.fair_share.spent = 1.0
    alice.say({"cmd": "gmsg", "val": "rude"})
    server.close_connection(alice.client, 4001, "enough")
    time.turn()
    assert [packet["cmd"] for packet in bob.heard()] == ["ulist"]


def test_a_first_message_and_a_binary_one_wait_too(server, time):
    server.fair_share.spent = 1.0
    newcomer = MemoryClient(server)
    newcomer.say('{"cmd":"ping","listener":1}', b'{"cmd":"ping","listener":2}')
    assert newcomer.heard() == []
    time.turn()
    assert [packet["listener"] for packet in newcomer.heard() if "listener" in packet] == [1, 2]


def test_a_message_that_cannot_be_dealt_with_closes_its_connection_alone(server, time, monkeypatch):
    alice, bob = named(server, "alice"), named(server, "bob")
    monkeypatch.setattr(server.hooks.engines[alice.client.protocol], "receive", lambda *_: 1 / 0)
    server.fair_share.spent = 1.0
    alice.say({"cmd": "ping"})
    time.turn()
    assert alice.closed == (1011, "The server made a mistake")
    assert bob.closed is None


def test_a_worker_is_held_from_when_too_much_of_its_work_waits_until_all_is_done(time, share):
    someone, done = Someone(share, "192.0.2.1"), []
    states = [(share.has_to_wait(someone), share.is_held(someone), someone.is_held)]
    for _ in range(2):
        share.put(someone.account, someone, working(time, done, "x", 0.02), 400, read_ahead=1000)
        states.append((share.has_to_wait(someone), share.is_held(someone), someone.is_held))
    assert share.waiting_bytes(someone) == 1400
    for _ in range(2):
        time.turn()
        states.append((share.has_to_wait(someone), share.is_held(someone), someone.is_held))
    assert states == [
        (False, False, False),
        (True, False, False),
        (True, True, True),
        (True, True, True),
        (False, False, False),
    ]
    assert share.waiting_bytes(someone) == 0


def test_the_server_is_not_behind_while_one_connection_asks_for_too_much(time, share):
    flood, player, done = Someone(share, "192.0.2.1"), Someone(share, "192.0.2.2"), []
    states = [share.is_behind]
    share.put(player.account, player, working(time, done, "player", 0.0001), read_ahead=READ_AHEAD)
    states.append(share.is_behind)
    for _ in range(3):
        share.put(flood.account, flood, working(time, done, "flood", 0.02))
    states.append(share.is_behind)
    time.turn()
    share.put(player.account, player, working(time, done, "player", 0.0001), read_ahead=READ_AHEAD)
    assert done == ["player", "flood"]
    states.append(share.is_behind)
    while flood.is_held:
        time.turn()
    share.put(player.account, player, working(time, done, "player", 0.0001), read_ahead=READ_AHEAD)
    states.append(share.is_behind)
    time.turn()
    states.append(share.is_behind)
    assert states == [False, True, False, False, True, False]


def test_the_event_loop_knows_whether_the_server_is_behind(server, time, monkeypatch):
    asked = []

    def loop_runner(_name, is_behind):
        asked.append(is_behind)
        return lambda main: main.close()

    monkeypatch.setattr(sys.modules["cloudlink.server.app"], "loop_runner", loop_runner)
    server.run()
    (is_behind,) = asked
    assert not is_behind()
    alice = named(server, "alice")
    server.fair_share.spent = 1.0
    alice.say({"cmd": "ping"})
    assert is_behind()
    time.turn()
    assert not is_behind()


def test_a_ping_holds_nobody_when_others_have_used_up_the_turn(server, time):
    """Everybody in a class has the same address; buffers that grow are charged in the same way."""
    alice, bob = named(server, "alice"), named(server, "bob")
    server.fair_share.spent = 1.0
    for _ in range(50):
        alice.session.admit(5)
        bob.session.grown(5000)
    assert not alice.connection.is_held
    assert not bob.connection.is_held
    for _ in range(150):
        alice.session.admit(5)
    assert alice.connection.is_held
    assert bob.connection.is_held
    time.turn()
    time.turn()
    assert not alice.connection.is_held
    server.fair_share.spent = 1.0
    alice.session.admit(5)
    assert not alice.connection.is_held, "what was spent in former turns does not count"


def test_frames_that_cannot_wait_open_one_turn_only():
    server = build()
    time = Time()
    server.fair_share._call_soon = time.call_soon
    session = MemoryClient(server).session
    server.fair_share.spent = NOTICEABLE
    time.due.clear()
    server.fair_share.is_turn_open = False
    for _ in range(3):
        assert session.admit(10)
    assert len(time.due) == 1
