"""The interface that a protocol implements. The server imports no protocol; engines register in the hooks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from .client import Client, Schema
    from .events import User


class Engine(Protocol):
    """Handles the messages of one protocol's clients; a session finds its engine by the client's schema."""

    @property
    def schema(self) -> Schema:
        """The protocol's identity."""
        ...

    @property
    def label(self) -> str:
        """Name of the protocol in metrics, such as `cl4`."""
        ...

    @property
    def slow_reader_code(self) -> int:
        """Close code for a client that reads too slowly."""
        ...

    def identify(self, client: Client, data: bytes, packet: object) -> bool:
        """Return whether a connection's first message belongs to this protocol.

        Args:
            client: The sender; `client.path` is the request target of its upgrade request.
            data: The message.
            packet: A dict with the message's root keys `cmd` and `method` if they hold text, and maybe more
                keys; `opening.NOT_JSON` if the message is not JSON.
        """
        ...

    def on_attach(self, client: Client) -> None:
        """Prepare a client whose first message was identified; `client.protocol` is set.

        The engine sets `client.dialect`, and stores its own state for the client in `client.state`.
        """
        ...

    def receive(self, client: Client, data: bytes) -> None:
        """Handle one text message of a client, including the first."""
        ...

    def receive_binary(self, client: Client, data: bytes) -> None:
        """Handle one binary message."""
        ...

    def reject_packet(self, client: Client, data: bytes, why: str) -> None:
        """Tell a client that its message was not processed."""
        ...

    def tell_undelivered(self, client: Client, listener: bytes, why: str) -> None:
        """Tell a client that its message was dropped for some recipients.

        Args:
            client: The sender.
            listener: JSON text of the message's echo tag, empty for none.
            why: The reason to send to the client.
        """
        ...

    def internal_error(self, client: Client, request: Any) -> None:
        """Answer a request whose handler raised; `request` is the message that the handler was called with."""
        ...

    def check_username(self, client: Client, username: str) -> None:
        """Raise `ValueError`, with the reason, if a client may not be given this name.

        The client has this protocol, or has not sent its first message.
        """
        ...

    def on_rename(self, client: Client, former: User) -> None:
        """Tell others that a client was renamed; `former` is the user before, possibly without a name."""
        ...

    def on_detach(self, client: Client) -> None:
        """Tell others that a client disconnected; `client.rooms` still holds the rooms it was in."""
        ...
