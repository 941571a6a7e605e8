"""Slices: long work lets shorter work pass, however many callers there are."""

from __future__ import annotations

import logging

import pytest

from cloudlink import slices
from cloudlink.slices import SliceQueue, finish, sliced
from tests.support.clock import TickingClock


def counting(most):
    found = []
    for part in sliced(range(most), 3):
        found += part
        yield
    return found


def failing(slices):
    for _ in range(slices):
        yield
    raise ValueError("no")


class Turns(SliceQueue):
    """A queue whose turns the test takes: `take` is one, `take_all` returns how many there were."""

    def __init__(self):
        self.due = []
        super().__init__(self.due.append)

    def take(self):
        assert len(self.due) == 1, "two slices in one turn of the server"
        self.due.pop()()

    def take_all(self):
        turns = 0
        while self.due:
            self.take()
            turns += 1
        return turns


@pytest.fixture
def turns(monkeypatch):
    """A queue, and a clock by which each look at it takes 0.1 ms, so that a turn has three slices."""
    monkeypatch.setattr(slices.time, "perf_counter", TickingClock(0.0001))
    return Turns()


def test_slices_one_after_the_other():
    assert finish(counting(10)) == list(range(10))
    assert finish(counting(0)) == []


def test_what_takes_long_gives_way(turns):
    assert turns.run(counting(6)) == list(range(6))
    later = turns.run(counting(25))
    assert not later.done()
    assert turns.take_all() == 3
    assert later.result(0) == list(range(25))


def test_several_take_turns_and_need_no_longer_turns(turns):
    ended = []
    for most in (25, 12, 25):
        turns.run(counting(most)).add_done_callback(lambda later: ended.append(len(later.result(0))))
    # Nine, five and nine slices, and three in a turn; the shortest is not held up by those that take long.
    assert turns.take_all() == 8
    assert ended == [12, 25, 25]


def test_a_callback_of_a_result_may_run_more_slices(turns):
    found = []

    def ask_again(later):
        found.append(later.result(0))
        turns.run(counting(7)).add_done_callback(lambda later: found.append(later.result(0)))

    turns.run(counting(12)).add_done_callback(ask_again)
    turns.take_all()
    assert found == [list(range(12)), list(range(7))]


def test_errors_come_out_at_once_or_later(turns):
    with pytest.raises(ValueError, match="no"):
        turns.run(failing(0))
    later = turns.run(failing(5))
    turns.take_all()
    with pytest.raises(ValueError, match="no"):
        later.result(0)


def test_errors_of_slices_whose_result_is_not_needed_are_logged(turns, caplog):
    with pytest.raises(ValueError, match="no"):
        turns.start(failing(0))
    with caplog.at_level(logging.ERROR):
        turns.start(failing(5))
        turns.take_all()
    assert "ValueError: no" in caplog.text
