"""The mutes of a server, and which of them holds for a client.

This module checks nothing and sends nothing; `cloudlink.admin.sanctions` does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from cloudlink.addresses import bits_of
from cloudlink.admin.names import fold
from cloudlink.admin.numbered import NumberedRecords
from cloudlink.admin.targets import Networks, Target
from cloudlink.admin.times import sentence

if TYPE_CHECKING:
    from cloudlink.admin.host import Player

MOST_MUTES = 10_000
_MOST_REMEMBERED = 20_000


class Mute(msgspec.Struct, gc=False, kw_only=True, eq=False):
    """One mute.

    Attributes:
        id: Its number.
        kind: `client`, `address`, `network` or `name`.
        value: The client's id, the address, network or name; see `targets.Target`.
        reason: What the muted read.
        by: Who muted.
        at: Unix time of the mute.
        until: Unix time of its end.
        hidden: Whether the muted must not notice.
    """

    id: int
    kind: str
    value: str
    reason: str = ""
    by: str
    at: int
    until: int
    hidden: bool = False

    @property
    def target(self) -> Target:
        """The target of the mute."""
        return Target(self.kind, self.value)

    @property
    def text(self) -> str:
        """The text that muted clients get."""
        return sentence("You are muted", self.until, self.reason)

    def record(self) -> dict[str, Any]:
        """Return it as a dict."""
        return {field: getattr(self, field) for field in self.__struct_fields__}


def from_record(record: dict[str, Any]) -> Mute:
    """Return a mute that `record` made. Raises `msgspec.ValidationError`."""
    return msgspec.convert(record, Mute)


class Mutes(NumberedRecords[Mute]):
    """All mutes, by number and target."""

    def __init__(self) -> None:
        super().__init__()
        self._by_key: dict[str, Mute] = {}
        self._networks: Networks[Mute] = Networks()
        self._found: dict[str, tuple[str, Mute | None]] = {}  # by client: its name then, and the mute

    def of(self, target: Target) -> Mute | None:
        """Return the mute of exactly this target, None if there is none."""
        return self._by_key.get(target.key)

    def put(self, record: Mute) -> None:
        """Add a mute in place of one of the same target."""
        self.drop(record.target)
        self._number(record)
        self._by_key[record.target.key] = record
        network = record.target.network
        if network is not None:
            self._networks.put(network, record)
        self._found.clear()

    def drop(self, target: Target) -> Mute | None:
        """Remove and return the mute of a target, None if there is none."""
        mute = self._by_key.pop(target.key, None)
        if mute is None:
            return None
        self._forget(mute)
        network = target.network
        if network is not None:
            self._networks.drop(network)
        self._found.clear()
        return mute

    def for_player(self, player: Player, now: float) -> Mute | None:
        """Return the mute that holds for a client: an open one before a hidden one; None if none does."""
        known = self._found.get(player.snowflake)
        if known is not None and known[0] == player.username:
            mute = known[1]
            if mute is None or now < mute.until:
                return mute
        mute = self._find(player, now)
        if len(self._found) >= _MOST_REMEMBERED:  # clients that have left are not noticed otherwise
            self._found.clear()
        self._found[player.snowflake] = (player.username, mute)
        return mute

    def _find(self, player: Player, now: float) -> Mute | None:
        found = [self._by_key.get(f"client:{player.snowflake}")]
        if player.username:
            found.append(self._by_key.get(f"name:{fold(player.username)}"))
        found += self._networks.covering(bits_of(player.address))
        holding = [mute for mute in found if mute is not None and now < mute.until]
        return min(holding, key=lambda mute: mute.hidden, default=None)

    def outdated(self, now: float) -> list[Mute]:
        """Return the mutes that have ended."""
        return [mute for mute in self if mute.until <= now]
