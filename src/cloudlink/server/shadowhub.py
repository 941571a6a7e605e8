"""The hub of a client that must not notice that it is muted: it gets its own copies, and nobody else gets anything.

Commands run as they always do, with this hub in place of the real one, so that checks, answers and echoes are the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cloudlink.delivery import Delivery

    from .client import Client
    from .clients import ClientsManager
    from .events import Event, Message, User, Variable
    from .hub import Hub
    from .members import Members


class ShadowHub:
    """Sends the events of one client to that client alone; the methods are those of `Hub`.

    Attributes:
        sender: The client whose command runs.
    """

    def __init__(self, hub: Hub, clients: ClientsManager, delivery: Delivery) -> None:
        self._hub = hub
        self.sender: Client | None = None
        self._clients = clients
        self._delivery = delivery

    def emit(
        self,
        members: Members,
        event: Event,
        sender: Client | None = None,  # noqa: ARG002  # the signature of `Hub`
        listener: bytes = b"",
        *,
        to_sender: bool = True,
    ) -> int:
        """Send the client's own copy."""
        if to_sender:
            self._echo(event, members.room, listener)
        return 0

    def emit_except(
        self,
        members: Members,
        event: Message | Variable,
        sender: Client,
        listener: bytes = b"",
    ) -> int:
        """Send the client's own copy unless it leaves itself out."""
        if sender.snowflake not in event.left_out:
            self._echo(event, members.room, listener)
        return 0

    def refusal(self, copies: Iterable[tuple[str, User]], event: Event) -> str:
        """Return why the real hub could not send an event to one of its recipients."""
        return self._hub.refusal(copies, event)

    def send(
        self,
        copies: Iterable[tuple[str, User]],
        event: Event,
        sender: Client | None = None,  # noqa: ARG002  # the signature of `Hub`
        listener: bytes = b"",  # noqa: ARG002  # likewise
    ) -> int:
        """Send the client's own copies, and return how many copies the real hub would send."""
        sent = 0
        for room, user in copies:
            client = self._clients.snowflakes.get(user.id)
            if client is None:
                sent += bool(user.node)
                continue
            dialect: Any = client.dialect
            frame = dialect.writers[type(event)](event, room, b"", user)
            if frame:
                sent += 1
                if client is self.sender:
                    self._delivery.send(client.outbox, frame)
        return sent

    def _echo(self, event: Event, room: str, listener: bytes) -> None:
        client = self.sender
        if client is not None:
            dialect: Any = client.dialect
            frame = dialect.writers[type(event)](event, room, listener)
            if frame:
                self._delivery.send(client.outbox, frame)
