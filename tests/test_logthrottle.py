"""One line per key and interval; old keys are forgotten."""

from __future__ import annotations

from cloudlink.logthrottle import LogThrottle
from tests.support.clock import FakeClock


def test_an_event_is_logged_once_an_interval():
    clock = FakeClock()
    throttle = LogThrottle(60.0, clock)
    assert [throttle.should_log() for _ in range(3)] == [True, False, False]
    clock.now += 59.9
    assert not throttle.should_log()
    clock.now += 0.1
    assert [throttle.should_log() for _ in range(2)] == [True, False]


def test_keys_do_not_hide_each_other():
    throttle = LogThrottle(60.0, FakeClock())
    assert [throttle.should_log(key) for key in ("a", "b", "a", None, "b")] == [
        True,
        True,
        False,
        True,
        False,
    ]


def test_keys_are_forgotten_after_two_intervals_at_most():
    clock = FakeClock()
    throttle = LogThrottle(60.0, clock)
    for number in range(1000):
        throttle.should_log(number)
    clock.now += 120
    throttle.should_log("new")
    assert list(throttle._logged_at) == ["new"]
