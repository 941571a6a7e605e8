"""One sender's share of a slow reader's backlog, and the answer when it is used up."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudlink.delivery import Audience, Delivery, Outbox, update_frame
from cloudlink.delivery.backlog import Backlog
from cloudlink.delivery.frames import signed
from tests.delivery.owners import Owner


class Congested:
    """A connection that takes nothing until the test lets it."""

    congested = True

    def __init__(self):
        self.taken = []

    def write(self, frames):
        assert not self.congested
        self.taken += frames

    def close(self, code, reason):
        self.congested = True


SHARE = 50
senders = [Outbox(Congested()) for _ in range(3)]
steps = st.lists(
    st.one_of(
        st.tuples(st.just("message"), st.integers(0, 3), st.integers(1, 80)),
        st.tuples(st.sampled_from(["a", "b"]), st.integers(0, 3), st.integers(1, 80)),
        st.tuples(st.just("take"), st.just(0), st.integers(1, 100)),
    ),
    max_size=60,
)


@given(steps)
def test_each_sender_has_its_share_and_what_is_taken_is_free_again(steps):
    backlog, waiting, largest = Backlog(), [], 0
    for kind, who, size in steps:
        if kind == "take":
            taken = backlog.take(size)
            assert taken == waiting[: len(taken)]
            del waiting[: len(taken)]
            continue
        frame = bytes(size) if kind == "message" else update_frame(bytes(size), kind)
        others = [each for each in waiting if kind == "message" or getattr(each, "key", None) != kind]
        if who < len(senders):
            frame = signed(frame, senders[who], b"")
            beside = sum(len(each) for each in others if getattr(each, "sender", None) is senders[who])
            fits = beside + len(frame) <= SHARE or (not beside and largest <= SHARE)
        else:
            fits = True
        assert backlog.add([frame], SHARE) == ([] if fits else [frame])
        if fits:
            waiting = [*others, frame]
            largest = max(largest, len(frame))
        assert backlog.size == sum(map(len, waiting))
        known = {each.sender for each in waiting if getattr(each, "sender", None) is not None}
        assert backlog._bytes_of.keys() == known


def sent(size, key=None):
    """A frame of the first sender."""
    return signed(bytes(size) if key is None else update_frame(bytes(size), key), senders[0], b"")


def test_a_share_may_be_used_to_the_last_byte():
    backlog = Backlog()
    assert backlog.add([sent(20), sent(30)], SHARE) == []
    assert backlog.add([sent(1)], SHARE) == [bytes(1)]


def test_a_replaced_update_makes_room_to_the_last_byte():
    backlog = Backlog()
    backlog.add([sent(20), sent(10, "a")], SHARE)
    long, fitting = (sent(size - len(update_frame(b"", "a")), "a") for size in (31, 30))
    assert backlog.add([long], SHARE) == [long]
    assert backlog.add([fitting], SHARE) == []


def test_a_long_frame_passes_after_frames_as_long_as_the_share():
    backlog = Backlog()
    backlog.add([sent(SHARE)], SHARE)
    backlog.take(SHARE)
    assert backlog.add([sent(SHARE + 1)], SHARE) == []
    backlog.take(SHARE + 1)
    assert backlog.add([sent(SHARE + 1)], SHARE) == [bytes(SHARE + 1)]


def test_updates_of_the_server_have_no_share_in_the_backlog_of_a_client():
    backlog = Backlog(senders[0])
    assert backlog.add([update_frame(bytes(40), key) for key in range(9)], SHARE) == []


def test_frames_a_client_sends_to_itself_have_no_share():
    itself = senders[0]
    backlog = Backlog(itself)
    frames = [signed(bytes(40), itself, b"") for _ in range(5)]
    assert backlog.add(frames, SHARE) == []
    assert backlog.take(1000) == frames


def fail(_argument):
    raise RuntimeError


@pytest.fixture
def told():
    return []


@pytest.fixture
def room(told):
    """A delivery with 1000 bytes for each slow reader, one of them, and a sender."""
    delivery = Delivery(lambda _delay, _callback: None, max_queued_bytes=1000)
    slow = Outbox(Congested(), Owner(lambda: told.append("closed")))
    sender = Outbox(Congested(), Owner(undelivered=told.append))
    audience = Audience(delivery)
    audience.add(slow)
    return delivery, audience, slow, sender


def test_the_sender_of_dropped_frames_hears_of_the_first_once_a_turn(room, told):
    delivery, audience, slow, sender = room
    delivery.broadcast(audience, b"first")
    delivery.flush()
    for number in range(9):
        delivery.broadcast(audience, bytes(100), None, sender, b"%d" % number)
    assert told == []
    delivery.flush()
    assert told == [b"2"]
    assert slow.backlog.size == len(b"first") + 200


def test_long_frames_know_their_sender_before_anybody_is_slow(room, told):
    delivery, audience, slow, sender = room
    for tag in (b"1", b"2", b"3"):
        delivery.broadcast(audience, bytes(5000), None, sender, tag)
    delivery.flush()
    assert told == [b"2"]
    assert slow.backlog.size == 5000


def test_frames_know_their_sender_only_while_somebody_is_slow(room):
    delivery, audience, slow, sender = room
    frame = bytes(100)
    assert delivery.sign(frame, sender, b"") is frame
    delivery.broadcast(audience, frame, None, sender)
    delivery.flush()
    assert delivery.sign(frame, sender, b"").sender is sender
    delivery.retire(slow)
    assert delivery.sign(frame, sender, b"") is frame


def test_an_unanswerable_sender_reaches_everybody(room, told, caplog):
    delivery, audience, _slow, sender = room
    broken = Outbox(Congested(), Owner(undelivered=fail))
    for who in (broken, broken, sender, sender):
        delivery.broadcast(audience, bytes(5000), None, who, b"tag")
    delivery.flush()
    assert told == [b"tag"]
    assert "RuntimeError" in caplog.text


def test_a_disconnected_sender_gets_no_answer(room, told):
    delivery, audience, _slow, sender = room
    for _ in range(2):
        delivery.broadcast(audience, bytes(5000), None, sender, b"tag")
    delivery.retire(sender)
    delivery.flush()
    assert told == []
