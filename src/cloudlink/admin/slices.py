"""Looks at very many things in slices, between which the server does what else is due, so that no player waits for a list.

A function that does so is a generator: it yields between two slices, each of which takes a fraction of a millisecond, and
returns its result. What it looks at may change meanwhile.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from concurrent.futures import Future
from itertools import islice
from typing import TYPE_CHECKING, TypeAlias, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_TURN = 0.0005
"""Seconds after which the server does something else."""

T = TypeVar("T")
Slices: TypeAlias = Generator[None, None, T]


def sliced(items: Iterable[T], size: int = 100) -> Iterator[list[T]]:
    """Yield the items in lists of at most a size."""
    rest = iter(items)
    while part := list(islice(rest, size)):
        yield part


def finish(slices: Slices[T]) -> T:
    """Return the result after all slices, one directly after the other."""
    while True:
        try:
            next(slices)
        except StopIteration as end:
            result: T = end.value
            return result


def in_turns(slices: Slices[T], call_soon: Callable[[Callable[[], None]], object]) -> T | Future[T]:
    """Return the result if it is there soon, else a future of it, which gets it in the server's thread.

    Args:
        slices: The slices.
        call_soon: Calls a function in a later turn of the server.
    """
    later: Future[T] = Future()

    def go_on() -> None:
        end = time.perf_counter() + _TURN
        try:
            next(slices)
            while time.perf_counter() < end:
                next(slices)
        except StopIteration as end:
            later.set_result(end.value)
        except Exception as error:  # noqa: BLE001  # passed on to whoever waits
            later.set_exception(error)
        else:
            call_soon(go_on)

    go_on()
    return later.result() if later.done() else later
