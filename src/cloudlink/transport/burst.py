"""Writing to many sockets at once.

One `send` per client is what delivering costs most. Made one by one, each runs cold: the interpreter and
the kernel drive each other out of the processor's caches. Here the interpreter is kept out of it: C code
goes through the sockets, one system call after the other.
"""

from __future__ import annotations

import os
from operator import attrgetter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cloudlink.delivery import Connection


_descriptor_of = attrgetter("descriptor")
_GONE = -1


def write_burst(connections: Sequence[Connection], data: Sequence[bytes]) -> bool:
    """Write to each of many connections its data, which is not empty.

    Returns:
        Whether that was done; False where one of them needs its transport's help, and nothing was written.
    """
    descriptors = list(map(_descriptor_of, connections))
    if min(descriptors, default=0) < 0:
        return False
    written = _write_each(descriptors, data)
    if written != list(map(len, data)):
        for connection, size, wanted in zip(connections, written, data, strict=True):
            if _GONE < size < len(wanted):
                connection.keep(wanted[size:])
    return True


def _write_each(descriptors: Sequence[int], data: Sequence[bytes]) -> list[int]:
    """Return how many bytes each socket took, `_GONE` for one whose peer is no longer there."""
    written: list[int] = []
    sockets, texts = iter(descriptors), iter(data)
    while len(written) < len(data):
        # Where a call fails, the list has what came before, and the iterators stand behind the one that failed.
        try:
            written.extend(map(os.write, sockets, texts))
        except BlockingIOError:
            written.append(0)
        except OSError:
            written.append(_GONE)  # reading finds that out
    return written
