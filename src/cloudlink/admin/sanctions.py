"""Everything that a host may do against players: the methods of `server.admin`, the admin socket and the terminal.

The names, the parameters and the shapes of results are those of the admin socket. Each method takes the `Actor` first,
checks what it may do, acts in memory, writes the line of the audit (also for a refusal), and has the change saved.

* A method that only reads returns a dict: the `result` of the answer.
* A method that changes something returns an `Outcome`: the result, and a future that says within two seconds whether
  the change is on the disk. The answer is `{**outcome.result, "saved": saved}`.
* What may not be done raises `AdminError`. It is in the audit already.

The roles are checked here as far as they change what a method does (a moderator's ban is clipped, say); that a viewer
may not call it at all is for the caller to check, and to record with `audit.record(..., outcome="forbidden")`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from concurrent.futures import Future

    from cloudlink.admin.actors import Actor

Target = dict[str, str]
"""`{"client": ID}`, `{"address": …}`, `{"network": …}` or `{"name": …}`."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a change had for a result.

    Attributes:
        result: The result of the method, as the admin socket answers it, but for `saved`.
        saving: Whether the change is on the disk; it has its result within 2 seconds.
    """

    result: dict[str, Any]
    saving: Future[bool]


class AuditLog(Protocol):
    """Who did what."""

    def record(
        self,
        actor: Actor,
        method: str,
        *,
        target: str = "",
        params: dict[str, Any] | None = None,
        outcome: str = "ok",
        reason: str = "",
    ) -> None:
        """Add a line. It must hold no passwords, tokens, codes or messages of players.

        Args:
            actor: Who acted.
            method: A method of the admin socket, such as `bans.add`, or `login`.
            target: Such as `name:bob`, `client:ID`, `account:mia`.
            params: The other parameters.
            outcome: `ok`, or the code of the error.
            reason: What the actor wrote.
        """
        ...

    def record_often(self, actor: Actor, method: str, *, target: str = "", outcome: str = "") -> None:
        """Add a line of which an attack causes many: after ten a minute they are counted, in one line a minute."""
        ...

    def list(self, actor: Actor, *, after: int | None = None, limit: int = 200) -> Future[dict[str, Any]]:
        """Return `{items, next}`, the newest first; moderators see their own lines only."""
        ...


class Sanctions(Protocol):
    """The sanctions of one server.

    Attributes:
        audit: Who did what.
        mode: `open`, `guarded`, `closed` or `draining`.
    """

    audit: AuditLog
    mode: Literal["open", "guarded", "closed", "draining"]

    # Bans: `{id, kind, value, reason, by, at, until, hits, last_hit}`; `kind` is `network` or `name`.

    def preview_ban(self, actor: Actor, target: Target) -> dict[str, Any]:
        """Return `{clients, names}`: how many a ban would hit, and up to 20 of their names."""
        ...

    def add_ban(
        self, actor: Actor, target: Target, *, seconds: float | None, reason: str = "", force: bool = False
    ) -> Outcome:
        """Ban; `{ban, hit}`. Raises `AdminError`: `invalid not_found protected too_broad too_many`."""
        ...

    def list_bans(
        self, actor: Actor, *, search: str = "", after: int | None = None, limit: int = 200
    ) -> dict[str, Any]:
        """Return `{items, total, next}`, the newest first."""
        ...

    def remove_ban(
        self,
        actor: Actor,
        *,
        id: int | None = None,  # noqa: A002  # the word of the admin socket
        by: str | None = None,
        since: float | None = None,
    ) -> Outcome:
        """Remove one ban by its id, or all by an actor since a time; `{removed}`."""
        ...

    def export_bans(self, actor: Actor, *, after: int | None = None) -> dict[str, Any]:
        """Return `{items, next}`, up to 1000 bans."""
        ...

    def import_bans(self, actor: Actor, items: list[dict[str, Any]], *, dry_run: bool = False) -> Outcome:
        """Add exported bans; `{added, refused}`, `refused` a list of `{index, message}`."""
        ...

    # Mutes: `{id, kind, value, reason, by, at, until, hidden}`; `kind` is `client`, `network` or `name`.

    def add_mute(
        self, actor: Actor, target: Target, *, seconds: float, reason: str = "", hidden: bool = False
    ) -> Outcome:
        """Mute; `{mute, hit}`."""
        ...

    def list_mutes(self, actor: Actor) -> dict[str, Any]:
        """Return `{items}`."""
        ...

    def remove_mute(self, actor: Actor, id: int) -> Outcome:  # noqa: A002  # the word of the admin socket
        """Remove a mute; `{removed}`."""
        ...

    # Rooms, players, filters.

    def set_room(
        self,
        actor: Actor,
        name: str,
        *,
        locked: bool | None = None,
        frozen: bool | None = None,
        slow: float | None = None,
        seconds: float | None = None,
    ) -> Outcome:
        """Change the rules of a room, or of all with `*`; `{room}`: `{name, locked, frozen, slow, until}`."""
        ...

    def room_rules(self, name: str) -> dict[str, Any]:
        """Return `{locked, frozen, slow}` of a room, for `rooms.list`."""
        ...

    def kick(
        self,
        actor: Actor,
        *,
        id: str | None = None,  # noqa: A002  # the word of the admin socket
        ids: list[str] | None = None,
        name: str | None = None,
        all: bool = False,  # noqa: A002  # likewise
        reason: str = "",
    ) -> Outcome:
        """Disconnect clients with 4004; `{kicked}`. Raises `AdminError`: `invalid not_found ambiguous`."""
        ...

    def add_filter(
        self,
        actor: Actor,
        *,
        kind: str,
        entries: list[str],
        action: str,
        scope: list[str] | None = None,
        seconds: float | None = None,
    ) -> Outcome:
        """Add a word filter; `{filter}`: `{id, kind, entries, scope, action, seconds, by, at}`."""
        ...

    def remove_filter(self, actor: Actor, id: int) -> Outcome:  # noqa: A002  # the word of the admin socket
        """Remove a filter; `{removed}`."""
        ...

    def list_filters(self, actor: Actor) -> dict[str, Any]:
        """Return `{items}`."""
        ...

    def test_filters(self, actor: Actor, text: str) -> dict[str, Any]:
        """Return `{matches, masked}`: `[{id, action, found}]`, and the text as others would get it."""
        ...

    # The server.

    def set_mode(self, actor: Actor, mode: str, *, message: str = "") -> Outcome:
        """Set `open`, `guarded` or `closed`; `{mode}`. `open` cancels a drain."""
        ...

    def drain(self, actor: Actor, *, seconds: float, message: str = "", stop: bool = False) -> Outcome:
        """Announce the end, turn newcomers away, and close everybody after `seconds`; `{mode, until}`."""
        ...

    def broadcast(
        self, actor: Actor, text: str, *, rooms: list[str] | None = None, kind: str = "motd"
    ) -> Outcome:
        """Show a text to everybody, or to rooms; `{sent}`. `kind` is the parameter `as`: `motd` or `gmsg`."""
        ...
