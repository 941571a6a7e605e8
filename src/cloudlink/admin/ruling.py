"""Rules of rooms, word filters and announcements."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, cast

import msgspec

from cloudlink.admin import filters as filter_rules
from cloudlink.admin import roomrules
from cloudlink.admin.actors import Actor, AdminError
from cloudlink.admin.base import Base, Outcome, checked_seconds
from cloudlink.admin.filters import ACTIONS, DEFAULT_SCOPE, LONGEST_MUTE, SCOPES, Filter
from cloudlink.admin.roomrules import DEFAULT_ROOM, EVERYWHERE, MOST_RULES, Rule
from cloudlink.admin.store import Change
from cloudlink.admin.targets import invalid

if TYPE_CHECKING:
    from cloudlink.slices import Slices

ROOM_KIND = "room"
FILTER_KIND = "filter"

LONGEST_TEXT = 1000
_LONGEST_RULE = 365 * 86_400
_LONGEST_SLOW = 21_600
_MOST_ROOMS = 1000
_SWEEP_EVERY = 30.0


class Ruling(Base):
    """The part of `Sanctions` about rooms, filters and announcements."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._rules_swept_at = self._clock()
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
            if not text.strip() or len(text) > LONGEST_TEXT:
                raise invalid("text", f"must be text of 1 to {LONGEST_TEXT} characters")
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
