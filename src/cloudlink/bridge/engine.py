"""The engine of incoming bridge connections, on the server's own port.

A connection whose first message is `{"bridge":1,…}` belongs to this protocol (protocol, section 5.1). For the
server's limits it is a client like others, but it is in no room. Where another node of a cluster runs the bridges, the
connection is passed on to it after the proof (`tunnels`).
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Protocol

from cloudlink.closecodes import CloseCode
from cloudlink.logthrottle import LogThrottle
from cloudlink.server.client import write
from cloudlink.server.eventwriter import EventWriter

from .dialer import TIMEOUT
from .proof import CalledHandshake, HandshakeError, is_first_message

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cloudlink.server.app import Server
    from cloudlink.server.client import Client
    from cloudlink.server.events import User

    from .calls import Call
    from .peer import PeerBridge
    from .site import Wire

logger = logging.getLogger("cloudlink.bridge")


class CalledBridges(Protocol):
    """The bridges that wait to be called."""

    @property
    def waiting(self) -> Mapping[str, PeerBridge]:
        """These bridges by name."""
        ...

    def connect(self, bridge: PeerBridge, wire: Wire, answer: Callable[[], None]) -> Call:
        """Begin to use a connection whose other side has proved the secret; `answer` sends the proof of this side."""
        ...


class Schema:
    """The identity of the protocol between bridges."""

    command_key = "type"


class _BridgeDialect(EventWriter):
    """Writes no events: a connection of a bridge is in no room."""

    def __init__(self) -> None:
        super().__init__({})

    def __str__(self) -> str:
        return "bridge"


_DIALECT = _BridgeDialect()


class _State:
    """The state of a connection: the proof, then the call."""

    __slots__ = ("call", "handshake")

    def __init__(self, handshake: CalledHandshake) -> None:
        self.handshake = handshake
        self.call: Call | None = None


class ClientWire:
    """A client of this server as a `Wire`."""

    def __init__(self, client: Client) -> None:
        self._client = client

    @property
    def is_congested(self) -> bool:
        """Whether the other side reads too slowly to be sent more now."""
        return bool(self._client.outbox.connection.congested)

    def send(self, text: bytes) -> None:
        """Send a message."""
        self._client.session.send_text(text)

    def close(self, code: int, reason: str) -> None:
        """Close the connection."""
        self._client.session.close(code, reason)

    def hold(self) -> None:
        """Read nothing more until `release`."""
        self._client.outbox.connection.hold()

    def release(self) -> None:
        """Read again."""
        if self._client.open:
            self._client.outbox.connection.release()


class BridgeEngine:
    """Serves the connections of calling bridges; see `cloudlink.server.engine.Engine`."""

    schema = Schema
    label = "bridge"
    slow_reader_code = CloseCode.TRY_AGAIN_LATER

    def __init__(self, server: Server, bridges: CalledBridges) -> None:
        """Args: bridges: The bridges that wait to be called."""
        self._server = server
        self._bridges = bridges
        self._throttle = LogThrottle()

    def identify(self, client: Client, data: bytes, packet: object) -> bool:  # noqa: ARG002  # the protocol of Engine
        """Return whether a first message is that of a calling bridge."""
        return bool(self._bridges.waiting) and is_first_message(data)

    def on_attach(self, client: Client) -> None:
        """Prepare for the proof, which has to be complete in time."""
        write(client, "dialect", _DIALECT)
        write(client, "log_name", "bridge")
        state = _State(CalledHandshake({name: bridge.key for name, bridge in self._bridges.waiting.items()}))
        write(client, "state", state)
        self._server.later(TIMEOUT, lambda: self._close_if_unproved(client, state))

    def _close_if_unproved(self, client: Client, state: _State) -> None:
        if client.open and not state.handshake.bridge:
            client.session.close(CloseCode.POLICY_VIOLATION, "The proof of the secret did not come in time")

    def on_detach(self, client: Client) -> None:
        """Note the end of a connection."""
        if client.state.call is not None:
            client.state.call.ended()

    def receive(self, client: Client, data: bytes) -> None:
        """Handle a message."""
        state: _State = client.state
        if state.call is not None:
            state.call.received(data)
            return
        try:
            answer = state.handshake.received(data.decode())
        except HandshakeError as error:
            if self._throttle.should_log(client.address):
                logger.warning(
                    "%s called as a bridge and is disconnected: %s.",
                    client,
                    error.reason,
                    extra={"event": "bridge_refused", "about": client},
                )
            client.session.close(error.code, error.reason)
            return
        if not state.handshake.bridge:
            client.session.send_text(answer.encode())
            return
        bridge = self._bridges.waiting.get(state.handshake.bridge)
        if bridge is None:  # its section was removed meanwhile
            client.session.close(CloseCode.TRY_AGAIN_LATER, "The bridge is gone")
            return
        write(client, "log_name", f"bridge {bridge.name}")
        if state.handshake.is_trial:
            client.session.send_text(answer.encode())
            bridge.answer_trial(ClientWire(client))
            return
        state.call = self._bridges.connect(
            bridge, ClientWire(client), lambda: client.session.send_text(answer.encode())
        )

    def receive_binary(self, client: Client, data: bytes) -> None:  # noqa: ARG002  # the protocol of Engine
        """Refuse a binary message."""
        client.session.close(CloseCode.UNSUPPORTED_DATA, "Bridges send text")

    def reject_packet(self, client: Client, data: bytes, why: str) -> None:  # noqa: ARG002  # the protocol of Engine
        """Count a message that exceeded the limits of a client."""
        if client.state.call is not None:
            client.state.call.dropped()

    def tell_undelivered(self, client: Client, listener: bytes, why: str) -> None:
        """Do nothing: a bridge is in no room."""

    def internal_error(self, client: Client, request: Any) -> None:
        """Do nothing: there are no handlers of this protocol."""

    def check_username(self, client: Client, username: str) -> None:  # noqa: ARG002  # the protocol of Engine
        """Refuse every name: a bridge is not a user."""
        raise ValueError("A bridge cannot have a name")

    def on_rename(self, client: Client, former: User) -> None:
        """Do nothing: a bridge has no name."""
