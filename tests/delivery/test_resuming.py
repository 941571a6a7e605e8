"""Clients that read again are written to a little at a time, however many they are and however much waits."""

import pytest

from cloudlink.delivery import Delivery, Outbox


class Sluice:
    """A connection that takes nothing while it is congested, and everything afterwards."""

    def __init__(self):
        self.congested = True
        self.taken = []

    def write(self, frames):
        assert not self.congested
        self.taken += frames

    def close(self, code, reason):
        self.closed = (code, reason)


def fail(_argument):
    raise RuntimeError


@pytest.fixture
def scheduled():
    return []


@pytest.fixture
def delivery(scheduled):
    return Delivery(lambda delay, callback: scheduled.append((delay, callback)))


def slow_readers(delivery, count, *frames):
    outboxes = [Outbox(Sluice()) for _ in range(count)]
    for outbox in outboxes:
        for frame in frames:
            delivery.send(outbox, frame)
    delivery.flush()
    return outboxes


def read_again(delivery, outboxes):
    for outbox in outboxes:
        outbox.connection.congested = False
        delivery.resume(outbox)


def turn(scheduled):
    """Run what is due in this turn of the event loop."""
    due, scheduled[:] = scheduled[:], []
    for delay, callback in due:
        assert delay == 0
        callback()


def test_one_turn_writes_a_bounded_part_of_what_waits_for_all(delivery, scheduled):
    outboxes = slow_readers(delivery, 100, *[bytes(1000)] * 200)
    scheduled.clear()
    read_again(delivery, outboxes)
    written = []
    while scheduled:
        before = sum(len(outbox.connection.taken) for outbox in outboxes)
        turn(scheduled)
        written.append(1000 * (sum(len(outbox.connection.taken) for outbox in outboxes) - before))
    assert sum(written) == 100 * 200 * 1000
    assert max(written) <= (1 << 18) + (1 << 16) + 1000


def test_everybody_has_a_part_before_anybody_has_a_second_one(delivery, scheduled):
    outboxes = slow_readers(delivery, 20, *[bytes(1000)] * 200)
    scheduled.clear()
    read_again(delivery, outboxes)
    for _ in range(5):
        turn(scheduled)
    assert all(0 < len(outbox.connection.taken) < 150 for outbox in outboxes)


def test_frames_that_arrive_while_a_client_catches_up_keep_their_place(delivery, scheduled):
    frames = [b"%06d" % number + bytes(50_000) for number in range(12)]
    (outbox,) = slow_readers(delivery, 1, *frames)
    scheduled.clear()
    read_again(delivery, [outbox])
    turn(scheduled)
    assert 0 < len(outbox.connection.taken) < 12
    delivery.send(outbox, b"late")
    while scheduled:
        turn(scheduled)
    assert outbox.connection.taken == [*frames, b"late"]
    assert outbox.backlog is None


def test_a_client_that_is_closed_while_it_catches_up_gets_all_in_order(delivery, scheduled):
    frames = [b"%06d" % number + bytes(50_000) for number in range(12)]
    (outbox,) = slow_readers(delivery, 1, *frames)
    scheduled.clear()
    read_again(delivery, [outbox])
    turn(scheduled)
    delivery.send(outbox, b"late")
    delivery.close(outbox, 1000, "bye")
    assert outbox.connection.taken == [*frames, b"late"]
    assert outbox.connection.closed == (1000, "bye")
    while scheduled:
        turn(scheduled)
    assert len(outbox.connection.taken) == 13


def test_a_client_that_stops_reading_again_waits_for_its_next_time(delivery, scheduled):
    (outbox,) = slow_readers(delivery, 1, *[bytes(1000)] * 1000)
    scheduled.clear()
    read_again(delivery, [outbox])
    outbox.connection.congested = True
    turn(scheduled)
    assert scheduled == []
    assert outbox.connection.taken == []
    read_again(delivery, [outbox])
    while scheduled:
        turn(scheduled)
    assert len(outbox.connection.taken) == 1000


def test_a_connection_that_fails_does_not_keep_the_others_waiting(delivery, scheduled, caplog):
    bad, good = slow_readers(delivery, 2, b"x" * 100_000, b"x")
    bad.connection.write = fail
    read_again(delivery, [bad, good])
    while scheduled:
        turn(scheduled)
    assert good.connection.taken == [b"x" * 100_000, b"x"]
    assert bad.backlog is None
    assert "RuntimeError" in caplog.text


def test_a_client_that_has_caught_up_is_not_behind_any_more(delivery, scheduled):
    (outbox,) = slow_readers(delivery, 1, bytes(1000))
    assert delivery.is_behind is True
    read_again(delivery, [outbox])
    while scheduled:
        turn(scheduled)
    assert outbox.backlog is None
    assert delivery.is_behind is False


def test_a_client_that_has_gone_keeps_nothing(delivery):
    (outbox,) = slow_readers(delivery, 1, bytes(1000))
    outbox.append(b"late")
    assert outbox.backlog is not None
    outbox.retire()
    assert (list(outbox), outbox.backlog) == ([], None)


def test_a_slow_client_that_is_closed_is_not_behind_any_more(delivery):
    (outbox,) = slow_readers(delivery, 1, bytes(1000))
    delivery.close(outbox, 1000, "")
    assert outbox.backlog is None
    assert not delivery._writer.behind
    assert outbox.connection.closed == (1000, "")
