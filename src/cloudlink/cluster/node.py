"""A node of a cluster: everything that it tells and hears, without sockets and without a clock of its own.

Every node holds all users of the others, and each alone says who its own users are: there is nothing to merge. What is
lost on the way is noticed and made good by a snapshot, of which only the difference is announced. `links` says when two
nodes hear each other; `variables` and `cloud` how values converge.

Messages to rooms and users are sent once. A message that is lost with a node or a connection stays lost.
"""

from __future__ import annotations

import logging
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING

from cloudlink.logthrottle import LogThrottle

from .clock import HybridClock
from .cloud import Cloud
from .links import BATCH_BYTES, PART_BYTES, QUIET, REPLACED_AFTER, SILENCE, Link, cut
from .ownusers import OwnUsers
from .records import (
    CloudClosed,
    CloudOpened,
    CloudValues,
    Escaped,
    ForeignVersion,
    Gone,
    Hello,
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
    encode,
    seal,
    unseal,
)
from .variables import Variables

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from msgspec import Raw

    from .carriers import Carrier
    from .host import Host
    from .records import Batch, Hears, Record

logger = logging.getLogger("cloudlink.cluster")

_HELLO_EVERY = 1.0
"""Seconds between two hellos."""
_HELLO_OF_RESPONSIBLE = 0.5
"""Seconds between two hellos of a node that does something for all: others take over when four of them are missing."""
_HELLO_AGAIN = 0.1
"""Seconds after which a hello may be sent out of turn, for a node that has just appeared."""
_LATE = 1.0
"""Seconds by which our own timer may be late before others get more time."""
_FORGOTTEN_AFTER = 600.0
"""Seconds after which a silent process is forgotten."""
_FIRST_HELLOS = 0.3
"""Seconds after which a starting node that hears nobody is alone, on one machine."""
_FIRST_HELLOS_OF_BUS = 1.2
"""The same with a bus: others say hello once a second, and an answer may be slow on a network."""
_LONGEST_START = 3.0
"""Seconds after which a starting node serves clients even if it does not know all users yet."""
_LONGEST_BACKLOG = 20_000
"""Records that may wait for space at a carrier; beyond that, a new snapshot is shorter."""
_SETTLED_AFTER = 10.0
"""Seconds after the start in which others may have closed projects before they were heard."""
_SILENT = f"nothing heard for {SILENCE:g} s"
_ROWS = 500
"""Users of one record of a snapshot."""
NUMBERS = 1024
"""How many numbers of nodes there are: the worker numbers in snowflakes have 10 bits."""
_MOST_NODES = 256
"""Most nodes of a cluster that are kept in mind; further ones are ignored."""


class Node:
    """A node; it implements `carriers.Receiver`.

    Attributes:
        id: The id of this process.
        name: The name of this node.
        number: The number of this node; no other one that it sees has it.
        links: The other processes by id.
        cloud: The cloud projects.
        is_responsible: Whether this node does something for all, so that others must notice soon when it dies.
        log_level: The level for nodes that come and go as they should.
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
            number: The number of the node, below `NUMBERS`, if no other node can have it; None agrees on one.
            now: Returns the time, in seconds; never goes back.
            wall: Returns the seconds since the Unix epoch.
        """
        self.id = node
        self.name = name
        self.links: dict[str, Link] = {}
        self._sent = 0
        self._received = 0
        self._dropped = 0
        self._invalid = 0
        self.number = int(node, 16) % NUMBERS if number is None else number
        self.is_ready = False
        self.is_cut_off = False
        self.is_responsible = False
        self._host = host
        self._carrier = carrier
        self._secret = secret
        self._is_number_given = number is not None
        self._now = now
        self._clock = HybridClock(node, wall)
        self._up: dict[str, Link] = {}
        self._users = OwnUsers(self._clock.stamp, unique_names=unique_names)
        self._variables = Variables(now)
        self.cloud = Cloud(self._clock, now, node, self._send_to)
        self._epoch = 0
        self._hello = 0
        self._hello_at = self._ticked_at = self._started_at = self._echoed_at = now()
        self._patient_since = -QUIET  # nobody counts as quiet that was heard of later
        self._fresh: deque[tuple[int, float]] = deque()  # number and time of our hellos of the last seconds
        self._back_at: float | None = None  # when the bus came back, until that is logged
        self._is_hello_wanted = False
        self._is_flush_scheduled = False
        self._is_started = False
        self._log = LogThrottle(clock=now)
        # What starts the processes of one machine logs their ends itself.
        self.log_level = logging.INFO if carrier.echoes else logging.DEBUG

    @property
    def counts(self) -> dict[str, int]:
        """How many records were `sent`, `received` and `dropped`, and how many batches or records were `invalid`."""
        return {
            "sent": self._sent,
            "received": self._received,
            "dropped": self._dropped,
            "invalid": self._invalid,
        }

    # Starting and stopping.

    def start(self) -> None:
        """Connect, and say hello."""
        self._is_started = True
        self._hello_at = self._ticked_at = self._started_at = self._echoed_at = self._now()
        self._carrier.start(self.id, self)
        self._say_hello()

    def stop(self) -> None:
        """Send what waits, say goodbye, so that others remove our users at once, and remove theirs."""
        if self._is_started:
            self.flush()
            self._say_hello(is_leaving=True)
            self._is_started = False
            self._carrier.close()
            self.links.clear()
            while self._up:
                self._host.on_down(self._up.popitem()[0])

    def tick(self) -> None:
        """Do what is due; call this about ten times a second."""
        if not self._is_started:
            return
        now = self._now()
        if now - self._ticked_at > _LATE:
            self._be_patient(now, now - self._ticked_at)
        self._ticked_at = now
        if self.is_absent:
            self._host.on_absence()
        if now - self._hello_at >= self._hello_interval:
            self._say_hello()
        for link in tuple(self.links.values()):
            self._check_quiet(link, now)
            if link.is_up and now - link.confirmed_at >= SILENCE:
                self._take_down(link, _SILENT)
            elif now - link.heard_at >= _FORGOTTEN_AFTER:
                del self.links[link.id]
            elif link.is_up and (link.outgoing.is_broken or link.outgoing.backlog):
                self._catch_up(link)
        self._variables.tick()
        self.cloud.tick()
        self._check_bus(now)
        if not self.is_ready:
            self._check_ready(now)

    @property
    def is_absent(self) -> bool:
        """Whether others may have taken over what this node does for all: it has said nothing for too long.

        This holds from the moment a process that was stopped runs again, until its first `tick`. It holds for a node that
        saw no others, too: some may have come meanwhile.
        """
        return self._now() - self._hello_at >= QUIET

    @property
    def _hello_interval(self) -> float:
        if self._is_hello_wanted:
            return _HELLO_AGAIN
        return _HELLO_OF_RESPONSIBLE if self.is_responsible else _HELLO_EVERY

    def _check_quiet(self, link: Link, now: float) -> None:
        if link.is_up and not link.is_quiet and now - max(link.heard_at, self._patient_since) >= QUIET:
            link.is_quiet = True
            self.cloud.on_quiet(link.id)
            self._host.on_quiet(link.id)

    def _note_heard(self, link: Link, now: float) -> None:
        link.heard_at = now
        if link.is_quiet:
            link.is_quiet = False
            self.cloud.on_heard(link.id)

    def _be_patient(self, now: float, late: float) -> None:
        """Grant the others a second: their messages may have waited while this process did not run."""
        self._fresh = deque((number, at + late) for number, at in self._fresh)
        earliest = now - SILENCE + 1.0
        for link in self._up.values():
            link.confirmed_at = max(link.confirmed_at, earliest)
        self._echoed_at = max(self._echoed_at, earliest)
        self._patient_since = now - QUIET + 1.0

    def _check_bus(self, now: float) -> None:
        if not self._carrier.echoes:
            return
        if self._back_at is not None and now - self._back_at >= _HELLO_EVERY:
            self._back_at = None
            logger.info("The cluster is back: it sees %d others.", len(self._up))
        if not self.is_cut_off and now - self._echoed_at >= SILENCE:
            self.is_cut_off = True
            logger.warning("The cluster is cut off: NATS does not answer; this node goes on alone.")

    def _check_ready(self, now: float) -> None:
        waited = now - self._started_at
        is_complete = all(link.is_synced for link in self.links.values() if now - link.heard_at < SILENCE)
        first_hellos = _FIRST_HELLOS_OF_BUS if self._carrier.echoes else _FIRST_HELLOS
        if waited >= _LONGEST_START or (waited >= first_hellos and is_complete):
            self.is_ready = True
            self._host.on_ready(len(self._up))

    # The other nodes.

    @property
    def others(self) -> list[Link]:
        """The nodes that this one sees."""
        return list(self._up.values())

    def _say_hello(self, *, is_leaving: bool = False) -> None:
        self._hello += 1
        self._hello_at = self._now()
        self._is_hello_wanted = False
        self._fresh.append((self._hello, self._hello_at))
        while self._fresh[0][1] < self._hello_at - SILENCE:
            self._fresh.popleft()
        for link in self._up.values():
            outgoing = link.outgoing
            if not outgoing.was_used and outgoing.acknowledged != (outgoing.epoch, outgoing.seq):
                self._send_batch(link, [])  # if the last batch was lost, this one shows the gap
            outgoing.was_used = False
        hears: Hears = {}
        for link in self.links.values():
            if self._hello_at - link.heard_at < SILENCE:
                incoming = link.incoming
                epoch = -incoming.epoch if incoming.has_gap else incoming.epoch
                hears[link.id] = (link.hello, epoch, incoming.seq)
        record = encode(Hello(self.name, self._host.clients, is_leaving, self.number))
        self._carrier.hello(seal(self._secret, self.id, 0, self._hello, hears, [record]))

    def on_batch(self, batch: bytes) -> None:
        """Handle a batch or a hello; see `carriers.Receiver`."""
        if not self._is_started:
            return
        try:
            found = unseal(self._secret, batch)
            if found.epoch == 0:
                self._on_hello(found)
            else:
                self._on_stream(found)
        except ForeignVersion as foreign:
            self._count_invalid(
                "Node %.64r speaks cluster protocol %d, this one 1: they do not see each other.",
                foreign.name,
                foreign.version,
            )
        except InvalidBatch as error:
            self._count_invalid("A batch that does not belong to this cluster was ignored: %.200s.", error)

    def on_lost(self, node: str) -> None:
        """Handle the end of a node's process; see `carriers.Receiver`."""
        link = self.links.pop(node, None)
        if link is not None and link.is_up:
            self._take_down(link, "its process has ended")

    def on_bus(self, is_up: bool) -> None:
        """Say hello as soon as the bus is back; see `carriers.Receiver`."""
        if is_up and self._is_started:
            self._is_hello_wanted = True

    def _on_hello(self, batch: Batch) -> None:
        now = self._now()
        if batch.sender == self.id:
            if batch.seq >= self._fresh[0][0]:
                self._on_echo(now)
            return
        records = decode_each(batch.records)
        hello = decode(records[0]) if records else None
        if not isinstance(hello, Hello):
            raise InvalidBatch("a hello says nothing")
        link = self.links.get(batch.sender) or self._meet(batch.sender, hello, now)
        if link is None or batch.seq <= link.hello:
            return
        link.hello = batch.seq
        self._note_heard(link, now)
        link.clients, link.number = hello.clients, hello.number
        if link.number == self.number and link.id < self.id and not self._is_number_given:
            self._change_number()
        if hello.is_leaving:
            if link.is_up:
                self._take_down(link, "it has stopped")
            link.heard_at = now - SILENCE
            return
        known, epoch, seq = batch.hears.get(self.id, (0, 0, 0))
        if known < self._fresh[0][0]:  # the other side does not hear us, or somebody repeats an old hello
            self._is_hello_wanted = self._is_hello_wanted or known == 0
            return
        self._confirm(link, now)
        link.outgoing.acknowledged = (epoch, seq)
        self._check_stream(link, known, epoch)

    def _change_number(self) -> None:
        taken = {link.number for link in self.links.values()}
        self.number = next(
            number for each in range(NUMBERS) if (number := (self.number + each) % NUMBERS) not in taken
        )
        self._host.on_number(self.number)

    def _on_echo(self, now: float) -> None:
        self._echoed_at = now
        if self.is_cut_off:
            self.is_cut_off = False
            self._is_hello_wanted = True
            self._back_at = now

    def _meet(self, node: str, hello: Hello, now: float) -> Link | None:
        """Return a link to a process that says its first hello, None if it cannot have one."""
        if hello.is_leaving or len(node) != len(self.id):
            return None
        if hello.name == self.name:
            self._refuse_name(hello.name)
            return None
        for other in tuple(self.links.values()):
            if other.name == hello.name:
                if now - other.heard_at <= REPLACED_AFTER:
                    self._refuse_name(hello.name)
                    return None
                if other.is_up:
                    self._take_down(other, "it has been started again")
                del self.links[other.id]
        if len(self.links) >= _MOST_NODES:
            self._count_invalid(
                "More than %d nodes are in this cluster; another one is ignored.", _MOST_NODES
            )
            return None
        link = self.links[node] = Link(node, hello.name, now)
        self._is_hello_wanted = True  # so that it learns soon that it is heard
        return link

    def _refuse_name(self, name: str) -> None:
        self._count_invalid(
            "Another node is called %.64r, too, and is ignored; give each node its own node_name.", name
        )

    def _confirm(self, link: Link, now: float) -> None:
        """Note that the other side hears us."""
        link.confirmed_at = now
        if not link.is_up:
            link.is_up = True
            link.is_synced = False
            self._up[link.id] = link
            logger.log(self.log_level, "Node %s is there: %d clients.", link.name, link.clients)
            self._is_hello_wanted = True
            self._begin_epoch(link)

    def _take_down(self, link: Link, why: str) -> None:
        link.is_up = link.is_quiet = False
        link.confirmed_at = -SILENCE
        self._up.pop(link.id, None)
        self._carrier.forget(link.id)
        link.outgoing.begin(0, self._hello)
        # Its users are taken out, so its stream has to begin anew even if it does not notice.
        link.incoming.has_gap = True
        logger.log(
            logging.WARNING if why is _SILENT else self.log_level,
            *("Node %s is gone: %s; its %d clients are taken out.", link.name, why, link.clients),
        )
        self._host.on_down(link.id)
        self.cloud.on_down(link.id)
        for variable in self._variables.of_node(link.id):
            self._send_to(
                [each for each in self._up if self._host.is_shared(variable.protocol, variable.room, each)],
                variable,
            )

    # Own users.

    def joined(
        self, user: str, uuid: str, username: str | None, protocol: str, room: str, bridge: str = ""
    ) -> None:
        """A user of this node, or of a bridge that this node runs, is in a room now."""
        self._send_to(None, self._users.joined(user, uuid, username, protocol, room, bridge))

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
            self._send_to(None, record)

    # Sending.

    def publish(self, nodes: Collection[str], protocol: str, room: str, event: bytes) -> None:
        """Send an event to the members of a room on some nodes."""
        self._send_to(nodes, RoomEvent(room, protocol, event), may_drop=True)

    def publish_variable(
        self, nodes: Collection[str], protocol: str, room: str, name: bytes, event: bytes
    ) -> None:
        """Send a variable's new value to the members of a room on some nodes."""
        variable = RoomVariable(room, protocol, name, self._clock.stamp(), event)
        self._variables.put(variable)
        self._send_to(nodes, variable, may_drop=True)

    def send_kept(self, node: str, protocol: str, room: str, name: bytes, event: bytes) -> None:
        """Send a node that has opened a room a variable that is kept of it, unless it has a newer value."""
        known = self._variables.find(protocol, room, name)
        stamp = known.stamp if known is not None else Stamp(0, "")
        self._send_to((node,), RoomVariable(room, protocol, name, stamp, event))

    def send(self, node: str, user: str, room: str, event: bytes) -> None:
        """Send an event to one user of another node."""
        self._send_to((node,), Private(user, room, event), may_drop=True)

    def publish_topic(self, topic: str, value: bytes) -> None:
        """Send a message to all nodes."""
        self._send_to(None, Topic(topic, value), may_drop=True)

    def send_topic(self, node: str, topic: str, value: bytes) -> None:
        """Send a message to one node."""
        self._send_to((node,), Topic(topic, value), may_drop=True)

    def _send_to(self, nodes: Collection[str] | None, record: Record, *, may_drop: bool = False) -> None:
        """Collect a record for nodes, None for all.

        Where the carrier has no space, records that may be dropped are dropped; the others wait, or the stream begins
        anew.
        """
        up = self._up
        if not up or (nodes is not None and not nodes):
            return
        data = encode(record)
        size = len(data)
        for node in up if nodes is None else nodes:
            link = up.get(node)
            if link is None:
                continue
            outgoing = link.outgoing
            if outgoing.is_broken or outgoing.backlog or outgoing.size >= BATCH_BYTES or size > PART_BYTES:
                self._collect(link, cut(data), may_drop=may_drop)
            else:  # as nearly always
                self._sent += 1
                outgoing.records.append(data)
                outgoing.size += size
        if not self._is_flush_scheduled:
            self._is_flush_scheduled = True
            self._host.schedule_flush()

    def _collect(self, link: Link, pieces: Sequence[bytes], *, may_drop: bool) -> None:
        outgoing = link.outgoing
        if outgoing.is_broken or outgoing.backlog:
            if may_drop:
                self._drop(1)
            elif not outgoing.is_broken:
                outgoing.backlog.extend(pieces)
                outgoing.is_broken = len(outgoing.backlog) > _LONGEST_BACKLOG
            return
        self._sent += 1
        for piece in pieces:
            if outgoing.size >= BATCH_BYTES:
                self._flush_link(link)
            outgoing.records.append(piece)
            outgoing.size += len(piece)

    def flush(self) -> None:
        """Send the records that were collected."""
        self._is_flush_scheduled = False
        for link in tuple(self._up.values()):
            if link.outgoing.records:
                self._flush_link(link)

    def _flush_link(self, link: Link) -> None:
        records = link.outgoing.take()
        if not link.outgoing.is_broken and not self._send_batch(link, records):
            # What follows would arrive without it: the stream begins anew when there is space.
            link.outgoing.is_broken = True
            self._drop(len(records))

    def _send_batch(self, link: Link, records: list[bytes]) -> bool:
        outgoing = link.outgoing
        batch = seal(
            self._secret,
            self.id,
            outgoing.epoch,
            outgoing.seq + 1,
            {link.id: (link.hello, link.incoming.epoch, link.incoming.seq)},
            records,
        )
        if not self._carrier.send(link.id, batch):
            return False
        outgoing.seq += 1
        outgoing.was_used = True
        return True

    def _drop(self, count: int) -> None:
        self._dropped += count
        if self._log.should_log("dropped"):
            logger.warning("A node takes less than is sent to it; messages to its clients are dropped.")

    # The stream to another node begins anew.

    def _begin_epoch(self, link: Link) -> None:
        self._epoch += 1
        outgoing = link.outgoing
        outgoing.begin(self._epoch, self._hello)
        rows = self._users.rows()
        pieces = [rows[start : start + _ROWS] for start in range(0, len(rows), _ROWS)] or [[]]
        for number, piece in enumerate(pieces):
            is_last = number == len(pieces) - 1
            snapshot = Snapshot(piece, self.cloud.open_projects if is_last else [], is_last)
            outgoing.backlog.extend(cut(encode(snapshot)))
        self._catch_up(link)

    def _catch_up(self, link: Link) -> None:
        """Send as much of the snapshot as the carrier takes, or begin one."""
        outgoing = link.outgoing
        if outgoing.is_broken:
            self._begin_epoch(link)
            return
        while outgoing.backlog:
            records, size = [], 0
            while outgoing.backlog and size < BATCH_BYTES:
                raw = outgoing.backlog.popleft()
                records.append(raw)
                size += len(raw)
            if not self._send_batch(link, records):
                outgoing.backlog.extendleft(reversed(records))
                return
            self._sent += len(records)
        self.cloud.send_state(link.id)
        self._send_variables(link)

    def _send_variables(self, link: Link) -> None:
        """Send the variables that a node may have missed."""
        for variable in self._variables:
            if self._host.is_shared(variable.protocol, variable.room, link.id):
                self._send_to((link.id,), variable)

    def _check_stream(self, link: Link, hello: int, epoch: int) -> None:
        """Begin anew if the other node misses something of our stream.

        Args:
            link: The node.
            hello: The number of our last hello that it has heard.
            epoch: The epoch that it has.
        """
        outgoing = link.outgoing
        if outgoing.is_broken or outgoing.backlog:
            return
        if epoch == -outgoing.epoch or (epoch != outgoing.epoch and hello > outgoing.hello + 1):
            self._begin_epoch(link)

    # The stream from another node.

    def _on_stream(self, batch: Batch) -> None:
        link, now = self.links.get(batch.sender), self._now()
        if link is None or now - link.heard_at >= SILENCE:
            return  # its hello comes first
        known, _, _ = batch.hears.get(self.id, (0, 0, 0))
        if known < self._fresh[0][0]:
            return
        self._note_heard(link, now)
        self._confirm(link, now)
        incoming = link.incoming
        had_gap = incoming.has_gap
        if not incoming.admit(batch.epoch, batch.seq):
            if incoming.has_gap and not had_gap:
                self._is_hello_wanted = True  # the hello reports the gap
            return
        for record in self._decoded(link, batch.records):
            try:
                self._on_record(link, record)
            except InvalidBatch as error:
                self._count_bad_record(link, error)

    def _decoded(self, link: Link, records: Raw) -> Iterable[Record]:
        """Return the records of a batch that can be read, and count the others."""
        with suppress(InvalidBatch):
            return decode_all(records)
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
        if link.had_snapshot or self._now() - self._started_at < _SETTLED_AFTER:
            self.cloud.on_return()
        link.had_snapshot = True
        self._send_variables(link)
        link.is_synced = True

    def _check_name(self, row: Row) -> None:
        """Where names are unique, disconnect own users whose name another node's user had before."""
        for user in self._users.that_must_yield(row):
            self._host.dismiss(user, row.username or "")

    def _count_bad_record(self, link: Link, error: InvalidBatch) -> None:
        self._count_invalid("A record of node %s was ignored: %.200s.", link.name, error)

    def _count_invalid(self, text: str, *details: object) -> None:
        self._invalid += 1
        if self._log.should_log(text):
            logger.warning(text, *details)


def _unwrapped(data: bytes) -> Record:
    """Return the record that was escaped, or cut. Raises `InvalidBatch`."""
    record = decode(data)
    if isinstance(record, (Escaped, Part)):
        raise InvalidBatch(f"{type(record).__name__} is out of place")
    return record
