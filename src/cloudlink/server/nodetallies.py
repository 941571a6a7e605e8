"""Connections of addresses, counted for all nodes of a cluster.

Each node tells the others which addresses have several connections to it, and how many. It does so as soon as a count
has changed by more than an eighth, so that all nodes together admit little more than one alone would. From time to time, it
tells all of them again, because records may be lost. What a node has told counts until the others no longer see it.

Addresses do not leave the node: it sends tags that are keyed with the secret of the cluster. Only the connections of subscribers
are shared. Other counts of a subscriber, such as tokens for new connections, apply to each node by itself.
"""

from __future__ import annotations

import hmac
from collections import Counter
from heapq import nlargest
from typing import TYPE_CHECKING, Annotated

from msgspec import Meta

from cloudlink.cluster.records import Codec, InvalidBatch

if TYPE_CHECKING:
    from cloudlink.transport.tallies import Tallies

    from .cluster import Cluster

TOPIC = ":addresses"
_TAG_BYTES = 8
_SEVERAL = 2
_MOST = 1000
"""Most addresses that a node reports: those with the most connections."""
_EVERY = 10
"""Ticks after which a node reports all counts again."""

_Told = tuple[bytes, bool, dict[bytes, Annotated[int, Meta(ge=0)]]]
"""The machine of the sender, whether its former counts are void, and counts by tag."""
_codec: Codec[_Told] = Codec(_Told)


class NodeTallies:
    """Implements `Tallies` for a node; `tick` is called about once a second."""

    def __init__(self, cluster: Cluster, base: Tallies, secret: bytes, machine: bytes = b"") -> None:
        """Set up without counts, and listen to those of other nodes.

        Args:
            cluster: The cluster of this node.
            base: Counts for this process, or for all processes of its machine.
            secret: The secret of the cluster.
            machine: Identifies the machine if `base` counts for all of its nodes; else empty.
        """
        self._cluster = cluster
        self._base = base
        self._secret = hmac.digest(secret, b"addresses", "sha256")
        self._machine = machine
        self._own: Counter[str] = Counter()  # of this process
        self._told: dict[str, int] = {}
        self._others: dict[str, dict[bytes, int]] = {}  # counts by tag, by node
        self._known: set[str] = set()  # the nodes at the last tick
        self._ticks = 0
        cluster.on_record(TOPIC, self._hear)

    def held(self, key: str) -> int:
        """See `Tallies`."""
        count = self._base.held(key)
        if _is_shared(key) and self._others:
            tag = self._tag(key)
            count += sum(counts.get(tag, 0) for counts in self._others.values())
        return count

    def acquire(self, key: str) -> None:
        """See `Tallies`."""
        self._base.acquire(key)
        if _is_shared(key):
            self._own[key] += 1
            self._tell_change(key)

    def release(self, key: str) -> None:
        """See `Tallies`."""
        self._base.release(key)
        if _is_shared(key):
            self._own[key] -= 1
            self._tell_change(key)
            if not self._own[key]:
                del self._own[key]

    def take(self, key: str, rate: float, burst: float) -> bool:
        """See `Tallies`; counts for each node."""
        return self._base.take(key, rate, burst)

    def forget(self) -> None:
        """See `Tallies`."""
        self._base.forget()

    def tick(self) -> None:
        """Drop the counts of nodes that are gone, and report all own counts if others may not have them."""
        known = set(self._cluster.others)
        self._others = {node: counts for node, counts in self._others.items() if node in known}
        several = {key: count for key, count in self._own.items() if count >= _SEVERAL}
        if len(several) > _MOST:
            several = dict(nlargest(_MOST, several.items(), key=lambda item: item[1]))
        self._ticks += 1
        if several != self._told or not known <= self._known or self._ticks % _EVERY == 0:
            self._told = several
            self._tell(several, is_whole=True)
        self._known = known

    def _tell_change(self, key: str) -> None:
        count, told = self._own[key], self._told.get(key, 0)
        if count < _SEVERAL:
            count = 0
        if abs(count - told) <= told // 8:
            return
        if count:
            if not told and len(self._told) >= _MOST:
                return  # the next tick chooses
            self._told[key] = count
        else:
            del self._told[key]
        self._tell({key: count}, is_whole=False)

    def _tell(self, counts: dict[str, int], *, is_whole: bool) -> None:
        by_tag = {self._tag(key): count for key, count in counts.items()}
        self._cluster.publish_record(TOPIC, _codec.encode((self._machine, is_whole, by_tag)))

    def _hear(self, node: str, record: bytes) -> None:
        machine, is_whole, told = _codec.decode(record)
        if len(told) > _MOST:
            raise InvalidBatch("a node tells too many addresses")
        if machine and machine == self._machine:
            return  # `base` counts them
        counts = self._others.setdefault(node, {})
        if is_whole:
            counts.clear()
        for tag, count in told.items():
            if not count:
                counts.pop(tag, None)
            elif tag in counts or len(counts) < _MOST:
                counts[tag] = count

    def _tag(self, key: str) -> bytes:
        return hmac.digest(self._secret, key.encode("utf-8", "surrogatepass"), "sha256")[:_TAG_BYTES]


def _is_shared(key: str) -> bool:
    """Return whether a key is a plain subscriber; with a suffix, it counts something else than connections."""
    return " " not in key
