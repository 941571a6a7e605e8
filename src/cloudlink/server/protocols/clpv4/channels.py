"""Linked channels, which only CloudLink 2 had (protocol, section 4.2).

A channel is named after whoever hosts it, holds one piece of data, and lasts while somebody is in it. A
client is in one channel at most.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cloudlink.server.clients import Client

_NO_DATA = b'""'
_KEPT_BYTES = 1 << 14
"""Data of more bytes reaches the members but is not kept for those who come later."""


class Channel:
    """A channel.

    Attributes:
        host: Its name.
        members: Who is in it, in the order they came.
        data: JSON text of its data.
    """

    __slots__ = ("data", "host", "members")

    def __init__(self, host: str) -> None:
        self.host = host
        self.members: dict[Client, None] = {}
        self.data = _NO_DATA


class Channels:
    """Every channel by name. The one a client is in is kept in the client's state."""

    def __init__(self) -> None:
        self._channels: dict[str, Channel] = {}

    def of(self, client: Client) -> Channel | None:
        """Return the channel a client is in."""
        channel: Channel | None = client.state.channel
        return channel

    def members_with(self, client: Client) -> tuple[Client, ...]:
        """Return everybody in a client's channel, itself included; nobody if it is in none."""
        channel = self.of(client)
        return tuple(channel.members) if channel else ()

    def join(self, client: Client, host: str) -> Channel:
        """Put a client into a channel, out of any other."""
        self.leave(client)
        channel = self._channels.get(host)
        if channel is None:
            channel = self._channels[host] = Channel(host)
        channel.members[client] = None
        client.state.channel = channel
        return channel

    def leave(self, client: Client) -> None:
        """Take a client out of its channel; nothing happens if it is in none."""
        channel = self.of(client)
        if channel is not None:
            client.state.channel = None
            del channel.members[client]
            if not channel.members:
                del self._channels[channel.host]

    def keep(self, client: Client, data: bytes) -> None:
        """Keep data for those who join a client's channel later."""
        channel = self.of(client)
        if channel is not None:
            channel.data = data if len(data) <= _KEPT_BYTES else _NO_DATA
