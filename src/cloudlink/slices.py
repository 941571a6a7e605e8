"""Long work, done in slices between which the server serves its clients, so that no player waits for a list.

A function that does such work is a generator: it yields between two slices, each of which takes a fraction of a millisecond,
and returns its result. What it looks at may change from one slice to the next.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Generator
from concurrent.futures import Future
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_TURN = 0.00025
"""Seconds that slices may take in one turn of the event loop; the last slice may exceed them."""

T = TypeVar("T")
Slices: TypeAlias = Generator[None, None, T]


def sliced(items: Iterable[T], size: int = 100) -> Iterator[list[T]]:
    """Yield the items in lists of at most `size`."""
    rest = iter(items)
    while part := list(islice(rest, size)):
        yield part


def finish(slices: Slices[T]) -> T:
    """Run all slices, one directly after the other, and return the result."""
    while True:
        try:
            next(slices)
        except StopIteration as end:
            result: T = end.value
            return result


class SliceQueue:
    """Runs the slices of all callers, which take turns, for at most `_TURN` in one turn of the event loop.

    So players wait no longer for many dashboards than for one.
    """

    def __init__(self, call_soon: Callable[[Callable[[], None]], object]) -> None:
        """Args: call_soon: Calls a function in a later turn of the server."""
        self._call_soon = call_soon
        self._waiting: deque[tuple[Slices[Any], Future[Any]]] = deque()
        self._is_running = False

    def run(self, slices: Slices[T]) -> T | Future[T]:
        """Return the result if this turn suffices, else a future of it, which is completed in the server's thread."""
        later: Future[T] = Future()
        self._waiting.append((slices, later))
        if not self._is_running:
            self._is_running = True
            self._go_on()
        return later.result() if later.done() else later

    def start(self, slices: Slices[object]) -> None:
        """Run slices whose result is not needed. Raises what they raise in this turn; what they raise later is logged."""
        later = self.run(slices)
        if isinstance(later, Future):
            later.add_done_callback(Future.result)

    def _go_on(self) -> None:
        end = time.perf_counter() + _TURN
        while self._waiting:
            slices, later = self._waiting.popleft()
            try:
                next(slices)
            except StopIteration as stop:
                later.set_result(stop.value)
            except Exception as error:  # noqa: BLE001  # passed on to the caller
                later.set_exception(error)
            else:
                self._waiting.append((slices, later))
            if time.perf_counter() >= end:
                break
        self._is_running = bool(self._waiting)
        if self._is_running:
            self._call_soon(self._go_on)
