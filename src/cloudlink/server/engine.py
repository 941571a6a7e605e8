"""What the server asks of a protocol. It imports no protocol; an engine registers itself in the hooks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from .clients import Client, Schema
    from .events import User


class Engine(Protocol):
    """What a protocol does with its clients' messages; a session finds it here by its schema."""

    @property
    def schema(self) -> Schema:
        """The protocol's identity."""
        ...

    @property
    def slow_reader_code(self) -> int:
        """Close code for a client that reads too slowly."""
        ...

    def identify(self, client: Client, data: bytes, packet: object) -> bool:
        """Tell whether a connection's first message belongs to this protocol.

        Args:
            client: Who sent it; `client.path` is the request target of its upgrade request.
            data: The message.
            packet: Its root keys `cmd` and `method` as far as they hold text, as a dict that may have more keys;
                `Hooks.NOT_JSON` where the message is no JSON.
        """
        ...

    def on_attach(self, client: Client) -> None:
        """Take in a client whose first message was identified; `client.protocol` is set.

        The engine sets `client.dialect`, and `client.state` to whatever it keeps about the client.
        """
        ...

    def receive(self, client: Client, data: bytes) -> None:
        """Handle one message of a client, the first one included."""
        ...

    def receive_binary(self, client: Client, data: bytes) -> None:
        """Handle one binary message."""
        ...

    def reject_packet(self, client: Client, data: bytes, why: str) -> None:
        """Tell a client that its message was not processed."""
        ...

    def tell_undelivered(self, client: Client, listener: bytes, why: str) -> None:
        """Tell a client that a message of its was dropped for some of its recipients.

        Args:
            client: The sender.
            listener: JSON text of the message's echo tag, empty for none.
            why: What the client is told.
        """
        ...

    def internal_error(self, client: Client, request: Any) -> None:
        """Answer a request whose handler raised; `request` is the message it was called with."""
        ...

    def check_username(self, client: Client, username: str) -> None:
        """Raise `ValueError`, with the reason, if a client may not be given this name.

        The client is one of this protocol, or its first message has not come.
        """
        ...

    def on_rename(self, client: Client, former: User) -> None:
        """Tell others that a client has another name than `former` had, which may have had none."""
        ...

    def on_detach(self, client: Client) -> None:
        """Tell others that a client is gone; `client.rooms` still tells where it was."""
        ...
