"""How the time of some work grows with its size, whatever the speed of the machine."""

from __future__ import annotations

import gc
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


def growth(prepare: Callable[[int], Any], work: Callable[[Any], object], size: int) -> float:
    """Return how many times as long the work takes at ten times the size: about 10 where it is linear, 100 where quadratic.

    Args:
        prepare: Makes what is worked on, given its size; its time does not count.
        work: The work.
        size: The smaller size.
    """
    return _shortest(prepare, work, 10 * size) / _shortest(prepare, work, size)


def _shortest(prepare: Callable[[int], Any], work: Callable[[Any], object], size: int) -> float:
    """Return the CPU time of the fastest of three runs, which others disturbed least."""
    times = []
    for _ in range(3):
        subject = prepare(size)
        gc.disable()
        try:
            began = time.thread_time()
            work(subject)
            times.append(time.thread_time() - began)
        finally:
            gc.enable()
    return min(times)
