"""Which process listens on a port, as far as Linux shows it to this user."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_PROC = Path("/proc")
_LISTENING = "0A"
"""The state of a listening socket in `/proc/net/tcp` (proc_pid_net(5))."""
_SOCKET = re.compile(r"socket:\[(\d+)\]")
_LONGEST_COMMAND = 60


def port_owner(port: int, proc: Path = _PROC) -> tuple[int, str] | None:
    """Return the process id and command line of a process that listens on a TCP port.

    Args:
        port: The port.
        proc: The mount point of the proc file system.

    Returns:
        None if unknown: the system is not Linux, or the process belongs to another user.
    """
    inodes = set(_listening(port, proc))
    if not inodes:
        return None
    for folder in proc.glob("[0-9]*"):
        if not inodes.isdisjoint(_sockets(folder)):
            return int(folder.name), _command(folder)
    return None


def _listening(port: int, proc: Path) -> Iterator[str]:
    """Yield the inodes of sockets that listen on a port."""
    for table in ("net/tcp", "net/tcp6"):
        try:
            lines = (proc / table).read_text(encoding="ascii").splitlines()[1:]
        except (OSError, ValueError):
            continue
        for fields in map(str.split, lines):
            address, state, inode = fields[1], fields[3], fields[9]
            if state == _LISTENING and int(address.rpartition(":")[2], 16) == port:
                yield inode


def _sockets(folder: Path) -> Iterator[str]:
    """Yield the inodes of a process's sockets; none if the system does not show them."""
    try:
        descriptors = list((folder / "fd").iterdir())
    except OSError:  # another user's process, or gone
        return
    for descriptor in descriptors:
        with suppress(OSError):  # closed since
            match = _SOCKET.fullmatch(str(descriptor.readlink()))
            if match:
                yield match[1]


def _command(folder: Path) -> str:
    try:
        words = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return ""
    text = " ".join(word for word in words if word)
    return text if len(text) <= _LONGEST_COMMAND else text[:_LONGEST_COMMAND] + "…"
