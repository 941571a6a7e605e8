"""Finds the rooms and recipients of a packet, and checks that its sender may reach them (protocol, 1.6, 1.7).

Everything is checked before anything is sent. A packet that is not allowed raises `Refusal`, `SyntaxProblem`
or `Dropped`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from cloudlink import jsontext

from .dialects.base import room_text
from .packet import SyntaxProblem, TooMany, decode_scalar, names
from .recipients import AmbiguousName, Recipients, RoomsScope, ServerScope
from .schema import Schema
from .statuscodes import Dropped, Refusal, StatusCodes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cloudlink.server.api import PluginAPI
    from cloudlink.server.client import Client
    from cloudlink.server.events import User
    from cloudlink.server.members import Members

    from .packet import Packet
    from .recipients import Scope
    from .userlists import UserLists

    Copies = Sequence[tuple[str, User]]

USERNAME_REQUIRED = "This command requires setting a username."
_AMBIGUOUS = (
    "Multiple matches found for {name}, found {count} matches. "
    "Please use Snowflakes, UUIDs, or client objects instead."
)
_MYSELF = "me"
_NOT_EXCEPTION = """except must be "me" or a list of users"""
_TOO_OFTEN = "The name or the rooms are changed too often; try again later."
_TOO_MANY_ROOMS = "Too much is sent to too many rooms; this packet was dropped."
_TEXT_START = 0x22
_NESTED_STARTS = ("{", "[")
_NAMED_COPIES_MAX_BYTES = 1 << 22
"""Maximum bytes of the copies of one packet that differ per recipient because they hold the recipient's name."""


class Addressing:
    """Finds rooms and recipients, and enforces the limits of the server."""

    def __init__(self, server: PluginAPI, lists: UserLists) -> None:
        self._settings = server.settings
        self._limits = server.limits
        self._clients = server.clients_manager
        self._directory = server.directory
        self._lists = lists

    # Rules for names.

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

    def require_username(self, client: Client) -> None:
        """Raise `Refusal` if a client has no name."""
        if not client.username_set:
            raise _username_required()

    def charge_identity_change(self, client: Client, packet: Packet) -> None:
        """Raise `Dropped` if the client changes its name or rooms, or asks for user lists, too often."""
        if not (client.state.identity.take() and self._lists.may_cause_more(client)):
            raise _dropped(client, packet, _TOO_OFTEN)

    # Rooms.

    def names(self, raw: bytes, key: str, listener: bytes) -> list[str]:
        """Return the names in a JSON text, see `packet.names`. Raises `Refusal` if there are too many."""
        try:
            return names(raw, key, listener, self._limits.max_names_per_packet)
        except TooMany as error:
            raise _too_many_names(error) from None

    def room_ids(self, client: Client, packet: Packet) -> list[str]:
        """Return the names of a packet's rooms: those it names, or otherwise all rooms that the client is in."""
        if packet.rooms:
            return self.names(packet.rooms, "rooms", packet.listener)
        joined = client.joined
        return sorted(joined) if len(joined) > 1 else list(joined)

    def target_rooms(self, client: Client, packet: Packet) -> list[Members]:
        """Return the target rooms of a gmsg or gvar.

        Raises:
            Refusal: The client is not in one of them, or there are too many for a packet of this size.
            Dropped: The copies exceed the client's rate limit.
        """
        members = _only_room(client, packet)
        if members is not None:  # the usual case
            return [members]
        return self._joined_rooms(client, packet, self.room_ids(client, packet))

    def _joined_rooms(self, client: Client, packet: Packet, room_ids: list[str]) -> list[Members]:
        joined = client.joined
        try:
            rooms = [joined[room_id] for room_id in room_ids]
        except KeyError as error:
            (room_id,) = error.args
            details = f"Attempted to access room {room_id} while not joined."
            raise Refusal(StatusCodes.room_not_joined, details) from None
        if len(rooms) > 1:
            self._charge_copies(client, packet, room_ids)
        return rooms

    def _charge_copies(self, client: Client, packet: Packet, room_ids: list[str]) -> None:
        """Charge a packet for several rooms as if a separate packet had been sent to each."""
        copy = len(packet.val) + len(packet.name)
        size = (len(room_ids) - 1) * copy + sum(len(room_text(room_id)) for room_id in room_ids)
        if size > self._limits.byte_burst:
            raise Refusal(StatusCodes.too_large, "The packet is too large for so many rooms.")
        if not client.session.charge_bytes(size):
            raise _dropped(client, packet, _TOO_MANY_ROOMS)

    # Recipients.

    def left_out(self, client: Client, packet: Packet, rooms: Sequence[Members]) -> tuple[str, ...]:
        """Return the ids of the users that a gmsg or gvar leaves out.

        `{"except":"me"}` leaves out the sender. `{"except":[...]}` leaves out the listed users, which are
        named like the recipients of a private packet; a name may match no user or several. Any other `id` is
        ignored.

        Args:
            client: The sender.
            packet: The packet.
            rooms: The packet's target rooms.

        Raises:
            SyntaxProblem: `except` is neither `"me"` nor a list.
            Refusal: The list is too long.
        """
        named = _exception(packet.id)
        if not named:
            return ()
        if named.startswith(b'"') and decode_scalar(named) == _MYSELF:
            return (client.snowflake,)
        if not named.startswith(b"["):
            raise SyntaxProblem({"id": [_NOT_EXCEPTION]}, packet.listener)
        try:
            recipients = Recipients(
                named, packet.listener, refuse_ambiguous=False, most=self._limits.max_names_per_packet
            )
        except TooMany as error:
            raise _too_many_names(error) from None
        scope = RoomsScope({members.room: members.presence for members in rooms}, self._directory)
        found = recipients.find(scope, math.inf)
        return tuple({user_id: None for users in found.values() for user_id in users})

    def recipients_anywhere(self, client: Client, packet: Packet) -> list[User]:
        """Return the recipients of a packet, in any room or none. Raises `Refusal`, `SyntaxProblem`."""
        found = self._find(self._parse_recipients(client, packet), ServerScope(self._directory))
        if not found:
            raise Refusal(StatusCodes.id_not_found)
        return list(found[""].values())

    def recipients_in_rooms(self, client: Client, packet: Packet) -> list[tuple[str, User]]:
        """Return the room and the recipient of each copy of a packet.

        The result is empty only if the packet's list of rooms is empty. Such a packet is neither delivered
        nor answered (protocol, section 1.6).

        Raises:
            Refusal: No recipient is found, or the packet cannot be sent.
            SyntaxProblem: Its recipients or rooms have the wrong type.
        """
        if (copy := self._usual_copy(client, packet)) is not None:
            return [copy]
        recipients = self._parse_recipients(client, packet)
        room_ids = self.room_ids(client, packet)  # rooms of the wrong type are reported first
        if not client.username_set:
            raise _username_required()
        if packet.rooms and not room_ids:
            return []
        rooms = self._joined_rooms(client, packet, room_ids)
        scope = RoomsScope({members.room: members.presence for members in rooms}, self._directory)
        found = self._find(recipients, scope)
        if not found:
            raise Refusal(StatusCodes.id_not_found, f"No matches found: {recipients}")
        if client.dialect.loop and all(list(users) == [client.snowflake] for users in found.values()):
            raise Refusal(client.dialect.loop)
        return [(room_id, user) for room_id in room_ids for user in found.get(room_id, {}).values()]

    def _usual_copy(self, client: Client, packet: Packet) -> tuple[str, User] | None:
        """Return the copy of a packet for one user of the sender's only room, named by its username.

        This serves most private packets at half the cost of the general way; None if a packet needs that.
        """
        members = _only_room(client, packet)
        if members is None or not client.username_set or packet.id[0] != _TEXT_START:
            return None
        text = decode_scalar(packet.id)
        if text.startswith(_NESTED_STARTS) or self._directory.by_id(text, Schema) is not None:
            return None
        users = members.presence.named(text)
        if len(users) != 1 or (client.dialect.loop and users[0].id == client.snowflake):
            return None
        return members.room, users[0]

    def check_copies(self, packet: Packet, copies: Copies) -> None:
        """Raise `Refusal` if the copies of a packet that hold their recipient's name take too many bytes."""
        if len(copies) < 2:  # noqa: PLR2004  # a single copy is always allowed
            return
        size = len(packet.name) + len(packet.val)
        total = 0
        for _, user in copies:
            recipient = self._clients.snowflakes.get(user.id)
            if recipient is not None and recipient.dialect.names_recipient:
                total += size + len(user.username or "")
        if total > _NAMED_COPIES_MAX_BYTES:
            raise Refusal(StatusCodes.too_large, "The copies of this packet take too many bytes.")

    def _parse_recipients(self, client: Client, packet: Packet) -> Recipients:
        # A dialect without status codes cannot report an ambiguous name; the packet goes to all users of that name.
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

    def _find(self, recipients: Recipients, scope: Scope) -> dict[str, dict[str, User]]:
        try:
            return recipients.find(scope, self._limits.max_copies_per_packet)
        except AmbiguousName as error:
            details = _AMBIGUOUS.format(name=error.name, count=error.count)
            raise Refusal(StatusCodes.id_not_specific, details) from None
        except TooMany as error:
            details = f"A private packet can be sent on at most {error.most} times."
            raise Refusal(StatusCodes.too_large, details) from None


def _only_room(client: Client, packet: Packet) -> Members | None:
    """Return the only room that a client is in if a packet is for that room; None if that has to be found out."""
    joined = client.joined
    if len(joined) == 1:
        (members,) = joined.values()
        if not packet.rooms or packet.rooms == room_text(members.room):
            return members
    return None


def _exception(raw: bytes) -> bytes:
    """Return the JSON text of the `except` key of an `id`, empty if it has none."""
    if not raw.startswith(b"{"):
        return b""
    try:
        return (jsontext.pick(raw, "except") or {}).get("except", b"")
    except jsontext.JSONTextError:  # it cannot be decoded, so it has no `except`
        return b""


def _dropped(client: Client, packet: Packet, why: str) -> Dropped:
    client.session.log_limit(why)
    client.session.throttle(packet.data, why)
    return Dropped()


def _username_required() -> Refusal:
    return Refusal(StatusCodes.id_required, USERNAME_REQUIRED)


def _too_many_names(error: TooMany) -> Refusal:
    return Refusal(StatusCodes.too_large, f"A packet can list at most {error.most} names.")
