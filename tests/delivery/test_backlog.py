"""The backlog of a slow reader: in order, nothing twice, of updates only the latest."""

import tracemalloc
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudlink.delivery import Audience, Delivery, Outbox, update_frame
from cloudlink.delivery.backlog import Backlog, _is_gap
from cloudlink.delivery.frames import join
from tests.delivery.owners import Owner
from tests.support.growth import growth

steps = st.lists(
    st.one_of(
        st.tuples(st.just("message"), st.just(0)),
        st.tuples(st.just("update"), st.integers(0, 3)),
    ),
    max_size=40,
)


def frames_of(steps):
    return [
        update_frame(f"{key}={number}".encode(), key) if kind == "update" else f"m{number}".encode()
        for number, (kind, key) in enumerate(steps)
    ]


def survivors(frames):
    """The frames that must be left: every message, and the latest of each update, in their order."""
    latest = {frame.key: frame for frame in frames if hasattr(frame, "key")}
    return [frame for frame in frames if not hasattr(frame, "key") or latest[frame.key] is frame]


@given(steps, st.integers(1, 5), st.integers(1, 100))
def test_a_backlog_keeps_all_messages_and_the_latest_updates_in_order(steps, joined, chunk):
    frames = frames_of(steps)
    backlog = Backlog()
    for start in range(0, len(frames), joined):
        backlog.add([join(frames[start : start + joined])])
        assert backlog._gaps == sum(map(_is_gap, backlog._queue)) <= len(backlog._queue) / 2
    expected = survivors(frames)
    assert backlog.size == sum(map(len, expected))
    taken = []
    while backlog:
        taken += backlog.take(chunk)
        assert backlog._gaps == sum(map(_is_gap, backlog._queue))
    assert taken == expected
    assert backlog.size == 0


def drain(backlog):
    while backlog:
        backlog.take(100)


@pytest.mark.parametrize("updates", [0, 1])
def test_draining_takes_ten_times_as_long_where_ten_times_as_much_waits(updates):
    def prepare(count):
        backlog = Backlog()
        backlog.add([b"x" * 10] * count + [update_frame(b"x", key) for key in range(updates * count)])
        return backlog

    assert growth(prepare, drain, 3000) < 40


def test_updates_that_are_replaced_leave_nothing_behind():
    backlog = Backlog()
    backlog.add([b"first"])
    tracemalloc.start()
    try:
        for number in range(10_000):
            backlog.add([update_frame(b"%d" % number, number % 3)])
        assert tracemalloc.get_traced_memory()[0] < 10_000
    finally:
        tracemalloc.stop()
    assert [frame[2:] for frame in backlog.take(100)[1:]] == [b"9997", b"9998", b"9999"]
    assert (bool(backlog), backlog.size) == (False, 0)


class Socket:
    """A connection whose peer reads when the test lets it, and that takes `room` bytes until then."""

    def __init__(self):
        self.congested = False
        self.taken = []
        self.room = 0

    def write(self, frames):
        for frame in frames:
            self.taken += getattr(frame, "frames", (frame,))
            self.room -= len(frame)
        self.congested = self.room <= 0

    def close(self, code, reason):
        self.congested = True


reading = st.lists(
    st.one_of(
        st.tuples(st.just("message"), st.just(0)),
        st.tuples(st.just("update"), st.integers(0, 3)),
        st.tuples(st.just("turn"), st.just(0)),
        st.tuples(st.just("read"), st.integers(1, 60)),
        st.tuples(st.just("resumed"), st.just(0)),
        st.tuples(st.just("private"), st.just(0)),
    ),
    max_size=60,
)


@given(reading, st.integers(1, 60))
def test_whatever_the_reader_does_it_sees_messages_in_order_and_ends_with_the_latest_values(steps, piece):
    with patch("cloudlink.delivery.writing._PIECE", piece):
        play(steps)


def play(steps):
    scheduled = []
    delivery = Delivery(lambda _delay, callback: scheduled.append(callback))
    slow = Outbox(Socket())
    other = Outbox(Socket())
    other.connection.room = 10**9
    audience = Audience(delivery)
    audience.add(slow)
    audience.add(other)
    sent = []
    for number, (kind, amount) in enumerate(steps):
        if kind == "turn":
            delivery.flush()
        elif kind == "resumed":
            while scheduled:
                scheduled.pop()()
        elif kind == "read":
            slow.connection.room = amount
            slow.connection.congested = False
            delivery.resume(slow)
        elif kind == "private":
            sent.append(f"p{number}".encode())
            delivery.send(slow, sent[-1])
        else:
            frame = (
                update_frame(f"{amount}={number}".encode(), amount)
                if kind == "update"
                else f"m{number}".encode()
            )
            sent.append(frame)
            delivery.broadcast(audience, frame)
    delivery.flush()
    slow.connection.room = 10**9
    slow.connection.congested = False
    delivery.resume(slow)
    delivery.flush()
    got = slow.connection.taken
    assert len(set(got)) == len(got)
    assert [frame for frame in got if frame in sent] == got
    places = [sent.index(frame) for frame in got]
    assert places == sorted(places)
    assert [frame for frame in got if not hasattr(frame, "key")] == [f for f in sent if not hasattr(f, "key")]
    for key in range(4):
        values = [frame for frame in sent if getattr(frame, "key", None) == key]
        assert [frame for frame in got if getattr(frame, "key", None) == key][-1:] == values[-1:]
    assert other.connection.taken == [frame for frame in sent if not frame.startswith(b"p")]


def waiting(outbox):
    return outbox.backlog.size if outbox.backlog else 0


@given(
    st.lists(
        st.one_of(
            st.lists(st.integers(1, 200), min_size=1, max_size=12).map(lambda sizes: ("turn", sizes)),
            st.tuples(st.just("read"), st.integers(1, 500)),
        ),
        max_size=30,
    ),
    st.integers(1, 100),
)
def test_a_backlog_is_bounded_for_any_amount_in_a_turn(steps, piece):
    limit, overflows = 300, []
    delivery = Delivery(lambda _delay, _flush: None, max_queued_bytes=limit)
    outbox = Outbox(Socket(), Owner(lambda: overflows.append(True)))
    outbox.connection.room = 100
    largest = 0
    with patch("cloudlink.delivery.writing._PIECE", piece):
        for kind, amount in steps:
            if kind == "read":
                outbox.connection.room = amount
                outbox.connection.congested = False
                delivery.resume(outbox)
                delivery.flush()
            else:
                for size in amount:
                    largest = max(largest, size)
                    delivery.send(outbox, bytes(size))
                delivery.flush()
            assert -outbox.connection.room < piece + largest
            if overflows:
                return
            assert waiting(outbox) <= limit + largest
            assert not outbox


def test_a_turn_of_any_size_is_written_whole_to_a_reader_that_keeps_up():
    overflows = []
    delivery = Delivery(lambda _delay, _flush: None, max_queued_bytes=1000)
    fast, slow = (Outbox(Socket(), Owner(lambda: overflows.append(True))) for _ in range(2))
    fast.connection.room, slow.connection.room = 1 << 30, 150_000
    sent = [bytes([number]) * 50_000 for number in range(100)]
    everybody = Audience(delivery)
    everybody.add(fast)
    everybody.add(slow)
    for frame in sent:
        delivery.broadcast(everybody, frame)
    delivery.flush()
    assert fast.connection.taken == sent
    assert slow.connection.taken == sent[:4]  # two pieces of two frames each, and then it was congested
    assert overflows == [True]


def test_consequences_of_cutting_off_a_client_are_written_like_everything_else():
    delivery = Delivery(lambda _delay, _flush: None, max_queued_bytes=10)
    everybody = Audience(delivery)
    sizes = []

    def tell_the_others():
        everybody.remove(slow, is_gone=True)
        for _ in range(50):
            delivery.broadcast(everybody, bytes(40_000))

    slow, fast = Outbox(Socket(), Owner(tell_the_others)), Outbox(Socket())
    slow.connection.congested = True
    fast.connection.room = 1 << 30
    write = fast.connection.write
    fast.connection.write = lambda frames: (sizes.append(sum(map(len, frames))), write(frames))
    everybody.add(slow)
    everybody.add(fast)
    for _ in range(2):
        delivery.broadcast(everybody, bytes(10))
        delivery.multicast([slow, fast], bytes(10))
    delivery.flush()
    assert sum(sizes) == 40 + 50 * 40_000
    assert max(sizes) <= 2 * 40_000  # in pieces
    assert slow.backlog is None


def test_the_limit_counts_what_waits_beside_the_largest_message_and_reports_once_over_it():
    overflows = []
    delivery = Delivery(lambda _delay, _flush: None, max_queued_bytes=10)
    outbox = Outbox(Socket(), Owner(lambda: overflows.append(True)))
    outbox.connection.congested = True
    for message in (b"a user list of any length", b"12345", b"67890"):
        delivery.send(outbox, message)
        delivery.flush()
    assert overflows == []
    delivery.send(outbox, b"1")
    delivery.flush()
    assert overflows == [True]


def test_a_client_named_several_times_gets_it_as_often_and_within_the_limit():
    overflows = []
    delivery = Delivery(lambda _delay, _flush: None, max_queued_bytes=1000)
    outbox = Outbox(Socket(), Owner(lambda: overflows.append(True)))
    delivery.multicast([outbox] * 10, bytes(50_000))
    delivery.flush()
    assert len(outbox.connection.taken) == 2
    assert overflows == [True]


def test_closing_writes_nothing_to_a_client_that_takes_nothing():
    delivery = Delivery(lambda _delay, _flush: None)
    outbox = Outbox(Socket())
    outbox.connection.congested = True
    delivery.send(outbox, b"x")
    delivery.close(outbox, 1000, "")
    assert outbox.connection.taken == []
    assert not outbox


def test_closing_writes_what_is_left_unless_that_is_too_much():
    for count, written in ((3, 3), (60, 2)):
        delivery = Delivery(lambda _delay, _flush: None, max_queued_bytes=100_000)
        outbox = Outbox(Socket())
        for _ in range(count):
            delivery.send(outbox, bytes(40_000))
        delivery.close(outbox, 1000, "")
        assert len(outbox.connection.taken) == written


@pytest.mark.parametrize(("size", "count"), [(1, 1), (10, 1), (11, 2), (20, 2), (1000, 3)])
def test_no_more_is_taken_than_was_asked_for(size, count):
    backlog = Backlog()
    backlog.add([b"x" * 10] * 3)
    assert len(backlog.take(size)) == count
