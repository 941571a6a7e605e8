"""Everything that a host may do against players: the methods behind the admin socket, the terminal and plugins.

The names, the parameters and the shapes of results are those of the admin socket. Each method takes the `Actor` first,
checks what it may do, acts in memory, writes the line of the audit (also for a refusal), and has the change saved.

* A method that only reads returns a dict: the `result` of the answer.
* A method that changes something returns an `Outcome`: the result, and a future that says within two seconds whether
  the change is on the disk. The answer is `{**outcome.result, "saved": outcome.saving.result()}`.
* What may not be done raises `AdminError`, after its line of the audit is written.

Roles are checked here only where they change what a method does: a moderator's ban is shortened, for example. The
caller checks whether somebody may call a method at all, such as a viewer or a player with a grant, and records refusals
with `audit.record(..., outcome="forbidden")`.

All methods must be called in the thread of the server's event loop; a program without a server may use them anywhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloudlink.admin import banning, muting, ruling
from cloudlink.admin.banning import Banning
from cloudlink.admin.base import Outcome
from cloudlink.admin.modecontrol import ModeControl
from cloudlink.admin.muting import Muting
from cloudlink.admin.store import Change

if TYPE_CHECKING:
    from cloudlink.admin.host import Host
    from cloudlink.admin.policy import Policy
    from cloudlink.admin.replica import Stamped
    from cloudlink.admin.store import AdminStore
    from cloudlink.settings import Settings
    from cloudlink.slices import Slices

__all__ = ["Outcome", "Sanctions"]


class Sanctions(Banning, Muting, ModeControl):
    """The sanctions of one server, or of a file without a server.

    A server calls `load` after the store is open, `tick` once a second, and `finish` before the store is closed.
    """

    def __init__(
        self, settings: Settings, store: AdminStore, host: Host, policy: Policy | None = None
    ) -> None:
        """Set up without any rule.

        Args:
            settings: The settings of the server.
            store: The file.
            host: The server to act on, a `NoHost` for a program without one.
            policy: The policy that the server asks, None for a new one; its clocks are used.
        """
        super().__init__(settings, store, host, policy)
        self._is_loaded = False

    def load(self) -> None:
        """Read everything from the file, and follow its changes by other processes. A second call reads it again."""
        if not self._is_loaded:
            self._is_loaded = True
            self._watch_bans()
            self._watch_mutes()
            self._watch_rules()
            self._watch_mode()
        self.audit.load()
        self._load_bans()
        self._load_mutes()
        self._load_rules()
        self._load_mode()
        self.on_activity()

    def unsaved(self) -> list[Change]:
        """Return the bans, mutes, rules and filters of a server without a file, for a process that has just been started."""
        if not self._store.is_memory_only or self._store.replica is not None:
            return []
        policy = self.policy
        return [
            *(Change(banning.KIND, ban.target.key, ban.record()) for ban in policy.bans),
            *(Change(muting.KIND, mute.target.key, mute.record()) for mute in policy.mutes),
            *(Change(ruling.ROOM_KIND, rule.name, rule.record()) for rule in policy.rooms),
            *(Change(ruling.FILTER_KIND, str(one.id), one.record()) for one in policy.filters),
        ]

    def take_unsaved(self, changes: list[Change]) -> None:
        """Take over what another process of a server without a file has; what is known here already stays."""
        if self._store.is_memory_only:
            known = {change[:2] for change in self.unsaved()}
            self._store.notice([change for change in changes if change[:2] not in known])

    def taking_over(
        self, changes: list[Change], stamped: list[Stamped] | None = None, *, is_to_save: bool = False
    ) -> Slices[int]:
        """Take over changes of another process; return how many clients of this one they hit.

        Args:
            changes: The changes.
            stamped: The same with stamps, if the other process is a node of a cluster.
            is_to_save: Whether the other process has a file of its own, so that this one saves them, too.
        """
        self._is_taking_over = True
        try:
            if stamped is None or self._store.replica is None:
                self._store.notice(changes)
            else:
                self._store.take_stamped(stamped, is_to_save=is_to_save)
        finally:
            self._is_taking_over = False
        return (yield from self._enforcing_fresh()) + (yield from self._counting_muted())

    def tick(self) -> None:
        """Drop what has ended, and save what is counted; to be called once a second."""
        self.audit.tick()
        self._tick_bans()
        self._tick_mutes()
        self._tick_mode()
        self._tick_rules()

    def finish(self) -> None:
        """Save what is counted."""
        self._save_hits()
