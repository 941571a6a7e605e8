"""The built-in commands of CloudLink 4 (protocol, section 1.7).

Each handler takes the client and the parsed packet, and runs synchronously. If a packet is not allowed, the
handler raises `Refusal` or `SyntaxProblem`, which the engine answers with the packet's listener. Everything
is checked before anything is sent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from cloudlink.server.events import Direct, Message, PrivateMessage, PrivateVariable, Variable
from cloudlink.server.memory import FEW_ROOMS, TOO_MUCH_KEPT

from .dialects import DEFAULT_ROOM, user_object
from .packet import NOT_TEXT, SyntaxProblem, decode_scalar
from .statuscodes import Refusal, StatusCodes

if TYPE_CHECKING:
    from collections.abc import Callable

    from cloudlink.server.api import PluginAPI
    from cloudlink.server.client import Client
    from cloudlink.server.events import Event
    from cloudlink.server.hub import Hub
    from cloudlink.server.members import Members
    from cloudlink.server.shadowhub import ShadowHub

    from .addressing import Addressing, Copies
    from .greeting import Greeter
    from .packet import Packet
    from .roomstates import RoomStates
    from .userlists import UserLists
    from .usernames import UsernameRules


class Commands:
    """The handlers, bound to one server."""

    def __init__(
        self,
        server: PluginAPI,
        addressing: Addressing,
        lists: UserLists,
        states: RoomStates,
        greeter: Greeter,
        usernames: UsernameRules,
        hub: Hub | ShadowHub | None = None,
    ) -> None:
        """Args: hub: Sends the events, None for the hub of the server."""
        self._policy = server.hooks.policy
        self._limits = server.limits
        self._settings = server.settings
        self._clients = server.clients_manager
        self._delivery = server.delivery
        self._hub = server.hub if hub is None else hub
        self._addressing = addressing
        self._lists = lists
        self._states = states
        self._greeter = greeter
        self._usernames = usernames

    def handlers(self) -> dict[str, Callable[[Client, Packet], None]]:
        """Return every command's handler by its name."""
        return {
            "handshake": self.handshake,
            "ping": self.ping,
            "setid": self.setid,
            "gmsg": self.gmsg,
            "gvar": self.gvar,
            "pmsg": self.pmsg,
            "pvar": self.pvar,
            "direct": self.direct,
            "link": self.link,
            "unlink": self.unlink,
        }

    # Greeting and name.

    def handshake(self, client: Client, packet: Packet) -> None:
        """Greet the client once. The contents of the handshake decide the client's dialect."""
        self._greeter.decide(client, packet.data)
        if not client.handshake:
            self._greeter.greet(client)
        self.confirm(client, packet)

    def ping(self, client: Client, packet: Packet) -> None:
        """Answer."""
        self.confirm(client, packet)

    def setid(self, client: Client, packet: Packet) -> None:
        """Set the client's username, which it keeps until it disconnects."""
        packet.require("val")
        if packet.val[0] in b"{[":
            raise SyntaxProblem({"val": [NOT_TEXT]}, packet.listener)
        if client.username_set and not self._usernames.may_rename(client):
            raise Refusal(StatusCodes.id_already_set, val=user_object(client.user))
        self._addressing.charge_identity_change(client, packet)
        username = decode_scalar(packet.val)
        former = client.user
        is_new = username != former.username
        if is_new:
            self._usernames.check_typed(client, packet.val, username)
            self._clients.rename(client, username)
        elif client.dialect.renames:
            return
        ok = client.dialect.status(StatusCodes.ok, packet.listener, val=user_object(client.user))
        before, after = client.dialect.before_and_after(ok)
        self._send(client, before)
        if is_new:
            self._lists.announce_named(client, former)
        for room_id in sorted(client.joined):
            self._lists.show(client, room_id)
        self._send(client, after)

    # To all members of a room.

    def gmsg(self, client: Client, packet: Packet) -> None:
        """Send a message to all members of the client's rooms, including the client."""
        if not packet.val:
            packet.require("val")
        self._emit(client, packet, Message(packet.val, client.user))

    def gvar(self, client: Client, packet: Packet) -> None:
        """Send a variable's value to all members of the client's rooms, including the client."""
        if not (packet.name and packet.val):
            packet.require("name", "val")
        self._addressing.check_variable(packet.name)
        self._emit(client, packet, Variable(packet.name, packet.val, client.user))

    def _emit(self, client: Client, packet: Packet, event: Message | Variable) -> None:
        rooms = self._addressing.target_rooms(client, packet)
        if self._settings.message_origin:
            event = msgspec.structs.replace(event, attributed=True)
        if packet.id and (left_out := self._addressing.left_out(client, packet, rooms)):
            self._emit_except(client, packet, rooms, msgspec.structs.replace(event, left_out=left_out))
        else:
            for members in rooms:
                self._hub.emit(members, event, client, packet.listener)
        if client.dialect.confirms_all:
            self.confirm(client, packet)

    def _emit_except(
        self, client: Client, packet: Packet, rooms: list[Members], event: Message | Variable
    ) -> None:
        for members in rooms:
            self._hub.emit_except(members, event, client, packet.listener)
        # A sender that gets no copy would wait for its listener forever.
        if packet.listener and rooms and client.snowflake in event.left_out:
            self.confirm(client, packet)

    # To selected users.

    def pmsg(self, client: Client, packet: Packet) -> None:
        """Send a message to users in the client's rooms."""
        if not (packet.id and packet.val):
            packet.require("id", "val")
        copies = self._addressing.recipients_in_rooms(client, packet)
        self._send_privately(client, packet, copies, PrivateMessage(packet.val, client.user))

    def pvar(self, client: Client, packet: Packet) -> None:
        """Send a variable's value to users in the client's rooms."""
        packet.require("id", "name", "val")
        self._addressing.check_variable(packet.name)
        copies = self._addressing.recipients_in_rooms(client, packet)
        event = PrivateVariable(packet.name, packet.val, client.user)
        self._send_privately(client, packet, copies, event)

    def _send_privately(self, client: Client, packet: Packet, copies: Copies, event: Event) -> None:
        self._addressing.check_copies(packet, copies)
        self._check_reachable(copies, event)
        self._hub.send(copies, event, client, packet.listener)
        if copies:
            self.confirm(client, packet)

    def direct(self, client: Client, packet: Packet) -> None:
        """Send a message to users in any room; success is not confirmed."""
        packet.require("id", "val")
        users = self._addressing.recipients_anywhere(client, packet)
        event = Direct(packet.val, client.user, packet.listener)
        copies = [("", user) for user in users]
        self._check_reachable(copies, event)
        self._hub.send(copies, event, client, packet.listener)

    def _check_reachable(self, copies: Copies, event: Event) -> None:
        """Raise `Refusal` if an event cannot be carried to a recipient on another server."""
        if why := self._hub.refusal(copies, event):
            raise Refusal(StatusCodes.refused, why)

    # Rooms.

    def link(self, client: Client, packet: Packet) -> None:
        """Add the client to rooms, and remove it from `default` unless that is one of them."""
        packet.require("val")
        room_ids = self._addressing.names(packet.val, "val", packet.listener)
        self._require_rooms(client)
        self._addressing.charge_identity_change(client, packet)
        leaves = self._left_by_linking(client, room_ids)
        self._check_rooms(client, room_ids, leaves)
        if not client.joined and not room_ids:
            room_ids = [DEFAULT_ROOM]
        before, after = client.dialect.before_and_after(
            client.dialect.status(StatusCodes.ok, packet.listener)
        )
        self._send(client, before)
        for room_id in leaves:
            self._lists.leave(client, room_id)
        for room_id in room_ids:
            is_newcomer = room_id not in client.joined
            self._lists.join(client, room_id)
            self._lists.show(client, room_id)
            if is_newcomer:
                self._states.show(client, room_id)
        self._send(client, after)

    def _left_by_linking(self, client: Client, room_ids: list[str]) -> list[str]:
        if not room_ids:
            return []
        leaves = (
            client.joined.keys() if client.dialect.replaces_rooms else client.joined.keys() & {DEFAULT_ROOM}
        )
        return sorted(leaves - set(room_ids))

    def unlink(self, client: Client, packet: Packet) -> None:
        """Remove the client from rooms, from all of them for `""`; if none is left, return it to `default`."""
        room_ids = self._addressing.names(packet.val, "val", packet.listener) if packet.val else [""]
        self._require_rooms(client)
        self._addressing.charge_identity_change(client, packet)
        is_everything = packet.val in (b"", b'""')
        before, after = client.dialect.before_and_after(
            client.dialect.status(StatusCodes.ok, packet.listener)
        )
        self._send(client, before)
        for room_id in sorted(client.joined) if is_everything else room_ids:
            self._lists.leave(client, room_id)
        if not client.joined:
            self._lists.join(client, DEFAULT_ROOM)
            self._lists.show(client, DEFAULT_ROOM)
            self._states.show(client, DEFAULT_ROOM)
        self._send(client, after)

    def _require_rooms(self, client: Client) -> None:
        if not client.dialect.has_rooms:
            raise Refusal(StatusCodes.invalid_command)
        self._addressing.require_username(client)

    def _check_rooms(self, client: Client, room_ids: list[str], leaves: list[str]) -> None:
        for room_id in room_ids:
            self._addressing.check_room_name(room_id)
            if room_id not in client.joined and (why := self._policy.room_refusal(client, room_id)):
                raise Refusal(StatusCodes.refused, why)
        most = self._limits.max_rooms_per_client
        count = len((client.joined.keys() - set(leaves)) | set(room_ids))
        if count > most:
            raise Refusal(StatusCodes.refused, f"A client can be in at most {most} rooms.")
        if count > FEW_ROOMS and not client.session.may_keep_more():
            raise Refusal(StatusCodes.refused, f"{TOO_MUCH_KEPT}; leave some rooms, or try again later.")
        if self._lists.is_too_much(client, room_ids):
            raise Refusal(StatusCodes.refused, "These rooms have too many members to be joined all at once.")

    # Shared by commands.

    def _send(self, client: Client, frame: bytes) -> None:
        self._delivery.send(client.outbox, frame)

    def confirm(self, client: Client, packet: Packet) -> None:
        """Confirm a successful command."""
        self._send(client, client.dialect.status(StatusCodes.ok, packet.listener))
