"""One connection between two of these servers, after the proof (protocol, section 5.2).

Each side first says what it shares. What both sides name is shared: its users, messages and variables travel as records.
Users have numbers of the connection, so that no ids, UUIDs or addresses cross. Both directions are paced, and
everything that comes in is checked as if a client had sent it. Pure: records in, records out, and calls of `Site`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from cloudlink import jsontext
from cloudlink.closecodes import CloseCode
from cloudlink.server.events import (
    Message,
    PrivateMessage,
    PrivateVariable,
    Variable,
)

from .guests import MOST_USERS
from .ledger import MOST_SKEW, Entry
from .records import LONGEST_RECORD, Record, Unreadable, read_all, write
from .sharing import as_json, entries_of, from_json, matched

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from cloudlink.bridgesections import BridgeSection
    from cloudlink.buckets import Bucket
    from cloudlink.server.events import Event, User

    from .guests import Guests
    from .ledger import Ledger
    from .pacing import PacedQueue
    from .site import Site, Wire

PING_EVERY = 5.0
"""Seconds between two pings."""
SILENT_AFTER = 15.0
"""Seconds without a record after which the other side counts as gone."""
STALLED_AFTER = 30.0
"""Seconds that the other side may read nothing while records wait."""

_FRAME_BYTES = 1 << 16
_FRAME_RECORDS = 500
_PRESENCE_COST = 0.2
"""What a user's coming or going counts for, compared with a message: lists come all at once."""
_PRESENCE = ("user", "gone")
_LONGEST_SERVER_NAME = 64

ROOM, PROJECT = "room", "project"


class Owner(Protocol):
    """The bridge that a link belongs to."""

    name: str
    section: BridgeSection
    guests: Guests
    site: Site
    ledger: Ledger
    outbound: PacedQueue[Record]
    inbound: PacedQueue[Record]
    reading: Bucket
    received: int
    sent: int

    def link_is_up(self, link: PeerLink) -> None:
        """Note that the other side has sent all its users."""
        ...

    def link_drops(self, *, theirs: bool) -> None:
        """Count a dropped record: the other side sent too much or something wrong, or this side has too much to send."""
        ...

    def wake(self) -> None:
        """Have `flush` called soon."""
        ...


class PeerLink:
    """A connection whose other side has proved the secret.

    Attributes:
        rooms: The shared rooms, the other side's names by the names here.
        projects: The shared projects, likewise.
        is_up: Whether the other side has sent all its users.
        unshared: What this side names and the other side does not share.
        close_reason: Why this side has closed the connection, empty if it has not.
    """

    def __init__(self, owner: Owner, wire: Wire, clock: Callable[[], float]) -> None:
        self.rooms: dict[str, str] = {}
        self.projects: dict[str, str] = {}
        self.unshared: list[str] = []
        self.is_up = False
        self.close_reason = ""
        self._owner = owner
        self._wire = wire
        self._clock = clock
        section = owner.section
        self._our_rooms = entries_of(section.rooms)
        self._our_projects = entries_of(section.projects)
        # The rates are those of the bridge: connecting again and again does not refill them.
        self._outbound, self._inbound, self._reading = owner.outbound, owner.inbound, owner.reading
        self._outbound.clear()
        self._inbound.clear()
        self._knows_shares = False
        self._is_held = False
        self._numbers: dict[str, int] = {}  # of the users here, by id
        self._ids: dict[int, str] = {}
        self._shown: dict[str, dict[str, None]] = {}  # their rooms, by id
        self._next_number = 1
        self._is_anyone_left_over = False
        self._heard_at = self._pinged_at = self._moved_at = clock()
        self._is_closed = False
        self._handlers: dict[str, Callable[[Record], bool]] = {
            "user": self._take_user,
            "gone": self._take_gone,
            "gmsg": self._take_message,
            "gvar": self._take_variable,
            "pmsg": self._take_private,
            "pvar": self._take_private,
            "set": self._take_cloud_variable,
            "ping": self._take_ping,
        }

    # Starting and ending.

    def start(self) -> None:
        """Say what this side shares."""
        self._wire.send(shares_message(self._owner.section, self._owner.ledger))

    def close(self, code: int, reason: str) -> None:
        """End the connection."""
        if not self._is_closed:
            self._is_closed = True
            self.close_reason = reason
            self._wire.close(code, reason)

    def tick(self) -> None:
        """Let through what had to wait, send a ping, and end a connection that is dead; called often."""
        if self._is_closed:
            return
        now = self._clock()
        if self._is_held and self._reading.take(0):
            self._is_held = False
            self._heard_at = now
            self._wire.release()
        self._take_in()
        if now - self._pinged_at >= PING_EVERY:
            self._pinged_at = now
            self._put(Record("ping"), key="ping")
        self.flush()
        if not self._is_held and now - self._heard_at > SILENT_AFTER:
            self.close(CloseCode.TRY_AGAIN_LATER, "Nothing was heard for too long")
        elif self._wire.is_congested and now - self._moved_at > STALLED_AFTER:
            self.close(CloseCode.TRY_AGAIN_LATER, "Reading too slowly")

    @property
    def has_waiting(self) -> bool:
        """Whether records wait for the rate to allow them."""
        return bool(self._outbound) or bool(self._inbound) or self._is_held

    def flush(self) -> None:
        """Send what may be sent now."""
        while not (self._is_closed or self._wire.is_congested):
            self._moved_at = self._clock()
            frame: list[bytes] = []
            size = 0
            while size < _FRAME_BYTES and len(frame) < _FRAME_RECORDS:
                record = self._outbound.take()
                if record is None:
                    break
                text = write(record)
                size += len(text)
                frame.append(text)
            if not frame:
                return
            self._owner.sent += len(frame)
            self._wire.send(b"[%b]" % b",".join(frame))

    # From this server.

    def show(self, user: User, room: str) -> None:
        """Tell the other side that a user is in a room here, or has another name."""
        if room not in self.rooms or user.username is None:
            return
        number = self._numbers.get(user.id)
        if number is None:
            if len(self._numbers) >= MOST_USERS:
                self._is_anyone_left_over = True
                return
            number = self._numbers[user.id] = self._next_number
            self._ids[number] = user.id
            self._next_number += 1
        self._shown.setdefault(user.id, {})[room] = None
        record = Record("user", self.rooms[room], number, name=user.username)
        self._put(record, key=("user", number, room), cost=_PRESENCE_COST)

    def hide(self, user_id: str, room: str) -> None:
        """Tell the other side that a user is no longer in a room here."""
        rooms = self._shown.get(user_id, {})
        if room not in rooms:
            return
        del rooms[room]
        number = self._numbers[user_id]
        self._put(Record("gone", self.rooms[room], number), key=("user", number, room), cost=_PRESENCE_COST)
        if not rooms:
            del self._shown[user_id]
            del self._ids[self._numbers.pop(user_id)]
            if self._is_anyone_left_over:
                self._is_anyone_left_over = False
                self._show_all()

    def rooms_of(self, user_id: str) -> list[str]:
        """Return the rooms in which the other side sees a user of this server."""
        return list(self._shown.get(user_id, ()))

    def send_message(self, room: str, event: Message) -> None:
        """Send a gmsg."""
        record = Record(
            "gmsg",
            self.rooms[room],
            self._number(event.origin),
            val=msgspec.Raw(event.val),
            left_out=self._left_out(event.left_out),
        )
        self._put(record)

    def send_variable(self, room: str, name: str, entry: Entry, event: Variable | None = None) -> None:
        """Send a gvar.

        Args:
            room: The room here.
            name: The variable.
            entry: Its value and stamp; without a stamp if it is for some users only, so that nobody keeps it.
            event: What happened, None for a value that is sent again.
        """
        left_out = () if event is None else self._left_out(event.left_out)
        record = Record(
            "gvar",
            self.rooms[room],
            self._number(event.origin if event is not None else None),
            name=name,
            val=msgspec.Raw(entry.val),
            at=entry.at,
            by=entry.by,
            left_out=left_out,
        )
        self._put(record, key=("gvar", room, name) if entry.at else None)

    def send_cloud_variable(self, project: str, name: str, entry: Entry) -> None:
        """Send a cloud variable."""
        record = Record(
            "set",
            self.projects[project],
            name=name,
            val=msgspec.Raw(entry.val),
            at=entry.at,
            by=entry.by,
        )
        self._put(record, key=("set", project, name))

    def send_private(self, user: User, room: str, event: Event) -> None:
        """Send a pmsg or pvar to a user of the other side."""
        if not isinstance(event, (PrivateMessage, PrivateVariable)):
            return
        key, number = self._owner.guests.key_of(user.id), self._number(event.origin)
        if not (isinstance(key, int) and number and room in self.rooms):
            self._owner.link_drops(theirs=False)
        elif isinstance(event, PrivateMessage):
            self._put(Record("pmsg", self.rooms[room], number, key, val=msgspec.Raw(event.val)))
        else:
            name = jsontext.loads(event.name)
            self._put(Record("pvar", self.rooms[room], number, key, name, msgspec.Raw(event.val)))

    def _number(self, user: User | None) -> int:
        return self._numbers.get(user.id, 0) if user is not None else 0

    def _left_out(self, ids: tuple[str, ...]) -> tuple[int, ...]:
        keys = map(self._owner.guests.key_of, ids)
        return tuple(key for key in keys if isinstance(key, int))

    def _put(self, record: Record, key: Hashable = None, cost: float = 1.0) -> None:
        size = len(record.val) + len(record.name) + len(record.room)
        if size > LONGEST_RECORD - 1024 or not self._outbound.put(record, size + 32, cost, key):
            self._owner.link_drops(theirs=False)
        self._owner.wake()

    # From the other side.

    def received(self, data: bytes) -> None:
        """Handle a message of the other side."""
        if self._is_closed:
            return
        self._heard_at = self._clock()
        self._reading.take(len(data))
        if not self._reading.take(0) and not self._is_held:
            self._is_held = True
            self._wire.hold()
        try:
            records = read_all(data)
        except Unreadable as error:
            self.close(CloseCode.PROTOCOL_ERROR, str(error))
            return
        for record in records:
            self._accept(record)
        self._take_in()
        self._owner.wake()

    def _accept(self, record: Record | None) -> None:
        """Queue a record, or handle it at once if it is not limited by the rate."""
        if record is None:
            self._owner.link_drops(theirs=True)
        elif record.kind == "shares":
            self._learn_shares(record)
        elif not self._knows_shares or not self._inbound.put(record, len(record.val), *_weight(record)):
            self._owner.link_drops(theirs=True)

    def _take_in(self) -> None:
        while not self._is_closed and (record := self._inbound.take()) is not None:
            self._owner.received += 1
            if not self._handlers[record.kind](record):
                self._owner.link_drops(theirs=True)

    def _learn_shares(self, record: Record) -> None:
        if self._knows_shares:
            self._owner.link_drops(theirs=True)
            return
        skew = record.at - self._owner.ledger.now()
        if abs(skew) > MOST_SKEW:
            minutes = round(abs(skew) / 60_000)
            self.close(
                CloseCode.POLICY_VIOLATION, f"The clocks of the two servers differ by {minutes} minutes"
            )
            return
        rooms, projects = shares_in(record)
        if rooms is None or projects is None:
            self.close(CloseCode.PROTOCOL_ERROR, "The list of shared rooms is malformed")
            return
        self._knows_shares = True
        self.rooms = matched(self._our_rooms, rooms)
        self.projects = matched(self._our_projects, projects)
        ours = [*(name for name, _ in self._our_rooms), *(name for name, _ in self._our_projects)]
        self.unshared = [name for name in ours if name not in self.rooms and name not in self.projects]
        self._show_all()
        self._send_values()
        self._put(Record("ping"), key="ping")

    def _show_all(self) -> None:
        for room in self.rooms:
            for user in self._owner.site.users(room):
                if room not in self._shown.get(user.id, ()):
                    self.show(user, room)

    def _send_values(self) -> None:
        """Send the variables that were set on this server; the other side ignores those that it knows."""
        ledger = self._owner.ledger
        for room in self.rooms:
            for name, entry in ledger.of((ROOM, room)):
                if not entry.via:
                    self.send_variable(room, name, entry)
        for project in self.projects:
            for name, val in self._owner.site.variables(project).items():
                entry = ledger.get((PROJECT, project), name) or Entry(0, "", val, "")
                if not entry.via:
                    self.send_cloud_variable(project, name, entry)

    # Each kind of record; the handlers return False for what is not allowed.

    def _take_user(self, record: Record) -> bool:
        return bool(
            record.user
            and record.room in self.rooms
            and self._owner.guests.put(record.user, record.name, record.room)
        )

    def _take_gone(self, record: Record) -> bool:
        self._owner.guests.drop(record.user, record.room)
        return True

    def _take_message(self, record: Record) -> bool:
        if record.room not in self.rooms or not record.val:
            return False
        site, sender = self._owner.site, self._owner.guests.user(record.user)
        val = site.admitted(sender, record.room, bytes(record.val), is_variable=False)
        if val:
            left_out = self._left_out_here(record)
            site.deliver(record.room, Message(val, sender, self._owner.name, site.is_attributed, left_out))
        return True

    def _take_variable(self, record: Record) -> bool:
        val = bytes(record.val)
        is_allowed = (
            record.room in self.rooms
            and _is_stamped(record)
            and self._owner.site.is_variable(record.name, val)
        )
        if not is_allowed:
            return False
        if record.at:
            entry = Entry(record.at, record.by, val, self._owner.name)
            if not self._owner.ledger.set_there((ROOM, record.room), record.name, entry):
                return True
        site, sender = self._owner.site, self._owner.guests.user(record.user)
        val = site.admitted(sender, record.room, val, is_variable=True)
        if val:
            event = Variable(
                jsontext.dumps(record.name),
                val,
                sender,
                self._owner.name,
                site.is_attributed,
                self._left_out_here(record),
            )
            site.deliver(record.room, event)
        return True

    def _take_private(self, record: Record) -> bool:
        origin = self._owner.guests.user(record.user)
        user_id = self._ids.get(record.to)
        if origin is None or not record.val or record.room not in self.rooms:
            return False
        user = self._owner.site.is_in(user_id, record.room) if user_id is not None else None
        if user is None:
            return True  # it has left meanwhile
        site, is_variable = self._owner.site, record.kind == "pvar"
        if is_variable and not site.is_variable(record.name, bytes(record.val)):
            return False
        val = site.admitted(origin, record.room, bytes(record.val), is_variable=is_variable)
        if val:
            event: Event = (
                PrivateVariable(jsontext.dumps(record.name), val, origin)
                if is_variable
                else PrivateMessage(val, origin)
            )
            site.deliver_to(user, record.room, event)
        return True

    def _take_cloud_variable(self, record: Record) -> bool:
        val = bytes(record.val)
        project, site, ledger = record.room, self._owner.site, self._owner.ledger
        if project not in self.projects or not _is_stamped(record):
            return False
        if not site.is_cloud_variable(record.name, val):
            return False
        entry = Entry(record.at, record.by, val, self._owner.name)
        current = site.variables(project).get(record.name)
        return not ledger.set_there((PROJECT, project), record.name, entry, current) or site.set_variable(
            project, record.name, val
        )

    def _take_ping(self, _record: Record) -> bool:
        if not self.is_up:
            self.is_up = True
            self._owner.guests.settle()
            self._owner.link_is_up(self)
        return True

    def _left_out_here(self, record: Record) -> tuple[str, ...]:
        found = map(self._ids.get, record.left_out)
        return tuple(user_id for user_id in found if user_id is not None)


def shares_message(section: BridgeSection, ledger: Ledger) -> bytes:
    """Return the first message of a side: what it shares, and its clock."""
    shares = {"rooms": as_json(entries_of(section.rooms)), "projects": as_json(entries_of(section.projects))}
    return b"[%b]" % write(Record("shares", val=msgspec.Raw(jsontext.dumps(shares)), at=ledger.now()))


def _weight(record: Record) -> tuple[float, Hashable]:
    """Return what a record counts for, and what it is about if it replaces an earlier one about the same."""
    if record.kind in _PRESENCE:
        return _PRESENCE_COST, ("user", record.user, record.room)
    if record.kind == "ping":
        return _PRESENCE_COST, "ping"
    if record.kind == "set" or (record.kind == "gvar" and record.at):
        return 1.0, (record.kind, record.room, record.name)
    return 1.0, None


def _is_stamped(record: Record) -> bool:
    """Return whether a stamp is well-formed: a value without a time has no server either."""
    if not record.at:
        return not record.by
    return 0 < len(record.by) <= _LONGEST_SERVER_NAME


def shares_in(record: Record) -> tuple[list[Any] | None, list[Any] | None]:
    """Return the rooms and the projects of a `shares` record, None for a malformed list."""
    try:
        shares = jsontext.loads(bytes(record.val))
    except jsontext.JSONTextError:
        return None, None
    if not isinstance(shares, dict):
        return None, None
    return from_json(shares.get("rooms", [])), from_json(shares.get("projects", []))
