"""Decides a client's dialect and greets the client (protocol, sections 1.5 and 4.7)."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from cloudlink import addresses
from cloudlink.server.client import write

from .dialects import CL4, DIALECTS, MODERN, UNDECIDED, Greeting, detect
from .schema import Schema

if TYPE_CHECKING:
    from cloudlink.server.api import PluginAPI
    from cloudlink.server.client import Client

    from .channels import Channels
    from .dialects import Dialect
    from .roomstates import RoomStates
    from .userlists import UserLists

logger = logging.getLogger("cloudlink.server")


class Greeter:
    """Decides dialects and greets.

    Attributes:
        enable_motd: Whether the greeting includes the message of the day.
    """

    def __init__(self, server: PluginAPI, lists: UserLists, states: RoomStates, channels: Channels) -> None:
        self.enable_motd = bool(server.settings.motd)
        self._settings = server.settings
        self._rooms = server.rooms_manager
        self._commands = server.hooks.commands.setdefault(Schema, {})
        self._lists = lists
        self._states = states
        self._channels = channels
        self._dialects = DIALECTS if server.settings.legacy else MODERN

    @property
    def initial_dialect(self) -> Dialect:
        """The dialect of a client before its first message."""
        return UNDECIDED if self._settings.legacy else CL4

    def decide(self, client: Client, data: bytes) -> None:
        """Update the client's dialect by a message; if the form of the greeting changes, greet the client."""
        former = client.dialect
        dialect = detect(data, former, self._dialects, prefers_cl3=self._settings.undecided_clients == "cl3")
        if dialect is former:
            return
        self._rooms.change_dialect(client, dialect)
        if dialect.greets_as != former.greets_as:
            self._channels.leave(client)
            write(client, "handshake", False)
        if dialect not in MODERN and client.session.should_log():
            logger.info("%s speaks %s.", client, dialect, extra={"event": "identified"})
        if not client.handshake and dialect.greets_as != CL4.greets_as:
            self.greet(client)

    def greet(self, client: Client) -> None:
        """Send a client its greeting: in CL4, the answer to a handshake up to the status code."""
        write(client, "handshake", True)
        dialect: Dialect = client.dialect
        address = self.shown_address(client) if self._settings.send_client_ip else None
        facts = Greeting(
            user=client.user,
            address=address or "",
            version=self._settings.reported_version,
            motd=self._settings.motd if self.enable_motd else "",
            lists=self._lists.lists_of(client),
        )
        for frame in dialect.greeting(facts):
            client.session.send_frame(frame)
        for room_id in sorted(client.joined):
            self._states.show(client, room_id)

    def greet_implicitly(self, client: Client) -> None:
        """Greet a client whose first packet is not a handshake, unless the settings disable that."""
        # TurboWarp drops all packets before the version, and locks a username set before it.
        if self._settings.implicit_greeting and not client.handshake:
            handshake = self._commands.get("handshake")
            if handshake is None or not handshake.disabled:
                self.greet(client)

    def shown_address(self, client: Client) -> str | None:
        """Return the address that is shown to a client as its own, None if it is unknown."""
        header = self._settings.real_ip_header
        return addresses.shown_address(client.remote_address, client.request_headers, header)
