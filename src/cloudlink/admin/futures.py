"""Results that come later: from the thread that hashes passwords, from the file, or from other processes.

A future keeps its callbacks for ever, so a callback must not hold the future: such a cycle would keep a page of hundreds of
clients until the next garbage collection, and make that one long.
"""

from __future__ import annotations

from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    CallSoon = Callable[[Callable[[], None]], object]

T = TypeVar("T")
U = TypeVar("U")


def at_once(callback: Callable[[], None]) -> None:
    """Call a function; for results that come in the server's thread, as the answers of other processes do."""
    callback()


def done(result: T) -> Future[T]:
    """Return a future that has its result."""
    finished: Future[T] = Future()
    finished.set_result(result)
    return finished


def then(future: Future[T], call_soon: CallSoon, step: Callable[[T], U]) -> Future[U]:
    """Return the future of what a function makes of a result; the function runs in the server's thread.

    Args:
        future: The result, or an error, which is passed on.
        call_soon: Calls a function in the server's thread.
        step: The function; its errors are those of the future that is returned.
    """
    finished: Future[U] = Future()

    def go_on(found: Future[T]) -> None:
        try:
            finished.set_result(step(found.result()))
        except BaseException as error:  # noqa: BLE001  # passed on to whoever waits
            finished.set_exception(error)

    future.add_done_callback(lambda found: call_soon(partial(go_on, found)))
    return finished


def and_then(future: Future[T], call_soon: CallSoon, step: Callable[[T], Future[U]]) -> Future[U]:
    """As `then`, for a function that itself returns a future."""
    finished: Future[U] = Future()

    def pass_on(last: Future[U]) -> None:
        error = last.exception()
        if error is None:
            finished.set_result(last.result())
        else:
            finished.set_exception(error)

    def go_on(found: Future[T]) -> None:
        try:
            step(found.result()).add_done_callback(pass_on)
        except BaseException as error:  # noqa: BLE001  # passed on to whoever waits
            finished.set_exception(error)

    future.add_done_callback(lambda found: call_soon(partial(go_on, found)))
    return finished
