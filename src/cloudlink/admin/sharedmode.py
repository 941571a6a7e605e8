"""Keeps all processes of a server in the same mode.

Like bans, mutes, rules and filters, the mode is a record that each process takes over. Unlike them, it ends when the whole
server restarts. Its record therefore names the processes that it is for, and those that start later ask the others.
"""

from __future__ import annotations

from typing import Any

from cloudlink.admin.ruling import Ruling
from cloudlink.admin.store import Change

_KIND, _KEY = "act", "mode"


class SharedMode(Ruling):
    """The part of `Sanctions` about the shared mode."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._mode: dict[str, Any] | None = None  # the record of the mode that was entered last

    @property
    def shared_mode(self) -> dict[str, Any] | None:
        """The mode that somebody chose last, as `take_mode` takes it; None if nobody has."""
        return self._mode

    def take_mode(self, record: dict[str, Any], *, stop: bool = False) -> None:
        """Enter the mode that another process has entered, unless a later one is known.

        Args:
            record: `{mode, message, at}`, and `drained_at` or `guarded_for`.
            stop: Whether this process stops when the drain has ended.
        """
        if self._mode is not None and record["at"] <= self._mode["at"]:
            return
        self._mode = record
        if record["mode"] == "draining":
            self._begin_drain(record["drained_at"], record["message"], stop=stop)
        else:
            self._enter(record["mode"], record["message"], record.get("guarded_for"))

    def _share_mode(self, *, stop: bool = False, **mode: Any) -> None:
        record = {**mode, "at": round(self._wall_clock(), 3)}
        if self._mode is not None:  # two changes within a millisecond
            record["at"] = max(record["at"], self._mode["at"] + 0.001)
        self._mode = record
        self.peers.tell("mode", {"record": record, "stop": stop})
        if self._host.siblings and not self._store.is_memory_only:
            self._save_here(Change(_KIND, _KEY, {**record, "act": "mode", "of": self._host.siblings}))

    def _load_mode(self) -> None:
        for key, record in self._store.records(_KIND):
            self._mode_noticed(key, record)

    def _watch_mode(self) -> None:
        self._store.watch(_KIND, self._mode_noticed)

    def _mode_noticed(self, key: str, record: Any) -> None:
        """Take over the mode that the file names."""
        if record is not None and key == _KEY and self._host.siblings and record["of"] == self._host.siblings:
            self.take_mode({name: value for name, value in record.items() if name not in ("act", "of")})
