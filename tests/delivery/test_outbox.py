"""Frames leave once per turn, in order, to whom they are for."""

from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st

from cloudlink.delivery import Audience, Delivery, Outbox, text_frame


class Recorder:
    """A connection that keeps what it is given."""

    congested = False

    def __init__(self):
        self.writes = []
        self.closed = None

    def write(self, frames):
        self.writes.append(list(frames))

    def close(self, code, reason):
        self.closed = (code, reason)

    @property
    def frames(self):
        return [frame for write in self.writes for frame in write]


class Turns:
    """Keeps what was scheduled, for the end of the turn or for later."""

    def __init__(self):
        self.callbacks = []
        self.delays = []

    def __call__(self, delay, callback):
        self.callbacks.append(callback)
        self.delays.append(delay)

    def end(self):
        while self.callbacks:
            self.run(0)

    def run(self, which):
        """Run one of the callbacks."""
        del self.delays[which]
        self.callbacks.pop(which)()


class Busy:
    """A pacer that has everything wait."""

    def __init__(self, wait=0.01):
        self.wait = wait
        self.told = []

    def begin(self):
        pass

    def end(self, frames, writes):
        self.told.append((frames, writes))


def make(count, pacer=None):
    turns = Turns()
    delivery = Delivery(turns, pacer=pacer)
    return delivery, turns, [Outbox(Recorder(), lambda: None) for _ in range(count)]


def audience(delivery, outboxes):
    group = Audience(delivery)
    for outbox in outboxes:
        group.add(outbox)
    return group


def test_one_turn_is_one_write_per_client():
    delivery, turns, (a, b) = make(2)
    delivery.send(a, b"1")
    delivery.broadcast(audience(delivery, [a, b]), b"2")
    delivery.send(a, b"3")
    assert len(turns.callbacks) == 1
    turns.end()
    assert len(a.connection.writes) == 1
    assert a.connection.frames == [b"1", b"2", b"3"]
    assert b.connection.writes == [[b"2"]]


def test_a_turn_without_frames_writes_nothing():
    delivery, turns, (a,) = make(1)
    delivery.send(a, b"1")
    turns.end()
    turns.end()
    assert len(a.connection.writes) == 1


def test_the_empty_frame_is_none():
    delivery, turns, (a, b) = make(2)
    delivery.send(a, b"")
    delivery.broadcast(audience(delivery, [a, b]), b"")
    delivery.broadcast(audience(delivery, [a, b]), b"", skip=b)
    assert turns.callbacks == []
    assert (list(a), list(b)) == ([], [])


def test_the_skipped_client_is_the_only_one_left_out():
    delivery, turns, (a, b, c) = make(3)
    delivery.broadcast(audience(delivery, [a, b, c]), b"x", skip=b)
    turns.end()
    assert [outbox.connection.frames for outbox in (a, b, c)] == [[b"x"], [], [b"x"]]


def test_a_close_comes_after_what_was_queued_before():
    delivery, turns, (a, b) = make(2)
    delivery.broadcast(audience(delivery, [a, b]), b"last")
    delivery.close(a, 1000, "bye")
    assert a.connection.frames == [b"last"]
    assert a.connection.closed == (1000, "bye")
    turns.end()
    assert a.connection.frames == [b"last"]
    assert b.connection.frames == [b"last"]


def test_on_a_busy_server_each_client_waits_from_its_own_first_frame_on():
    delivery, turns, (a, b) = make(2, Busy(0.01))
    with patch("cloudlink.delivery.delivery._BATCH", 1):
        delivery.send(a, b"1")
        delivery.send(b, b"2")
        delivery.send(a, b"3")
    assert turns.delays == [0.01, 0.01]
    turns.run(0)
    assert a.connection.writes == [[b"1", b"3"]]
    assert b.connection.writes == []
    delivery.send(a, b"4")
    turns.run(0)
    assert b.connection.writes == [[b"2"]]
    turns.end()
    assert a.connection.writes == [[b"1", b"3"], [b"4"]]


def test_so_many_clients_share_a_timer():
    delivery, turns, outboxes = make(70, Busy())
    for outbox in outboxes:
        delivery.broadcast(audience(delivery, [outbox]), b"x")
    delivery.settle()
    assert len(turns.callbacks) == 3
    turns.end()
    assert all(outbox.connection.frames == [b"x"] for outbox in outboxes)


def test_what_is_collected_for_an_audience_waits_no_longer_than_the_rest():
    delivery, turns, (a, b) = make(2, Busy())
    everybody = audience(delivery, [a, b])
    delivery.broadcast(everybody, b"1")
    delivery.broadcast(everybody, b"2")
    assert len(turns.callbacks) == 1
    turns.run(0)
    assert a.connection.frames == b.connection.frames == [b"12"]


def test_a_pacer_is_told_of_every_frame_and_write():
    pacer = Busy()
    delivery, turns, (a, b) = make(2, pacer)
    everybody = audience(delivery, [a, b])
    for frame in (b"1", b"2", b"3"):
        delivery.broadcast(everybody, frame)
    delivery.send(a, b"4")
    turns.end()
    assert pacer.told == [(7, 2)]


def test_flushing_writes_what_would_have_waited_and_nothing_twice():
    delivery, turns, (a,) = make(1, Busy())
    delivery.send(a, b"1")
    delivery.flush()
    assert a.connection.writes == [[b"1"]]
    turns.end()
    assert a.connection.writes == [[b"1"]]


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("send"), st.integers(0, 2)),
            st.tuples(st.just("broadcast"), st.sets(st.integers(0, 2))),
            st.tuples(st.just("turn"), st.integers(0, 5)),
            st.tuples(st.just("wait"), st.sampled_from([0.0, 0.01])),
        ),
        max_size=30,
    ),
    st.integers(1, 3),
)
def test_everybody_gets_everything_once_and_in_order_whenever_it_is_written(steps, capacity):
    pacer = Busy(0.0)
    delivery, turns, outboxes = make(3, pacer)
    with patch("cloudlink.delivery.delivery._BATCH", capacity):
        play(delivery, turns, outboxes, pacer, steps)


def play(delivery, turns, outboxes, pacer, steps):
    groups = {}
    expected = [[], [], []]
    for number, (kind, whom) in enumerate(steps):
        frame = b"<%d>" % number
        if kind == "send":
            delivery.send(outboxes[whom], frame)
            expected[whom].append(frame)
        elif kind == "broadcast":
            members = frozenset(whom)
            if members not in groups:
                groups[members] = audience(delivery, [outboxes[index] for index in whom])
            delivery.broadcast(groups[members], frame)
            for index in whom:
                expected[index].append(frame)
        elif kind == "wait":
            pacer.wait = whom
        elif turns.callbacks:
            turns.run(whom % len(turns.callbacks))  # timers need not end in the order they were set in
    turns.end()
    assert [b"".join(outbox.connection.frames) for outbox in outboxes] == [b"".join(e) for e in expected]


@given(st.integers(0, 200_000))
def test_a_frame_tells_its_size_the_shortest_way(size):
    frame = text_frame(bytes(size))
    assert frame[0] == 0x81
    if size < 126:
        assert (frame[1], len(frame)) == (size, 2 + size)
    elif size < 65536:
        assert (frame[1], int.from_bytes(frame[2:4], "big"), len(frame)) == (126, size, 4 + size)
    else:
        assert (frame[1], int.from_bytes(frame[2:10], "big"), len(frame)) == (127, size, 10 + size)
