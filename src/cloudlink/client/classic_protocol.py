"""The CloudLink 4 handshake, username and user object of `client()`.

It sends requests and fires events through its owner, and knows the owner only as the `Owner` below.
"""

from __future__ import annotations

import typing
from typing import TYPE_CHECKING, Any

from cloudlink.text import printable

if TYPE_CHECKING:
    import logging

HANDSHAKE = "init_handshake"
USERNAME = "init_username"
_OK = 100


class Owner(typing.Protocol):
    """The parts of `client()` that its protocol uses."""

    logger: logging.Logger
    version: str

    def send_packet(self, message: dict[str, Any] | str) -> None:
        """Send a packet without waiting."""
        ...

    async def send_packet_and_wait(self, message: dict[str, Any]) -> dict[str, Any]:
        """Send a packet and return the answer with its listener."""
        ...

    def fire(self, event: object, *details: Any) -> object:
        """Start the handlers of an event."""
        ...

    def disconnect(self) -> None:
        """Close the connection."""
        ...


class Protocol:
    """CloudLink 4 for `client()`, found there as `protocol`."""

    def __init__(self, client: Owner) -> None:
        self._client = client
        self._user: dict[str, Any] = {}

    async def set_username(self, username: str) -> None:
        """Ask for a username and wait for the answer.

        If the server accepts the name, `on_username_set` is called. If it refuses the name, that is logged, and
        `on_statuscode` gets the answer.

        Raises:
            TimeoutError: No answer came within 60 seconds.
        """
        request = {"cmd": "setid", "val": username, "listener": USERNAME}
        answer = await self._client.send_packet_and_wait(request)
        if answer.get("code_id") != _OK:
            self._client.logger.error(
                "The server refuses the username %s: %s",
                printable(username),
                printable(str(answer.get("details") or answer.get("code"))),
            )

    def generate_user_object(self) -> dict[str, Any]:
        """Return this client's user object, as the server reported it: `id`, `uuid`, and `username` once set."""
        return {"id": self._user.get("id", ""), "uuid": self._user.get("uuid", "")} | self._user

    # For the client.

    def reset(self) -> None:
        """Forget the previous connection."""
        self._user = {}

    def greet(self) -> None:
        """Send the handshake."""
        client = self._client
        says_who = {"language": "Python", "version": client.version}
        client.send_packet({"cmd": "handshake", "val": says_who, "listener": HANDSHAKE})

    def received(self, packet: dict[str, Any]) -> None:
        """Handle a valid packet."""
        if packet["cmd"] == "client_obj" and isinstance(packet.get("val"), dict):
            self._user = dict(packet["val"])
        elif packet["cmd"] == "statuscode" and packet.get("listener") == HANDSHAKE:
            self._greeted(packet)
        elif packet["cmd"] == "statuscode" and packet.get("listener") == USERNAME:
            self._named(packet)

    def _greeted(self, status: dict[str, Any]) -> None:
        if status.get("code_id") == _OK:
            self._client.logger.info("Successfully connected to the server.")
            self._client.fire("connect")
        else:
            self._client.logger.error(
                "The server refuses the handshake: %s", printable(str(status.get("code")))
            )
            self._client.disconnect()

    def _named(self, status: dict[str, Any]) -> None:
        user = status.get("val")
        if status.get("code_id") == _OK and isinstance(user, dict):
            self._user = dict(user)
            self._client.fire("username_set", user.get("id"), user.get("username"), user.get("uuid"))
