"""How much memory there is for this process: that of the machine, or of the container it runs in."""

from __future__ import annotations

import os
from contextlib import suppress
from functools import cache
from pathlib import Path

_PART = 32
"""`most_kept` is the memory divided by this, within bounds."""
_LEAST, _MOST = 32 << 20, 64 << 20
_CONTAINER = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
"""Where Linux says how much memory a container may use, in version 2 and 1 of its interface."""


def most_kept(setting: int | str, processes: int = 1) -> int:
    """Return how many bytes the connections of one process may make it keep.

    Args:
        setting: The setting `max_kept_memory`.
        processes: The number of processes that share the memory.
    """
    if isinstance(setting, int):
        return setting // processes
    size = memory()
    part = _MOST if size is None else max(_LEAST, min(_MOST, size // _PART))
    return part // processes


@cache
def memory() -> int | None:
    """Return the memory in bytes, None if it is unknown, as on Windows."""
    found = []
    with suppress(AttributeError, OSError, ValueError):
        found.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    for file in _CONTAINER:
        with suppress(OSError, ValueError):  # `max` means no limit
            found.append(int(file.read_text()))
    return min((size for size in found if size > 0), default=None)
