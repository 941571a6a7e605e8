"""The interface between the peer protocol and what carries its bytes: Unix sockets, NATS, or memory in tests.

A carrier moves *batches*, which are opaque bytes. It knows the ids of nodes, but neither records nor clients. A
node's id is 16 hexadecimal digits, new for every process; its name (the setting `node_name`) is in its hellos.

What a carrier has to do:

* `start` connects this node. From then on, it calls the receiver for every batch that arrives. The calls come on the
  thread of the event loop, one at a time, also when `start` or `send` itself is the cause; a carrier that could call the
  receiver within `send` schedules the call instead.
* `send` queues a batch for one node, in order: whatever arrives from one node arrives in the order in which that node
  called `send`. Batches may be lost, and the protocol detects that; they must not be cut, and not overtake each other.
  `hello` may overtake `send` and the reverse.
* At most `MAX_WAITING_BYTES` may wait for one node. A batch beyond that is refused as a whole (`send` returns False);
  nothing else happens, and the protocol sends the node its state again when there is space. A node that the
  carrier does not know, or cannot reach, is no error: the batch is dropped, and `send` returns True.
* `hello` sends a batch to all nodes, those included that nobody knows yet. It is called about once a second. It may be
  lost.
* A batch has at most `MAX_BATCH_BYTES`. A carrier for several machines may drop longer ones unread.

What a carrier tells its receiver:

* `on_batch(batch)`: a batch for this node, or a hello, arrived. Its content may be anything; the protocol checks it.
  With a carrier whose `echoes` is True, the node's own hellos come back to it. If that stops, the node is cut off.
* `on_lost(node)`: the process with that id has ended, surely (end of file on its socket). Carriers that
  cannot know this never call it; the protocol then notices that the node is silent.
* `on_bus(is_up)`: the connection to a bus between the nodes broke, or is back. Carriers without a bus never call it.
  Nothing is lost by calling it late or never: it only makes the log and the health check faster.
"""

from __future__ import annotations

from typing import Protocol

MAX_BATCH_BYTES = 1 << 19
"""Most bytes of a batch: NATS takes 1 MiB by default."""
MAX_WAITING_BYTES = 8 << 20
"""Most bytes that may wait for one node."""


class Receiver(Protocol):
    """Receives what a carrier carries; implemented by `Node`."""

    def on_batch(self, batch: bytes) -> None:
        """Handle a batch or a hello. Never raises for what is in it."""
        ...

    def on_lost(self, node: str) -> None:
        """Handle the certain end of a node's process; unknown nodes are ignored."""
        ...

    def on_bus(self, is_up: bool) -> None:
        """Handle a lost or regained connection to the bus."""
        ...


class Carrier(Protocol):
    """Moves batches between nodes.

    Attributes:
        echoes: Whether hellos also come back to the node that sent them.
    """

    echoes: bool

    def start(self, node: str, receiver: Receiver) -> None:
        """Connect this node; do not block. Args: node: The id of this node."""
        ...

    def hello(self, batch: bytes) -> None:
        """Send a batch to all nodes."""
        ...

    def send(self, node: str, batch: bytes) -> bool:
        """Queue a batch for one node.

        Returns:
            False if too much is waiting for the node, and the batch was refused.
        """
        ...

    def forget(self, node: str) -> None:
        """Drop what is waiting for a node that has gone."""
        ...

    def close(self) -> None:
        """Send what is waiting if that takes no longer than a moment, and disconnect; no calls come afterwards."""
        ...
