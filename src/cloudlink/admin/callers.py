"""The other end of an admin socket, as the methods see it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from cloudlink.admin.actors import Actor
    from cloudlink.admin.sessions import Session


@dataclass(frozen=True, slots=True)
class Peer:
    """The other end of an admin socket.

    Attributes:
        address: Its address; behind trusted proxies, the real one.
        subscriber: The key for limits per address; see `cloudlink.addresses.subscriber`.
        is_loopback: Whether it is on this machine.
        is_private: Whether it is on this machine or in a private network.
        is_secure: Whether it came over TLS, to this server or to a trusted proxy.
        is_console: Whether it has shown the key of the file beside `admin_storage`.
    """

    address: str
    subscriber: str
    is_loopback: bool = False
    is_private: bool = False
    is_secure: bool = False
    is_console: bool = False


class Caller(Protocol):
    """An admin socket, as the methods see it.

    Attributes:
        peer: Who is at its other end.
        is_logging_in: Whether a password of it is being checked.
        is_process: False; see `cloudlink.admin.topics.Subscriber`.
    """

    peer: Peer
    is_logging_in: bool
    is_process: bool

    @property
    def session(self) -> Session | None:
        """Its login, None before it."""

    @property
    def is_stranger(self) -> bool:
        """Whether nobody has logged in on it, and it is not the terminal."""

    @property
    def actor(self) -> Actor:
        """The actor of this socket; before a login, a viewer without a name."""

    @property
    def is_open(self) -> bool:
        """Whether it can still be answered."""

    def log_in(self, session: Session) -> None:
        """Begin to act for a session."""

    def send_event(self, name: str, data: dict[str, Any], *, replaces: bool = False) -> None:
        """Send an event; if it replaces one of the same name that still waits to be sent, that one is dropped."""
        ...
