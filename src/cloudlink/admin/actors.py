"""The actor of an administrative action, and the refusal of an action.

Every change names its `Actor`. What may not be done raises `AdminError`, whose parts are the `error` of an answer on the
admin socket.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Role = Literal["viewer", "moderator", "owner"]
Via = Literal["dashboard", "cli", "scratch", "auto", "plugin"]

RANKS: dict[Role, int] = {"viewer": 0, "moderator": 1, "owner": 2}
"""The roles in order: each may do what those below it may."""

ErrorCode = Literal[
    "invalid",
    "unknown_method",
    "not_logged_in",
    "wrong_credentials",
    "insecure",
    "throttled",
    "busy",
    "forbidden",
    "not_found",
    "ambiguous",
    "conflict",
    "protected",
    "too_broad",
    "too_many",
    "too_slow",
    "storage",
    "unavailable",
    "internal",
]


@dataclass(frozen=True, slots=True)
class Actor:
    """The person or program that acts.

    Attributes:
        name: Name of the account; `console` for the terminal, the name of the file for a plugin, `server` for what
            the server does by itself, the player's name for a Scratch project.
        role: What it may do.
        via: Where it acts.
        from_: The address it acts from, empty for the server itself and for plugins.
        client: For a player who moderates, the id of its client; empty for all others.
    """

    name: str
    role: Role
    via: Via
    from_: str = ""
    client: str = ""

    @property
    def is_owner(self) -> bool:
        """Whether it may do everything."""
        return self.role == "owner"


SERVER = Actor("server", "owner", "auto")
"""The server itself, as it acts by its settings."""


class AdminError(Exception):
    """An action that is refused.

    Attributes:
        code: One of the error codes of the admin socket.
        message: A sentence for people.
        data: Further facts for programs, such as `retry_after` in seconds.
    """

    def __init__(self, code: ErrorCode, message: str, data: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.data = data or {}
