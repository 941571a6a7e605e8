"""The thread that computes the hashes of passwords, one after the other."""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Protocol, TypeVar

from cloudlink.admin import passwords
from cloudlink.admin.actors import AdminError

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

MOST_WAITING = 8
"""The most passwords that wait while another one is hashed."""


class Hasher(Protocol):
    """Computes hashes somewhere else, so that nothing waits meanwhile."""

    def check(self, password: str, hashed: str) -> Future[bool]:
        """Return whether a password has a hash. Raises `AdminError`: `busy`."""
        ...

    def hash(self, password: str) -> Future[str]:
        """Return the hash of a new password. Raises `AdminError`: `busy`."""
        ...


class HashingThread:
    """A `Hasher` with one thread, which is started by the first password."""

    def __init__(self) -> None:
        self._executor: ThreadPoolExecutor | None = None
        self._running = 0
        self._lock = threading.Lock()

    def check(self, password: str, hashed: str) -> Future[bool]:
        """Return whether a password has a hash. Raises `AdminError`: `busy`."""
        return self._submit(lambda: passwords.matches(password, hashed))

    def hash(self, password: str) -> Future[str]:
        """Return the hash of a new password. Raises `AdminError`: `busy`."""
        return self._submit(lambda: passwords.hash_of(password))

    def stop(self) -> None:
        """End the thread; passwords that wait are not looked at."""
        if self._executor is not None:
            self._executor.shutdown(wait=False, cancel_futures=True)
            self._executor = None

    def _submit(self, function: Callable[[], T]) -> Future[T]:
        with self._lock:
            if self._running > MOST_WAITING:
                raise AdminError("busy", "Too many others log in at this moment; try again in a few seconds.")
            self._running += 1
        if self._executor is None:
            self._executor = ThreadPoolExecutor(1, "cloudlink-passwords")
        future = self._executor.submit(function)
        future.add_done_callback(self._done)
        return future

    def _done(self, _future: object) -> None:
        with self._lock:
            self._running -= 1


class HashingHere:
    """A `Hasher` for a program that has nothing else to do meanwhile."""

    def check(self, password: str, hashed: str) -> Future[bool]:
        """Return whether a password has a hash."""
        return _done(passwords.matches(password, hashed))

    def hash(self, password: str) -> Future[str]:
        """Return the hash of a new password."""
        return _done(passwords.hash_of(password))


def _done(result: T) -> Future[T]:
    future: Future[T] = Future()
    future.set_result(result)
    return future
