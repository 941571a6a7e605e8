"""Commands of older eras, available only to clients of the same era (protocol, section 4).

Like the built-in commands, they run synchronously and raise `Refusal`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloudlink import jsontext
from cloudlink.server.events import (
    ChannelMessage,
    ChannelVariable,
    Custom,
    LinkedMessage,
    LinkedVariable,
    Message,
    PrivateMessage,
)

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
from .packet import NOT_TEXT, SyntaxProblem, decode_scalar, split_list
from .statuscodes import Refusal, StatusCodes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from cloudlink.server.api import PluginAPI
    from cloudlink.server.client import Client
    from cloudlink.server.events import User
    from cloudlink.server.hub import Hub
    from cloudlink.server.shadowhub import ShadowHub

    from .addressing import Addressing
    from .channels import Channels
    from .commands import Commands
    from .dialects import Dialect
    from .packet import Packet
    from .userlists import UserLists

    Handler = Callable[[Client, Packet], None]

_RESENT_BYTES = 1 << 16
"""Maximum bytes, over all members, up to which the whole channel gets its data again when a client joins."""
_EMPTY_TEXT = b'""'
_RECORD_PARTS = 4
_CHANNELS = ":channels"
"""Topic of what the members of a channel on other nodes get."""


class LegacyCommands:
    """The handlers, bound to one server."""

    def __init__(
        self,
        server: PluginAPI,
        addressing: Addressing,
        lists: UserLists,
        commands: Commands,
        channels: Channels,
        hub: Hub | ShadowHub | None = None,
    ) -> None:
        """Set up the handlers.

        Args:
            server: The server.
            addressing: Finds the recipients.
            lists: Sends the user lists.
            commands: The built-in commands, which some older commands fall back to.
            channels: The linked channels.
            hub: Sends the events, None for the hub of the server; with another one, channels keep nothing and other nodes
                hear nothing.
        """
        self._hub = server.hub if hub is None else hub
        self._keeps = hub is None
        self._settings = server.settings
        self._addressing = addressing
        self._lists = lists
        self._commands = commands
        self._channels = channels
        self._cluster = server.cluster
        if self._keeps:
            self._cluster.on_record(_CHANNELS, self._on_channel_record)
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
        """Return the handler of a packet that is specific to the client's era, None if there is none.

        Args:
            dialect: The client's dialect.
            packet: The packet.
            is_known: Whether the command has a handler in CL4.
        """
        if packet.cmd in dialect.own_commands:
            return self._handlers[packet.cmd]
        if dialect.routes_unknown and not is_known and packet.id and packet.val:
            return self.route
        return None

    def forget(self, client: Client) -> None:
        """Remove a disconnected client from its channel."""
        self._channels.leave(client)

    # All eras.

    def refresh(self, client: Client, packet: Packet) -> None:
        """Send the client its user list."""
        self._addressing.charge_identity_change(client, packet)
        for room_id in sorted(client.joined):
            self._lists.show(client, room_id)

    # CloudLink 2.

    def leave(self, client: Client, packet: Packet) -> None:  # noqa: ARG002
        """Close the connection; the client is about to do so itself."""
        client.session.close(cause="client")

    def join_channel(self, client: Client, packet: Packet) -> None:
        """Move the client to a channel and send the channel's data to its members."""
        host = decode_scalar(packet.val)
        self._addressing.check_room_name(host)
        self._addressing.charge_identity_change(client, packet)
        channel = self._channels.join(client, host)
        is_much = len(channel.members) * len(channel.data) > _RESENT_BYTES
        self._hub.send(_copies([client] if is_much else channel.members), ChannelMessage(channel.data))

    def leave_channel(self, client: Client, packet: Packet) -> None:  # noqa: ARG002
        """Remove the client from its channel."""
        self._channels.leave(client)

    def channel_message(self, client: Client, packet: Packet) -> None:
        """Send data to all members of the client's channel, and keep it for clients that join later."""
        copies = _copies(self._channels.members_with(client))
        self._addressing.check_copies(packet, copies)
        if self._keeps:
            self._channels.keep(client, packet.val)
        self._hub.send(copies, ChannelMessage(packet.val), client, packet.listener)
        self._publish(client, packet.val)

    def channel_variable(self, client: Client, packet: Packet) -> None:
        """Send a variable to all members of the client's channel."""
        self._addressing.check_variable(packet.name)
        copies = _copies(self._channels.members_with(client))
        self._hub.send(copies, ChannelVariable(packet.name, packet.val), client, packet.listener)
        self._publish(client, packet.val, packet.name)

    def linked_message(self, client: Client, packet: Packet) -> None:
        """Send data to a user in any channel."""
        self._hub.send(self._recipients(client, packet), LinkedMessage(packet.val), client, packet.listener)

    def linked_variable(self, client: Client, packet: Packet) -> None:
        """Send a variable to a user in the same channel."""
        self._addressing.check_variable(packet.name)
        ids = {member.snowflake for member in self._channels.members_with(client)}
        found = self._recipients(client, packet)
        copies = [(room, user) for room, user in found if user.id in ids]
        self._hub.send(copies, LinkedVariable(packet.name, packet.val), client, packet.listener)
        for _, user in found:
            if user.node:  # that node knows in which channel the user is
                self._publish(client, packet.val, packet.name, user.id)

    def _publish(self, client: Client, val: bytes, name: bytes = b"null", user_id: str = "") -> None:
        """Send members of the client's channel on other nodes a message or variable, or only one user of them."""
        channel = self._channels.of(client)
        if channel is not None and self._keeps and self._cluster.node is not None:
            host, recipient = jsontext.dumps(channel.host), jsontext.dumps(user_id)
            self._cluster.publish_record(_CHANNELS, b"[%b,%b,%b,%b]" % (host, recipient, name, val))

    def _on_channel_record(self, _node: str, record: bytes) -> None:
        raw_host, raw_recipient, name, val = split_list(record, _RECORD_PARTS)
        host, recipient = decode_scalar(raw_host), decode_scalar(raw_recipient)
        members = self._channels.members_of(host)
        if recipient:
            copies = _copies(member for member in members if member.snowflake == recipient)
            self._hub.send(copies, LinkedVariable(name, val))
        elif name == b"null":
            self._channels.keep_in(host, val)
            self._hub.send(_copies(members), ChannelMessage(val))
        else:
            self._hub.send(_copies(members), ChannelVariable(name, val))

    def _recipients(self, client: Client, packet: Packet) -> list[tuple[str, User]]:
        copies = self._addressing.recipients_in_rooms(client, packet)
        self._addressing.check_copies(packet, copies)
        return copies

    # CloudLink 3.

    def clear(self, client: Client, packet: Packet) -> None:
        """Clear the last public and private message of all clients."""
        self._addressing.charge_identity_change(client, packet)
        for room_id in sorted(client.joined):
            members = client.joined[room_id]
            is_attributed = self._settings.message_origin
            self._hub.emit(members, Message(_EMPTY_TEXT, client.user, "", is_attributed))
            copies = [(room_id, user) for user in members.presence.users.values()]
            self._hub.send(copies, PrivateMessage(_EMPTY_TEXT, client.user))

    def direct(self, client: Client, packet: Packet) -> None:
        """Accept data for the server itself, which plugins may handle. With an `id`, behave as in CL4."""
        if packet.id:
            self._commands.direct(client, packet)

    def route(self, client: Client, packet: Packet) -> None:
        """Send a project's custom command to clients of the same era."""
        self._send_on(client, packet)
        self._commands.confirm(client, packet)

    # CloudLink 4, version 0.1.8.

    def ping(self, client: Client, packet: Packet) -> None:
        """Answer a ping, or pass it on to clients of the same era."""
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
        copies = self._addressing.recipients_in_rooms(client, packet)
        event = Custom(packet.cmd, packet.val, client.user)
        if not self._hub.send(copies, event, client, packet.listener):
            raise Refusal(StatusCodes.id_not_found)


def _copies(members: Iterable[Client]) -> list[tuple[str, User]]:
    """Return one copy, outside of rooms, for each member of a channel."""
    return [("", member.user) for member in members]
