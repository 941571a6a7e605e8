"""The records that all nodes of a cluster have, each with the stamp of its last change.

The record with the newer stamp wins. Removals are kept for 30 days, as records without a value. So
nodes that did not hear each other for a while agree afterwards, whatever was changed where, and in whatever order they hear of it.

The records of a node are in its file, too, and the stamps beside them (the kind `stamp`), with a digest of the record,
which shows what another program, such as the terminal, has written while no server ran.
"""

from __future__ import annotations

import hashlib
import time
import zlib
from typing import TYPE_CHECKING, Any, NamedTuple

from cloudlink import jsontext
from cloudlink.admin.database import Change
from cloudlink.cluster.records import Stamp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from cloudlink.cluster.clock import HybridClock

SHARED = ("account", "ban", "filter", "mute", "room")
"""The kinds of records that all nodes have."""
STAMP = "stamp"
"""The kind of the records that hold stamps."""
SHARDS = 256
"""Parts in which the records are kept in one place for all nodes."""
KEPT = 30 * 86_400
"""Seconds for which a removal is kept."""
_OF_ONE_NODE = ("hits", "last_hit")
"""Fields of a record that each node has of its own, and that do not count as a change."""
_MICROSECONDS = 1_000_000
_ENDED = "~"
"""Follows the node in the stamp of a removal that all nodes make; it is greater than all hexadecimal digits."""


class Stamped(NamedTuple):
    """A record with the stamp of its last change; the value is JSON text, None if it was removed."""

    kind: str
    key: str
    value: bytes | None
    stamp: Stamp

    @property
    def change(self) -> Change:
        """The change, as the file takes it."""
        return Change(self.kind, self.key, None if self.value is None else jsontext.loads(self.value))


class Replica:
    """The records as one node knows them."""

    def __init__(self, clock: HybridClock, wall_clock: Callable[[], float] = time.time) -> None:
        """Set up without records.

        Args:
            clock: Gives out stamps.
            wall_clock: Returns the Unix time in seconds.
        """
        self.on_change: Callable[[int, bool], None] = lambda _shard, _is_own: None
        self._clock = clock
        self._wall_clock = wall_clock
        self._shards: list[dict[tuple[str, str], Stamped]] = [{} for _ in range(SHARDS)]

    def load(self, records: Iterable[Change], stamps: Iterable[tuple[str, Any]]) -> list[Change]:
        """Read what the file holds.

        Args:
            records: Its records of the kinds in `SHARED`.
            stamps: The keys and values of those of the kind `STAMP`.

        Returns:
            What another program has changed since; it has to be stamped.
        """
        known = {key: (Stamp(at, node), digest) for key, (at, node, digest) in stamps}
        news = []
        for record in records:
            stamp, digest = known.pop(_row_key(record.kind, record.key), (None, None))
            if stamp is None or digest != _digest(record.value):
                news.append(record)
            if stamp is not None:
                self._hold(Stamped(record.kind, record.key, jsontext.dumps(record.value), stamp))
        for row_key, (stamp, digest) in known.items():
            kind, _, key = row_key.partition(" ")
            self._hold(Stamped(kind, key, None, stamp))
            if digest is not None:
                news.append(Change(kind, key, None))
        return news

    def find(self, kind: str, key: str) -> Stamped | None:
        """Return a record, also one that was removed; None if there never was one."""
        return self._shards[shard_of(kind, key)].get((kind, key))

    def stamp(self, changes: Iterable[Change], *, is_expiry: bool = False) -> list[Stamped]:
        """Take changes that were made on this node.

        Args:
            changes: The changes; kinds that are not shared are left out.
            is_expiry: Whether records are removed because they have ended. All nodes do that by themselves, so the stamp is the one
                that follows that of the record, and any change that somebody makes is newer.

        Returns:
            What the other nodes need to know.
        """
        stamped = []
        for kind, key, value in changes:
            if kind not in SHARED:
                continue
            former = self.find(kind, key)
            if not is_expiry:
                stamp = self._clock.stamp()
            elif former is None or former.value is None:
                continue
            else:
                stamp = Stamp(former.stamp.time, former.stamp.node + _ENDED)
            one = Stamped(kind, key, None if value is None else jsontext.dumps(value), stamp)
            self._hold(one)
            self.on_change(shard_of(kind, key), True)
            stamped.append(one)
        return stamped

    def accept(self, stamped: Iterable[Stamped]) -> list[Stamped]:
        """Take changes of other nodes; return those that are newer than what is known."""
        newer = []
        for one in stamped:
            known = self.find(one.kind, one.key)
            if one.kind in SHARED and (known is None or known.stamp < one.stamp):
                self._hold(one)
                self.on_change(shard_of(one.kind, one.key), False)
                newer.append(one)
        return newer

    def rows(self, changes: Iterable[Change]) -> list[Change]:
        """Return the records that hold the stamps of what is saved."""
        found = (self.find(change.kind, change.key) for change in changes if change.kind in SHARED)
        return [_row(one) for one in found if one is not None]

    def shard(self, number: int) -> list[Stamped]:
        """Return the records of a shard, without removals that are too old."""
        oldest = (self._wall_clock() - KEPT) * _MICROSECONDS
        return [
            one for one in self._shards[number].values() if one.value is not None or one.stamp.time > oldest
        ]

    def prune(self) -> list[Change]:
        """Forget removals that are too old; return the changes of the file that belong to it."""
        dropped = []
        for number, shard in enumerate(self._shards):
            kept = {(one.kind, one.key): one for one in self.shard(number)}
            dropped += [Change(STAMP, _row_key(*key), None) for key in shard.keys() - kept.keys()]
            self._shards[number] = kept
        return dropped

    def _hold(self, one: Stamped) -> None:
        self._clock.see(one.stamp)
        self._shards[shard_of(one.kind, one.key)][one.kind, one.key] = one


def shard_of(kind: str, key: str) -> int:
    """Return the number of the shard that a record is in."""
    return zlib.crc32(_row_key(kind, key).encode("utf-8", "surrogatepass")) % SHARDS


def is_same(record: Change, one: Stamped | None) -> bool:
    """Return whether a record is as it was when it was stamped."""
    if one is None or one.value is None:
        return record.value is None
    return record.value is not None and _digest(record.value) == _digest(jsontext.loads(one.value))


def _row(one: Stamped) -> Change:
    digest = None if one.value is None else _digest(jsontext.loads(one.value))
    return Change(STAMP, _row_key(one.kind, one.key), [one.stamp.time, one.stamp.node, digest])


def _row_key(kind: str, key: str) -> str:
    return f"{kind} {key}"


def _digest(value: Any) -> str:
    if isinstance(value, dict):
        value = {key: field for key, field in sorted(value.items()) if key not in _OF_ONE_NODE}
    return hashlib.blake2b(jsontext.dumps(value), digest_size=8).hexdigest()


def packed(stamped: Iterable[Stamped]) -> list[list[Any]]:
    """Return records as JSON can hold them."""
    return [[*one.change, one.stamp.time, one.stamp.node] for one in stamped]


def unpacked(found: Iterable[list[Any]]) -> list[Stamped]:
    """Return the records that `packed` was given."""
    return [
        Stamped(kind, key, None if value is None else jsontext.dumps(value), Stamp(at, node))
        for kind, key, value, at, node in found
    ]
