"""Listening on a Unix socket, for a proxy on the same machine.

The socket file belongs to the server: a file left behind by a crashed server is replaced, and it is removed at shutdown.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from cloudlink.errors import StartError

if TYPE_CHECKING:
    import asyncio

MODE = 0o666
"""Every user of the machine may connect, as with a loopback address; the folder's mode can keep users out."""
_BACKLOG = 256
_CONNECT_TIMEOUT = 1.0


class UnixListener:
    """A listening Unix socket and its file."""

    def __init__(self, path: str) -> None:
        """Listen at a path.

        Raises:
            StartError: The path cannot be listened on; the sentence says why.
        """
        if not hasattr(socket, "AF_UNIX"):
            raise StartError(f"This system has no Unix sockets: take unix:{path} out of the setting host.")
        _remove_stale(path)
        self.path = path
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self.socket.bind(path)
            os.chmod(path, MODE)  # noqa: PTH101  # the new file, by exactly this path
            self._identity = _identity(path)
            self.socket.listen(_BACKLOG)
        except OSError as error:
            self.socket.close()
            raise StartError(f"Cannot listen on unix:{path}: {_explain(error)}.") from None
        self.socket.setblocking(False)

    def close(self) -> None:
        """Remove the socket's file, unless another server has put its own there, and close the socket."""
        with suppress(OSError):
            if _identity(self.path) == self._identity:
                os.unlink(self.path)  # noqa: PTH108  # see above
        self.socket.close()


class _UnixTransport:
    """A transport of a Unix socket that picows can use: TCP options are ignored instead of failing."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def get_extra_info(self, name: str, default: object = None) -> Any:
        value = self._transport.get_extra_info(name, default)
        return _WithoutOptions(value) if name == "socket" else value


class _WithoutOptions:
    """A Unix socket that has no options."""

    def __init__(self, plain: socket.socket) -> None:
        self.fileno = plain.fileno

    def setsockopt(self, *arguments: object) -> None:
        """Do nothing."""

    def getsockopt(self, *arguments: object) -> int:  # noqa: ARG002  # the signature of sockets
        """Return 0; picows only logs it."""
        return 0


def for_picows(transport: asyncio.Transport) -> Any:
    """Return a transport that picows can use: it sets TCP options, which Unix sockets do not have."""
    family = transport.get_extra_info("socket").family
    return _UnixTransport(transport) if family == getattr(socket, "AF_UNIX", None) else transport


def _remove_stale(path: str) -> None:
    """Remove a socket file that no server listens on.

    Raises:
        StartError: A server listens on it, or it is another kind of file.
    """
    try:
        is_socket = stat.S_ISSOCK(os.stat(path).st_mode)  # noqa: PTH116  # as `bind` will see it
    except OSError:
        return  # there is none, or `bind` will report what is wrong
    if not is_socket:
        raise StartError(
            f"Cannot listen on unix:{path}: there is another file of this name; remove it or choose another path."
        )
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(_CONNECT_TIMEOUT)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)  # noqa: PTH108  # see above
        except OSError as error:
            raise StartError(f"Cannot listen on unix:{path}: {_explain(error)}.") from None
        else:
            raise StartError(
                f"Cannot listen on unix:{path}: another server listens there; stop it or choose another path."
            )


def _identity(path: str) -> tuple[int, int]:
    status = os.stat(path)  # noqa: PTH116  # see above
    return status.st_dev, status.st_ino


def _explain(error: OSError) -> str:
    if "too long" in str(error):  # Python's own check sets no errno
        return "the path is too long for a socket; about 100 bytes are possible"
    if error.errno == errno.ENOENT:
        return "the folder does not exist; make it first"
    if error.errno in (errno.EACCES, errno.EPERM):
        return "this user may not write there; choose another folder, or change its owner"
    return error.strerror or str(error)
