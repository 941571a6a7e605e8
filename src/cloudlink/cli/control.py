"""The connection between the process that starts workers and a worker: messages, with file descriptors.

It is one end of a socket pair that the worker inherits. A message is a dictionary; the two processes trust each other,
as one has started the other.
"""

from __future__ import annotations

import os
import pickle
import socket
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

Message = dict[str, Any]

_LARGEST = 65_536
"""Bytes of the largest message; what may be larger travels in a file, whose descriptor is sent."""
_MOST_DESCRIPTORS = 250


class Control:
    """One end of the connection."""

    def __init__(self, end: socket.socket) -> None:
        """Args: end: The socket, of type SOCK_SEQPACKET, which keeps the bounds of messages."""
        self._socket = end

    @classmethod
    def pair(cls) -> tuple[Control, Control]:
        """Return the two ends of a new connection."""
        one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        return cls(one), cls(other)

    @classmethod
    def inherited(cls, descriptor: int) -> Control:
        """Return the end with that descriptor, which this process was started with."""
        return cls(socket.socket(fileno=descriptor))

    def fileno(self) -> int:
        """Return the descriptor of the socket."""
        return self._socket.fileno()

    def stop_waiting(self) -> None:
        """From now on, have `send` and `receive` raise `BlockingIOError` instead of waiting."""
        self._socket.setblocking(False)

    def send(self, message: Message, descriptors: Iterable[int] = ()) -> None:
        """Send a message and copies of descriptors.

        Raises:
            OSError: The other end is gone, or has not read for long.
        """
        socket.send_fds(self._socket, [pickle.dumps(message)], list(descriptors))

    def receive(self) -> tuple[Message, list[int]] | None:
        """Return the next message and its descriptors, which now belong to the caller; None at the end.

        Raises:
            BlockingIOError: There is none yet, and `stop_waiting` was called.
        """
        try:
            data, descriptors, _, _ = socket.recv_fds(self._socket, _LARGEST, _MOST_DESCRIPTORS)
        except ConnectionError:
            return None
        if not data:
            return None
        return pickle.loads(data), descriptors  # noqa: S301  # from the process that started this one, or a child

    def close(self) -> None:
        """Close this end."""
        self._socket.close()


def in_file(content: object) -> int:
    """Return the descriptor of a file in memory that holds an object; the caller closes it."""
    descriptor = os.memfd_create("cloudlink-settings")
    with os.fdopen(os.dup(descriptor), "wb") as file:
        pickle.dump(content, file)
    return descriptor


def from_file(descriptor: int) -> Any:
    """Return the object in a file made by `in_file`, and close it."""
    with os.fdopen(os.dup(descriptor), "rb") as file:
        file.seek(0)
        content = pickle.load(file)  # noqa: S301  # as in `Control.receive`
    os.close(descriptor)
    return content
