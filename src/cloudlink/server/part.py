"""The part of a server that one of its several processes is: its number, its sockets and the shared counts.

The process that starts them, `cloudlink.cli.workers`, serves nobody itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from cloudlink.cluster.carriers import Carrier
    from cloudlink.sharedcounts import SharedCounts


@dataclass(frozen=True)
class Part:
    """The part of a server that one process is.

    Attributes:
        number: The number of the process, from 0.
        count: The number of processes.
        speaks: Whether this process logs what would read the same in each process.
        is_successor: Whether the process takes the place of one that has ended.
        sockets: The bound sockets that it accepts connections at; those of Unix sockets are shared by all processes.
        counts: The counts that all processes share.
        carrier: Joins it with the other processes.
        tell_ready: Tells the process that started this one that everything can be reached.
        tell_reloaded: Has all other processes, and those started later, read the settings again, as this one has.
    """

    number: int
    count: int
    speaks: bool
    is_successor: bool
    sockets: list[socket.socket]
    counts: SharedCounts
    carrier: Carrier
    tell_ready: Callable[[], None]
    tell_reloaded: Callable[[], None]
