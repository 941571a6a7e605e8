"""The memory of the history; what it says is tested with the methods that return it."""

from __future__ import annotations

import tracemalloc

from cloudlink.admin.serverview import Sample
from cloudlink.admin.statistics import MOST_MINUTES, STEP, Statistics
from cloudlink.slices import finish
from tests.support.clock import FakeClock


def test_the_history_takes_all_of_its_memory_at_the_start():
    clock = FakeClock()

    def sample():
        yield from ()
        return Sample(*(round(1000 * clock.now),) * 7, clock.now)

    statistics = Statistics(sample, clock, clock)

    def play(minutes):
        for _ in range(minutes * 60 // STEP):
            clock.now += STEP
            finish(statistics.tick())

    tracemalloc.start()
    try:
        play(1)
        before = tracemalloc.get_traced_memory()[0]
        play(MOST_MINUTES)
        assert tracemalloc.get_traced_memory()[0] - before < 10_000
    finally:
        tracemalloc.stop()
    entries = statistics.history(MOST_MINUTES)
    assert [entry["at"] for entry in entries[::719]] == [round(clock.now) - 3595, round(clock.now)]
    assert {type(entries[0][name]) for name in ("at", "clients", "rooms", "memory")} == {int}
