"""Commands that only some older era had, and clients of that era alone can give (protocol, section 4).

They work as the built-in commands do: at once, to their end, mistakes raised as `Refusal`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .channels import Channels
from .dialects.cl2_early import (
    CHANNEL_MESSAGE,
    CHANNEL_VARIABLE,
    JOIN_CHANNEL,
    LEAVE,
    LEAVE_CHANNEL,
    LINKED_MESSAGE,
    LINKED_VARIABLE,
    REFRESH,
)
from .packet import NOT_TEXT, SyntaxProblem, decode_scalar
from .schema import Schema
from .statuscodes import Refusal, StatusCodes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from cloudlink.server.clients import Client

    from .commands import Commands
    from .dialects import Dialect
    from .packet import Packet
    from .protocol import Clpv4

    Handler = Callable[[Client, Packet], None]

_TOLD_AGAIN_BYTES = 1 << 16
"""Bytes, over all members, up to which a whole channel is told its data again when somebody joins."""
_EMPTY_TEXT = b'""'


class LegacyCommands:
    """The handlers, bound to one protocol."""

    def __init__(self, protocol: Clpv4, commands: Commands) -> None:
        """Args: commands: the built-in ones, whose rules for names and recipients are the same."""
        self._commands = commands
        self._lists = protocol.userlists
        self._rooms = protocol.server.rooms_manager
        self._delivery = protocol.server.delivery
        self._channels = Channels()
        self._handlers: dict[str, Handler] = {
            REFRESH: self.refresh,
            LEAVE: self.leave,
            JOIN_CHANNEL: self.join_channel,
            LEAVE_CHANNEL: self.leave_channel,
            CHANNEL_MESSAGE: self.channel_message,
            CHANNEL_VARIABLE: self.channel_variable,
            LINKED_MESSAGE: self.linked_message,
            LINKED_VARIABLE: self.linked_variable,
            "clear": self.clear,
            "ulist": self.refresh,
            "direct": self.direct,
            "ping": self.ping,
            "statuscode": self.statuscode,
        }

    def find(self, dialect: Dialect, packet: Packet, *, is_known: bool) -> Handler | None:
        """Return what handles a packet in a client's era, None where nothing particular does.

        Args:
            dialect: What the client speaks.
            packet: The packet.
            is_known: Whether the command has a handler in CL4.
        """
        if packet.cmd in dialect.own_commands:
            return self._handlers[packet.cmd]
        if dialect.routes_unknown and not is_known and packet.id and packet.val:
            return self.route
        return None

    def forget(self, client: Client) -> None:
        """Let go of a client that is gone."""
        self._channels.leave(client)

    # Everybody's.

    def refresh(self, client: Client, packet: Packet) -> None:
        """Show the client who is there."""
        self._commands.charge_identity_change(client, packet)
        for room_id in sorted(client.rooms):
            self._lists.show(client, room_id)

    # CloudLink 2.

    def leave(self, client: Client, packet: Packet) -> None:  # noqa: ARG002
        """Close the connection, which the client is about to do itself."""
        client.session.close()

    def join_channel(self, client: Client, packet: Packet) -> None:
        """Put the client into a channel; everybody in it is told its data."""
        host = decode_scalar(packet.val)
        self._commands.check_room_name(host)
        self._commands.charge_identity_change(client, packet)
        channel = self._channels.join(client, host)
        is_much = len(channel.members) * len(channel.data) > _TOLD_AGAIN_BYTES
        self._send_message([client] if is_much else channel.members, channel.data)

    def leave_channel(self, client: Client, packet: Packet) -> None:  # noqa: ARG002
        """Take the client out of its channel."""
        self._channels.leave(client)

    def channel_message(self, client: Client, packet: Packet) -> None:
        """Send data to everybody in the client's channel, and keep it for those who come later."""
        members = self._channels.members_with(client)
        self._commands.check_copies(packet, [(None, member) for member in members])
        self._channels.keep(client, packet.val)
        self._send_message(members, packet.val)

    def channel_variable(self, client: Client, packet: Packet) -> None:
        """Send a variable to everybody in the client's channel."""
        self._commands.check_variable(packet.name)
        frames: dict[Dialect, bytes] = {}
        for member in self._channels.members_with(client):
            dialect = member.dialect
            if dialect not in frames:
                frames[dialect] = dialect.channel_variable(packet.name, packet.val, None)
            member.session.send_frame(frames[dialect])

    def linked_message(self, client: Client, packet: Packet) -> None:
        """Send data to somebody, in whichever channel."""
        for recipient in self._recipients(client, packet):
            frame = recipient.dialect.channel_message(packet.val, recipient, b"p")
            recipient.session.send_frame(frame)

    def linked_variable(self, client: Client, packet: Packet) -> None:
        """Send a variable to somebody in the same channel."""
        self._commands.check_variable(packet.name)
        channel = self._channels.of(client)
        for recipient in self._recipients(client, packet):
            if channel is not None and recipient in channel.members:
                frame = recipient.dialect.channel_variable(packet.name, packet.val, recipient)
                recipient.session.send_frame(frame)

    def _recipients(self, client: Client, packet: Packet) -> list[Client]:
        copies = self._commands.recipients_in_rooms(client, packet)
        self._commands.check_copies(packet, copies)
        return [recipient for _, recipient in copies]

    def _send_message(self, recipients: Iterable[Client], val: bytes) -> None:
        for recipient in recipients:
            recipient.session.send_frame(recipient.dialect.channel_message(val, recipient, b"g"))

    # CloudLink 3.

    def clear(self, client: Client, packet: Packet) -> None:
        """Empty everybody's last message, the public and the private one."""
        self._commands.charge_identity_change(client, packet)
        for room_id in sorted(client.rooms):
            room = self._rooms.rooms[room_id]
            members = room.members[Schema]
            for dialect, audience in members.audiences.items():
                self._delivery.broadcast(audience, dialect.message(_EMPTY_TEXT, room))
            self._commands.send_copies(
                [(room, member) for member in members.all],
                lambda dialect, room, to: dialect.private_message(_EMPTY_TEXT, client, room, to),
            )

    def direct(self, client: Client, packet: Packet) -> None:
        """Take what is told to the server itself: plugins may use it. With an `id` it is as in CL4."""
        if packet.id:
            self._commands.direct(client, packet)

    def route(self, client: Client, packet: Packet) -> None:
        """Send a command of the project's own making to clients of the same era."""
        self._send_on(client, packet)
        self._commands.confirm(client, packet)

    # CloudLink 4, version 0.1.8.

    def ping(self, client: Client, packet: Packet) -> None:
        """Answer, or have clients of the same era answer."""
        if packet.id:
            packet.require("val")
            self._send_on(client, packet)
        else:
            self._commands.ping(client, packet)

    def statuscode(self, client: Client, packet: Packet) -> None:
        """Send a status code, the answer to a ping, to clients of the same era."""
        packet.require("id", "val")
        if not packet.val.startswith(b'"'):
            raise SyntaxProblem({"val": [NOT_TEXT]}, packet.listener)
        self.route(client, packet)

    def _send_on(self, client: Client, packet: Packet) -> None:
        copies = self._commands.recipients_in_rooms(client, packet)
        dialects: set[Dialect] = {recipient.dialect for _, recipient in copies}
        frames = {dialect: dialect.custom(packet.cmd, packet.val, client) for dialect in dialects}
        if not any(frames.values()):
            raise Refusal(StatusCodes.id_not_found)
        self._commands.send_copies(copies, lambda dialect, _room, _to: frames[dialect])
