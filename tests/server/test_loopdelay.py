"""How late the event loop is, as a histogram."""

from cloudlink.server.loopdelay import BOUNDS, INTERVAL, LoopDelay


class Timer:
    def cancel(self):
        """Too late: it is about to run."""


class FakeLoop:
    """A loop in which time passes only when a test says so."""

    def __init__(self):
        self.now = 100.0
        self.timers = []

    def time(self):
        return self.now

    def call_at(self, when, callback, *arguments):
        self.timers.append((when, callback, arguments))
        return Timer()

    def run_late(self, delay):
        when, callback, arguments = self.timers.pop()
        self.now = when + delay
        callback(*arguments)


def test_each_delay_falls_into_the_first_bucket_that_holds_it():
    delay = LoopDelay()
    for seconds in (0.0, 0.001, 0.0011, 0.3, 99.0, -0.001):
        delay.note(seconds)
    assert delay.counts[0] == 3
    assert delay.counts[1] == 1
    assert delay.counts[BOUNDS.index(0.5)] == 1
    assert delay.counts[-1] == 1
    assert delay.total == 0.001 + 0.0011 + 0.3 + 99.0
    assert sum(delay.counts) == 6


def test_the_timer_measures_how_late_it_runs_and_starts_once():
    loop, delay = FakeLoop(), LoopDelay()
    delay.start(loop)
    delay.start(loop)
    assert [when for when, _, _ in loop.timers] == [100.0 + INTERVAL]
    loop.run_late(0.03)
    assert round(delay.latest, 9) == 0.03
    loop.run_late(0)
    assert round(delay.latest, 9) == 0
    assert len(loop.timers) == 1
    delay.stop()
    loop.run_late(0)
    assert sum(delay.counts) == 2
    assert loop.timers == []
