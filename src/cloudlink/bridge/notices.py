"""The records about the bridges that the nodes of a cluster send each other, in the topic `:bridges`.

The node that runs the bridges says how they are, and what its ledger has learned, so that another one can take over.
A connection of a calling server that arrives at another node is passed on to it (`tunnels`). A record that is lost
does no lasting harm: claims and states are repeated, and a gap in a tunnel ends its connection.
"""

from __future__ import annotations

import msgspec

from cloudlink.cluster.records import Codec, InvalidBatch

__all__ = [
    "TOPIC",
    "Closed",
    "Data",
    "Dropped",
    "Held",
    "InvalidBatch",
    "Learned",
    "Notice",
    "Opened",
    "Paused",
    "State",
    "Status",
    "Taken",
    "read",
    "write",
]

TOPIC = ":bridges"


class _Notice(msgspec.Struct, frozen=True, array_like=True, tag=True, gc=False):
    """Base class of the records."""


class Status(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """How a bridge is; see `cloudlink.bridge.base.Bridge`."""

    name: str
    is_up: bool
    is_paused: bool
    users: int
    received: int
    sent: int
    dropped: int
    reason: str


class State(_Notice, frozen=True, array_like=True, tag=1, gc=False):
    """The state of a node, which it sends once a second and at each change.

    Attributes:
        can_run, is_running, term: See `placement.Claim`.
        rooms: The rooms whose messages it has to hear, if it runs the bridges.
        bridges: Their states, if it runs them.
    """

    can_run: bool
    is_running: bool
    term: int
    rooms: list[str] = []
    bridges: list[Status] = []


class Learned(_Notice, frozen=True, array_like=True, tag=2, gc=False):
    """Entries of the ledger: kind of place, place, name, and the fields of `ledger.Entry`."""

    entries: list[tuple[str, str, str, int, str, bytes, str]]


class Paused(_Notice, frozen=True, array_like=True, tag=3, gc=False):
    """An operator has paused a bridge, or resumed it."""

    bridge: str
    is_paused: bool


class Opened(_Notice, frozen=True, array_like=True, tag=4, gc=False):
    """A calling server has proved the secret of a bridge; its connection is this tunnel of the sender."""

    tunnel: int
    bridge: str


class Data(_Notice, frozen=True, array_like=True, tag=5, gc=False):
    """A message in a tunnel; each direction numbers its own from 1.

    Attributes:
        tunnel: The number of the tunnel.
        is_inward: Whether it comes from the calling server.
        number: The number of the message.
        data: The message.
    """

    tunnel: int
    is_inward: bool
    number: int
    data: bytes


class Closed(_Notice, frozen=True, array_like=True, tag=6, gc=False):
    """A tunnel has ended: with a close code and a reason, or with 0 because the connection has broken."""

    tunnel: int
    is_inward: bool
    code: int
    reason: str


class Held(_Notice, frozen=True, array_like=True, tag=7, gc=False):
    """Reading from the calling server has to stop for now, or to go on."""

    tunnel: int
    is_held: bool


class Taken(_Notice, frozen=True, array_like=True, tag=8, gc=False):
    """The calling server has taken this many of the bytes that were sent to it."""

    tunnel: int
    size: int


class Dropped(_Notice, frozen=True, array_like=True, tag=9, gc=False):
    """A message of the calling server exceeded the limits of a client."""

    tunnel: int


Notice = State | Learned | Paused | Opened | Data | Closed | Held | Taken | Dropped

_codec: Codec[Notice] = Codec(Notice)


def write(notice: Notice) -> bytes:
    """Return a record as bytes."""
    return _codec.encode(notice)


def read(data: bytes) -> Notice:
    """Return a record. Raises `InvalidBatch`."""
    return _codec.decode(data)
