"""What the processes of one server tell each other, beyond what they keep together in the file.

Bans, mutes, rules and filters are records, which each process notices and enforces. A kick, an announcement or a mode is not: whoever does
it writes a record of the kind `act` for the others, who do the same to their own clients within a second or two. A mode
stays in the file, so that a process that is started anew takes it over; everything else is removed after a minute.
"""

from __future__ import annotations

from typing import Any

from cloudlink.admin.actors import AdminError
from cloudlink.admin.base import ACT_KIND
from cloudlink.admin.muting import Muting
from cloudlink.admin.ruling import Ruling
from cloudlink.admin.store import Change

_KEPT = 60
"""Seconds for which an act is kept; all processes have noticed it by then."""
_SWEEP_EVERY = 30.0


class Sharing(Muting, Ruling):
    """The part of `Sanctions` that does what other processes of the same server did."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._acts: dict[str, dict[str, Any]] = {}  # those in the file, by key
        self._acts_swept_at = self._clock()

    def _load_acts(self) -> None:
        for key, record in self._store.records(ACT_KIND):
            self._acts[key] = record
            if record.get("act") == "mode":
                self._do(record)

    def _watch_acts(self) -> None:
        self._store.watch(ACT_KIND, self._act_noticed)

    def _act_noticed(self, key: str, record: Any) -> None:
        if record is None:
            self._acts.pop(key, None)
        else:
            self._acts[key] = record
            self._do(record)

    def _do(self, record: dict[str, Any]) -> None:
        """Do to the clients of this process what another one did to its own."""
        if not self._host.siblings or record.get("of") != self._host.siblings:
            return  # an earlier start of the server, or a program without one
        match record["act"]:
            case "mode" if record["mode"] == "draining":
                self._begin_drain(record["drained_at"], record["message"])
            case "mode":
                self._enter(record["mode"], record["message"], record.get("guarded_for"))
            case "announce":
                self._host.announce(record["text"], record["rooms"], record["kind"])
            case "kick":
                self._kick_here(record)

    def _kick_here(self, record: dict[str, Any]) -> None:
        name = record["name"] if record["ids"] is None else None
        try:
            players = self._meant(None, record["ids"], name, several=record["several"])
        except AdminError:  # it is not here either, or cannot be told from others
            return
        self._kick_all(players, record["reason"])

    def _tick_acts(self) -> None:
        if self._clock() - self._acts_swept_at < _SWEEP_EVERY:
            return
        self._acts_swept_at = self._clock()
        oldest = self._wall_clock() - _KEPT
        old = [key for key, record in self._acts.items() if record["act"] != "mode" and record["at"] < oldest]
        for key in old:
            del self._acts[key]
        if old:
            self._save(*(Change(ACT_KIND, key, None) for key in old))
