"""The carrier between the workers of one server: a socket pair for each two of them.

A stream holds batches, each after its length in four bytes, big endian. The first one of each side is not a batch but
the id of its node, so that an end of file can be reported as the end of that node.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING

from cloudlink.cluster.carriers import MAX_BATCH_BYTES, MAX_WAITING_BYTES

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from cloudlink.cluster.carriers import Receiver

logger = logging.getLogger("cloudlink.cluster")

_LENGTH = 4
_READ_SIZE = 1 << 18
"""Bytes read at a time from one worker, so that clients and the other workers get their turn."""


class SocketCarrier:
    """Moves batches through socket pairs that `join` adds.

    Attributes:
        echoes: False: a worker does not hear itself.
    """

    echoes = False

    def __init__(self, connect: Callable[[], None] = lambda: None) -> None:
        """Set up without sockets. Args: connect: Called by `start`; joins the sockets that are there by then."""
        self._connect = connect
        self._node = ""
        self._receiver: Receiver | None = None
        self.buffer = memoryview(bytearray(_READ_SIZE))  # of all links: each copies what it has read
        self._links: set[_Link] = set()
        self._nodes: dict[str, _Link] = {}

    def start(self, node: str, receiver: Receiver) -> None:
        """See `Carrier`; sockets that were joined before are used from now on."""
        self._node = node
        self._receiver = receiver
        for link in self._links:
            link.open(node)
        self._connect()

    def join(self, end: socket.socket) -> None:
        """Add one end of a socket pair, the other end of which another worker has."""
        end.setblocking(False)
        link = _Link(self, end)
        self._links.add(link)
        if self._receiver is not None:
            link.open(self._node)

    def hello(self, batch: bytes) -> None:
        """See `Carrier`."""
        for link in tuple(self._links):
            link.send(batch)

    def send(self, node: str, batch: bytes) -> bool:
        """See `Carrier`."""
        link = self._nodes.get(node)
        return link is None or link.send(batch)

    def forget(self, node: str) -> None:
        """See `Carrier`."""
        link = self._nodes.get(node)
        if link is not None:
            link.drop_waiting()

    def close(self) -> None:
        """See `Carrier`; what a socket does not take at once is lost."""
        self._receiver = None
        for link in tuple(self._links):
            link.close()
        self._links.clear()
        self._nodes.clear()

    # Called by links.

    def introduced(self, link: _Link, node: str) -> None:
        """Note which node is at the other end of a link."""
        self._nodes[node] = link

    def received(self, batch: bytes) -> None:
        """Pass a batch on."""
        if self._receiver is not None:
            self._receiver.on_batch(batch)

    def lost(self, link: _Link, node: str) -> None:
        """Note that the other end of a link is closed."""
        self._links.discard(link)
        if self._nodes.get(node) is link:
            del self._nodes[node]
            if self._receiver is not None:
                self._receiver.on_lost(node)


class _Link:
    """One socket."""

    def __init__(self, carrier: SocketCarrier, end: socket.socket) -> None:
        self._carrier = carrier
        self._socket = end
        self._node = ""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._incoming = bytearray()
        self._waiting: deque[memoryview] = deque()
        self._waiting_size = 0
        self._is_full = False  # whether the socket takes no more for now

    def open(self, node: str) -> None:
        """Introduce this node, and read from now on."""
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._socket.fileno(), self._read)
        self.send(node.encode("ascii"))

    def send(self, batch: bytes) -> bool:
        """Write a batch, or have it wait; return False if too much is waiting."""
        if self._waiting and self._waiting_size + len(batch) > MAX_WAITING_BYTES:
            return False
        self._waiting.append(memoryview(len(batch).to_bytes(_LENGTH) + batch))
        self._waiting_size += len(batch) + _LENGTH
        if len(self._waiting) == 1:
            self._write()
        return True

    def drop_waiting(self) -> None:
        """Drop the batches of which nothing is written yet."""
        for batch in [*self._waiting][1:]:
            self._waiting_size -= len(batch)
            self._waiting.pop()

    def close(self) -> None:
        """Close the socket."""
        if self._loop is not None:
            self._loop.remove_reader(self._socket.fileno())
            self._loop.remove_writer(self._socket.fileno())
        self._loop = None
        self._socket.close()

    def _write(self) -> None:
        if self._loop is None:
            return
        try:
            while self._waiting:
                first = self._waiting[0]
                written = self._socket.send(first)
                self._waiting_size -= written
                if written < len(first):
                    self._waiting[0] = first[written:]
                else:
                    self._waiting.popleft()
        except BlockingIOError:
            if not self._is_full:
                self._is_full = True
                self._loop.add_writer(self._socket.fileno(), self._write)
            return
        except OSError:  # reading reports the end
            self._waiting.clear()
            self._waiting_size = 0
        if self._is_full:
            self._is_full = False
            self._loop.remove_writer(self._socket.fileno())

    def _read(self) -> None:
        buffer = self._carrier.buffer
        try:
            size = self._socket.recv_into(buffer)
        except BlockingIOError:
            return
        except OSError:
            size = 0
        if not size:
            self._end()
            return
        self._incoming += buffer[:size]
        self._take_batches()

    def _take_batches(self) -> None:
        incoming, at = self._incoming, 0
        while len(incoming) - at >= _LENGTH:
            size = int.from_bytes(incoming[at : at + _LENGTH])
            if size > MAX_BATCH_BYTES:
                logger.error("A worker sent a batch of %d bytes; its connection is closed.", size)
                self._end()
                return
            if len(incoming) - at - _LENGTH < size:
                break
            batch = bytes(incoming[at + _LENGTH : at + _LENGTH + size])
            at += _LENGTH + size
            if not self._node:
                self._node = batch.decode("ascii", "replace")
                self._carrier.introduced(self, self._node)
            else:
                self._carrier.received(batch)
                if self._loop is None:
                    return
        del incoming[:at]

    def _end(self) -> None:
        self.close()
        self._carrier.lost(self, self._node)
