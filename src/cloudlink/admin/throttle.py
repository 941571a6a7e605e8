"""Slows down the guessing of passwords, by subscriber and by account.

Every attempt counts as a failure until it has succeeded, so attempts that run at the same time are counted too. While
an attempt has to wait, its password is not looked at. Unknown names are treated like accounts, because the answers
must not say which names exist.
"""

from __future__ import annotations

import math
import time
from collections import OrderedDict, deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Container

_BY_SUBSCRIBER, _SUBSCRIBER_WINDOW = 10, 600.0
"""Failures of a subscriber, and the seconds within which they count."""
_BY_ACCOUNT, _ACCOUNT_WINDOW = 100, 3600.0
"""Failures at an account, whoever caused them, and the seconds within which they count."""
_IN_A_ROW = 5
"""Failures in a row after which an account has to wait: 1 s, 2 s, 4 s and so on."""
_LONGEST_WAIT = 900.0
_UNDECIDED = 16
"""Attempts that may be undecided at the same time; they must not push failures out."""
MOST_REMEMBERED = 10_000
"""The most subscribers, and the most names, that are remembered."""


class _Failures:
    """The times of the last failures, and how many followed each other."""

    __slots__ = ("in_a_row", "times")

    def __init__(self, most: int) -> None:
        self.times: deque[float] = deque(maxlen=most + _UNDECIDED)
        self.in_a_row = 0

    def add(self, now: float) -> None:
        self.times.append(now)
        self.in_a_row += 1

    def take_back(self, then: float) -> None:
        """Remove the failure of an attempt that has succeeded."""
        if then in self.times:
            self.times.remove(then)
        self.in_a_row = max(0, self.in_a_row - 1)

    def wait(self, most: int, window: float, now: float) -> float:
        """Return the seconds until fewer than `most` failures lie within the window."""
        return self.times[-most] + window - now if len(self.times) >= most else 0.0


class Attempt:
    """One attempt to log in, which counts as a failure unless `Throttle.succeeded` is called.

    Attributes:
        subscriber: Who tries.
        account: The name of the account, in lower case.
        at: When it began.
    """

    __slots__ = ("account", "at", "subscriber")

    def __init__(self, subscriber: str, account: str, at: float) -> None:
        self.subscriber = subscriber
        self.account = account
        self.at = at


class Throttle:
    """Remembers failures, and says how long an attempt has to wait."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Args: clock: Returns the time in seconds."""
        self._clock = clock
        self._subscribers: OrderedDict[str, _Failures] = OrderedDict()
        self._accounts: OrderedDict[str, _Failures] = OrderedDict()

    def wait(self, subscriber: str, account: str, *, is_known: bool) -> float:
        """Return the seconds until an attempt may be made, 0 for now.

        Args:
            subscriber: Who tries.
            account: The name of the account, in lower case.
            is_known: Whether the subscriber has logged into the account in the last 30 days; the limits of the
                account do not hold it up, so that nobody can lock the owner out.
        """
        now = self._clock()
        waits = [0.0]
        failures = self._subscribers.get(subscriber)
        if failures is not None:
            waits.append(failures.wait(_BY_SUBSCRIBER, _SUBSCRIBER_WINDOW, now))
        failures = self._accounts.get(account)
        if failures is not None and failures.times and not is_known:
            waits.append(failures.wait(_BY_ACCOUNT, _ACCOUNT_WINDOW, now))
            over = failures.in_a_row - _IN_A_ROW
            if over >= 0:
                waits.append(failures.times[-1] + _pause(over) - now)
        return max(waits)

    def begin(self, subscriber: str, account: str, known_accounts: Container[str] = ()) -> Attempt:
        """Count an attempt as a failure for now.

        Args:
            subscriber: As in `wait`.
            account: As in `wait`.
            known_accounts: The accounts that exist; they are remembered before other names.
        """
        now = self._clock()
        _of(self._subscribers, subscriber, _BY_SUBSCRIBER).add(now)
        _of(self._accounts, account, _BY_ACCOUNT).add(now)
        _trim(self._subscribers, ())
        _trim(self._accounts, known_accounts)
        return Attempt(subscriber, account, now)

    def withdraw(self, attempt: Attempt) -> None:
        """Take an attempt back, because its password was not looked at."""
        for failures in self._found(attempt):
            failures.take_back(attempt.at)

    def succeeded(self, attempt: Attempt) -> None:
        """Take an attempt back, and begin to count failures in a row again."""
        self.withdraw(attempt)
        failures = self._accounts.get(attempt.account)
        if failures is not None:
            failures.in_a_row = 0

    def unlock(self, account: str) -> None:
        """Forget the failures at an account, and those of all subscribers."""
        self._accounts.pop(account, None)
        self._subscribers.clear()

    def _found(self, attempt: Attempt) -> list[_Failures]:
        found = (self._subscribers.get(attempt.subscriber), self._accounts.get(attempt.account))
        return [failures for failures in found if failures is not None]


def _pause(over: int) -> float:
    return _LONGEST_WAIT if over >= math.log2(_LONGEST_WAIT) else float(2**over)


def _of(table: OrderedDict[str, _Failures], key: str, most: int) -> _Failures:
    failures = table.setdefault(key, _Failures(most))
    table.move_to_end(key)
    return failures


def _trim(table: OrderedDict[str, _Failures], kept: Container[str]) -> None:
    """Forget the entry with the oldest last failure, if there are too many."""
    if len(table) > MOST_REMEMBERED:
        oldest = next((key for key in table if key not in kept), None)
        if oldest is not None:
            del table[oldest]
