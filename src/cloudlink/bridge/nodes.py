"""The bridges of a cluster: agrees with the other nodes which of them runs the bridges, and keeps the others ready.

A lone server runs its bridges itself, and nothing here does anything. `placement` decides, `notices` are the records that the
nodes send each other, and `tunnels` passes connections on that arrive at the wrong node.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Protocol

from .ledger import Entry
from .notices import TOPIC, InvalidBatch, Learned, Opened, Paused, State, read, write
from .placement import Claim, Placement
from .tunnels import Tunnels

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from cloudlink.server.cluster import Cluster

    from .ledger import Ledger, Place
    from .notices import Notice, Status
    from .peer import PeerBridge

logger = logging.getLogger("cloudlink.bridge")

_SPREAD_AFTER = 0.25
"""Seconds after a change of the ledger before the other nodes learn of it; further changes go with it."""
_ENTRIES_BYTES = 1 << 18
"""Bytes of values after which a record of ledger entries is full."""


class Host(Protocol):
    """The bridges of this server."""

    def take_over(self) -> None:
        """Run the bridges from now on."""
        ...

    def give_up(self) -> None:
        """Stop running the bridges: another node does, or the server stops."""
        ...

    def connect_again(self) -> None:
        """Connect those bridges that are down: another node, which ran them too, has given up."""
        ...

    def place_calls(self) -> None:
        """Have the calls taken that wait for the node that runs the bridges."""
        ...

    def waiting_for_call(self, name: str) -> PeerBridge | None:
        """Return a bridge that can accept a connection now, None if there is none of that name."""
        ...

    def statuses(self) -> list[Status]:
        """Return the state of each bridge that runs here."""
        ...

    def set_paused(self, name: str, *, is_paused: bool) -> None:
        """Pause or resume a bridge; an unknown one is ignored."""
        ...

    @property
    def has_any(self) -> bool:
        """Whether the settings have any bridge."""
        ...

    @property
    def shared_rooms(self) -> Iterable[str]:
        """The rooms that the bridges share."""
        ...


class Nodes:
    """This node among the others.

    Attributes:
        tunnels: The connections that cross from one node to another.
    """

    def __init__(
        self,
        host: Host,
        cluster: Cluster,
        ledger: Ledger,
        later: Callable[[float, Callable[[], None]], None],
        clock: Callable[[], float],
    ) -> None:
        """Set up; nothing runs before `start`.

        Args:
            host: The bridges.
            cluster: The cluster of the server.
            ledger: The variables of all that is shared.
            later: Calls a function after some seconds.
            clock: Returns the time in seconds.
        """
        self.tunnels = Tunnels(self._tell)
        self._host = host
        self._cluster = cluster
        self._ledger = ledger
        self._later = later
        self._clock = clock
        self._is_started = False
        self._is_running = False
        self._placement: Placement | None = None
        self._rooms: dict[str, frozenset[str]] = {}  # that nodes want to hear, by node
        self._statuses: dict[str, Status] = {}  # of the node that runs the bridges
        self._is_spread_due = False
        self._followed = ""  # the last node that was known to run the bridges
        cluster.on_record(TOPIC, self._on_record)

    # Starting and stopping.

    def start(self) -> None:
        """Take part from now on, and run the bridges if that is up to this node."""
        self._is_started = True
        if self._agreement() is not None:
            self._ledger.watch(self._schedule_spread)
        self.decide()

    def stop(self) -> None:
        """Give the bridges up, so that another node takes over."""
        self._is_started = False
        self.decide()
        self._placement = None
        self._ledger.watch(None)

    def tick(self) -> None:
        """Do what is due; called once a second."""
        self.tunnels.tick()
        self.tunnels.drop_ended()
        if self._is_started:
            self.decide()
            self.announce()

    def decide(self) -> None:
        """Take over the bridges or give them up; called after everything that may matter."""
        placement = self._agreement()
        if placement is None:
            is_running = self._is_started
        else:
            placement.decide(can_run=self._is_started and self._host.has_any)
            is_running = placement.is_running
        if is_running == self._is_running:
            return
        self._is_running = is_running
        self._cluster.be_responsible(is_responsible=is_running)
        if is_running:
            if placement is not None:
                logger.info("This node runs the bridges now.")
            self._host.take_over()
        else:
            self._host.give_up()
        self.announce()
        self._follow()

    # For the bridges.

    @property
    def is_here(self) -> bool:
        """Whether this node runs the bridges."""
        return self._is_running

    @property
    def runner(self) -> str:
        """The id of the node that runs the bridges; empty while none does, and for a lone server."""
        return self._placement.runner if self._placement is not None else ""

    def status(self, name: str) -> Status | None:
        """Return the state of a bridge that another node runs, None while that is not known."""
        return self._statuses.get(name)

    def listens(self, room: str) -> str:
        """Return the other node that has to hear of a room even without users there, empty for none."""
        runner = "" if self._is_running else self.runner
        return runner if runner and room in self._rooms.get(runner, ()) else ""

    def tell_paused(self, name: str, *, is_paused: bool) -> None:
        """Have all nodes pause or resume a bridge."""
        self._tell_all(Paused(name, is_paused))

    # From the cluster.

    def arrived(self, node: str) -> None:
        """Note that another node is there."""
        placement = self._agreement()
        if placement is None:
            return
        placement.arrived(node)
        if self._is_started:
            self._tell(node, self._state())
            if self._is_running:
                self._teach(self._ledger.everything(), lambda notice: self._tell(node, notice))
            self.decide()

    def departed(self, node: str) -> None:
        """Note that another node is gone."""
        self._rooms.pop(node, None)
        self.tunnels.lost(node)
        if self._placement is None:
            return
        was_runner = self._placement.runner == node
        self._placement.departed(node)
        if was_runner:
            self._statuses = {}
        self._follow()
        if self._is_started:
            self.decide()

    def fell_silent(self, node: str) -> None:
        """Note that another node may have died: one that runs the bridges is replaced, although it may come back."""
        if self._placement is not None:
            self._placement.fell_silent(node)
            if self._is_started:
                self.decide()

    def was_absent(self) -> None:
        """Give the bridges up, because another node may have taken them over while this process did not run."""
        if self._placement is None:
            return
        if self._is_running:
            logger.warning("This process did not run for a while; another node may run the bridges now.")
        self._placement.lapse()
        self.decide()

    def _on_record(self, node: str, record: bytes) -> None:
        try:
            notice = read(record)
        except InvalidBatch as error:
            logger.warning("A record of another node about bridges was ignored: %.200s.", error)
            return
        if isinstance(notice, State):
            self._on_state(node, notice)
        elif isinstance(notice, Learned):
            for kind, place, name, at, by, val, via in notice.entries:
                self._ledger.learn((kind, place), name, Entry(at, by, val, via))
        elif isinstance(notice, Paused):
            self._host.set_paused(notice.bridge, is_paused=notice.is_paused)
        elif isinstance(notice, Opened):
            bridge = self._host.waiting_for_call(notice.bridge) if self._is_running else None
            self.tunnels.accept(node, notice, bridge)
        else:
            self.tunnels.on_notice(node, notice)

    def _on_state(self, node: str, state: State) -> None:
        placement = self._agreement()
        if placement is None:
            return
        was_rival = node in self._rooms
        placement.heard(node, Claim(state.can_run, state.is_running, state.term))
        if state.is_running:
            self._rooms[node] = frozenset(state.rooms)
        else:
            self._rooms.pop(node, None)
        if self._is_started:
            self.decide()
        if self._is_running:
            if was_rival and not state.is_running:
                self._host.connect_again()
        elif self.runner == node:
            self._statuses = {status.name: status for status in state.bridges}
            for status in state.bridges:
                self._host.set_paused(status.name, is_paused=status.is_paused)
        self._follow()

    def _follow(self) -> None:
        """Turn to the node that runs the bridges now, if it has changed."""
        runner = self.runner
        if runner and runner != self._followed:
            self._cluster.drop_visitors(self._followed)  # it may still be there, and only be silent
            self._followed = runner
        self.tunnels.leave(runner)
        self._host.place_calls()

    # To the cluster.

    def _agreement(self) -> Placement | None:
        """Return what decides between the nodes, None for a lone server."""
        node = self._cluster.node
        if node is None:
            return None
        if self._placement is None or self._placement.node != node.id:
            self._placement = Placement(node.id, self._clock)
            for link in node.others:
                self._placement.arrived(link.id)
        return self._placement

    def _state(self) -> State:
        claim = self._placement.claim if self._placement is not None else Claim(False, False, 0)
        if not claim.is_running:
            return State(*claim)
        return State(*claim, sorted(self._host.shared_rooms), self._host.statuses())

    def announce(self) -> None:
        """Send the state of this node to the others."""
        if self._placement is not None:
            self._tell_all(self._state())

    def _tell(self, node: str, notice: Notice) -> None:
        self._cluster.send_record(node, TOPIC, write(notice))

    def _tell_all(self, notice: Notice) -> None:
        self._cluster.publish_record(TOPIC, write(notice))

    # The ledger.

    def _schedule_spread(self) -> None:
        if not self._is_spread_due:
            self._is_spread_due = True
            self._later(_SPREAD_AFTER, self._spread)

    def _spread(self) -> None:
        self._is_spread_due = False
        changed = self._ledger.take_changed()
        if self._is_running:
            self._teach(changed, self._tell_all)

    def _teach(self, entries: Mapping[tuple[Place, str], Entry], send: Callable[[Notice], None]) -> None:
        rows: list[tuple[str, str, str, int, str, bytes, str]] = []
        size = 0
        for (place, name), entry in entries.items():
            rows.append((*place, name, entry.at, entry.by, entry.val, entry.via))
            size += len(name) + len(entry.val)
            if size > _ENTRIES_BYTES:
                send(Learned(rows))
                rows, size = [], 0
        if rows:
            send(Learned(rows))
