"""Frames leave once per turn, in order, to whom they are for."""

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
    """Keeps what was scheduled for the end of the turn."""

    def __init__(self):
        self.callbacks = []

    def __call__(self, _delay, callback):
        self.callbacks.append(callback)

    def end(self):
        callbacks, self.callbacks = self.callbacks, []
        for callback in callbacks:
            callback()


def make(count):
    turns = Turns()
    delivery = Delivery(turns)
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


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("send"), st.integers(0, 2)),
            st.tuples(st.just("broadcast"), st.sets(st.integers(0, 2))),
            st.tuples(st.just("turn"), st.none()),
        ),
        max_size=30,
    )
)
def test_everybody_gets_everything_once_and_in_order(steps):
    delivery, turns, outboxes = make(3)
    expected = [[], [], []]
    for number, (kind, whom) in enumerate(steps):
        frame = str(number).encode()
        if kind == "send":
            delivery.send(outboxes[whom], frame)
            expected[whom].append(frame)
        elif kind == "broadcast":
            delivery.broadcast(audience(delivery, [outboxes[index] for index in whom]), frame)
            for index in whom:
                expected[index].append(frame)
        else:
            turns.end()
    turns.end()
    assert [outbox.connection.frames for outbox in outboxes] == expected


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
