"""One connection as a CloudLink 4 client sees it: greeting, name, rooms, then whatever happens.

Pure: texts of frames in, events out, and in `outgoing` the texts to send. It is told what it wants (`DesiredState`), and
keeps that up to date, so that the session after a reconnection begins where this one ended.

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
"""The bare text that a server sends to one client too many (protocol, section 1.4)."""

GENERATION = "0.2."
"""What a server's version contains if it speaks CloudLink 4 as this client does (protocol, decision D5)."""

FINAL_CODES = frozenset({CloseCode.NORMAL, CloseCode.POLICY_VIOLATION})
"""Close codes by which a server sends a client away for good: it was asked to leave, or broke a rule."""

_SAYS_WHO = {"language": "Python", "version": "0.2.0"}
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
_ID_CONFLICT = 112


@dataclass
class DesiredState:
    """What a client wants to be after each connecting: its name, and the rooms it is in.

    Attributes:
        username: None for none.
        rooms: In the order of joining; empty for the room `default`.
    """

    username: str | None = None
    rooms: list[str] = field(default_factory=list)


class Session:
    """One connection, from its opening to its end.

    Attributes:
        outgoing: Texts to send, in order; whoever sends them empties it.
        ready: Whether name and rooms are in place.
        failure: Why the session cannot become ready; None while it can.
        user: This client as the server knows it.
        version: The version that the server reports.
        users: The user lists of the rooms.
    """

    def __init__(self, desired: DesiredState, *, again: bool = False) -> None:
        """Args: desired: what to ask for; kept up to date. again: whether this follows another session."""
        self.outgoing: list[str] = []
        self.ready = False
        self.failure: ClientError | None = None
        self.user = User("", "")
        self.version = ""
        self.users = UserLists()
        self.waiting_for = "the greeting"
        self._desired = desired
        self._again = again
        self._rooms: dict[str, None] = {DEFAULT_ROOM: None}
        self._asked: dict[Listener, tuple[str, Any]] = {}
        self._step: Listener | None = None
        self._early: list[Event] = []

    @property
    def rooms(self) -> tuple[str, ...]:
        """The rooms this client is in, in the order of joining."""
        return tuple(self._rooms)

    def opened(self) -> None:
        """Begin: the connection is there."""
        self._step = self.request("handshake", {"val": _SAYS_WHO})

    def command(self, cmd: str, keys: dict[str, Any]) -> None:
        """Send a packet; its answer, if there is one, is an event.

        Raises:
            TypeError: A value has a part that JSON cannot hold.
        """
        if cmd in _CHANGES and "listener" not in keys:
            self.request(cmd, keys)
        else:
            self._send(cmd, keys)

    def request(self, cmd: str, keys: dict[str, Any]) -> Listener:
        """Send a packet whose answer can be told by its listener, and return that listener.

        Nobody can guess it, not even who has seen others: strangers choose the listeners of what they send here.

        Raises:
            TypeError: A value has a part that JSON cannot hold.
        """
        listener = f"python-{secrets.token_hex(8)}"
        self._send(cmd, {**keys, "listener": listener})
        return listener

    def received(self, text: str) -> list[Event]:
        """Take a message from the server and return what it means.

        Until the session is ready or has failed nothing is returned. Then the first event is `Connected`.
        """
        event = packets.read(text)
        if isinstance(event, (UserList, UserJoined, UserLeft)):
            changed = self.users.take(event)
            return [event] if self.ready and changed else []
        if isinstance(event, StatusCode):
            self._follow(event)
        if self.ready:
            return [event]
        return self._start(event)

    def ponged(self) -> list[Event]:
        """Pongs tell nothing here: the greeting itself is answered."""
        return []

    def closed(self, code: int, reason: str) -> ClientError:
        """Return what the end of the connection means, told from how far the session came."""
        if self.failure is not None:
            return self.failure
        if not self.version and code in _NOT_UNDERSTOOD:
            words = f" ({reason})" if reason else ""
            return WrongServerError(
                f"The server closed the connection with {code}{words} instead of greeting.",
                "Is it a CloudLink server?",
            )
        return DisconnectedError(code, reason)

    # Starting.

    def _start(self, event: Event) -> list[Event]:
        if self.failure is not None:
            return []
        if isinstance(event, Unreadable):
            self.failure = not_cloudlink(event.text)
        elif isinstance(event, OtherPacket):
            self._note(event.packet)
        elif isinstance(event, StatusCode) and event.listener == self._step:
            return self._next_step(event)
        else:
            self._early.append(event)
        return []

    def _note(self, packet: dict[str, Any]) -> None:
        if packet["cmd"] == "server_version":
            self.version = str(packet.get("val"))
            if GENERATION not in self.version:
                self.failure = WrongServerError(
                    f"The server is CloudLink {self.version}; this client speaks with {GENERATION}x only.",
                    "Update the server.",
                )
        elif packet["cmd"] == "client_obj":
            try:
                self.user = packets.user(packet.get("val"))
            except ValueError:
                self._early.append(OtherPacket(packet))
        elif packet["cmd"] != "client_ip":
            self._early.append(OtherPacket(packet))

    def _next_step(self, answer: StatusCode) -> list[Event]:
        done = self.waiting_for
        if not answer.ok:
            self.failure = self._refused(done, answer)
            return []
        if not self.version:
            self.failure = WrongServerError("The server does not say which CloudLink it is.")
            return []
        if done == "the greeting" and self._desired.username is not None:
            self.waiting_for = "the username"
            self._step = self.request("setid", {"val": self._desired.username})
        elif done != "the rooms" and self._desired.rooms and self._desired.rooms != [DEFAULT_ROOM]:
            self.waiting_for = "the rooms"
            self._step = self.request("link", {"val": list(self._desired.rooms)})
        else:
            return self._begin()
        return []

    def _begin(self) -> list[Event]:
        self.ready = True
        self.users.keep_only(set(self._rooms))
        lists = [UserList(users, room) for room, users in self.users.by_room.items()]
        early, self._early = self._early, []
        return [Connected(self.user, self._again, self.rooms), *lists, *early]

    def _refused(self, step: str, answer: StatusCode) -> ClientError:
        if step == "the username":
            why = str(answer.details or answer.code)
            return NameRefusedError(str(self._desired.username), answer.code_id, why)
        return RequestError({"the rooms": "link", "the greeting": "handshake"}[step], answer)

    # Requests that change what this client is.

    def _send(self, cmd: str, keys: dict[str, Any]) -> None:
        self.outgoing.append(packets.encode(cmd, keys))
        if cmd in _CHANGES and keys.get("listener") is not None:
            self._asked[keys["listener"]] = (cmd, keys.get("val"))

    def _follow(self, status: StatusCode) -> None:
        if status.listener is None or status.listener not in self._asked:
            return
        cmd, value = self._asked.pop(status.listener)
        if not status.ok:
            return
        if cmd == "setid":
            self._named(status.value)
        elif cmd == "link":
            self._linked(_names(value))
        else:
            self._unlinked(_names(value))

    def _named(self, value: object) -> None:
        try:
            self.user = packets.user(value)
        except ValueError:
            return
        self._desired.username = self.user.username

    def _linked(self, rooms: list[str]) -> None:
        # Joining leaves `default` unless that is asked for too; other rooms are kept (protocol, section 1.7).
        if rooms and DEFAULT_ROOM not in rooms:
            self._rooms.pop(DEFAULT_ROOM, None)
        self._rooms.update(dict.fromkeys(rooms))
        self._remember_rooms()

    def _unlinked(self, rooms: list[str]) -> None:
        self._rooms = {} if rooms == [""] else {room: None for room in self._rooms if room not in rooms}
        if not self._rooms:
            self._rooms[DEFAULT_ROOM] = None
        self._remember_rooms()

    def _remember_rooms(self) -> None:
        self._desired.rooms[:] = self._rooms
        self.users.keep_only(set(self._rooms))


_CHANGES = ("setid", "link", "unlink")


def is_final(error: ClientError) -> bool:
    """Return whether an error means that connecting again would not help, or is not wanted."""
    if isinstance(error, DisconnectedError):
        return error.code in FINAL_CODES
    if isinstance(error, NameRefusedError):
        # After a reconnection the name may still be held by the connection that broke.
        return error.code != _ID_CONFLICT
    return isinstance(error, RequestError)


def _names(value: object) -> list[str]:
    return [str(room) for room in value] if isinstance(value, (list, tuple)) else [str(value)]


def not_cloudlink(text: str) -> ClientError:
    """Return what a text means that a server says instead of anything a client understands."""
    if text == FULL:
        return ServerFullError("The server is full.", "Try again later.")
    quote = text if len(text) <= _LONGEST_QUOTE else text[:_LONGEST_QUOTE] + "…"
    return WrongServerError(f"The server said {quote!r} instead of greeting.", "Is it a CloudLink server?")
