"""The code of the link with which the first account is made: one use, a quarter of an hour, five wrong tries."""

from __future__ import annotations

import hmac
import secrets
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

LIFETIME = 900.0
"""Seconds for which a code is valid."""
_SIZE = 16
"""Random bytes of a code."""
_WRONG_TRIES = 5


class SetupCode:
    """The current code, if there is one."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._code = ""
        self._made_at = 0.0
        self._wrong = 0

    def make(self) -> str:
        """Return a new code, which replaces the former one."""
        self._code = secrets.token_urlsafe(_SIZE)
        self._made_at = self._clock()
        self._wrong = 0
        return self._code

    def is_right(self, code: str) -> bool:
        """Return whether a code is the current one; wrong ones are counted."""
        if not self._code or self._clock() - self._made_at >= LIFETIME:
            self.drop()
            return False
        if hmac.compare_digest(code.encode("utf-8", "surrogatepass"), self._code.encode()):
            return True
        self._wrong += 1
        if self._wrong >= _WRONG_TRIES:
            self.drop()
        return False

    def drop(self) -> None:
        """Make the current code invalid."""
        self._code = ""
