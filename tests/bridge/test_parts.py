"""The small parts of a bridge: what is shared, the paced queue, the ledger and the users of the other side."""

from __future__ import annotations

import pytest

from cloudlink.bridge.guests import MOST_USERS, Guests, Seats
from cloudlink.bridge.ledger import MOST_SKEW, Entry, Ledger
from cloudlink.bridge.pacing import MOST_MESSAGES, MOST_WAITING, PacedQueue
from cloudlink.bridge.sharing import as_json, entries_of, from_json, matched
from cloudlink.server.events import User
from tests.support.clock import FakeClock

# What is shared.


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [
        (["arena"], ["arena"], {"arena": "arena"}),
        (["arena"], ["lobby"], {}),
        (["lobby=hall"], ["hall"], {"lobby": "hall"}),
        (["hall"], ["lobby=hall"], {"hall": "lobby"}),
        (["lobby=hall"], ["hall=lobby"], {"lobby": "hall"}),
        (["lobby=hall"], ["hall=elsewhere"], {}),
        (["lobby=hall"], ["lobby"], {}),
        (["lobby=hall", "hall"], ["hall"], {"lobby": "hall"}),
        (["a=b", "b=a"], ["a", "b"], {"a": "b", "b": "a"}),
        (["a", "b"], ["a=b", "b=a"], {"a": "b", "b": "a"}),
    ],
)
def test_both_sides_find_the_same_rooms(ours, theirs, expected):
    mine, others = entries_of(ours), entries_of(theirs)

    assert matched(mine, others) == expected
    assert {ours: theirs for theirs, ours in matched(others, mine).items()} == expected


@pytest.mark.parametrize("value", [None, {}, [7], [[]], [["a", "b", "c"]], [[7]], [["a"]] * 1001])
def test_a_malformed_list_of_rooms_is_refused(value):
    assert from_json(value) is None


def test_the_list_of_rooms_travels():
    entries = entries_of(["arena", "lobby=hall"])

    assert from_json(as_json(entries)) == entries


# The paced queue.


def test_what_the_rate_allows_passes_at_once_and_in_order():
    clock = FakeClock()
    queue = PacedQueue(10, 1e6, clock)
    for number in range(10):
        assert queue.put(number, 10)

    assert [queue.take() for _ in range(10)] == list(range(10))
    assert queue.take() is None


def test_beyond_the_rate_records_wait_and_only_the_latest_of_a_variable_is_kept():
    clock = FakeClock()
    queue = PacedQueue(2, 1e6, clock)
    for number in range(20):
        queue.put(number, 10, key="x")
    queue.put("other", 10, key="y")
    assert [queue.take(), queue.take()] == [19, "other"]

    for number in range(6):
        queue.put(number, 10)
    assert [queue.take() for _ in range(3)] == [None] * 3
    clock.now += 1.5
    assert [queue.take() for _ in range(3)] == [0, 1, None]
    assert len(queue) == 4


def test_bytes_are_limited_too():
    clock = FakeClock()
    queue = PacedQueue(100, 1024, clock)
    queue.put("a", 4096)
    queue.put("b", 1)

    assert queue.take() == "a"
    clock.now += 2.9
    assert queue.take() is None
    clock.now += 0.2
    assert queue.take() == "b"


def test_too_many_messages_are_dropped_and_counted():
    queue = PacedQueue(1, 1024, FakeClock())
    accepted = [queue.put(number, 1) for number in range(MOST_MESSAGES + 5)]

    assert accepted.count(False) == queue.dropped == 5


def test_what_waits_is_bounded():
    queue = PacedQueue(1, 1024, FakeClock())
    for number in range(MOST_WAITING + 5):
        queue.put(number, 1, key=("x", number))
    assert len(queue) == MOST_WAITING

    queue.clear()
    assert not queue.put("large", 2 << 20)
    assert len(queue) == 0


# The ledger.

PLACE = ("room", "arena")


def ledger(name="m", now=1_000_000):
    return Ledger(lambda: now, name)


def test_the_later_value_wins_on_every_server_whatever_comes_first():
    one, other = ledger("one"), ledger("other", 1_000_001)
    first, second = one.set_here(PLACE, "x", b"1"), other.set_here(PLACE, "x", b"2")

    assert one.set_there(PLACE, "x", second)
    assert not other.set_there(PLACE, "x", first)
    assert one.get(PLACE, "x").val == other.get(PLACE, "x").val == b"2"


def test_a_value_that_is_set_after_another_was_seen_wins_even_if_the_clock_is_slow():
    fast, slow = ledger("fast", 1_300_000), ledger("slow")
    slow.set_there(PLACE, "x", fast.set_here(PLACE, "x", b"1"))

    assert fast.set_there(PLACE, "x", slow.set_here(PLACE, "x", b"2"))


def test_a_stamp_of_the_far_future_is_refused():
    assert not ledger().set_there(PLACE, "x", Entry(1_000_000 + MOST_SKEW + 1, "evil", b"1", "b"))
    assert ledger().get(PLACE, "x") is None


def test_values_from_before_the_start_agree():
    one, other = ledger("one"), ledger("other")

    assert one.set_there(PLACE, "x", Entry(0, "", b"7", "b"), current=b"5")
    assert not other.set_there(PLACE, "x", Entry(0, "", b"5", "a"), current=b"7")


def test_the_ledger_is_bounded():
    book = ledger()
    for number in range(200):
        book.set_here(PLACE, f"x{number}", b"1")
    assert [name for name, _ in book.of(PLACE)] == [f"x{number}" for number in range(72, 200)]

    for number in range(5):
        book.set_here(PLACE, f"long{number}", b"1" * 400_000)
    assert [name for name, _ in book.of(PLACE)] == ["long3", "long4"]


# The users of the other side.


class FakeSite:
    """Keeps the rooms of users; names with a space are not allowed."""

    def __init__(self):
        self.shown = {}
        self.count = 0

    def is_username(self, name):
        return " " not in name

    def new_user(self, username):
        self.count += 1
        return User("bridge:b", str(self.count), f"uuid-{self.count}", username)

    def join(self, user, room):
        self.shown.setdefault(user.id, [user.username, set()])[1].add(room)

    def leave(self, user, room):
        self.shown[user.id][1].remove(room)

    def rename(self, user):
        self.shown[user.id][0] = user.username

    def remove(self, users):
        for user in users:
            del self.shown[user.id]


@pytest.fixture
def site():
    return FakeSite()


def test_users_come_move_are_renamed_and_go(site):
    guests = Guests(site, "b", Seats())
    assert guests.put(1, "alice", "arena")
    assert guests.put(1, "alice", "lobby")
    assert site.shown == {"1": ["b/alice", {"arena", "lobby"}]}

    assert guests.put(1, "alina", "lobby")
    guests.drop(1, "arena")
    guests.drop(1, "arena")
    guests.drop(2, "arena")
    assert site.shown == {"1": ["b/alina", {"lobby"}]}
    assert guests.user(1).username == "b/alina"
    assert guests.key_of("1") == 1

    guests.drop(1, "lobby")
    assert site.shown == {}
    assert guests.user(1) is None


def test_a_name_that_is_not_allowed_shows_nobody(site):
    assert not Guests(site, "b", Seats()).put(1, "a b", "arena")
    assert site.shown == {}


def test_users_keep_their_ids_over_a_short_interruption(site):
    guests = Guests(site, "b", Seats())
    for key, name in ((1, "alice"), (2, "bob"), (3, "alice")):
        guests.put(key, name, "arena")
    guests.put(1, "alice", "lobby")

    guests.lose()
    assert guests.key_of("1") is None
    assert len(site.shown) == 3
    guests.put(7, "alice", "lobby")
    guests.put(8, "carol", "arena")
    guests.settle()

    assert site.shown == {"1": ["b/alice", {"lobby"}], "4": ["b/carol", {"arena"}]}
    assert guests.key_of("1") == 7


def test_a_bridge_has_a_bounded_number_of_users(site):
    seats = Seats()
    guests, others = Guests(site, "b", seats), Guests(site, "b", seats)
    for number in range(MOST_USERS):
        assert guests.put(number, f"user{number}", "arena")
    assert not guests.put(-1, "one", "arena")
    assert not others.put(-1, "one", "lobby")

    guests.lose()
    assert guests.put(-1, "one", "arena"), "one of the former connection makes way"
    guests.settle()
    assert len(guests) == 1
    assert others.put(-1, "two", "lobby")

    guests.clear()
    others.clear()
    assert seats.left == MOST_USERS
    assert site.shown == {}
