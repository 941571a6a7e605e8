"""A node of a cluster: everything that it tells and hears, without sockets and without a clock of its own.

Every node holds all users of the others, and each alone says who its own users are: there is nothing to merge. What is
lost on the way is noticed and made good by a snapshot, of which only the difference is announced. `hellos` says which
other nodes there are, `streams` sends them records; `variables` and `cloud` say how values converge.

Messages to rooms and users are sent once. A message that is lost with a node or a connection stays lost.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from cloudlink.logthrottle import LogThrottle

from .clock import HybridClock
from .cloud import Cloud
from .hellos import Hellos
from .ownusers import OwnUsers
from .records import (
    CloudClosed,
    CloudOpened,
    CloudValues,
    Escaped,
    ForeignVersion,
    Gone,
    InvalidBatch,
    Leave,
    Part,
    Private,
    RoomEvent,
    RoomVariable,
    Row,
    Snapshot,
    Stamp,
    Topic,
    decode,
    decode_all,
    decode_each,
    unseal,
)
from .streams import Streams
from .variables import Variables

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

    from msgspec import Raw

    from .carriers import Carrier
    from .host import Host
    from .links import Link
    from .records import Batch, Record

logger = logging.getLogger("cloudlink.cluster")

_SETTLED_AFTER = 10.0
"""Seconds after the start in which others may have closed projects before they were heard."""
_ROWS = 500
"""Users of one record of a snapshot."""


class Node:
    """A node; it implements `carriers.Receiver`, `streams.Source` and `hellos.Watcher`.

    Attributes:
        id: The id of this process.
        name: The name of this node.
        cloud: The cloud projects.
    """

    def __init__(
        self,
        node: str,
        name: str,
        host: Host,
        carrier: Carrier,
        *,
        secret: bytes = b"",
        unique_names: bool = False,
        number: int | None = None,
        now: Callable[[], float],
        wall: Callable[[], float],
    ) -> None:
        """Set up a node; `start` makes it known.

        Args:
            node: 16 random hexadecimal digits.
            name: The name of this node, unlike those of others.
            host: What the node is part of.
            carrier: Moves batches.
            secret: Authenticates batches; empty where nobody else can reach the carrier.
            unique_names: Whether no two users may have the same name.
            number: The number of the node, below `hellos.NUMBERS`, if no other node can have it; None agrees on one.
            now: Returns the time, in seconds; never goes back.
            wall: Returns the seconds since the Unix epoch.
        """
        self.id = node
        self.name = name
        self._received = 0
        self._invalid = 0
        self._host = host
        self._carrier = carrier
        self._secret = secret
        self._now = now
        self._log = LogThrottle(clock=now)
        self._clock = HybridClock(node, wall)
        self._up: dict[str, Link] = {}
        self._streams = Streams(node, host, carrier, secret, self, self._up, self._log)
        self._hellos = Hellos(node, name, number, host, carrier, secret, self._streams, self, self._up, now)
        self._users = OwnUsers(self._clock.stamp, unique_names=unique_names)
        self._variables = Variables(now)
        self.cloud = Cloud(self._clock, now, node, self._streams.send)

    @property
    def number(self) -> int:
        """The number of this node; no other one that it sees has it."""
        return self._hellos.number

    @property
    def links(self) -> dict[str, Link]:
        """The other processes by id."""
        return self._hellos.links

    @property
    def others(self) -> list[Link]:
        """The nodes that this one sees."""
        return list(self._up.values())

    @property
    def is_ready(self) -> bool:
        """Whether this node sees the cluster, or is alone."""
        return self._hellos.is_ready

    @property
    def is_cut_off(self) -> bool:
        """Whether the bus does not answer."""
        return self._hellos.is_cut_off

    @property
    def is_absent(self) -> bool:
        """Whether others may have taken over what this node does for all; see `Hellos.is_absent`."""
        return self._hellos.is_absent

    @property
    def is_responsible(self) -> bool:
        """Whether this node does something for all, so that others must notice soon when it dies."""
        return self._hellos.is_responsible

    @is_responsible.setter
    def is_responsible(self, value: bool) -> None:
        self._hellos.is_responsible = value

    @property
    def log_level(self) -> int:
        """The level for nodes that come and go as they should: the program that starts the processes of a machine logs that."""
        return self._hellos.log_level

    @property
    def counts(self) -> dict[str, int]:
        """How many records were `sent`, `received` and `dropped`, and how many batches or records were `invalid`."""
        return {
            "sent": self._streams.sent,
            "received": self._received,
            "dropped": self._streams.dropped,
            "invalid": self._invalid,
        }

    # Starting and stopping.

    def start(self) -> None:
        """Connect, and say hello."""
        self._hellos.start()
        self._carrier.start(self.id, self)
        self._hellos.say_hello()

    def stop(self) -> None:
        """Send what waits, say goodbye, so that others remove our users at once, and remove theirs."""
        if self._hellos.is_started:
            self.flush()
            self._hellos.stop()
            self._carrier.close()
            while self._up:
                self._host.on_down(self._up.popitem()[0])

    def tick(self) -> None:
        """Do what is due; call this about ten times a second."""
        if not self._hellos.is_started:
            return
        self._hellos.tick()
        for link in self.others:
            self._streams.catch_up(link)
        self._variables.tick()
        self.cloud.tick()

    def flush(self) -> None:
        """Send the records that were collected."""
        self._streams.flush()

    # Own users.

    def joined(
        self, user: str, uuid: str, username: str | None, protocol: str, room: str, bridge: str = ""
    ) -> None:
        """A user of this node, or of a bridge that this node runs, is in a room now."""
        self._streams.send(None, self._users.joined(user, uuid, username, protocol, room, bridge))

    def left(self, user: str, room: str) -> None:
        """A user of this node has left a room."""
        self._tell(self._users.left(user, room))

    def renamed(self, user: str, username: str | None) -> None:
        """A user of this node has another name now; one that was in no room yet is ignored."""
        self._tell(self._users.renamed(user, username))

    def gone(self, user: str) -> None:
        """A user of this node has disconnected."""
        self._tell(self._users.gone(user))

    def _tell(self, record: Record | None) -> None:
        if record is not None:
            self._streams.send(None, record)

    # Sending.

    def publish(self, nodes: Collection[str], protocol: str, room: str, event: bytes) -> None:
        """Send an event to the members of a room on some nodes."""
        self._streams.send(nodes, RoomEvent(room, protocol, event), may_drop=True)

    def publish_variable(
        self, nodes: Collection[str], protocol: str, room: str, name: bytes, event: bytes
    ) -> None:
        """Send a variable's new value to the members of a room on some nodes."""
        variable = RoomVariable(room, protocol, name, self._clock.stamp(), event)
        self._variables.put(variable)
        self._streams.send(nodes, variable, may_drop=True)

    def send_kept(self, node: str, protocol: str, room: str, name: bytes, event: bytes) -> None:
        """Send a node that has opened a room a variable that is kept of it, unless it has a newer value."""
        known = self._variables.find(protocol, room, name)
        stamp = known.stamp if known is not None else Stamp(0, "")
        self._streams.send((node,), RoomVariable(room, protocol, name, stamp, event))

    def send(self, node: str, user: str, room: str, event: bytes) -> None:
        """Send an event to one user of another node."""
        self._streams.send((node,), Private(user, room, event), may_drop=True)

    def publish_topic(self, topic: str, value: bytes) -> None:
        """Send a message to all nodes."""
        self._streams.send(None, Topic(topic, value), may_drop=True)

    def send_topic(self, node: str, topic: str, value: bytes) -> None:
        """Send a message to one node."""
        self._streams.send((node,), Topic(topic, value), may_drop=True)

    # The carrier.

    def on_batch(self, batch: bytes) -> None:
        """Handle a batch or a hello; see `carriers.Receiver`."""
        if not self._hellos.is_started:
            return
        try:
            found = unseal(self._secret, batch)
            if found.epoch == 0:
                self._hellos.on_hello(found)
            else:
                self._on_stream(found)
        except ForeignVersion as foreign:
            self.count_invalid(
                "Node %.64r speaks cluster protocol %d, this one 1: they do not see each other.",
                foreign.name,
                foreign.version,
            )
        except InvalidBatch as error:
            self.count_invalid("A batch that does not belong to this cluster was ignored: %.200s.", error)

    def on_lost(self, node: str) -> None:
        """Handle the end of a node's process; see `carriers.Receiver`."""
        self._hellos.lose(node)

    def on_bus(self, is_up: bool) -> None:
        """Say hello as soon as the bus is back; see `carriers.Receiver`."""
        if is_up and self._hellos.is_started:
            self._hellos.ask()

    def count_invalid(self, text: str, *details: object) -> None:
        """Count what was ignored, and log it at most once a minute."""
        self._invalid += 1
        if self._log.should_log(text):
            logger.warning(text, *details)

    # Other nodes come and go.

    def on_up(self, link: Link) -> None:
        """Begin the stream to a node that is seen from now on."""
        self._streams.begin(link)

    def on_down(self, link: Link) -> None:
        """Take a node's users out, and repeat the values that came from it: some nodes may have missed them."""
        self._host.on_down(link.id)
        self.cloud.on_down(link.id)
        for variable in self._variables.of_node(link.id):
            self._streams.send(
                [each for each in self._up if self._host.is_shared(variable.protocol, variable.room, each)],
                variable,
            )

    def on_quiet(self, link: Link) -> None:
        """Have other nodes do what a quiet node did for all."""
        self.cloud.on_quiet(link.id)
        self._host.on_quiet(link.id)

    def on_heard(self, link: Link) -> None:
        """Note that a quiet node is heard again."""
        self.cloud.on_heard(link.id)

    def snapshots(self) -> Iterator[Snapshot]:
        """Return everything that this node has, in parts; see `streams.Source`."""
        rows = self._users.rows()
        pieces = [rows[start : start + _ROWS] for start in range(0, len(rows), _ROWS)] or [[]]
        for number, piece in enumerate(pieces):
            is_last = number == len(pieces) - 1
            yield Snapshot(piece, self.cloud.open_projects if is_last else [], is_last)

    def send_state(self, link: Link) -> None:
        """Send a node the values that it may have missed; see `streams.Source`."""
        self.cloud.send_state(link.id)
        self._send_variables(link)

    def _send_variables(self, link: Link) -> None:
        """Send the variables that a node may have missed."""
        for variable in self._variables:
            if self._host.is_shared(variable.protocol, variable.room, link.id):
                self._streams.send((link.id,), variable)

    # The stream from another node.

    def _on_stream(self, batch: Batch) -> None:
        link = self._hellos.sender_of(batch)
        if link is None:
            return
        incoming = link.incoming
        had_gap = incoming.has_gap
        if not incoming.admit(batch.epoch, batch.seq):
            if incoming.has_gap and not had_gap:
                self._hellos.ask()  # the hello reports the gap
            return
        node, see, put, on_event = link.id, self._clock.see, self._variables.put, self._host.on_event
        for record in self._decoded(link, batch.records):
            try:
                if type(record) is RoomVariable:  # nearly all are, so `_on_record` is inlined for them
                    self._received += 1
                    see(record.stamp)
                    if put(record):
                        on_event(node, record)
                else:
                    self._on_record(link, record)
            except InvalidBatch as error:
                self._count_bad_record(link, error)

    def _decoded(self, link: Link, records: Raw) -> Iterable[Record]:
        """Return the records of a batch that can be read, and count the others."""
        try:
            return decode_all(records)
        except InvalidBatch:  # some records can be read nevertheless
            pass
        found = []
        for raw in decode_each(records):
            try:
                found.append(decode(raw))
            except InvalidBatch as error:
                self._count_bad_record(link, error)
        return found

    def _on_record(self, link: Link, record: Record) -> None:
        if isinstance(record, RoomVariable):
            self._received += 1
            self._clock.see(record.stamp)
            if self._variables.put(record):
                self._host.on_event(link.id, record)
        elif isinstance(record, (RoomEvent, Private, Topic)):
            self._received += 1
            self._host.on_event(link.id, record)
        elif isinstance(record, (Escaped, Part)):
            whole = link.incoming.join(record) if isinstance(record, Part) else record.data
            if whole is not None:
                self._on_record(link, _unwrapped(whole))
        else:
            self._received += 1
            self._on_state(link, record)

    def _on_state(self, link: Link, record: Record) -> None:
        if isinstance(record, Row):
            self._clock.see(record.named_at)
            self._host.on_user(link.id, record)
            self._check_name(record)
        elif isinstance(record, Leave):
            self._host.on_left(link.id, record.id, record.room)
        elif isinstance(record, Gone):
            self._host.on_gone(link.id, record.id)
        elif isinstance(record, Snapshot):
            self._on_snapshot(link, record)
        else:
            self._on_cloud(link, record)

    def _on_cloud(self, link: Link, record: Record) -> None:
        if isinstance(record, CloudValues):
            self.cloud.on_values(link.id, record)
        elif isinstance(record, CloudOpened):
            self.cloud.on_opened(link.id, record.project)
        elif isinstance(record, CloudClosed):
            self.cloud.on_closed(link.id, record.project)
        else:
            raise InvalidBatch(f"{type(record).__name__} is out of place")

    def _on_snapshot(self, link: Link, record: Snapshot) -> None:
        incoming = link.incoming
        if incoming.rows is None:
            raise InvalidBatch("Snapshot is out of place")
        incoming.rows.update((row.id, row) for row in record.rows)
        incoming.projects += record.projects
        if not record.is_last:
            return
        rows, incoming.rows = incoming.rows, None
        self._host.on_users(link.id, rows)
        for row in rows.values():
            self._clock.see(row.named_at)
            self._check_name(row)
        self.cloud.on_snapshot(link.id, incoming.projects)
        if link.had_snapshot or self._now() - self._hellos.started_at < _SETTLED_AFTER:
            self.cloud.on_return()
        link.had_snapshot = True
        self._send_variables(link)
        link.is_synced = True

    def _check_name(self, row: Row) -> None:
        """Where names are unique, disconnect own users whose name another node's user had before."""
        for user in self._users.that_must_yield(row):
            self._host.dismiss(user, row.username or "")

    def _count_bad_record(self, link: Link, error: InvalidBatch) -> None:
        self.count_invalid("A record of node %s was ignored: %.200s.", link.name, error)


def _unwrapped(data: bytes) -> Record:
    """Return the record that was escaped, or cut. Raises `InvalidBatch`."""
    record = decode(data)
    if isinstance(record, (Escaped, Part)):
        raise InvalidBatch(f"{type(record).__name__} is out of place")
    return record
