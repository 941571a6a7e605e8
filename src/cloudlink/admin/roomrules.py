"""The rules of rooms: who may enter, whether anybody may speak, and how often."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

EVERYWHERE = "*"
"""The name under which the rules of all rooms are kept."""
DEFAULT_ROOM = "default"
"""The room that cannot be locked, because clients without a room of their own are in it."""
MOST_RULES = 10_000
_PRUNE_AT = 20_000
"""Number of remembered messages above which those that no longer count are forgotten."""


class Rule(msgspec.Struct, gc=False, frozen=True, kw_only=True):
    """The rules of one room.

    Attributes:
        name: The room, or `*` for all.
        locked: Whether nobody else may enter.
        frozen: Whether nobody may speak.
        slow: Seconds between two messages of one client, 0 for none.
        until: Unix time at which the rules end, None for never.
        by: Who made them.
        at: Unix time of the last change.
    """

    name: str
    locked: bool = False
    frozen: bool = False
    slow: int = 0
    until: int | None = None
    by: str = ""
    at: int = 0

    @property
    def is_empty(self) -> bool:
        """Whether it forbids nothing."""
        return not (self.locked or self.frozen or self.slow)

    def record(self) -> dict[str, Any]:
        """Return it as a dict."""
        return {field: getattr(self, field) for field in self.__struct_fields__}


def from_record(record: dict[str, Any]) -> Rule:
    """Return a rule that `record` made. Raises `msgspec.ValidationError`."""
    return msgspec.convert(record, Rule)


class RoomRules:
    """The rules of all rooms."""

    def __init__(self) -> None:
        self._rules: dict[str, Rule] = {}
        self._spoken: dict[tuple[str, str], float] = {}  # by client and room
        self._prune_at = _PRUNE_AT

    def __len__(self) -> int:
        return len(self._rules)

    def __iter__(self) -> Iterator[Rule]:
        return iter(self._rules.values())

    def get(self, name: str, now: float) -> Rule:
        """Return the rules of exactly this room, empty ones if it has none."""
        rule = self._rules.get(name)
        return rule if rule is not None and _holds(rule, now) else Rule(name=name)

    def put(self, rule: Rule) -> None:
        """Set the rules of a room; empty ones are removed."""
        if rule.is_empty:
            self._rules.pop(rule.name, None)
        else:
            self._rules[rule.name] = rule

    def drop(self, name: str) -> None:
        """Remove the rules of a room."""
        self._rules.pop(name, None)

    def is_locked(self, room: str, now: float) -> bool:
        """Return whether nobody else may enter a room."""
        rule = self._rules.get(room)
        return rule is not None and rule.locked and _holds(rule, now)

    def is_frozen(self, rooms: Iterable[str], now: float) -> bool:
        """Return whether nobody may speak in one of the rooms."""
        return any(rule.frozen for rule in self._of(rooms, now))

    def wait(self, player: str, rooms: Iterable[str], now: float, clock: float) -> float:
        """Return the seconds that a client has to wait; if it need not wait, note that it speaks now.

        Args:
            player: The client's id.
            rooms: The rooms that it speaks in; none if it speaks to the server as a whole.
            now: The Unix time.
            clock: The time in seconds, for measuring.
        """
        slow = {(player, rule.name): rule.slow for rule in self._of(rooms, now) if rule.slow}
        if not slow:
            return 0.0
        longest = max(self._spoken.get(key, -1e9) + seconds - clock for key, seconds in slow.items())
        if longest > 0:
            return longest
        if len(self._spoken) >= self._prune_at:
            oldest = clock - max((rule.slow for rule in self._rules.values()), default=0)
            self._spoken = {key: at for key, at in self._spoken.items() if at > oldest}
            # Not again at once, if all of them still count.
            self._prune_at = max(_PRUNE_AT, 2 * len(self._spoken))
        for key in slow:
            self._spoken[key] = clock
        return 0.0

    def outdated(self, now: float) -> list[Rule]:
        """Return the rules that have ended."""
        return [rule for rule in self if not _holds(rule, now)]

    def _of(self, rooms: Iterable[str], now: float) -> Iterator[Rule]:
        for name in (EVERYWHERE, *rooms):
            rule = self._rules.get(name)
            if rule is not None and _holds(rule, now):
                yield rule


def _holds(rule: Rule, now: float) -> bool:
    return rule.until is None or now < rule.until
