"""One connection as a client of cloud variables sees it (protocol, section 3).

Pure, like `session`. A server answers the handshake with the values there are, or with nothing; so the client pings
after it, and what has come by the time of the pong are the values of the beginning.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloudlink import jsontext
from cloudlink.client.errors import ClientError, DisconnectedError, NameRefusedError, ServerFullError
from cloudlink.client.events import CloudChange
from cloudlink.client.session import FINAL_CODES, not_cloudlink
from cloudlink.closecodes import CloseCode

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cloudlink.cloudvalues import Value


class CloudSession:
    """One connection to a project's variables.

    Attributes:
        outgoing: Texts to send, in order; whoever sends them empties it.
        ready: Whether the values of the beginning are there.
        failure: Why that cannot be; None while it can.
        variables: The values, by full name.
    """

    def __init__(self, project_id: str, username: str, known: Mapping[str, Value] | None = None) -> None:
        """Args: known: the values before the connection broke; None for the first connection."""
        self.outgoing: list[str] = []
        self.ready = False
        self.failure: ClientError | None = None
        self.variables: dict[str, Value] = {}
        self.waiting_for = "a sign of the project"
        self._project_id = project_id
        self._username = username
        self._known = known

    def opened(self) -> None:
        """Begin: the connection is there."""
        self._send({"method": "handshake"})

    def set(self, name: str, value: Value) -> None:
        """Send a value, which has been checked."""
        self.variables[name] = value
        self._send({"method": "set", "name": name, "value": value})

    def received(self, text: str) -> list[CloudChange]:
        """Take a message: one change a line."""
        changes = [change for line in text.split("\n") if (change := self._read(line)) is not None]
        self.variables.update((change.name, change.value) for change in changes)
        return changes if self.ready else []

    def ponged(self) -> list[CloudChange]:
        """The server has read the handshake; return what others changed since the connection broke."""
        if self.ready or self.failure is not None:
            return []
        self.ready = True
        if self._known is None:
            return []
        known = self._known
        return [
            CloudChange(name, value)
            for name, value in self.variables.items()
            if name not in known or not same(known[name], value)
        ]

    def closed(self, code: int, reason: str) -> ClientError:
        """Return what the end of the connection means."""
        if self.failure is not None:
            return self.failure
        if code == CloseCode.CLOUD_USERNAME:
            return NameRefusedError(self._username, code, "it has 1 to 20 letters, digits, _ and -.")
        if code == CloseCode.CLOUD_OVERLOADED:
            return ServerFullError("The server takes no more projects.", "Try again later.")
        return DisconnectedError(code, reason)

    def _read(self, line: str) -> CloudChange | None:
        if not line.strip():
            return None
        try:
            packet = jsontext.loads(line.encode())
        except jsontext.JSONTextError:
            packet = None
        if not isinstance(packet, dict) or "cmd" in packet:
            if not self.ready and self.failure is None:
                self.failure = not_cloudlink(line)
            return None
        name, value = packet.get("name"), packet.get("value")
        if (
            packet.get("method") != "set"
            or not isinstance(name, str)
            or not isinstance(value, (int, float, str))
        ):
            return None
        return CloudChange(name, value)

    def _send(self, packet: dict[str, object]) -> None:
        packet = {**packet, "user": self._username, "project_id": self._project_id}
        self.outgoing.append(jsontext.dumps(packet).decode())


def same(one: Value | None, other: Value | None) -> bool:
    """Return whether two values are the same, type included: `"1"` is not `1`."""
    return type(one) is type(other) and one == other


def is_final(error: ClientError) -> bool:
    """Return whether connecting again would not help, or is not wanted (protocol, section 3.3)."""
    if isinstance(error, DisconnectedError):
        return error.code in FINAL_CODES or error.code in (CloseCode.CLOUD_PROJECT, CloseCode.CLOUD_SECURITY)
    return isinstance(error, NameRefusedError)
