"""Token buckets let bursts through and hold the rate."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudlink.buckets import Bucket, Buckets
from tests.support.clock import FakeClock


def test_a_burst_passes_and_no_more():
    bucket = Bucket(10, 300, FakeClock())
    assert [bucket.take() for _ in range(301)] == [True] * 300 + [False]


def test_tokens_come_back_at_the_rate():
    clock = FakeClock()
    bucket = Bucket(10, 5, clock)
    for _ in range(6):
        bucket.take()
    clock.now += 0.35
    assert [bucket.take() for _ in range(5)] == [True, True, True, True, False]  # the last one on credit
    clock.now += 1000
    assert sum(bucket.take() for _ in range(100)) == 5


def test_something_larger_than_the_burst_passes_once_and_is_paid_back():
    clock = FakeClock()
    bucket = Bucket(100, 50, clock)
    assert bucket.take(250)
    assert not bucket.take(1)
    clock.now += 1.9
    assert not bucket.take(1)
    clock.now += 0.2
    assert bucket.take(1)


def test_an_infinite_bucket_never_refuses():
    bucket = Bucket(math.inf, math.inf, FakeClock())
    assert all(bucket.take(10**9) for _ in range(100))


def test_full_tells_whether_a_bucket_can_be_forgotten():
    clock = FakeClock()
    bucket = Bucket(10, 5, clock)
    assert bucket.full
    bucket.take()
    assert not bucket.full
    clock.now += 0.1
    assert bucket.full


@given(
    rate=st.floats(0.5, 100),
    burst=st.integers(1, 50),
    waits=st.lists(st.floats(0, 2), min_size=1, max_size=60),
)
def test_never_more_than_two_bursts_and_the_rate_pass(rate, burst, waits):
    clock = FakeClock()
    bucket = Bucket(rate, burst, clock)
    passed = 0
    for wait in waits:
        clock.now += wait
        passed += bucket.take()
    # The clock is looked at only when the bucket seems empty, which may give a second burst.
    assert passed <= 2 * burst + rate * sum(waits) + 1


def test_a_scratch_project_at_60_packets_a_second_is_never_touched():
    clock = FakeClock()
    bucket = Bucket(250, 1000, clock)
    for _ in range(60 * 600):
        clock.now += 1 / 60
        assert bucket.take()


def test_a_change_keeps_what_was_used():
    clock = FakeClock()
    bucket = Bucket(10, 100, clock)
    assert bucket.take(90)
    bucket.change(1, 1000)
    assert [bucket.take() for _ in range(11)] == [True] * 10 + [False]
    clock.now += 2
    assert [bucket.take() for _ in range(3)] == [True, True, False]


def test_a_change_leaves_no_more_than_the_new_burst_allows():
    bucket = Bucket(10, 100, FakeClock())
    bucket.change(10, 5)
    assert [bucket.take() for _ in range(6)] == [True] * 5 + [False]


def test_tokens_that_came_at_the_old_rate_stay():
    clock = FakeClock()
    bucket = Bucket(10, 100, clock)
    assert bucket.take(100)
    clock.now += 2
    bucket.change(0.001, 100)
    assert [bucket.take() for _ in range(21)] == [True] * 20 + [False]


def test_bounds_can_be_taken_away_and_given_back():
    bucket = Bucket(1, 5, FakeClock())
    assert bucket.take(5)
    bucket.change(math.inf, math.inf)
    assert all(bucket.take(1000) for _ in range(10))
    bucket.change(1, 5)
    assert [bucket.take() for _ in range(6)] == [True] * 5 + [False]


@pytest.mark.parametrize("rate", [10, math.inf])
def test_what_is_taken_is_counted(rate):
    clock = FakeClock()
    bucket = Bucket(rate, 5 if rate == 10 else math.inf, clock)
    for _ in range(7):
        bucket.take(2)
    taken = 6 if rate == 10 else 14
    assert bucket.taken == taken
    clock.now += 100
    assert bucket.take(3)
    bucket.give_back(1)
    assert bucket.taken == taken + 2
    for change in ((1, 1), (math.inf, math.inf), (3, 300)):
        bucket.change(*change)
        assert bucket.taken == taken + 2


def test_tokens_are_added_only_when_none_is_left():
    clock = FakeClock()
    bucket = Bucket(10, 5, clock)
    for _ in range(4):
        bucket.take()
    clock.now += 1000
    assert sum(bucket.take() for _ in range(100)) == 1 + 5


def test_a_bucket_without_a_limit_counts_each_token():
    bucket = Bucket(math.inf, math.inf, FakeClock())
    for _ in range(3):
        assert bucket.take()
    assert bucket.taken == 3


def test_the_level_of_a_key_that_has_no_bucket_yet_is_full():
    clock = FakeClock()
    buckets = Buckets(clock)
    assert buckets.level("a") == 1
    buckets.take("a", 1, 4)
    assert buckets.level("a") == 0.75
    clock.now += 0.5
    assert buckets.level("a") == 0.875
