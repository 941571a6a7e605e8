"""Linked channels, a feature of CloudLink 2 only (protocol, section 4.2).

A channel is named after its host, holds one piece of data, and exists while it has members. A client is
in one channel at most.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cloudlink.server.client import Client

_NO_DATA = b'""'
_KEPT_BYTES = 1 << 14
"""Maximum bytes of data that is kept for later members; larger data reaches only the current members."""


class Channel:
    """A channel.

    Attributes:
        host: The channel's name.
        members: The members, in the order in which they joined.
        data: JSON text of the channel's data.
    """

    __slots__ = ("data", "host", "members")

    def __init__(self, host: str) -> None:
        self.host = host
        self.members: dict[Client, None] = {}
        self.data = _NO_DATA


class Channels:
    """All channels by name, and the channel of each client that is in one."""

    def __init__(self) -> None:
        self._channels: dict[str, Channel] = {}
        self._channel_of: dict[Client, Channel] = {}

    def of(self, client: Client) -> Channel | None:
        """Return the channel of a client, None if it is in none."""
        return self._channel_of.get(client)

    def members_with(self, client: Client) -> tuple[Client, ...]:
        """Return all members of a client's channel, including the client; empty if it is in none."""
        channel = self.of(client)
        return tuple(channel.members) if channel else ()

    def members_of(self, host: str) -> tuple[Client, ...]:
        """Return all members of a channel on this node."""
        channel = self._channels.get(host)
        return tuple(channel.members) if channel else ()

    def join(self, client: Client, host: str) -> Channel:
        """Move a client to a channel, out of its current one."""
        self.leave(client)
        channel = self._channels.get(host)
        if channel is None:
            channel = self._channels[host] = Channel(host)
        channel.members[client] = None
        self._channel_of[client] = channel
        return channel

    def leave(self, client: Client) -> None:
        """Remove a client from its channel; do nothing if it is in none."""
        channel = self._channel_of.pop(client, None)
        if channel is not None:
            del channel.members[client]
            if not channel.members:
                del self._channels[channel.host]

    def keep(self, client: Client, data: bytes) -> None:
        """Store data for clients that join a client's channel later."""
        channel = self.of(client)
        if channel is not None:
            self.keep_in(channel.host, data)

    def keep_in(self, host: str, data: bytes) -> None:
        """Store data for clients that join a channel later; do nothing if nobody is in it."""
        channel = self._channels.get(host)
        if channel is not None:
            channel.data = data if len(data) <= _KEPT_BYTES else _NO_DATA
