"""The logins that are valid now. They are kept in memory only, and of their tokens only a hash."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

MOST = 32
"""The most sessions at a time."""
_TOKEN_SIZE = 32
"""Random bytes of a token."""


@dataclass(slots=True, eq=False)
class Session:
    """One login.

    Attributes:
        id: Its number, which is not a secret.
        account: The name of its account.
        address: The address that logged in.
        since: Unix time of the login.
        expires: Unix time at which it ends at the latest.
        active: Unix time of the last change or `touch`.
        is_over: Whether it has ended.
    """

    id: int
    account: str
    address: str
    since: float
    expires: float
    active: float
    digest: bytes = field(repr=False)
    is_over: bool = False


class Sessions:
    """All sessions of a server."""

    def __init__(
        self,
        longest: Callable[[], float],
        idle: Callable[[], float],
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        """Set up the sessions.

        Args:
            longest: Returns the longest time of a session, in seconds.
            idle: Returns the longest time without a change or `touch`, in seconds.
            wall_clock: Returns the Unix time in seconds.
        """
        self._longest = longest
        self._idle = idle
        self._clock = wall_clock
        self._sessions: dict[bytes, Session] = {}
        self._last_id = 0

    def __len__(self) -> int:
        return len(self._sessions)

    def begin(self, account: str, address: str) -> tuple[str, Session]:
        """Return the token of a new session, and the session.

        If there are too many, the account with the most loses the one that was idle for longest, so that no account
        can keep the others out.
        """
        self.expire()
        if len(self._sessions) >= MOST:
            self._make_room(account)
        token = secrets.token_urlsafe(_TOKEN_SIZE)
        now = self._clock()
        self._last_id += 1
        session = Session(self._last_id, account, address, now, now + self._longest(), now, _digest(token))
        self._sessions[session.digest] = session
        return token, session

    def resume(self, token: str) -> Session | None:
        """Return the session of a token, None if it has ended or never was."""
        session = self._sessions.get(_digest(token))
        if session is None or self._is_expired(session):
            return None
        return session

    def touch(self, session: Session) -> None:
        """Note that a session was used to change something, or that its page asks for it to go on."""
        session.active = self._clock()

    def end(self, session: Session) -> None:
        """End a session; the token is worthless from now on."""
        session.is_over = True
        self._sessions.pop(session.digest, None)

    def end_of(self, account: str) -> list[Session]:
        """End all sessions of an account, and return them."""
        ended = [session for session in self._sessions.values() if session.account == account]
        for session in ended:
            self.end(session)
        return ended

    def expire(self) -> None:
        """End the sessions that have been idle, or lasted, for too long."""
        for session in [session for session in self._sessions.values() if self._is_expired(session)]:
            self.end(session)

    def all(self) -> list[Session]:
        """Return the sessions in the order of their logins."""
        return list(self._sessions.values())

    def _is_expired(self, session: Session) -> bool:
        now = self._clock()
        return now >= session.expires or now - session.active >= self._idle()

    def _make_room(self, newcomer: str) -> None:
        counts = Counter(session.account for session in self._sessions.values())
        counts[newcomer] += 1
        account = max(counts, key=lambda name: counts[name])
        self.end(min((s for s in self._sessions.values() if s.account == account), key=lambda s: s.active))


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
