"""Opens the sockets for the setting `host`, and explains in one sentence why one cannot be opened."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import sys
from ipaddress import ip_address

from cloudlink.errors import StartError
from cloudlink.hosts import EVERY
from cloudlink.text import printable

from .portowner import port_owner

_PRIVILEGED = 1024
_IPV4 = 4
_Address = tuple[socket.AddressFamily, str]

_EVERY_ADDRESS: tuple[_Address, ...] = (
    (socket.AF_INET, "0.0.0.0"),  # noqa: S104  # hosts ask for it
    (socket.AF_INET6, "::"),
)
_NO_SUCH_FAMILY = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)


async def open_sockets(hosts: list[str], port: int) -> list[socket.socket]:
    """Return sockets bound to all addresses of some hosts, all with one port.

    Args:
        hosts: Entries of `cloudlink.hosts.parse_hosts` that do not mean Unix sockets.
        port: The port; 0 picks a free one.

    Raises:
        StartError: The server cannot listen on an address.
    """
    wanted = [(host, address) for host in hosts for address in await _addresses(host, port)]
    # An address is covered by the wildcard of its family, and could not be bound in addition to it.
    wanted.sort(key=lambda entry: entry[1] not in _EVERY_ADDRESS)
    bound: dict[_Address, socket.socket] = {}
    try:
        for host, address in wanted:
            family, name = address
            if address in bound or any(every in bound for every in _EVERY_ADDRESS if every[0] == family):
                continue
            opened = _bind(host, family, name, port)
            if opened is not None:
                bound[address] = opened
                port = opened.getsockname()[1]
    except BaseException:
        for opened in bound.values():
            opened.close()
        raise
    if hosts and not bound:
        raise StartError("This machine has no network address, neither of IPv4 nor of IPv6.")
    return list(bound.values())


async def reserve_sockets(hosts: list[str], port: int) -> tuple[list[socket.socket], list[socket.socket]]:
    """Return sockets like `open_sockets` that keep a port for those of `shareable`, and locks to keep open as long.

    The sockets never listen, so nobody connects before somebody accepts. Two programs of one user could both have such
    sockets, so each has an abstract Unix socket for each address, too, of which there can be only one.

    Raises:
        StartError: The server cannot listen on an address, or another one of several processes does.
    """
    opened = await open_sockets(hosts, port)
    locks: list[socket.socket] = []
    for each in opened:
        host, number = each.getsockname()[:2]
        lock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        locks.append(lock)
        try:
            lock.bind(f"\0cloudlink-workers-{os.getuid()}-{host}-{number}")
        except OSError as error:
            for other in (*opened, *locks):
                other.close()
            raise StartError(explain(host, number, error, port_owner(number))) from None
    return opened, locks


def shareable(reserved: socket.socket) -> socket.socket:
    """Return another socket at the address of a reserved one; the kernel spreads connections over all that listen.

    Raises:
        StartError: The system does not allow it.
    """
    address = reserved.getsockname()
    opened = socket.socket(reserved.family, socket.SOCK_STREAM)
    try:
        # A socket that is bound without this option notices other servers.
        for each in (reserved, opened):
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reserved.family == socket.AF_INET6:
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        opened.bind(address)
        opened.setblocking(False)
    except OSError as error:
        opened.close()
        raise StartError(explain(address[0], address[1], error)) from None
    return opened


async def _addresses(host: str, port: int) -> list[_Address]:
    if host == EVERY:
        return list(_EVERY_ADDRESS)
    if "%" not in host and (known := _known(host)) is not None:
        return [known]  # the resolver would run in a thread that stays
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, OverflowError, UnicodeError) as error:
        raise StartError(explain(host, port, error)) from None
    return [
        (family, str(address[0]) if family == socket.AF_INET else _scoped(address))
        for family, _, _, _, address in found
    ]


def _known(host: str) -> _Address | None:
    """Return the address that a text spells, None for a name."""
    try:
        address = ip_address(host)
    except ValueError:
        return None
    return (socket.AF_INET if address.version == _IPV4 else socket.AF_INET6), str(address)


def _scoped(address: tuple[object, ...]) -> str:
    """Return an IPv6 address with its zone, which a link-local one needs to be bound."""
    zone = address[3]
    return f"{address[0]}%{zone}" if zone else str(address[0])


def _bind(host: str, family: socket.AddressFamily, name: str, port: int) -> socket.socket | None:
    """Return a bound socket; None for the wildcard of a family that the machine lacks."""
    opened = None
    try:
        opened = socket.socket(family, socket.SOCK_STREAM)
        if os.name == "posix" and sys.platform != "cygwin":  # elsewhere it would let two servers share a port
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)  # IPv4 has a socket of its own
        opened.bind(
            # As bytes, because Python would load its tables of international names for a text.
            socket.getaddrinfo(name.encode(), port, family, socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)[
                0
            ][4]
        )
        opened.setblocking(False)
    except (OSError, OverflowError) as error:
        if opened is not None:
            opened.close()
        if host == EVERY and getattr(error, "errno", None) in _NO_SUCH_FAMILY:
            return None
        raise StartError(explain(host, port, error, port_owner(port))) from None
    return opened


def explain(
    host: str, port: int, error: OSError | OverflowError | UnicodeError, owner: tuple[int, str] | None = None
) -> str:
    """Return one sentence that says why the server cannot listen on an address.

    Args:
        host: The entry of the setting.
        port: The port.
        error: The error of the system.
        owner: Process id and command line of the process that uses the port, None if unknown.
    """
    code = getattr(error, "errno", None)
    where = "this machine" if host == EVERY else host
    if isinstance(error, (socket.gaierror, UnicodeError)):
        why = getattr(error, "strerror", None) or error
        return (
            f"There is no address called {host}: {why}; set host (flag --host, environment variable "
            "HOST) to 127.0.0.1, to 0.0.0.0 or to an address of this machine."
        )
    if code == errno.EADDRINUSE and owner is not None:
        process, command = owner
        return (
            f"Port {port} is already in use on {where} by process {process} ({printable(command)}): "
            f"end it with `kill {process}`, or choose another port."
        )
    if code == errno.EADDRINUSE:
        return f"Port {port} is already in use on {where}: another server runs there; stop it or choose another port."
    if code == errno.EACCES:
        hint = (
            "; ports below 1024 are reserved for the system, choose a higher one"
            if port < _PRIVILEGED
            else ""
        )
        return f"This user may not listen on port {port}{hint}."
    if code == errno.EADDRNOTAVAIL:
        return f"The address {host} does not belong to this machine; use 127.0.0.1 or 0.0.0.0."
    return f"Cannot listen on {where}, port {port}: {error}."
