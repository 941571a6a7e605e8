"""One connection as a client of cloud variables sees it (protocol, section 3).

Pure, like `session`. A server answers the handshake with the current values, with an empty message, or not at all. So the
client sends a ping after it, and the values that arrive before the pong are the initial ones. Some servers then send a
greeting in plain text, which is ignored.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloudlink import jsontext
from cloudlink.client.errors import (
    ClientError,
    DisconnectedError,
    NameRefusedError,
    ServerFullError,
)
from cloudlink.client.events import CloudChange
from cloudlink.client.session import not_cloudlink
from cloudlink.closecodes import CloseCode

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cloudlink.cloudvalues import Value

_CLOUD_CODES = range(CloseCode.CLOUD_ERROR, CloseCode.CLOUD_SECURITY + 1)


class CloudSession:
    """One connection to a project's variables.

    Attributes:
        outgoing: Texts to send, in order; the sender empties it.
        ready: Whether the initial values have arrived.
        failure: Why the session cannot become ready; None while it can.
        variables: The values, by full name.
        waiting_for: The message that has not arrived yet, in words.
    """

    def __init__(self, project_id: str, username: str, known: Mapping[str, Value] | None = None) -> None:
        """Args: known: The values before the connection broke; None for the first connection."""
        self.outgoing: list[str] = []
        self.ready = False
        self.failure: ClientError | None = None
        self.variables: dict[str, Value] = {}
        self.waiting_for = "a sign of the project"
        self._project_id = project_id
        self._username = username
        self._known = known
        self._foreign: str | None = None
        self._is_answered = False  # by values, or by a message that says that there are none

    def opened(self) -> None:
        """Send the handshake: the connection is open."""
        self._send({"method": "handshake"})

    def set(self, name: str, value: Value) -> None:
        """Send a value, which has been checked."""
        self.variables[name] = value
        self._send({"method": "set", "name": name, "value": value})

    def received(self, text: str) -> list[CloudChange]:
        """Handle a message: one change a line."""
        self._is_answered = self._is_answered or not text.strip()
        changes = [change for line in text.split("\n") if (change := self._read(line)) is not None]
        self._is_answered = self._is_answered or bool(changes)
        self.variables.update((change.name, change.value) for change in changes)
        return changes if self.ready else []

    def ponged(self) -> list[CloudChange]:
        """Handle the pong after the handshake; return what has changed since the last connection broke."""
        if self.ready or self.failure is not None:
            return []
        self.failure = self._judge()
        if self.failure is not None:
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
        """Return the error for the end of the connection."""
        if code == CloseCode.CLOUD_USERNAME:
            why = f"{reason or 'it cannot be used'}. A username has 1 to 20 letters, digits, _ and -."
            return NameRefusedError(self._username, code, why)
        if code == CloseCode.CLOUD_OVERLOADED:
            return ServerFullError(
                f"The server has no room for this client ({reason or code}).",
                "Try again in a minute.",
                close_code=code,
            )
        foreign = None if self.ready or code in _CLOUD_CODES else self._judge()
        return foreign or DisconnectedError(code, reason)

    def _read(self, line: str) -> CloudChange | None:
        if not line.strip():
            return None
        try:
            packet = jsontext.loads(line.encode())
        except jsontext.JSONTextError:
            packet = None
        if not isinstance(packet, dict) or "cmd" in packet:
            self._foreign = self._foreign or line
            return None
        name, value = packet.get("name"), packet.get("value")
        if (
            packet.get("method") != "set"
            or not isinstance(name, str)
            or not isinstance(value, (int, float, str))
        ):
            return None
        return CloudChange(name, value)

    def _judge(self) -> ClientError | None:
        """Return the error for a text that is not of this protocol.

        It is judged at the pong or the end: a cloud server may send an explanation before it closes with a code, and may
        say more after it has answered the handshake.
        """
        return None if self._foreign is None or self._is_answered else not_cloudlink(self._foreign)

    def _send(self, packet: dict[str, object]) -> None:
        packet = {**packet, "user": self._username, "project_id": self._project_id}
        self.outgoing.append(jsontext.dumps(packet).decode())


def same(one: Value | None, other: Value | None) -> bool:
    """Return whether two values are the same, type included: `"1"` is not `1`."""
    return type(one) is type(other) and one == other
