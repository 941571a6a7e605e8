"""What is measured of a soaked server, and what is wrong with it."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace

import pytest

from tests.soak.players import Crowd
from tests.soak.soak import QUICK, Plan, Result, ends, judge, slope

PLAN = Plan(1800, 500)
FILES = Counter({"cloudlink.db": 2, "socket:[]": 1})
GOOD = Result("plain", 100, 1000, 10.0, 50_000_000, 0.0, FILES, FILES, 0.01, 0.01, [], [])


def test_a_slope_is_not_moved_by_a_few_peaks():
    steady = [(float(second), 1e6) for second in range(100)]
    steady[50] = (50.0, 9e6)
    assert slope(steady) == 0
    assert slope([(float(second), 10.0 * second) for second in range(100)]) == pytest.approx(10)
    assert slope([]) == 0


def test_delays_at_both_ends():
    delays = [(float(second) / 10, 0.01 if second < 300 else 0.2) for second in range(600)]
    assert ends(delays) == (pytest.approx(0.01), pytest.approx(0.2))
    assert ends([]) == (0.0, 0.0)


def test_memory_may_grow_while_it_warms_up_at_most_five_minutes():
    assert Plan(120, 1).warm_up == 30
    assert Plan(7200, 1).warm_up == 300


def test_nothing_is_wrong_with_a_good_server():
    assert judge(GOOD, PLAN) == []
    assert judge(replace(GOOD, growth=0.9e6, last_delay=0.06), PLAN) == []


def test_in_a_short_run_bounded_caches_may_still_fill():
    short = Plan(300, 500)
    assert judge(replace(GOOD, growth=40e6), short) == []
    assert judge(replace(GOOD, growth=100e6), short) == ["plain: memory grows by 100.0 MB an hour"]


def test_the_quick_form_allows_for_a_busy_machine_but_for_no_loss():
    assert judge(replace(GOOD, complete=59.0, last_delay=0.9, growth=100e6), QUICK) == []
    assert judge(replace(GOOD, complete=float("inf")), QUICK) != []
    assert judge(replace(GOOD, growth=2e9), QUICK) == ["plain: memory grows by 2000.0 MB an hour"]
    assert judge(replace(GOOD, mistakes=["one"]), QUICK) == ["plain: 1 mistakes, such as: one"]


def test_a_missing_message_is_noticed():
    async def scenario():
        crowd = Crowd(0, None, 0, 1, 1.0)
        numbers = {}
        for number in (4, 5, 7, 8):
            crowd._hear({"cmd": "gmsg", "val": [0.0, "eve", number, "x"]}, "room", {}, numbers)
        assert crowd.mistakes == ["message 7 of eve came instead of 6"]

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"complete": 500.0}, "plain: not all players had come in time; is the machine too busy?"),
        ({"complete": float("inf")}, "plain: not all players had come in time; is the machine too busy?"),
        ({"growth": 1.1e6}, "plain: memory grows by 1.1 MB an hour"),
        ({"files_after": FILES + Counter({"socket:[]": 3})}, "plain: 3 files stay open: 3 socket:[]"),
        ({"last_delay": 0.2}, "plain: messages take 200 ms at the end"),
        ({"messages": 0}, "plain: no message has arrived"),
        ({"mistakes": ["x was added twice", "y"]}, "plain: 2 mistakes, such as: x was added twice"),
        ({"failures": ["Traceback"]}, "plain: the log has 1 errors, such as:\nTraceback"),
    ],
)
def test_what_is_wrong(wrong, said):
    assert judge(replace(GOOD, **wrong), PLAN) == [said]
