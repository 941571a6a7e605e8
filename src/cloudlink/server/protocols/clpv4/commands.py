"""The built-in commands of CloudLink 4 (protocol, section 1.7).

Each takes the client and the parsed packet, runs at once and to its end. What a packet may not be is
raised as `Refusal` or `SyntaxProblem` and answered by the protocol, always with the packet's listener.
Everything is checked before anything is sent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloudlink import jsontext
from cloudlink.buckets import Bucket

from .dialects import DEFAULT_ROOM, user_object
from .packet import NOT_TEXT, SyntaxProblem, TooMany, decode_scalar, names
from .recipients import AmbiguousName, Recipients, RoomsScope, ServerScope
from .schema import Schema
from .statuscodes import Dropped, Refusal, StatusCodes

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Sequence

    from cloudlink.server.clients import Client
    from cloudlink.server.rooms import Members, Room

    from .dialects import Dialect
    from .packet import Packet
    from .protocol import Clpv4
    from .recipients import Scope

USERNAME_REQUIRED = "This command requires setting a username."
_AMBIGUOUS = (
    "Multiple matches found for {name}, found {count} matches. "
    "Please use Snowflakes, UUIDs, or client objects instead."
)
_TOO_OFTEN = "The name or the rooms are changed too often; try again later."
_TOO_MANY_ROOMS = "Too much is sent to too many rooms; this packet was dropped."
_BYTES_PER_CHARACTER = 4
"""Bytes of a username's JSON text per character it may have: all of UTF-8, but not only escapes of six."""
_NAMED_COPIES_MAX_BYTES = 1 << 22
"""Most bytes that the copies of one packet may take that hold their recipient's name, and so are nobody else's."""


class Commands:
    """The handlers, bound to one protocol."""

    def __init__(self, protocol: Clpv4) -> None:
        self._protocol = protocol
        self._settings = protocol.server.settings
        self._limits = protocol.server.limits
        self._clients = protocol.server.clients_manager
        self._rooms = protocol.server.rooms_manager
        self._delivery = protocol.server.delivery
        self._lists = protocol.userlists

    def all(self) -> dict[str, Callable[[Client, Packet], None]]:
        """Return every command's handler by its name."""
        names = ("handshake", "ping", "setid", "gmsg", "gvar", "pmsg", "pvar", "direct", "link", "unlink")
        return {name: getattr(self, name) for name in names}

    # Greeting and name.

    def handshake(self, client: Client, packet: Packet) -> None:
        """Greet the client, once; what the handshake tells decides how it is spoken to."""
        self._protocol.decide(client, packet.data)
        if not client.handshake:
            self._protocol.greet(client)
        self.confirm(client, packet)

    def ping(self, client: Client, packet: Packet) -> None:
        """Answer."""
        self.confirm(client, packet)

    def setid(self, client: Client, packet: Packet) -> None:
        """Give the client its username, for as long as it is connected."""
        packet.require("val")
        if packet.val[0] in b"{[":
            raise SyntaxProblem({"val": [NOT_TEXT]}, packet.listener)
        if client.username_set and not client.dialect.renames:
            raise Refusal(StatusCodes.id_already_set, val=user_object(client))
        self.charge_identity_change(client, packet)
        username = decode_scalar(packet.val)
        if client.username_set and username == client.username:
            return
        self._check_username(client, packet.val, username)
        renamed = client.username_set
        if renamed:
            self._lists.announce_unnamed(client)
            self._clients.clear_username(client)
        self._clients.set_username(client, username)
        ok = client.dialect.status(StatusCodes.ok, packet.listener, val=user_object(client))
        before, after = client.dialect.before_and_after(ok)
        self._send(client, before)
        for room_id in sorted(client.rooms):
            self._lists.announce(client, room_id, renamed=renamed)
            self._lists.show(client, room_id)
        self._send(client, after)

    def _check_username(self, client: Client, raw: bytes, username: str) -> None:
        refusal = client.dialect.refuses_name(raw)
        if refusal is not None:
            raise Refusal(refusal)
        longest = self._settings.username_max_length
        if not username:
            raise Refusal(StatusCodes.refused, "A username cannot be empty.")
        if len(username) > longest:
            raise Refusal(StatusCodes.refused, f"A username can have at most {longest} characters.")
        if len(jsontext.dumps(username)) - 2 > _BYTES_PER_CHARACTER * longest:
            most = _BYTES_PER_CHARACTER * longest
            raise Refusal(StatusCodes.refused, f"A username can take at most {most} bytes as JSON.")
        if (self._settings.unique_usernames or client.dialect.unique_names) and self._is_taken(username):
            raise Refusal(StatusCodes.id_conflict, f"The username {username} is taken.")

    def _is_taken(self, username: str) -> bool:
        namesakes = self._clients.usernames.get(username, ())
        return any(client.protocol is Schema for client in namesakes)

    # To everybody in a room.

    def gmsg(self, client: Client, packet: Packet) -> None:
        """Send a message to everybody in the client's rooms, itself included."""
        packet.require("val")
        val, listener = packet.val, packet.listener
        for room, members in self._target_rooms(client, packet, self._room_ids(client, packet)):
            skip = client.outbox if listener else None
            if listener:
                self._send(client, client.dialect.message(val, room, listener))
            for dialect, audience in members.audiences.items():
                self._delivery.broadcast(audience, dialect.message(val, room), skip)
        if client.dialect.confirms_all:
            self.confirm(client, packet)

    def gvar(self, client: Client, packet: Packet) -> None:
        """Send a variable's value to everybody in the client's rooms, itself included."""
        packet.require("name", "val")
        self.check_variable(packet.name)
        name, val, listener = packet.name, packet.val, packet.listener
        for room, members in self._target_rooms(client, packet, self._room_ids(client, packet)):
            skip = client.outbox if listener else None
            if listener:
                self._send(client, client.dialect.variable(name, val, room, listener))
            for dialect, audience in members.audiences.items():
                self._delivery.broadcast(audience, dialect.variable(name, val, room), skip)
            for tell in self._protocol.variable_listeners:
                tell(room.id, name, val)
        if client.dialect.confirms_all:
            self.confirm(client, packet)

    # To some.

    def pmsg(self, client: Client, packet: Packet) -> None:
        """Send a message to clients in the client's rooms."""
        packet.require("id", "val")
        copies = self.recipients_in_rooms(client, packet)
        self.check_copies(packet, copies)
        self.send_copies(
            copies, lambda dialect, room, to: dialect.private_message(packet.val, client, room, to)
        )
        if copies:
            self.confirm(client, packet)

    def pvar(self, client: Client, packet: Packet) -> None:
        """Send a variable's value to clients in the client's rooms."""
        packet.require("id", "name", "val")
        self.check_variable(packet.name)
        name, val = packet.name, packet.val
        copies = self.recipients_in_rooms(client, packet)
        self.check_copies(packet, copies)
        self.send_copies(
            copies, lambda dialect, room, to: dialect.private_variable(name, val, client, room, to)
        )
        if copies:
            self.confirm(client, packet)

    def check_copies(self, packet: Packet, copies: Sequence[tuple[object, Client]]) -> None:
        """Raise `Refusal` if the copies of a packet that are one recipient's own take too many bytes."""
        if len(copies) > 1:
            size = len(packet.name) + len(packet.val)
            named = [size + len(to.username) for _, to in copies if to.dialect.names_recipient]
            if sum(named) > _NAMED_COPIES_MAX_BYTES:
                raise Refusal(StatusCodes.too_large, "The copies of this packet take too many bytes.")

    def send_copies(
        self, copies: Iterable[tuple[Room, Client]], write: Callable[[Dialect, Room, Client], bytes]
    ) -> None:
        """Send a private packet, written once per dialect and room unless it holds the recipient's name."""
        frames: dict[Hashable, bytes] = {}
        for room, recipient in copies:
            dialect = recipient.dialect
            key = (dialect, room, recipient if dialect.names_recipient else None)
            frame = frames.get(key)
            if frame is None:
                frame = frames[key] = write(dialect, room, recipient)
            self._send(recipient, frame)

    def direct(self, client: Client, packet: Packet) -> None:
        """Send a message to clients anywhere on the server; success is not answered."""
        packet.require("id", "val")
        recipients = self._parse_recipients(client, packet)
        found = self._find(recipients, ServerScope(self._clients))
        if not found:
            raise Refusal(StatusCodes.id_not_found)
        frames: dict[Dialect, bytes] = {}
        for recipient in found[""]:
            dialect = recipient.dialect
            if dialect not in frames:
                frames[dialect] = dialect.direct(packet.val, client, packet.listener)
            self._send(recipient, frames[dialect])

    # Rooms.

    def link(self, client: Client, packet: Packet) -> None:
        """Put the client into rooms, and out of `default` unless that is one of them."""
        packet.require("val")
        room_ids = self._names(packet.val, "val", packet.listener)
        self._require_rooms(client)
        self.charge_identity_change(client, packet)
        leaves = self._left_by_linking(client, room_ids)
        self._check_rooms(client, room_ids, leaves)
        if not client.rooms and not room_ids:
            room_ids = [DEFAULT_ROOM]
        before, after = client.dialect.before_and_after(
            client.dialect.status(StatusCodes.ok, packet.listener)
        )
        self._send(client, before)
        for room_id in leaves:
            self._lists.leave(client, room_id)
        for room_id in room_ids:
            self._lists.join(client, room_id)
            self._lists.show(client, room_id)
        self._send(client, after)

    def _left_by_linking(self, client: Client, room_ids: list[str]) -> list[str]:
        if not room_ids:
            return []
        leaves = client.rooms if client.dialect.replaces_rooms else client.rooms & {DEFAULT_ROOM}
        return sorted(leaves.difference(room_ids))

    def unlink(self, client: Client, packet: Packet) -> None:
        """Take the client out of rooms, all of them for `""`, and back into `default` if it has none."""
        room_ids = self._names(packet.val, "val", packet.listener) if packet.val else [""]
        self._require_rooms(client)
        self.charge_identity_change(client, packet)
        is_everything = packet.val in (b"", b'""')
        before, after = client.dialect.before_and_after(
            client.dialect.status(StatusCodes.ok, packet.listener)
        )
        self._send(client, before)
        for room_id in sorted(client.rooms) if is_everything else room_ids:
            self._lists.leave(client, room_id)
        if not client.rooms:
            self._lists.join(client, DEFAULT_ROOM)
            self._lists.show(client, DEFAULT_ROOM)
        self._send(client, after)

    # Limits.

    def charge_identity_change(self, client: Client, packet: Packet) -> None:
        """Raise `Dropped` if the client changes its name or rooms, or asks who is there, too often."""
        if client.identity_bucket is None:
            limits = self._limits
            client.identity_bucket = Bucket(limits.identity_rate, limits.identity_burst)
        if not (client.identity_bucket.take() and self._lists.may_cause_more(client)):
            raise _dropped(client, packet, _TOO_OFTEN)

    def _check_rooms(self, client: Client, room_ids: list[str], leaves: list[str]) -> None:
        for room_id in room_ids:
            self.check_room_name(room_id)
        most = self._limits.max_rooms_per_client
        if len(client.rooms.difference(leaves).union(room_ids)) > most:
            raise Refusal(StatusCodes.refused, f"A client can be in at most {most} rooms.")
        if self._lists.is_too_much(client, room_ids):
            raise Refusal(StatusCodes.refused, "These rooms have too many members to be joined all at once.")

    def check_room_name(self, room_id: str) -> None:
        """Raise `Refusal` for a room name that is too long."""
        longest = self._limits.room_name_max_length
        if len(room_id) > longest:
            raise Refusal(StatusCodes.too_large, f"A room name can have at most {longest} characters.")

    def check_variable(self, name: bytes) -> None:
        """Raise `Refusal` for a variable name that is too long."""
        longest = self._limits.variable_name_max_length
        if len(name) > longest and len(decode_scalar(name)) > longest:
            raise Refusal(StatusCodes.too_large, f"A variable name can have at most {longest} characters.")

    def _names(self, raw: bytes, key: str, listener: bytes) -> list[str]:
        try:
            return names(raw, key, listener, self._limits.max_names_per_packet)
        except TooMany as error:
            raise _too_many_names(error) from None

    # What commands have in common.

    def _send(self, client: Client, frame: bytes) -> None:
        self._delivery.send(client.outbox, frame)

    def confirm(self, client: Client, packet: Packet) -> None:
        """Tell a client that its command is done."""
        self._send(client, client.dialect.status(StatusCodes.ok, packet.listener))

    def _require_rooms(self, client: Client) -> None:
        if not client.dialect.has_rooms:
            raise Refusal(StatusCodes.invalid_command)
        self._require_username(client)

    def _require_username(self, client: Client) -> None:
        if not client.username_set:
            raise Refusal(StatusCodes.id_required, USERNAME_REQUIRED)

    def _target_rooms(
        self, client: Client, packet: Packet, room_ids: list[str]
    ) -> list[tuple[Room, Members]]:
        """Return the rooms a packet is for.

        Raises:
            Refusal: The client is not in one of them, or they are too many for a packet of this size.
            Dropped: They are too many for now.
        """
        rooms = []
        for room_id in room_ids:
            if room_id not in client.rooms:
                raise Refusal(
                    StatusCodes.room_not_joined, f"Attempted to access room {room_id} while not joined."
                )
            room = self._rooms.rooms[room_id]
            rooms.append((room, room.members[Schema]))
        if len(rooms) > 1:
            self._charge_copies(client, packet, [room for room, _ in rooms])
        return rooms

    def _charge_copies(self, client: Client, packet: Packet, rooms: list[Room]) -> None:
        """Count what goes to several rooms as if it had been sent to each by a packet of its own."""
        copy = len(packet.val) + len(packet.name)
        size = (len(rooms) - 1) * copy + sum(len(room.json_id) for room in rooms)
        if size > self._limits.byte_burst:
            raise Refusal(StatusCodes.too_large, "The packet is too large for so many rooms.")
        if not client.session.charge_bytes(size):
            raise _dropped(client, packet, _TOO_MANY_ROOMS)

    def _room_ids(self, client: Client, packet: Packet) -> list[str]:
        if packet.rooms:
            return self._names(packet.rooms, "rooms", packet.listener)
        return sorted(client.rooms) if len(client.rooms) > 1 else list(client.rooms)

    def _parse_recipients(self, client: Client, packet: Packet) -> Recipients:
        # Who cannot be told that a name is ambiguous reaches all of that name.
        refuse_ambiguous = self._settings.warn_ambiguous_names and client.dialect.has_status
        try:
            return Recipients(
                packet.id,
                packet.listener,
                refuse_ambiguous=refuse_ambiguous,
                most=self._limits.max_names_per_packet,
            )
        except TooMany as error:
            raise _too_many_names(error) from None

    def _find(self, recipients: Recipients, scope: Scope) -> dict[str, dict[Client, None]]:
        try:
            return recipients.find(scope, self._limits.max_copies_per_packet)
        except AmbiguousName as error:
            details = _AMBIGUOUS.format(name=error.name, count=error.count)
            raise Refusal(StatusCodes.id_not_specific, details) from None
        except TooMany as error:
            details = f"A private packet can be sent on at most {error.most} times."
            raise Refusal(StatusCodes.too_large, details) from None

    def recipients_in_rooms(self, client: Client, packet: Packet) -> list[tuple[Room, Client]]:
        """Return whom a packet is for, and by which room; nobody only where it names no rooms at all.

        Such a packet is neither sent on nor answered (protocol, section 1.6).

        Raises:
            Refusal: Nobody is found, or the packet cannot be sent.
            SyntaxProblem: It is no packet.
        """
        recipients = self._parse_recipients(client, packet)
        room_ids = self._room_ids(client, packet)  # a list that is none comes before everything else
        self._require_username(client)
        if packet.rooms and not room_ids:
            return []
        rooms = self._target_rooms(client, packet, room_ids)
        found = self._find(recipients, RoomsScope(rooms, self._clients))
        if not found:
            raise Refusal(StatusCodes.id_not_found, f"No matches found: {recipients}")
        if client.dialect.loop and all(list(members) == [client] for members in found.values()):
            raise Refusal(client.dialect.loop)
        return [(room, recipient) for room, _ in rooms for recipient in found.get(room.id, ())]


def _dropped(client: Client, packet: Packet, why: str) -> Dropped:
    client.session.log_limit(why)
    client.session.throttle(packet.data, why)
    return Dropped()


def _too_many_names(error: TooMany) -> Refusal:
    return Refusal(StatusCodes.too_large, f"A packet can list at most {error.most} names.")
