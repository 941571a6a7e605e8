"""Guessing becomes slow; the owner gets in all the same."""

from __future__ import annotations

import pytest

from cloudlink.admin.throttle import MOST_REMEMBERED, Throttle
from tests.support.clock import FakeClock


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def throttle(clock):
    return Throttle(clock)


def wait(throttle, subscriber="a", account="mia", *, is_known=False):
    return throttle.wait(subscriber, account, is_known=is_known)


def test_a_subscriber_has_ten_tries_in_ten_minutes(throttle, clock):
    for number in range(10):
        assert wait(throttle, account=f"name{number}") == 0
        throttle.begin("a", f"name{number}")
        clock.now += 1
    assert wait(throttle, account="other") == pytest.approx(590)
    assert wait(throttle, account="other", is_known=True) == pytest.approx(590)
    assert wait(throttle, subscriber="b", account="other") == 0
    clock.now += 590
    assert wait(throttle, account="other") == 0


def test_an_account_waits_longer_with_each_failure_in_a_row(throttle, clock):
    waits = []
    for number in range(20):
        throttle.begin(f"subscriber{number}", "mia")
        waits.append(wait(throttle, "new"))
        clock.now += waits[-1]
    assert waits == [0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, *[900] * 6]
    throttle.begin("owner", "mia")
    assert wait(throttle, "owner") == 900
    assert wait(throttle, "owner", is_known=True) == 0
    assert wait(throttle, "new", "another") == 0


def test_a_login_ends_the_row_but_not_the_count_of_the_hour(throttle, clock):
    for number in range(100):
        throttle.begin(f"subscriber{number}", "mia")
        throttle.succeeded(throttle.begin("owner", "mia"))
    assert wait(throttle, "new") == pytest.approx(3600)
    assert wait(throttle, "owner", is_known=True) == 0
    clock.now += 3600
    assert wait(throttle, "new") == 0


def test_attempts_at_the_same_time_are_all_counted(throttle):
    attempts = [throttle.begin("a", "mia") for _ in range(10)]
    assert wait(throttle) > 0
    throttle.withdraw(attempts[0])
    assert wait(throttle, account="other") == 0
    for attempt in attempts[1:]:
        throttle.succeeded(attempt)
    assert wait(throttle) == 0


def test_a_success_leaves_other_failures_of_the_subscriber(throttle):
    for number in range(9):
        throttle.begin("a", f"other{number}")
    throttle.succeeded(throttle.begin("a", "mia"))
    assert wait(throttle) == 0
    throttle.begin("a", "other")
    assert wait(throttle) > 0


def test_unlocking(throttle):
    for _ in range(10):
        throttle.begin("a", "mia")
    throttle.unlock("mia")
    assert wait(throttle) == 0


def test_memory_is_bounded_and_accounts_are_forgotten_last(throttle):
    for number in range(6):
        throttle.begin(f"early{number}", "mia", {"mia"})
    for number in range(MOST_REMEMBERED + 10):
        throttle.begin(f"{number}", f"name{number}", {"mia"})
    assert wait(throttle, "new", "mia") > 0
    assert len(throttle._subscribers) == len(throttle._accounts) == MOST_REMEMBERED


def test_if_all_names_are_accounts_none_is_forgotten(throttle):
    names = {f"name{number}" for number in range(MOST_REMEMBERED + 1)}
    for name in names:
        throttle.begin("a", name, names)
    assert len(throttle._accounts) == len(names)
