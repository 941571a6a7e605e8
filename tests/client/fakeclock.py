"""An event loop whose clock jumps to the next timer when nothing else is to be done: minutes pass at once, and exactly."""

from __future__ import annotations

import asyncio
import selectors

LONGEST = 1e6  # seconds that a scenario may take by its own clock


class _JumpingSelector(selectors.SelectSelector):
    """Reports what is ready at once; where there is nothing, it moves the clock instead of waiting."""

    now = 0.0

    def select(self, timeout=None):
        ready = super().select(0)
        if not ready and timeout is None:
            raise RuntimeError("everything waits for something that never happens")
        if not ready and timeout > 0:
            self.now += timeout
            assert self.now < LONGEST
        return ready


class FakeClockLoop(asyncio.SelectorEventLoop):
    """For scenarios without sockets, threads and processes, which take time of their own."""

    def __init__(self):
        self._clock = _JumpingSelector()
        super().__init__(self._clock)

    def time(self):
        return self._clock.now


def run(scenario):
    """Run the coroutine function `scenario` from the time 0; return what it returns."""
    with asyncio.Runner(loop_factory=FakeClockLoop) as runner:
        return runner.run(scenario())


def now():
    return asyncio.get_running_loop().time()


async def settle():
    """Let everything happen that happens now."""
    await asyncio.sleep(0.001)
