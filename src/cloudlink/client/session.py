"""One connection as a CloudLink 4 client sees it: handshake, username, rooms, then events.

Pure: texts of frames in, events and answers out, and in `outgoing` the texts to send. The name and the rooms to ask for
are in a `DesiredState`, which a session keeps up to date, so that the session after a reconnection restores them.

A session starts in steps, each a request whose answer begins the next:

    handshake  ->  setid (with a username)  ->  link (with rooms)  ->  ready
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cloudlink.client import packets
from cloudlink.client.errors import (
    ClientError,
    DisconnectedError,
    NameRefusedError,
    RequestError,
    ServerFullError,
    WrongServerError,
)
from cloudlink.client.events import (
    Connected,
    OtherPacket,
    StatusCode,
    Unreadable,
    User,
    UserJoined,
    UserLeft,
    UserList,
)
from cloudlink.client.userlists import UserLists
from cloudlink.closecodes import CloseCode

if TYPE_CHECKING:
    from cloudlink.client.events import Event, Listener

DEFAULT_ROOM = "default"
FULL = "Server is full!"
"""The bare text that a full server sends before it closes the connection (protocol, section 1.4)."""

GENERATION = "0.2."
"""Part of the version of every server that speaks this client's dialect of CloudLink 4 (protocol, decision D5)."""

_CLIENT_INFO = {"language": "Python", "version": "0.2.0"}
_LONGEST_QUOTE = 60
_NOT_UNDERSTOOD = frozenset(
    {
        CloseCode.NORMAL,
        CloseCode.PROTOCOL_ERROR,
        CloseCode.UNSUPPORTED_DATA,
        CloseCode.INVALID_TEXT,
        CloseCode.CLOUD_ERROR,
    }
)
"""Close codes of servers that did not understand the handshake."""
_STATE_COMMANDS = ("setid", "link", "unlink")
"""The commands that change the name or the rooms of this client."""


@dataclass
class DesiredState:
    """The name and the rooms that a client requests after each connection.

    Attributes:
        username: None for none.
        rooms: In the order of joining; empty for the room `default`.
    """

    username: str | None = None
    rooms: list[str] = field(default_factory=list)


class Session:
    """One connection, from its opening to its end.

    Attributes:
        outgoing: Texts to send, in order; the sender empties it.
        answers: Answers to pending requests, each with the listener of its request; the owner empties it.
        ready: Whether name and rooms are in place.
        failure: Why the session cannot become ready; None while it can.
        user: This client as the server knows it.
        version: The version that the server reports.
        users: The user lists of the rooms.
        waiting_for: The step that has not been answered yet, in words.
    """

    def __init__(self, desired: DesiredState, *, again: bool = False) -> None:
        """Set up.

        Args:
            desired: The state to request; kept up to date.
            again: Whether this follows another session.
        """
        self.outgoing: list[str] = []
        self.answers: list[tuple[Listener, Event]] = []
        self.ready = False
        self.failure: ClientError | None = None
        self.user = User("", "")
        self.version = ""
        self.users = UserLists()
        self.waiting_for = "the greeting"
        self._desired = desired
        self._again = again
        self._rooms: dict[str, None] = {DEFAULT_ROOM: None}
        self._pending: dict[Listener, str] = {}
        self._state_changes: dict[Listener, tuple[str, Any]] = {}
        self._step: Listener | None = None
        self._deferred: list[Event] = []

    @property
    def rooms(self) -> tuple[str, ...]:
        """The rooms this client is in, in the order of joining."""
        return tuple(self._rooms)

    def opened(self) -> None:
        """Send the handshake: the connection is open."""
        self._step = self._send_tagged("handshake", {"val": _CLIENT_INFO})

    def command(self, cmd: str, keys: dict[str, Any]) -> None:
        """Send a packet; its answer, if there is one, is an event.

        Raises:
            TypeError: A value has a part that JSON cannot hold.
        """
        if cmd in _STATE_COMMANDS and "listener" not in keys:
            self._send_tagged(cmd, keys)
        else:
            self._send(cmd, keys)

    def request(self, cmd: str, keys: dict[str, Any]) -> Listener:
        """Send a packet whose answer comes in `answers`, and return its listener.

        The answer is the first packet with that listener, whatever its command. One that another client has sent
        (it has an `origin`) answers only a direct.

        Raises:
            TypeError: A value has a part that JSON cannot hold.
        """
        listener = self._send_tagged(cmd, keys)
        self._pending[listener] = cmd
        return listener

    def forget(self, listener: Listener) -> None:
        """Stop waiting for the answer to a request; if it still comes, it is an event."""
        self._pending.pop(listener, None)

    def received(self, text: str) -> list[Event]:
        """Handle a message from the server and return the events it means.

        Nothing is returned until the session is ready or has failed. Then the first event is `Connected`.
        """
        event, packet = packets.read(text)
        if isinstance(event, StatusCode):
            self._apply_answer(event)
        changed = True
        if isinstance(event, (UserList, UserJoined, UserLeft)):
            changed = self.users.apply(event)
        if packet is not None and (listener := self._answered_by(packet)) is not None:
            del self._pending[listener]
            self.answers.append((listener, event))
            return []
        if isinstance(event, (UserList, UserJoined, UserLeft)):
            return [event] if self.ready and changed else []
        return [event] if self.ready else self._start(event)

    def ponged(self) -> list[Event]:
        """Ignore a pong: the handshake itself is answered."""
        return []

    def closed(self, code: int, reason: str) -> ClientError:
        """Return the error for the end of the connection, which depends on the steps completed so far."""
        if self.failure is not None:
            return self.failure
        if not self.version and code in _NOT_UNDERSTOOD:
            words = f" ({reason})" if reason else ""
            return WrongServerError(
                f"The server closed the connection with {code}{words} instead of greeting.",
                "Is it a CloudLink server?",
                close_code=code,
                permanent=True,
            )
        return DisconnectedError(code, reason)

    def _answered_by(self, packet: dict[str, Any]) -> Listener | None:
        """Return the listener of the pending request that a packet answers."""
        listener = packets.listener_of(packet)
        if listener is None or listener not in self._pending:
            return None
        # Other clients choose the listeners of what they send.
        if packets.is_from_client(packet) and self._pending[listener] != "direct":
            return None
        return listener

    # Starting.

    def _start(self, event: Event) -> list[Event]:
        if self.failure is not None:
            return []
        if isinstance(event, Unreadable):
            self.failure = not_cloudlink(event.text)
        elif isinstance(event, OtherPacket):
            self._read_greeting(event.packet)
        elif isinstance(event, StatusCode) and event.listener == self._step:
            return self._next_step(event)
        else:
            self._deferred.append(event)
        return []

    def _read_greeting(self, packet: dict[str, Any]) -> None:
        if packet["cmd"] == "server_version":
            self.version = str(packet.get("val"))
            if GENERATION not in self.version:
                self.failure = WrongServerError(
                    f"The server is CloudLink {self.version}; this client speaks with {GENERATION}x only.",
                    "Update the server.",
                    permanent=True,
                )
        elif packet["cmd"] == "client_obj":
            try:
                self.user = packets.user(packet.get("val"))
            except ValueError:
                self._deferred.append(OtherPacket(packet))
        elif packet["cmd"] != "client_ip":
            self._deferred.append(OtherPacket(packet))

    def _next_step(self, answer: StatusCode) -> list[Event]:
        done = self.waiting_for
        if not answer.ok:
            self.failure = self._refusal(done, answer)
            return []
        if not self.version:
            self.failure = WrongServerError(
                "The server does not say which version of CloudLink it is.", permanent=True
            )
            return []
        if done == "the greeting" and self._desired.username is not None:
            self.waiting_for = "the username"
            self._step = self._send_tagged("setid", {"val": self._desired.username})
        elif done != "the rooms" and self._desired.rooms and self._desired.rooms != [DEFAULT_ROOM]:
            self.waiting_for = "the rooms"
            self._step = self._send_tagged("link", {"val": list(self._desired.rooms)})
        else:
            return self._become_ready()
        return []

    def _become_ready(self) -> list[Event]:
        self.ready = True
        lists = [UserList(users, room) for room, users in self.users.by_room.items()]
        deferred, self._deferred = self._deferred, []
        return [Connected(self.user, self._again, self.rooms), *lists, *deferred]

    def _refusal(self, step: str, answer: StatusCode) -> ClientError:
        if step == "the username":
            why = str(answer.details or answer.code)
            return NameRefusedError(str(self._desired.username), answer.code_id, why)
        return RequestError({"the rooms": "link", "the greeting": "handshake"}[step], answer)

    # Sending, and the requests that change the state of this client.

    def _send_tagged(self, cmd: str, keys: dict[str, Any]) -> Listener:
        """Send a packet with a new listener, and return the listener.

        The listener cannot be guessed from earlier ones, because other clients choose the listeners of their packets.
        """
        listener = f"python-{secrets.token_hex(8)}"
        self._send(cmd, {**keys, "listener": listener})
        return listener

    def _send(self, cmd: str, keys: dict[str, Any]) -> None:
        self.outgoing.append(packets.encode(cmd, keys))
        if cmd in _STATE_COMMANDS and keys.get("listener") is not None:
            self._state_changes[keys["listener"]] = (cmd, keys.get("val"))

    def _apply_answer(self, status: StatusCode) -> None:
        if status.listener is None or status.listener not in self._state_changes:
            return
        cmd, value = self._state_changes.pop(status.listener)
        if not status.ok:
            return
        if cmd == "setid":
            self._set_user(status.value)
        elif cmd == "link":
            self._join(_names(value))
        else:
            self._leave(_names(value))

    def _set_user(self, value: object) -> None:
        try:
            self.user = packets.user(value)
        except ValueError:
            return
        self._desired.username = self.user.username

    def _join(self, rooms: list[str]) -> None:
        # Joining leaves `default` unless that is asked for too; other rooms are kept (protocol, section 1.7).
        if rooms and DEFAULT_ROOM not in rooms:
            self._rooms.pop(DEFAULT_ROOM, None)
        self._rooms.update(dict.fromkeys(rooms))
        self._rooms_changed()

    def _leave(self, rooms: list[str]) -> None:
        self._rooms = {} if rooms == [""] else {room: None for room in self._rooms if room not in rooms}
        if not self._rooms:
            self._rooms[DEFAULT_ROOM] = None
        self._rooms_changed()

    def _rooms_changed(self) -> None:
        self._desired.rooms[:] = self._rooms
        self.users.keep_only(set(self._rooms))


def _names(value: object) -> list[str]:
    return [str(room) for room in value] if isinstance(value, (list, tuple)) else [str(value)]


def not_cloudlink(text: str) -> ClientError:
    """Return the error for a text that is not part of the CloudLink protocol."""
    if text == FULL:
        return ServerFullError("The server is full.", "Try again later.")
    quote = text if len(text) <= _LONGEST_QUOTE else text[:_LONGEST_QUOTE] + "…"
    return WrongServerError(
        f"The server said {quote!r} instead of greeting.", "Is it a CloudLink server?", permanent=True
    )
