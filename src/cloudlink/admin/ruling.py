"""Rules of rooms, word filters, modes, the drain and announcements."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, cast

import msgspec

from cloudlink.admin import filters as filter_rules
from cloudlink.admin import roomrules
from cloudlink.admin.actors import SERVER, Actor, AdminError
from cloudlink.admin.base import Base, Outcome, checked_seconds
from cloudlink.admin.filters import ACTIONS, DEFAULT_SCOPE, LONGEST_MUTE, SCOPES, Filter
from cloudlink.admin.roomrules import DEFAULT_ROOM, EVERYWHERE, MOST_RULES, Rule
from cloudlink.admin.store import Change
from cloudlink.admin.targets import invalid
from cloudlink.closecodes import CloseCode
from cloudlink.slices import finish
from cloudlink.text import counted, one_line

if TYPE_CHECKING:
    from cloudlink.admin.host import Player
    from cloudlink.admin.modes import Mode
    from cloudlink.slices import Slices

ROOM_KIND = "room"
FILTER_KIND = "filter"

_LONGEST_TEXT = 1000
_LONGEST_RULE = 365 * 86_400
_LONGEST_SLOW = 21_600
_LONGEST_DRAIN = 86_400
_MOST_ROOMS = 1000
_DRAINED_AT_ONCE = 10
_DRAIN_PAUSE = 0.05
"""Seconds between two turns of `_DRAINED_AT_ONCE` closings: 200 a second."""
_SWEEP_EVERY = 30.0
_STOPPING = "The server is shutting down"


class Ruling(Base):
    """The part of `Sanctions` about rooms, filters, modes and announcements."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._rules_swept_at = self._clock()
        self._drain = 0  # the number of the drain that goes on, so that a cancelled one ends
        self._was_judging_newcomers = False
        self.policy.filters.on_off = self._filter_switched_off

    # Rooms.

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
        """Change the rules of a room; what is None stays as it is.

        Args:
            actor: Who changes them.
            name: The room, or `*` for all rooms.
            locked: Whether nobody else may enter; not for `default` and `*`.
            frozen: Whether nobody may speak.
            slow: Seconds between two messages of one client, up to 21600; 0 for none.
            seconds: For how long the rules hold, None until somebody changes them.

        Returns:
            `{room}`: `{name, locked, frozen, slow, until}`.

        Raises:
            AdminError: `invalid`, `too_many`.
        """
        given = {"locked": locked, "frozen": frozen, "slow": slow, "seconds": seconds}
        params = {key: value for key, value in given.items() if value is not None}
        with self._audited(actor, "rooms.set", target=f"room:{name}", params=params):
            rule = self._changed_rule(actor, name, locked, frozen, slow, seconds)
            self.policy.rooms.put(rule)
            saving = self._save(Change(ROOM_KIND, name, None if rule.is_empty else rule.record()))
        self.on_activity()
        return Outcome({"room": _shown_rule(rule)}, saving)

    def room_rules(self, name: str) -> dict[str, Any]:
        """Return `{name, locked, frozen, slow, until}` of a room, or of all rooms with `*`."""
        return _shown_rule(self.policy.rooms.get(name, self._wall_clock()))

    def _changed_rule(
        self,
        actor: Actor,
        name: str,
        locked: bool | None,
        frozen: bool | None,
        slow: float | None,
        seconds: float | None,
    ) -> Rule:
        if not name:
            raise invalid("name", "must be the name of a room, or * for all")
        if locked and name in (DEFAULT_ROOM, EVERYWHERE):
            raise invalid(
                "locked", f"is not for {name}: clients without a room of their own must be somewhere"
            )
        if slow is not None and not (slow == 0 or 1 <= slow <= _LONGEST_SLOW):
            raise invalid("slow", f"must be 0, or from 1 to {_LONGEST_SLOW} seconds")
        if seconds is not None:
            checked_seconds(seconds, _LONGEST_RULE)
        now = self._wall_clock()
        former = self.policy.rooms.get(name, now)
        if len(self.policy.rooms) >= MOST_RULES and former.is_empty:
            raise AdminError("too_many", f"At most {MOST_RULES} rooms can have rules.")
        return Rule(
            name=name,
            locked=former.locked if locked is None else locked,
            frozen=former.frozen if frozen is None else frozen,
            slow=former.slow if slow is None else int(slow),
            until=None if seconds is None else self._until(seconds),
            by=actor.name,
            at=int(now),
        )

    # Filters.

    def add_filter(self, actor: Actor, **params: Any) -> Outcome:
        """Add a word filter at once; see `adding_filter`."""
        return finish(self.adding_filter(actor, **params))

    def adding_filter(
        self,
        actor: Actor,
        *,
        kind: str,
        entries: list[str],
        action: str,
        scope: list[str] | None = None,
        seconds: float | None = None,
    ) -> Slices[Outcome]:
        """Add a word filter.

        Args:
            actor: Who adds it.
            kind: `words`, or `regex` with the extra `cloudlink-server[regex]`.
            entries: The words, which may begin or end with `*` for a part of a word; or regular expressions.
            action: `notice`, `mask`, `block`, `mute` or `kick`.
            scope: Where to look, of `messages`, `names`, `rooms` and `variables`; None for the first two.
            seconds: How long a mute lasts, None for five minutes.

        Returns:
            `{filter}`: the record.

        Raises:
            AdminError: `invalid`, `too_many`, `too_slow`, `unavailable`.
        """
        params = {"kind": kind, "count": len(entries), "action": action, "scope": scope}
        with self._audited(actor, "filters.add", params=params):
            one = yield from self._checking_filter(actor, kind, entries, action, scope, seconds)
            yield from self.policy.filters.putting(one)
            saving = self._save(Change(FILTER_KIND, str(one.id), one.record()))
        self.on_activity()
        return Outcome({"filter": self._shown_filter(one)}, saving)

    def remove_filter(self, actor: Actor, id: int) -> Outcome:  # noqa: A002  # the word of the admin socket
        """Remove a filter; `{removed}`.

        Raises:
            AdminError: `not_found`.
        """
        with self._audited(actor, "filters.remove", params={"id": id}):
            if self.policy.filters.drop(id) is None:
                raise AdminError("not_found", f"There is no filter {id}.")
            saving = self._save(Change(FILTER_KIND, str(id), None))
        self.on_activity()
        return Outcome({"removed": 1}, saving)

    def list_filters(self, actor: Actor) -> dict[str, Any]:  # noqa: ARG002  # everybody sees the same
        """Return `{items}`; `off` says that a filter is switched off because it is slow."""
        return {"items": [self._shown_filter(one) for one in self.policy.filters]}

    def test_filters(self, actor: Actor, text: str) -> dict[str, Any]:  # noqa: ARG002  # everybody sees the same
        """Return `{matches, masked}`: `[{id, action, found}]`, and the text with the masked words hidden."""
        filters = self.policy.filters
        matches = [
            {"id": one.id, "action": one.action, "found": found} for one, found in filters.matches(text)
        ]
        finding = filters.look_at_text(text, "messages")
        shown = text if finding is None else finding.masked.decode(errors="surrogatepass")
        return {"matches": matches, "masked": shown}

    def _checking_filter(
        self,
        actor: Actor,
        kind: str,
        entries: list[str],
        action: str,
        scope: list[str] | None,
        seconds: float | None,
    ) -> Slices[Filter]:
        if kind not in ("words", "regex"):
            raise invalid("kind", "must be words or regex")
        if action not in ACTIONS:
            raise invalid("action", f"must be one of {', '.join(ACTIONS)}")
        places = list(DEFAULT_SCOPE) if scope is None else list(dict.fromkeys(scope))
        if not places or not set(places) <= set(SCOPES):
            raise invalid("scope", f"must be a list of some of {', '.join(SCOPES)}")
        if not entries:
            raise invalid("entries", "must have at least one entry")
        if seconds is not None:
            checked_seconds(seconds, LONGEST_MUTE)
        entries = list(dict.fromkeys(entries))
        self.policy.filters.check_room_for(kind, entries)
        yield from filter_rules.checking_entries(kind, entries)
        return Filter(
            id=self.policy.filters.next_id(),
            kind=cast("Literal['words', 'regex']", kind),
            entries=entries,
            action=action,
            scope=cast("list[filter_rules.Scope]", places),
            seconds=None if seconds is None else int(seconds),
            by=actor.name,
            at=int(self._wall_clock()),
        )

    def _shown_filter(self, one: Filter) -> dict[str, Any]:
        return {**one.record(), "off": self.policy.filters.is_off(one.id)}

    def _filter_switched_off(self, one: Filter) -> None:
        self.notify(f"Filter {one.id} takes too long and was switched off; remove it, or make it simpler.")
        self.on_activity()

    # Modes.

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

    def _share_mode(self, **mode: Any) -> None:
        """Have the other processes of this server enter a mode, too; see `cloudlink.admin.sharedmode`."""
        raise NotImplementedError

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

    # Announcements.

    def broadcasting(
        self, actor: Actor, text: str, *, rooms: list[str] | None = None, kind: str = "motd"
    ) -> Slices[Outcome]:
        """Show a text to players.

        Args:
            actor: Who speaks.
            text: What they read, at most 1000 characters.
            rooms: The rooms that read it, None for everybody.
            kind: The parameter `as`: `motd`, which disturbs no game, or `gmsg`. Clients of an era without such a word
                get nothing.

        Returns:
            `{sent}`: how many clients got it.

        Raises:
            AdminError: `invalid`.
        """
        params = {"as": kind, **({} if rooms is None else {"rooms": rooms})}
        with self._audited(actor, "broadcast", params=params):
            if not text.strip() or len(text) > _LONGEST_TEXT:
                raise invalid("text", f"must be text of 1 to {_LONGEST_TEXT} characters")
            if kind not in ("motd", "gmsg"):
                raise invalid("as", "must be motd or gmsg")
            if rooms is not None and len(rooms) > _MOST_ROOMS:
                raise invalid("rooms", f"can have at most {_MOST_ROOMS} rooms")
        replies = self.peers.ask("announce", {"text": text, "rooms": rooms, "kind": kind})
        sent = yield from self.announcing(text, rooms, kind)
        return Outcome({"sent": sent}, self._nothing_to_save(), replies)

    def announcing(self, text: str, rooms: list[str] | None, kind: str) -> Slices[int]:
        """Show a text to the clients of this process; return how many got it."""
        return self._host.announcing(text, rooms, kind)

    # Keeping.

    def _load_rules(self) -> None:
        for key, record in self._store.records(ROOM_KIND):
            self._rule_changed(key, record)
        for key, record in self._store.records(FILTER_KIND):
            self._filter_changed(key, record)

    def _watch_rules(self) -> None:
        self._store.watch(ROOM_KIND, self._rule_changed)
        self._store.watch(FILTER_KIND, self._filter_changed)

    def _rule_changed(self, key: str, record: Any) -> None:
        """Take over what the file says of a room."""
        if record is None:
            self.policy.rooms.drop(key)
        else:
            try:
                self.policy.rooms.put(roomrules.from_record(record))
            except msgspec.ValidationError:
                self.notify(f"The rules of a room in the file cannot be read and are left out: {key}.")
        self.on_activity()

    def _filter_changed(self, key: str, record: Any) -> None:
        """Take over what the file says of a filter."""
        if record is None:
            self.policy.filters.drop(int(key))
        else:
            try:
                one = filter_rules.from_record(record)
            except msgspec.ValidationError:
                self.notify(f"A filter in the file cannot be read and is left out: {key}.")
                return
            if self.policy.filters.holds(one):  # another process has said so before it was in the file
                return
            self.slices.start(self._taking_filter(one))
            return
        self.on_activity()

    def _taking_filter(self, one: Filter) -> Slices[None]:
        yield from self.policy.filters.putting(one)
        if self.policy.filters.is_off(one.id):
            self.notify(
                f"Filter {one.id} is off, because google-re2 is not installed here: pip install 'cloudlink-server[regex]'."
            )
        self.on_activity()

    def _tick_rules(self) -> None:
        modes = self.policy.modes
        if modes.guarded_until is not None and self._clock() >= modes.guarded_until:
            self._enter("open")
            self._share_mode(mode="open", message="")
            self.audit.record(SERVER, "server.mode", params={"mode": "open"})
        if self._was_judging_newcomers != modes.mutes_newcomers:
            self._was_judging_newcomers = modes.mutes_newcomers
            self.on_activity()
        if self._clock() - self._rules_swept_at < _SWEEP_EVERY:
            return
        self._rules_swept_at = self._clock()
        outdated = self.policy.rooms.outdated(self._wall_clock())
        for rule in outdated:
            self.policy.rooms.drop(rule.name)
        if outdated:
            self._save_here(*(Change(ROOM_KIND, rule.name, None) for rule in outdated))
            self.on_activity()


def _shown_rule(rule: Rule) -> dict[str, Any]:
    return {key: getattr(rule, key) for key in ("name", "locked", "frozen", "slow", "until")}


def _checked_message(message: str) -> str:
    if len(message) > _LONGEST_TEXT:
        raise invalid("message", f"can have at most {_LONGEST_TEXT} characters")
    return one_line(message)


def _duration(seconds: float) -> str:
    """Return a time in words, such as `5 minutes`."""
    for size, unit in ((3600, "hour"), (60, "minute")):
        if seconds >= size and seconds % size == 0:
            return counted(int(seconds // size), unit)
    return f"{seconds:g} second{'' if seconds == 1 else 's'}"
