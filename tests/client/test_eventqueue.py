"""The queue of events: what it counts, and when it is full."""

from hypothesis import given
from hypothesis import strategies as st

from cloudlink.client.eventqueue import EVENT_BYTES, EventQueue


def test_events_come_out_in_order():
    queue = EventQueue(10, 10_000)
    queue.put(["a", "b"], 5)
    queue.put([], 1_000_000)
    queue.put(["c"], 5)
    assert len(queue) == 3
    assert [queue.get() for _ in range(3)] == ["a", "b", "c"]
    assert len(queue) == 0


def test_full_by_number():
    queue = EventQueue(4, 1 << 30)
    queue.put("abc", 0)
    assert not queue.is_full
    queue.put("d", 0)
    assert queue.is_full
    assert not queue.is_half_empty
    queue.get()
    assert not queue.is_full
    assert not queue.is_half_empty
    queue.get()
    assert queue.is_half_empty


def test_full_by_bytes():
    most = 4 * EVENT_BYTES
    queue = EventQueue(1000, most)
    queue.put("ab", EVENT_BYTES - 1)
    assert not queue.is_full
    queue.put("c", 1)
    assert queue.size == most
    assert queue.is_full
    queue.get()
    assert not queue.is_half_empty
    queue.get()
    assert queue.is_half_empty


def test_the_bytes_of_a_message_count_until_its_last_event_is_taken():
    queue = EventQueue(1000, 1_000_000)
    queue.put("abc", 100_000)
    queue.get()
    queue.get()
    assert queue.size == 100_000 + EVENT_BYTES
    queue.get()
    assert queue.size == 0


def test_overfull_at_four_times_the_bytes():
    queue = EventQueue(1, 1000)
    queue.put("a", 3999 - EVENT_BYTES)
    assert queue.is_full
    assert not queue.is_overfull
    queue.get()
    queue.put("b", 4000 - EVENT_BYTES)
    assert queue.is_overfull


def test_a_queue_of_one():
    queue = EventQueue(1, 1)
    assert queue.is_half_empty
    assert not queue.is_full
    queue.put("a", 0)
    assert queue.is_full
    queue.get()
    assert queue.is_half_empty


def test_cleared():
    queue = EventQueue(1, 1)
    queue.put("ab", 10)
    queue.clear()
    assert (len(queue), queue.size) == (0, 0)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 1000))))
def test_nothing_is_left_when_all_is_taken(messages):
    queue = EventQueue(10, 1000)
    for number, size in messages:
        queue.put(list(range(number)), size)
    while queue:
        queue.get()
    assert queue.size == 0
