"""The session of a client that has disconnected: plugins may keep the client and go on calling it."""

from __future__ import annotations

from typing import NoReturn

from cloudlink.closecodes import CloseCode

from .client import State
from .clients import ClientDoesNotExist
from .limits import Traffic


class NullSession:
    """Null session of a disconnected client; every call is a no-op."""

    state = State.CLOSED
    received = Traffic()

    def tally(self) -> tuple[float, float]:
        """Return nothing."""
        return 0, 0

    def send_text(self, payload: bytes) -> None:
        """Do nothing."""

    def send_frame(self, frame: bytes) -> None:
        """Do nothing."""

    def process(self, message: str | bytes) -> None:
        """Do nothing."""

    def apply_limits(self) -> None:
        """Do nothing."""

    def log_limit(self, what: str) -> None:
        """Do nothing."""

    def should_log(self) -> bool:
        """Say that nothing is to be logged."""
        return False

    def should_log_refusal(self) -> bool:
        """Say that nothing is to be logged."""
        return False

    def admit_next_packet(self, packet: bytes) -> bool:  # noqa: ARG002  # the signature of `ClientSession`
        """Refuse everything."""
        return False

    def charge_bytes(self, size: int) -> bool:  # noqa: ARG002  # the signature of `ClientSession`
        """Refuse everything."""
        return False

    def may_keep_more(self) -> bool:
        """Refuse everything."""
        return False

    def take_answer(self) -> bool:
        """Refuse everything."""
        return False

    def rename(self, username: str) -> NoReturn:
        """Raise `ClientDoesNotExist`."""
        raise ClientDoesNotExist(username)

    def throttle(self, data: bytes | None, why: str = "") -> None:
        """Do nothing."""

    def close(self, code: int = CloseCode.NORMAL, reason: str = "", cause: str = "") -> None:
        """Do nothing."""

    def disconnect(self, code: int = CloseCode.NORMAL, reason: str = "") -> None:
        """Do nothing."""


NULL_SESSION = NullSession()
