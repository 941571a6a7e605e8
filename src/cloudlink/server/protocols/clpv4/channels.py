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
    """A channel: who is in it, in the order they came, and the JSON text of its data."""

    __slots__ = ("data", "members")

    def __init__(self) -> None:
        self.members: dict[Client, None] = {}
        self.data = _NO_DATA


class Channels:
    """Every channel, and where each client is."""

    def __init__(self) -> None:
        self._channels: dict[str, Channel] = {}
        self._hosts: dict[Client, str] = {}

    def of(self, client: Client) -> Channel | None:
        """Return the channel a client is in."""
        return self._channels[self._hosts[client]] if client in self._hosts else None

    def members_with(self, client: Client) -> tuple[Client, ...]:
        """Return everybody in a client's channel, itself included; nobody if it is in none."""
        channel = self.of(client)
        return tuple(channel.members) if channel else ()

    def join(self, client: Client, host: str) -> Channel:
        """Put a client into a channel, out of any other."""
        self.leave(client)
        channel = self._channels.setdefault(host, Channel())
        channel.members[client] = None
        self._hosts[client] = host
        return channel

    def leave(self, client: Client) -> None:
        """Take a client out of its channel; nothing happens if it is in none."""
        host = self._hosts.pop(client, None)
        if host is not None:
            channel = self._channels[host]
            del channel.members[client]
            if not channel.members:
                del self._channels[host]

    def keep(self, client: Client, data: bytes) -> None:
        """Keep data for those who join a client's channel later."""
        channel = self.of(client)
        if channel is not None:
            channel.data = data if len(data) <= _KEPT_BYTES else _NO_DATA
