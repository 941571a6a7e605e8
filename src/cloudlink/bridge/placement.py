"""Which node of a cluster runs the bridges: one runs all of them, until it is gone.

All bridges are on one node because they share one ledger: if two nodes stamped the values that players set, they
could put them in different orders. The node that runs them keeps them, so that a node that starts moves nothing.
When nobody runs them, the node with the lowest id does. Each takeover has a number (*term*) that is higher than all that
the node knows; where two nodes run the bridges, because they did not see each other, the higher term wins, and of equal
terms the lower id. A node that is silent for a while is replaced before it is certain that it has died; if it was
merely stopped, it gives the bridges up when it runs again, and before it does anything with them. Pure: the caller says what it hears, and asks.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE = 2.0
"""Seconds that a node has to say whether it runs the bridges; without an answer, it does not know bridges."""


class Claim(NamedTuple):
    """The state of a node, as it reports it.

    Attributes:
        can_run: Whether it has bridges in its settings, and is not about to stop.
        is_running: Whether it runs them.
        term: The highest term that it knows, which is its own if it runs them.
    """

    can_run: bool
    is_running: bool
    term: int


class _Peer:
    __slots__ = ("claim", "met_at")

    def __init__(self, met_at: float) -> None:
        self.met_at = met_at
        self.claim: Claim | None = None


class Placement:
    """The decision of one node.

    Attributes:
        node: The id of this node.
        is_running: Whether this node runs the bridges.
        term: The highest term that is known.
    """

    def __init__(self, node: str, clock: Callable[[], float] = time.monotonic) -> None:
        """Set up.

        Args:
            node: The id of this node.
            clock: Returns the time in seconds.
        """
        self.node = node
        self.is_running = False
        self.term = 0
        self._clock = clock
        self._peers: dict[str, _Peer] = {}
        self._can_run = False
        self._waits_until = 0.0

    @property
    def claim(self) -> Claim:
        """The claim of this node."""
        return Claim(self._can_run, self.is_running, self.term)

    @property
    def runner(self) -> str:
        """The node that runs the bridges, this one or another one; empty while none does."""
        if self.is_running:
            return self.node
        running = self._running()
        return min(running)[1] if running else ""

    def arrived(self, node: str) -> None:
        """Note that another node is there."""
        self._peers.setdefault(node, _Peer(self._clock()))

    def departed(self, node: str) -> None:
        """Note that another node is gone."""
        self._peers.pop(node, None)

    def heard(self, node: str, claim: Claim) -> None:
        """Note what another node says; one that is not there is ignored."""
        self.term = max(self.term, claim.term) if not self.is_running else self.term
        if node in self._peers:
            self._peers[node].claim = claim

    def fell_silent(self, node: str) -> None:
        """Note that another node may have died: what it said no longer counts until it speaks again."""
        if node in self._peers:
            self._peers[node].claim = Claim(False, False, 0)

    def lapse(self) -> None:
        """Give the bridges up, and take nothing over for a while, because this node did not run for a long time.

        Another node may have taken over. The messages that have waited meanwhile say so, but the first of them are older.
        """
        self.is_running = False
        self._waits_until = self._clock() + PATIENCE

    def decide(self, *, can_run: bool) -> bool:
        """Take over the bridges, or give them up; return whether that has changed.

        Args:
            can_run: Whether this node has bridges in its settings, and is not about to stop.
        """
        self._can_run = can_run
        was_running = self.is_running
        running = self._running()
        if self.is_running:
            self.is_running = can_run and not (running and min(running) < (-self.term, self.node))
        elif can_run and not running and self._is_next():
            self.is_running = True
            self.term += 1
        if was_running and not self.is_running and running:
            self.term = max(self.term, -min(running)[0])
        return self.is_running != was_running

    def _running(self) -> list[tuple[int, str]]:
        """Return the other nodes that run the bridges; the least one has the best claim."""
        return [
            (-peer.claim.term, node)
            for node, peer in self._peers.items()
            if peer.claim is not None and peer.claim.is_running
        ]

    def _is_next(self) -> bool:
        now = self._clock()
        if now < self._waits_until:
            return False
        for node, peer in self._peers.items():
            if peer.claim is None:
                if now - peer.met_at < PATIENCE:
                    return False
            elif peer.claim.can_run and node < self.node:
                return False
        return True
