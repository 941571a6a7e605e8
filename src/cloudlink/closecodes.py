"""The close codes of WebSocket connections, for server and client.

The first block holds the codes of RFC 6455 (section 7.4.1) and those that IANA has registered since, the second one
those of Scratch cloud servers (protocol, section 3.1). Plugins may close connections with any code that `check` accepts.
"""

from __future__ import annotations

from enum import IntEnum


class CloseCode(IntEnum):
    """Why a connection was closed."""

    NORMAL = 1000
    GOING_AWAY = 1001
    PROTOCOL_ERROR = 1002
    UNSUPPORTED_DATA = 1003
    NO_STATUS = 1005
    """Never sent: the peer's close frame had no code."""
    ABNORMAL = 1006
    """Never sent: the connection ended without a close frame."""
    INVALID_TEXT = 1007
    POLICY_VIOLATION = 1008
    TOO_BIG = 1009
    INTERNAL_ERROR = 1011
    TRY_AGAIN_LATER = 1013

    # Scratch cloud variables. Packaged projects give up for good after 4002, 4003 and 4004.
    CLOUD_ERROR = 4000
    CLOUD_USERNAME = 4002
    CLOUD_OVERLOADED = 4003
    CLOUD_PROJECT = 4004
    CLOUD_SECURITY = 4005

    BANNED = 4004
    """Banned or kicked, in every protocol; packaged projects and our own clients do not come back by themselves."""


_ALLOWED = (range(1000, 1004), range(1007, 1015), range(3000, 5000))
"""Codes that a close frame may hold (RFC 6455, section 7.4, and later registrations by IANA)."""


def check(code: int) -> None:
    """Raise `ValueError` if a close frame may not hold a code (RFC 6455, section 7.4)."""
    if not any(code in codes for codes in _ALLOWED):
        raise ValueError(
            f"a connection cannot be closed with the code {code!r}: "
            "use 1000 to 1003, 1007 to 1014 or 3000 to 4999; 4000 to 4999 are free for your own."
        )
