"""Modes and the drain: changing them, acting on them, and keeping all processes of a server in the same one.

Like bans, mutes, rules and filters, the mode is a record that each process takes over. Unlike them, it ends when the whole
server restarts. Its record therefore names the processes that it is for, and those that start later ask the others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from cloudlink.admin.actors import SERVER, Actor, AdminError
from cloudlink.admin.base import Outcome
from cloudlink.admin.ruling import LONGEST_TEXT, Ruling
from cloudlink.admin.store import Change
from cloudlink.admin.targets import invalid
from cloudlink.closecodes import CloseCode
from cloudlink.text import counted, one_line

if TYPE_CHECKING:
    from cloudlink.admin.host import Player
    from cloudlink.admin.modes import Mode

_KIND, _KEY = "act", "mode"

_LONGEST_DRAIN = 86_400
_DRAINED_AT_ONCE = 10
_DRAIN_PAUSE = 0.05
"""Seconds between two turns of `_DRAINED_AT_ONCE` closings: 200 a second."""
_STOPPING = "The server is shutting down"


class ModeControl(Ruling):
    """The part of `Sanctions` about the mode; a drain is announced by `Ruling`."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._mode_record: dict[str, Any] | None = None  # the record of the mode that was entered last
        self._drain = 0  # the number of the drain that goes on, so that a cancelled one ends
        self._was_judging_newcomers = False

    @property
    def mode(self) -> Mode:
        """`open`, `guarded`, `closed` or `draining`."""
        return self.policy.modes.mode

    def set_mode(self, actor: Actor, mode: str, *, message: str = "") -> Outcome:
        """Let newcomers in, guard against a rush of them, or turn them away; `{mode}`. It ends a drain.

        Args:
            actor: Who changes it; those who are not owners may only choose `guarded`.
            mode: `open`, `guarded` or `closed`.
            message: The text for newcomers who are turned away; empty for the usual sentence.

        Raises:
            AdminError: `invalid`, `forbidden`.
        """
        with self._audited(actor, "server.mode", params={"mode": mode}):
            if mode not in ("open", "guarded", "closed"):
                raise invalid("mode", "must be open, guarded or closed")
            if not actor.is_owner and mode != "guarded":
                raise AdminError("forbidden", "Only an owner may open or close the server.")
            text = _checked_message(message)
            self._enter(cast("Mode", mode), text)
            self._share_mode(mode=mode, message=text)
        return Outcome({"mode": mode}, self._nothing_to_save())

    def drain(
        self, actor: Actor, *, seconds: float, message: str = "", stop: bool = False, is_shared: bool = True
    ) -> Outcome:
        """Announce the end, turn newcomers away, and disconnect everybody with 1001 after some seconds.

        Args:
            actor: Who drains the server.
            seconds: How long players may go on, at most a day.
            message: The text for everybody; empty for a sentence with the time.
            stop: Whether the server stops when all are gone.
            is_shared: Whether the other processes of this server do the same; False if each of them is asked directly.

        Returns:
            `{mode, until}`: `draining`, and the Unix time at which the disconnecting begins.

        Raises:
            AdminError: `invalid`.
        """
        with self._audited(actor, "server.drain", params={"seconds": seconds, "stop": stop}):
            if not 0 <= seconds <= _LONGEST_DRAIN:
                raise invalid("seconds", f"must be from 0 to {_LONGEST_DRAIN}")
            text = _checked_message(message)
            at = self._wall_clock() + seconds
            self._begin_drain(at, text, stop=stop)
            notice = text or f"This server closes in {_duration(seconds)}."
            self.slices.start(self.announcing(notice, None, "motd"))
            if is_shared:
                self._share_mode(mode="draining", message=text, drained_at=at, stop=stop)
                self.peers.tell("announce", {"text": notice, "rooms": None, "kind": "motd"})
        return Outcome(
            {"mode": "draining", "until": int(self.policy.modes.drained_at or 0)}, self._nothing_to_save()
        )

    def count_connection(self) -> None:
        """Note a new connection; too many in a second switch the guarded mode on (`guard_at`)."""
        at = self._settings.guard_at
        if not at:
            return
        modes, seconds = self.policy.modes, self._settings.guard_time
        count = modes.count_newcomer()
        # Exactly one connection in a second is the first one too many, so one process acts and the others follow.
        if not count - 1 <= at < count:
            return
        was_open = modes.mode == "open"
        if not was_open and modes.guarded_until is None:
            return  # a person chose the mode
        self._enter("guarded", "", seconds)
        self._share_mode(mode="guarded", message="", guarded_for=seconds)
        if was_open:
            self.audit.record(SERVER, "server.mode", params={"mode": "guarded", "connections": count})
            self.notify(
                f"More than {at:g} connections came in a second: the server guards itself for {_duration(seconds)}."
            )

    def _enter(self, mode: Mode, message: str = "", guarded_for: float | None = None) -> None:
        self._drain += 1
        self.policy.modes.set(mode, message, guarded_for)
        self.policy.modes.drained_at = None
        self._host.mode_changed(mode)
        self.on_activity()

    def _begin_drain(self, at: float, text: str, *, stop: bool = False) -> None:
        """Turn newcomers away, and disconnect everybody at a Unix time."""
        self._enter("draining", text)
        self.policy.modes.drained_at = at
        number = self._drain
        wait = max(0.0, at - self._wall_clock())
        self._host.later(wait, lambda: self._disconnect_all(number, text or _STOPPING, stop=stop))

    def _disconnect_all(self, number: int, reason: str, *, stop: bool) -> None:
        if number != self._drain:
            return
        players: list[Player] = []
        for player in self._host.players():
            players.append(player)
            if len(players) == _DRAINED_AT_ONCE:
                break
        for player in players:
            self._host.disconnect(player, CloseCode.GOING_AWAY, reason, "shutdown")
        if players:
            self._host.later(_DRAIN_PAUSE, lambda: self._disconnect_all(number, reason, stop=stop))
        elif stop:
            self._host.stop()

    def _tick_mode(self) -> None:
        modes = self.policy.modes
        if modes.guarded_until is not None and self._clock() >= modes.guarded_until:
            self._enter("open")
            self._share_mode(mode="open", message="")
            self.audit.record(SERVER, "server.mode", params={"mode": "open"})
        if self._was_judging_newcomers != modes.mutes_newcomers:
            self._was_judging_newcomers = modes.mutes_newcomers
            self.on_activity()

    # The other processes.

    @property
    def shared_mode(self) -> dict[str, Any] | None:
        """The mode that somebody chose last, as `take_mode` takes it; None if nobody has."""
        return self._mode_record

    def take_mode(self, record: dict[str, Any], *, stop: bool = False) -> None:
        """Enter the mode that another process has entered, unless a later one is known.

        Args:
            record: `{mode, message, at}`, and `drained_at` or `guarded_for`.
            stop: Whether this process stops when the drain has ended.
        """
        if self._mode_record is not None and record["at"] <= self._mode_record["at"]:
            return
        self._mode_record = record
        if record["mode"] == "draining":
            self._begin_drain(record["drained_at"], record["message"], stop=stop)
        else:
            self._enter(record["mode"], record["message"], record.get("guarded_for"))

    def _share_mode(self, *, stop: bool = False, **mode: Any) -> None:
        record = {**mode, "at": round(self._wall_clock(), 3)}
        if self._mode_record is not None:  # two changes within a millisecond
            record["at"] = max(record["at"], self._mode_record["at"] + 0.001)
        self._mode_record = record
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


def _checked_message(message: str) -> str:
    if len(message) > LONGEST_TEXT:
        raise invalid("message", f"can have at most {LONGEST_TEXT} characters")
    return one_line(message)


def _duration(seconds: float) -> str:
    """Return a time in words, such as `5 minutes`."""
    for size, unit in ((3600, "hour"), (60, "minute")):
        if seconds >= size and seconds % size == 0:
            return counted(int(seconds // size), unit)
    return f"{seconds:g} second{'' if seconds == 1 else 's'}"
