"""Frames leave once per turn, in order, to whom they are for."""

from unittest.mock import patch

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cloudlink.delivery import Audience, Delivery, Outbox, joined_text_frame, text_frame
from tests.support.clock import FakeClock


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
    """A coalescer that has everything wait."""

    def __init__(self, wait=0.01):
        self.wait = wait
        self.told = []

    def note(self, frames, writes):
        self.told.append((frames, writes))


def make(count, coalescer=None):
    turns = Turns()
    delivery = Delivery(turns, coalescer=coalescer)
    return delivery, turns, [Outbox(Recorder()) for _ in range(count)]


def audience(delivery, outboxes, room=None):
    group = Audience(delivery, room)
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


def test_frames_and_bytes_are_counted_once_for_each_recipient():
    delivery, turns, (a, b, c) = make(3, Busy())
    everybody = audience(delivery, [a, b, c])
    delivery.send(a, b"12345")
    delivery.broadcast(everybody, b"12", skip=b)
    delivery.broadcast(everybody, b"3")
    turns.end()
    delivery.multicast([a, b], b"1234567")
    turns.end()
    assert (delivery.sent_frames, delivery.sent_bytes) == (1 + 2 + 3 + 2, 5 + 2 * 2 + 3 + 2 * 7)
    assert sum(frames for frames, _ in delivery.coalescer.told) == delivery.sent_frames


def test_a_frame_is_not_copied_for_its_sender_while_everybody_reads():
    delivery, _, (a, b) = make(2)
    frame = text_frame(b"x")
    delivery.broadcast(audience(delivery, [a, b]), frame, sender=a)
    assert b[0] is frame
    assert delivery.held_back == 0


def test_a_crowd_of_an_earlier_turn_does_not_delay_a_few():
    delivery, turns, outboxes = make(40)
    delivery.broadcast(audience(delivery, outboxes), b"1")
    turns.end()
    delivery.broadcast(audience(delivery, outboxes[:20]), b"2")
    turns.run(0)
    assert outboxes[0].connection.frames == [b"1", b"2"]


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


@pytest.mark.parametrize(("members", "has_another_look"), [(10, False), (50, True)])
def test_a_crowd_is_written_to_after_another_look_at_what_has_come(members, has_another_look):
    delivery, turns, outboxes = make(members)
    everybody = audience(delivery, outboxes)
    delivery.broadcast(everybody, b"1")
    turns.run(0)
    assert bool(outboxes[0].connection.writes) is not has_another_look
    delivery.broadcast(everybody, b"2")
    turns.end()
    expected = [[b"12"]] if has_another_look else [[b"1"], [b"2"]]
    assert all(outbox.connection.writes == expected for outbox in outboxes)


def test_a_long_queue_is_written_in_pieces_although_another_batch_has_begun():
    delivery, turns, (a, b) = make(2, Busy())
    with patch("cloudlink.delivery.delivery._BATCH", 1):
        for _ in range(3):
            delivery.send(a, bytes(50_000))
        delivery.send(b, b"x")
    turns.end()
    assert [len(write) for write in a.connection.writes] == [2, 1]


def test_a_connection_that_fails_keeps_nothing_from_the_others(caplog):
    delivery, turns, (a, b, c) = make(3)

    def fail(_frames):
        raise RuntimeError

    b.connection.write = fail
    delivery.broadcast(audience(delivery, [a, b, c]), b"x")
    turns.end()
    assert a.connection.frames == c.connection.frames == [b"x"]
    assert not b
    assert "RuntimeError" in caplog.text


def test_so_many_clients_share_a_timer():
    delivery, turns, outboxes = make(70, Busy())
    for outbox in outboxes:
        delivery.broadcast(audience(delivery, [outbox]), b"x")
    delivery.flush_room()
    assert len(turns.callbacks) == 3
    turns.end()
    assert all(outbox.connection.frames == [b"x"] for outbox in outboxes)


def test_frames_collected_for_an_audience_wait_no_longer_than_others():
    delivery, turns, (a, b) = make(2, Busy())
    everybody = audience(delivery, [a, b])
    for frame in (b"1", b"2", b"3"):
        delivery.broadcast(everybody, frame)
    assert len(turns.callbacks) == 1
    turns.run(0)
    assert a.connection.writes == b.connection.writes == [[b"1", b"23"]]


def test_a_pacer_sees_every_frame_and_write():
    coalescer = Busy()
    delivery, turns, (a, b) = make(2, coalescer)
    everybody = audience(delivery, [a, b])
    for frame in (b"1", b"2", b"3"):
        delivery.broadcast(everybody, frame)
    delivery.send(a, b"4")
    turns.end()
    assert coalescer.told == [(7, 2)]
    delivery.send(b, b"5")
    turns.end()
    assert coalescer.told == [(7, 2), (1, 1)]


def test_all_clients_of_a_turn_are_written_to_by_one_call():
    delivery, turns, outboxes = make(5)
    for outbox in outboxes:
        delivery.send(outbox, b"1")
    delivery.multicast(outboxes, b"2")
    assert len(turns.callbacks) == 1


def test_flushing_writes_what_would_have_waited_and_nothing_twice():
    delivery, turns, (a,) = make(1, Busy())
    delivery.send(a, b"1")
    delivery.flush()
    assert a.connection.writes == [[b"1"]]
    turns.end()
    assert a.connection.writes == [[b"1"]]


def test_a_client_gets_earlier_frames_before_its_own():
    delivery, turns, (a, b) = make(2)
    everybody = audience(delivery, [a, b])
    delivery.broadcast(everybody, b"1")
    delivery.send(a, b"2")
    delivery.broadcast(everybody, b"3", skip=a)
    delivery.broadcast(everybody, b"4")
    turns.end()
    assert b"".join(a.connection.frames) == b"124"
    assert b.connection.frames == [b"1", b"34"]  # joined once for all that got nothing else


def test_a_client_left_out_still_gets_earlier_frames():
    delivery, turns, (a, b) = make(2)
    everybody = audience(delivery, [a, b])
    delivery.broadcast(everybody, b"1")
    delivery.broadcast(everybody, b"2", skip=a)
    delivery.broadcast(everybody, b"3")
    turns.end()
    assert b"".join(a.connection.frames) == b"13"
    assert b.connection.frames == [b"1", b"23"]


def test_several_are_left_out_and_still_have_all_that_came_before():
    delivery, turns, (a, b, c) = make(3)
    everybody = audience(delivery, [a, b])
    delivery.broadcast(everybody, b"1")
    delivery.broadcast_except(everybody, b"2", [a, b, c])
    delivery.broadcast_except(everybody, b"3", [])
    delivery.broadcast_except(everybody, b"", [a])
    turns.end()
    assert [b"".join(each.connection.frames) for each in (a, b, c)] == [b"13", b"13", b""]


def test_a_member_that_joins_late_or_leaves_early_gets_its_share():
    delivery, turns, (a, b, c) = make(3)
    everybody = audience(delivery, [a, b])
    delivery.broadcast(everybody, b"1")
    everybody.add(c)
    everybody.remove(b)
    delivery.broadcast(everybody, b"2")
    turns.end()
    assert [b"".join(outbox.connection.frames) for outbox in (a, b, c)] == [b"12", b"1", b"2"]


def test_nothing_is_queued_for_a_disconnected_client():
    delivery, turns, (a, b) = make(2)
    everybody = audience(delivery, [a, b])
    delivery.broadcast(everybody, b"1")
    delivery.broadcast(everybody, b"2")
    everybody.remove(b, is_gone=True)
    delivery.retire(b)
    turns.end()
    assert (a.connection.frames, b.connection.frames, list(b)) == ([b"1", b"2"], [], [])


def test_the_first_frame_to_a_large_room_is_collected_as_the_others_are():
    delivery, turns, outboxes = make(17)
    everybody = audience(delivery, outboxes)
    delivery.broadcast(everybody, b"1")
    delivery.broadcast(everybody, b"2")
    turns.end()
    assert outboxes[0].connection.frames == [b"12"]


def test_the_first_frame_of_each_turn_to_a_small_room_is_queued_at_once():
    delivery, turns, outboxes = make(16)
    everybody = audience(delivery, outboxes)
    for frame in (b"1", b"2"):
        delivery.broadcast(everybody, frame)
        assert [list(outbox) for outbox in outboxes] == [[frame]] * 16
        turns.end()


def test_so_is_the_first_frame_that_leaves_out_a_client_and_those_after_it_are_collected():
    delivery, turns, (a, b, c) = make(3)
    everybody = audience(delivery, [a, b, c])
    delivery.broadcast(everybody, b"1", skip=b)
    assert [list(outbox) for outbox in (a, b, c)] == [[b"1"], [], [b"1"]]
    for frame in (b"2", b"3"):
        delivery.broadcast(everybody, frame, skip=b)
    delivery.broadcast(everybody, b"4", skip=c)
    turns.end()
    assert a.connection.writes == [[b"1", b"234"]]
    assert (b"".join(b.connection.frames), b"".join(c.connection.frames)) == (b"4", b"123")
    assert delivery.sent_frames == 4 * 2


def test_a_frame_that_leaves_out_the_only_client_begins_no_turn():
    delivery, turns, (a,) = make(1)
    everybody = audience(delivery, [a])
    delivery.broadcast(everybody, b"1", skip=a)
    assert (turns.callbacks, list(a)) == ([], [])
    delivery.broadcast(everybody, b"2")
    assert list(a) == [b"2"]


def test_frames_that_alternate_between_rooms_keep_their_order():
    delivery, turns, (a, b, c) = make(3)
    here, there = audience(delivery, [a, b]), audience(delivery, [b, c])
    for number in (b"1", b"2", b"3"):
        delivery.broadcast(here, b"h" + number)
        delivery.broadcast(here, b"H" + number)
        delivery.broadcast(there, b"t" + number)
    turns.end()
    assert b"".join(b.connection.frames) == b"h1H1t1h2H2t2h3H3t3"
    assert b"".join(c.connection.frames) == b"t1t2t3"


def make_news():
    turns, clock = Turns(), FakeClock()
    delivery = Delivery(turns, clock=clock)
    outboxes = [Outbox(Recorder()) for _ in range(2)]
    return delivery, turns, clock, outboxes, audience(delivery, outboxes)


def test_news_is_written_at_once_and_waits_only_if_there_was_some_just_before():
    delivery, turns, clock, (a, b), everybody = make_news()
    delivery.broadcast_deferred(everybody, b"1", skip=b)
    assert turns.delays == [0]
    turns.end()
    clock.now += 0.005
    delivery.broadcast_deferred(everybody, b"2", skip=b)
    delivery.broadcast_deferred(everybody, b"3")
    assert turns.delays == [pytest.approx(0.015)]
    turns.end()
    assert a.connection.writes == [[b"1"], [b"23"]]
    assert b.connection.writes == [[b"3"]]
    clock.now += 0.02
    delivery.broadcast_deferred(everybody, b"4")
    assert turns.delays == [0]


def test_news_that_was_collected_counts_as_news_just_before():
    delivery, turns, clock, (a, _b), everybody = make_news()
    delivery.broadcast_deferred(everybody, b"1")
    turns.end()
    delivery.broadcast_deferred(everybody, b"2")
    clock.now += 0.02
    turns.end()
    clock.now += 0.005
    delivery.broadcast_deferred(everybody, b"3")
    assert turns.delays == [pytest.approx(0.015)]
    assert a.connection.writes == [[b"1"], [b"2"]]


def test_news_that_waits_keeps_nobody_from_what_is_its_own():
    delivery, turns, _clock, (a, b), everybody = make_news()
    delivery.broadcast_deferred(everybody, b"1")
    turns.end()
    delivery.broadcast_deferred(everybody, b"2")
    delivery.send(a, b"3")
    assert turns.delays == [pytest.approx(0.02), 0]
    turns.run(1)
    assert a.connection.writes == [[b"1"], [b"2", b"3"]]
    assert b.connection.writes == [[b"1"]]
    turns.end()
    assert a.connection.writes == [[b"1"], [b"2", b"3"]]
    assert b.connection.writes == [[b"1"], [b"2"]]


def test_news_goes_with_what_the_same_audience_is_sent():
    delivery, turns, _clock, (a, b), everybody = make_news()
    delivery.broadcast_deferred(everybody, b"1")
    turns.end()
    delivery.broadcast_deferred(everybody, b"2")
    delivery.broadcast(everybody, b"3")
    turns.run(1)
    assert a.connection.writes == b.connection.writes == [[b"1"], [b"23"]]
    turns.end()
    assert a.connection.writes == b.connection.writes == [[b"1"], [b"23"]]


def test_news_for_the_audiences_of_one_room_waits_together():
    delivery, turns, _clock, (a, b), _everybody = make_news()
    here, there = audience(delivery, [a], "room"), audience(delivery, [b], "room")
    for number in (b"1", b"2", b"3"):
        delivery.broadcast_deferred(here, b"a" + number)
        delivery.broadcast_deferred(there, b"b" + number)
        if number == b"1":
            turns.end()
    turns.end()
    assert a.connection.writes == [[b"a1"], [b"a2a3"]]
    assert b.connection.writes == [[b"b1"], [b"b2b3"]]


def test_news_after_a_message_is_written_by_itself():
    delivery, turns, (a, b) = make(2)
    everybody = audience(delivery, [a, b])
    delivery.broadcast(everybody, b"1")
    turns.end()
    delivery.broadcast_deferred(everybody, b"2")
    turns.end()
    assert a.connection.frames == b.connection.frames == [b"1", b"2"]


def test_flushing_writes_news_that_waits():
    delivery, turns, _clock, (a, b), everybody = make_news()
    delivery.broadcast_deferred(everybody, b"1")
    delivery.broadcast_deferred(everybody, b"2")
    turns.end()
    delivery.broadcast_deferred(everybody, b"3")
    delivery.flush()
    assert a.connection.frames == b.connection.frames == [b"12", b"3"]
    turns.callbacks.clear()  # as when the event loop has ended
    turns.delays.clear()
    delivery.broadcast_deferred(everybody, b"4")
    assert len(turns.delays) == 1


WHOM = st.integers(0, 2)
GROUP = st.integers(0, 2)


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("send"), WHOM),
            st.tuples(st.sampled_from(["broadcast", "announce"]), GROUP, st.none() | WHOM),
            st.tuples(st.just("multicast"), st.lists(WHOM, max_size=3)),
            st.tuples(st.just("broadcast_except"), GROUP, st.lists(WHOM, max_size=3)),
            st.tuples(st.sampled_from(["enter", "leave"]), GROUP, WHOM),
            st.tuples(st.just("turn"), st.integers(0, 5)),
            st.tuples(st.just("wait"), st.sampled_from([0.0, 0.01])),
            st.tuples(st.just("rest"), st.sampled_from([0.001, 0.02])),
        ),
        max_size=40,
    ),
    st.integers(1, 3),
)
def test_everybody_gets_everything_once_and_in_order_whenever_it_is_written(steps, capacity):
    coalescer, clock, turns = Busy(0.0), FakeClock(), Turns()
    delivery = Delivery(turns, coalescer=coalescer, clock=clock)
    play = Play(delivery, turns, coalescer, clock)
    with patch("cloudlink.delivery.delivery._BATCH", capacity):
        for step, *what in steps:
            getattr(play, step)(*what)
        turns.end()
    for outbox in play.outboxes:
        assert b"".join(outbox.connection.frames) == b"".join(play.expected[outbox])


class Play:
    """Does what the steps say, and keeps what everybody has to get."""

    def __init__(self, delivery, turns, coalescer, clock):
        self.delivery, self.turns, self.coalescer, self.clock = delivery, turns, coalescer, clock
        self.outboxes = [Outbox(Recorder()) for _ in range(3)]
        # The first two are one room's, of which everybody is in one; the third is another room.
        self.groups = [
            audience(delivery, self.outboxes[:2], "room"),
            audience(delivery, self.outboxes[2:], "room"),
            audience(delivery, self.outboxes[:1]),
        ]
        self.expected = {outbox: [] for outbox in self.outboxes}
        self.number = 0

    def frame(self, recipients):
        self.number += 1
        frame = b"<%d>" % self.number
        for outbox in recipients:
            self.expected[outbox].append(frame)
        return frame

    def send(self, whom):
        outbox = self.outboxes[whom]
        self.delivery.send(outbox, self.frame([outbox]))

    def multicast(self, several):
        outboxes = [self.outboxes[whom] for whom in several]
        self.delivery.multicast(outboxes, self.frame(outboxes))

    def broadcast(self, group, skipped):
        self.delivery.broadcast(*self.to_group(group, skipped))

    def broadcast_except(self, group, several):
        skips = [self.outboxes[whom] for whom in several]
        recipients = [outbox for outbox in self.groups[group].outboxes if outbox not in skips]
        self.delivery.broadcast_except(self.groups[group], self.frame(recipients), skips)

    def announce(self, group, skipped):
        self.delivery.broadcast_deferred(*self.to_group(group, skipped))

    def to_group(self, group, skipped):
        skip = None if skipped is None else self.outboxes[skipped]
        recipients = [outbox for outbox in self.groups[group].outboxes if outbox is not skip]
        return self.groups[group], self.frame(recipients), skip

    def enter(self, group, whom):
        for other in self.groups:
            if other.group == self.groups[group].group and self.outboxes[whom] in other.outboxes:
                other.remove(self.outboxes[whom])
        self.groups[group].add(self.outboxes[whom])

    def leave(self, group, whom):
        if self.outboxes[whom] in self.groups[group].outboxes:
            self.groups[group].remove(self.outboxes[whom])

    def wait(self, seconds):
        self.coalescer.wait = seconds

    def rest(self, seconds):
        self.clock.now += seconds

    def turn(self, which):
        if self.turns.callbacks:  # timers need not end in the order they were set in
            self.turns.run(which % len(self.turns.callbacks))


@given(st.integers(0, 200_000))
@example(125)
@example(126)
@example(65_535)
@example(65_536)
def test_a_frame_tells_its_size_the_shortest_way(size):
    frame = text_frame(bytes(size))
    assert frame[0] == 0x81
    if size < 126:
        assert (frame[1], len(frame)) == (size, 2 + size)
    elif size < 65536:
        assert (frame[1], int.from_bytes(frame[2:4], "big"), len(frame)) == (126, size, 4 + size)
    else:
        assert (frame[1], int.from_bytes(frame[2:10], "big"), len(frame)) == (127, size, 10 + size)


@given(st.lists(st.binary(max_size=200), max_size=3), st.integers(0, 70_000))
def test_a_text_in_parts_is_the_frame_of_the_whole(parts, size):
    parts.append(bytes(size))
    assert joined_text_frame(parts) == text_frame(b"".join(parts))


def test_copies_to_slow_readers_count_before_they_are_written_and_more_than_others():
    turns = Turns()
    delivery = Delivery(turns)
    audience = Audience(delivery)
    outboxes = [Outbox(Recorder(), None) for _ in range(10)]
    for outbox in outboxes:
        audience.add(outbox)
    delivery.broadcast(audience, text_frame(b"x"))
    for outbox in outboxes[:3]:
        outbox.connection.congested = True
    turns.end()
    assert delivery.copies() == 10
    for _ in range(5):
        delivery.broadcast(audience, text_frame(b"x"))
    assert delivery.copies() == 10 + 4 * 5 * 3
    turns.end()
    assert delivery.copies() == 60
