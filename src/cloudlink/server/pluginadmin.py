"""`server.admin`: how plugins ban, kick and mute. What they do is in the audit, with the name of the plugin's file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cloudlink.admin.actors import Actor, AdminError

from .client import Client
from .handlers import calling_plugin

if TYPE_CHECKING:
    from cloudlink.admin.sanctions import Sanctions

    from .clients import ClientsManager

    Target = Client | str | dict[str, str]


class PluginAdmin:
    """The methods of `server.admin`.

    A target is a client, a username as text, or one of `{"client": ID}`, `{"address": "192.0.2.7"}`,
    `{"network": "192.0.2.0/24"}` and `{"name": "bob"}`.
    """

    Error = AdminError
    """Raised for what cannot be done; `error.code` is a word such as `protected`, `str(error)` a sentence."""

    def __init__(self, sanctions: Sanctions, clients: ClientsManager) -> None:
        self._sanctions = sanctions
        self._clients = clients

    def ban(
        self, target: Target, seconds: float | None = None, reason: str = "", *, force: bool = False
    ) -> dict[str, Any]:
        """Ban at once, and disconnect the clients that match with 4004 in a moment.

        Args:
            target: Whom. A client means its address, which others may share.
            seconds: For how long, None for ever.
            reason: The text that banned clients get.
            force: Whether a network that is very wide is meant.

        Returns:
            The ban: `id`, `kind`, `value`, `reason`, `by`, `at`, `until`, `hits`, `last_hit`.

        Raises:
            AdminError: It cannot be done, such as `protected` for this machine's own address.
        """
        return self._sanctions.ban(_actor(), _target(target), seconds=seconds, reason=reason, force=force)

    def unban(self, ban: int | dict[str, Any]) -> None:
        """Remove a ban, given by its id or as `ban` returned it. Raises `AdminError` if it does not exist."""
        self._sanctions.remove_ban(_actor(), id=_number(ban))

    def bans(self, search: str = "") -> list[dict[str, Any]]:
        """Return the bans, the newest first; with a text only those whose name, address or reason has it."""
        found: list[dict[str, Any]] = []
        after = None
        while True:
            page = self._sanctions.list_bans(_actor(), search=search, after=after)
            found += page["items"]
            after = page["next"]
            if after is None:
                return found

    def mute(
        self, target: Target, seconds: float, reason: str = "", *, hidden: bool = False
    ) -> dict[str, Any]:
        """Mute: messages, variables, commands of plugins and cloud changes are refused.

        Args:
            target: Whom. A client means its connection.
            seconds: For how long, at most a week.
            reason: What the muted read.
            hidden: Whether they must not notice.

        Returns:
            The mute: `id`, `kind`, `value`, `reason`, `by`, `at`, `until`, `hidden`.

        Raises:
            AdminError: It cannot be done.
        """
        return self._sanctions.mute(_actor(), _target(target), seconds=seconds, reason=reason, hidden=hidden)

    def unmute(self, mute: int | dict[str, Any]) -> None:
        """Remove a mute, given by its id or as `mute` returned it. Raises `AdminError` if it does not exist."""
        self._sanctions.remove_mute(_actor(), _number(mute))

    def kick(self, target: Client | str, reason: str = "") -> int:
        """Disconnect a client, or all clients of a name, with 4004 and the reason.

        Returns:
            How many of this process were disconnected; other processes of the server follow in a moment.

        Raises:
            AdminError: There is no such client, and the server has one process only.
        """
        if isinstance(target, Client):
            outcome = self._sanctions.kick(_actor(), id=target.snowflake, reason=reason)
        elif isinstance(target, str):
            outcome = self._sanctions.kick(_actor(), name=target, all=True, reason=reason)
        else:
            raise TypeError(f"kick takes a client or a username, not {type(target).__name__}")
        kicked: int = outcome.result["kicked"]
        return kicked


def _actor() -> Actor:
    return Actor(calling_plugin() or "plugin", "owner", "plugin")


def _target(target: Target) -> dict[str, str]:
    if isinstance(target, Client):
        return {"client": target.snowflake}
    return {"name": target} if isinstance(target, str) else target


def _number(record: int | dict[str, Any]) -> int:
    number: int = record["id"] if isinstance(record, dict) else record
    return number
