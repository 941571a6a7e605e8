"""The rules for usernames (protocol, section 1.7, `setid`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloudlink import jsontext

from .schema import Schema
from .statuscodes import Refusal, StatusCodes

if TYPE_CHECKING:
    from cloudlink.server.api import PluginAPI
    from cloudlink.server.client import Client

_BYTES_PER_CHARACTER = 4
"""Maximum bytes of JSON text per character of a username: enough for UTF-8, not for six-byte escapes only."""


class UsernameRules:
    """The username rules of one server."""

    def __init__(self, server: PluginAPI) -> None:
        self._settings = server.settings
        self._directory = server.directory
        self._policy = server.hooks.policy

    def may_rename(self, client: Client) -> bool:
        """Return whether a client that has a name may itself set another one."""
        return self._settings.allow_rename or client.dialect.renames

    def check_typed(self, client: Client, raw: bytes, username: str) -> None:
        """Raise `Refusal` if a client may not have the name that it sent.

        Args:
            client: The client that sent the name.
            raw: The name as JSON text.
            username: The name.
        """
        refusal = client.dialect.refuses_name(raw)
        if refusal is not None:
            raise Refusal(refusal)
        self.check(client, username)

    def check(self, client: Client, username: str) -> None:
        """Raise `Refusal`, with the reason, if a client may not have a name."""
        longest = self._settings.username_max_length
        if not username:
            raise Refusal(StatusCodes.refused, "A username cannot be empty.")
        if len(username) > longest:
            raise Refusal(StatusCodes.refused, f"A username can have at most {longest} characters.")
        most = _BYTES_PER_CHARACTER * longest
        if len(jsontext.dumps(username)) - 2 > most:
            raise Refusal(StatusCodes.refused, f"A username can take at most {most} bytes as JSON.")
        bridge = next((name for name in self._settings.bridges if username.startswith(f"{name}/")), None)
        if bridge is not None:
            details = f"Names that begin with {bridge}/ belong to the users of the bridge {bridge}."
            raise Refusal(StatusCodes.id_conflict, details)
        dialect = client.dialect  # None before the first message
        is_unique = self._settings.unique_usernames or (dialect is not None and dialect.unique_names)
        if is_unique and self._is_taken(client, username):
            raise Refusal(StatusCodes.id_conflict, f"The username {username} is taken.")
        why = self._policy.name_refusal(client, username)
        if why:
            raise Refusal(StatusCodes.refused, why)

    def _is_taken(self, client: Client, username: str) -> bool:
        return any(user.id != client.snowflake for user in self._directory.by_name(username, Schema))
