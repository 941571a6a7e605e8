"""The hellos of all nodes, from which each of them learns which others there are and which have fallen silent.

Every process sends a hello once a second, which says which hellos of others it has heard. `links` defines when two nodes
see each other; this module decides when that begins and ends, when a silent node counts as quiet, and which of two nodes
gets a name or a number that both want.
"""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING, Protocol

from .links import QUIET, REPLACED_AFTER, SILENCE, Link
from .records import Hello, InvalidBatch, decode, decode_each, encode, seal

if TYPE_CHECKING:
    from collections.abc import Callable

    from .carriers import Carrier
    from .host import Host
    from .records import Batch, Hears
    from .streams import Streams

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
_SILENT = f"nothing heard for {SILENCE:g} s"
NUMBERS = 1024
"""How many numbers of nodes there are: the worker numbers in snowflakes have 10 bits."""
_MOST_NODES = 256
"""Most other nodes that a node keeps links to; further ones are ignored."""


class Watcher(Protocol):
    """Reacts to what happens to the other nodes; implemented by `Node`."""

    def on_up(self, link: Link) -> None:
        """Handle a node that this one sees from now on."""
        ...

    def on_down(self, link: Link) -> None:
        """Handle a node that this one no longer sees."""
        ...

    def on_quiet(self, link: Link) -> None:
        """Handle a node of which nothing was heard for `QUIET` seconds."""
        ...

    def on_heard(self, link: Link) -> None:
        """Handle a quiet node that is heard again."""
        ...

    def count_invalid(self, text: str, *details: object) -> None:
        """Count what was ignored, and log it at most once a minute."""
        ...


class Hellos:
    """Says hello, and keeps a link to each other process.

    Attributes:
        links: The other processes by id.
        number: The number of this node; no other one that it sees has it.
        started_at: When this node was started.
        is_started: Whether it is started, and not stopped since.
        is_ready: Whether this node sees the cluster, or is alone.
        is_cut_off: Whether the bus does not answer.
        is_responsible: Whether this node does something for all, so that others must notice soon when it dies.
        log_level: The level for nodes that come and go as they should.
    """

    def __init__(
        self,
        node: str,
        name: str,
        number: int | None,
        host: Host,
        carrier: Carrier,
        secret: bytes,
        streams: Streams,
        watcher: Watcher,
        up: dict[str, Link],
        now: Callable[[], float],
    ) -> None:
        """Set up without links.

        Args:
            node: The id of this process.
            name: The name of this node.
            number: The number of the node if no other node can have it; None agrees on one.
            host: What the node is part of.
            carrier: Moves batches.
            secret: Authenticates batches.
            streams: The streams to the other nodes.
            watcher: Reacts to what happens to the other nodes.
            up: The nodes that this one sees, by id, kept here.
            now: Returns the time, in seconds.
        """
        self.links: dict[str, Link] = {}
        self.number = int(node, 16) % NUMBERS if number is None else number
        self.is_started = False
        self.is_ready = False
        self.is_cut_off = False
        self.is_responsible = False
        self.log_level = logging.INFO if carrier.echoes else logging.DEBUG
        self._node = node
        self._name = name
        self._is_number_given = number is not None
        self._host = host
        self._carrier = carrier
        self._secret = secret
        self._streams = streams
        self._watcher = watcher
        self._up = up
        self._now = now
        self._hello_at = self._ticked_at = self.started_at = self._echoed_at = now()
        self._patient_since = -QUIET  # silence before this does not make a node quiet
        self._fresh: deque[tuple[int, float]] = deque()  # number and time of our hellos of the last seconds
        self._back_at: float | None = None  # when the bus came back, until that is logged
        self._is_hello_wanted = False

    def start(self) -> None:
        """Say hello from now on."""
        self.is_started = True
        self._hello_at = self._ticked_at = self.started_at = self._echoed_at = self._now()

    def stop(self) -> None:
        """Say goodbye, and forget the others without calling `watcher`."""
        self.say_hello(is_leaving=True)
        self.is_started = False
        self.links.clear()

    def tick(self) -> None:
        """Say hello if it is due, and check which nodes are silent."""
        now = self._now()
        if now - self._ticked_at > _LATE:
            self._be_patient(now, now - self._ticked_at)
        self._ticked_at = now
        if self.is_absent:
            self._host.on_absence()
        if now - self._hello_at >= self._hello_interval:
            self.say_hello()
        for link in tuple(self.links.values()):
            self._check_quiet(link, now)
            if link.is_up and now - link.confirmed_at >= SILENCE:
                self._take_down(link, _SILENT)
            elif now - link.heard_at >= _FORGOTTEN_AFTER:
                del self.links[link.id]
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

    def ask(self) -> None:
        """Say hello soon."""
        self._is_hello_wanted = True

    def say_hello(self, *, is_leaving: bool = False) -> None:
        """Say hello, or goodbye."""
        streams = self._streams
        streams.hello += 1
        self._hello_at = self._now()
        self._is_hello_wanted = False
        self._fresh.append((streams.hello, self._hello_at))
        while self._fresh[0][1] < self._hello_at - SILENCE:
            self._fresh.popleft()
        streams.show_gaps()
        hears: Hears = {}
        for link in self.links.values():
            if self._hello_at - link.heard_at < SILENCE:
                incoming = link.incoming
                epoch = -incoming.epoch if incoming.has_gap else incoming.epoch
                hears[link.id] = (link.hello, epoch, incoming.seq)
        record = encode(Hello(self._name, self._host.clients, is_leaving, self.number))
        self._carrier.hello(seal(self._secret, self._node, 0, streams.hello, hears, [record]))

    # Silence.

    def _check_quiet(self, link: Link, now: float) -> None:
        if link.is_up and not link.is_quiet and now - max(link.heard_at, self._patient_since) >= QUIET:
            link.is_quiet = True
            self._watcher.on_quiet(link)

    def _note_heard(self, link: Link, now: float) -> None:
        link.heard_at = now
        if link.is_quiet:
            link.is_quiet = False
            self._watcher.on_heard(link)

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
        waited = now - self.started_at
        is_complete = all(link.is_synced for link in self.links.values() if now - link.heard_at < SILENCE)
        first_hellos = _FIRST_HELLOS_OF_BUS if self._carrier.echoes else _FIRST_HELLOS
        if waited >= _LONGEST_START or (waited >= first_hellos and is_complete):
            self.is_ready = True
            self._host.on_ready(len(self._up))

    # What others say.

    def on_hello(self, batch: Batch) -> None:
        """Handle a hello. Raises `InvalidBatch`."""
        now = self._now()
        if batch.sender == self._node:
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
        if link.number == self.number and link.id < self._node and not self._is_number_given:
            self._change_number()
        if hello.is_leaving:
            if link.is_up:
                self._take_down(link, "it has stopped")
            link.heard_at = now - SILENCE
            return
        known, epoch, seq = batch.hears.get(self._node, (0, 0, 0))
        if known < self._fresh[0][0]:  # the other side does not hear us, or somebody repeats an old hello
            self._is_hello_wanted = self._is_hello_wanted or known == 0
            return
        self._confirm(link, now)
        self._streams.acknowledge(link, known, epoch, seq)

    def sender_of(self, batch: Batch) -> Link | None:
        """Return the link that a batch of a stream came through; None if it is old, or its hello is still to come."""
        link, now = self.links.get(batch.sender), self._now()
        if link is None or now - link.heard_at >= SILENCE:
            return None
        known, _, _ = batch.hears.get(self._node, (0, 0, 0))
        if known < self._fresh[0][0]:
            return None
        self._note_heard(link, now)
        self._confirm(link, now)
        return link

    def lose(self, node: str) -> None:
        """Remove the link to a process that has ended."""
        link = self.links.pop(node, None)
        if link is not None and link.is_up:
            self._take_down(link, "its process has ended")

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
        if hello.is_leaving or len(node) != len(self._node):
            return None
        if hello.name == self._name:
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
            self._watcher.count_invalid(
                "More than %d nodes are in this cluster; another one is ignored.", _MOST_NODES
            )
            return None
        link = self.links[node] = Link(node, hello.name, now)
        self._is_hello_wanted = True  # so that it learns soon that it is heard
        return link

    def _refuse_name(self, name: str) -> None:
        self._watcher.count_invalid(
            "Another node is called %.64r, too, and is ignored; give each node its own node_name.", name
        )

    # Links.

    def _confirm(self, link: Link, now: float) -> None:
        """Note that the other side hears us."""
        link.confirmed_at = now
        if not link.is_up:
            link.is_up = True
            link.is_synced = False
            self._up[link.id] = link
            logger.log(self.log_level, "Node %s is there: %d clients.", link.name, link.clients)
            self._is_hello_wanted = True
            self._watcher.on_up(link)

    def _take_down(self, link: Link, why: str) -> None:
        link.is_up = link.is_quiet = False
        link.confirmed_at = -SILENCE
        self._up.pop(link.id, None)
        self._carrier.forget(link.id)
        link.outgoing.begin(0, self._streams.hello)
        # Its users are taken out, so its stream has to begin anew even if it does not notice.
        link.incoming.has_gap = True
        logger.log(
            logging.WARNING if why is _SILENT else self.log_level,
            "Node %s is gone: %s; its %d clients are taken out.",
            link.name,
            why,
            link.clients,
        )
        self._watcher.on_down(link)
