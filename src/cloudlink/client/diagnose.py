"""The steps of `cloudlink doctor`: connecting to a server as a browser would, and reporting each step.

Each step goes one layer further: address, name, port, TLS and upgrade, greeting, silence. Where a failure can have
several causes, another attempt tells them apart: without TLS where TLS failed, with TLS where plain failed, without an
origin where it was refused. The sentences are those of `diagnostics`.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import ssl
import urllib.request
from dataclasses import dataclass, replace
from ipaddress import ip_address
from typing import TYPE_CHECKING

from cloudlink.client import diagnostics
from cloudlink.client.errors import (
    ClientError,
    ConnectError,
    DisconnectedError,
    ServerFullError,
    WrongServerError,
)
from cloudlink.client.retries import is_final
from cloudlink.client.session import DesiredState, Session
from cloudlink.client.socket import Options, open_socket
from cloudlink.text import printable
from cloudlink.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable

    from cloudlink.client.diagnostics import Address
    from cloudlink.client.receiver import Receiver
    from cloudlink.client.socket import Socket

BROWSER = (
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36"
)
DEFAULT_ORIGIN = "https://turbowarp.org"
FORBIDDEN = 403
_LONGEST_HEALTH = 1 << 16
"""Bytes."""


@dataclass(frozen=True)
class Plan:
    """How to connect.

    Attributes:
        url: The address.
        origin: The origin of the page that a browser would send; empty for none.
        timeout: Seconds for each step.
        hold: Seconds to stay connected without sending anything.
        ssl: The TLS context; None trusts what this machine trusts.
        proxy: A proxy to go through; None for none.
        user_agent: How to introduce oneself.
    """

    url: str
    origin: str = DEFAULT_ORIGIN
    timeout: float = 10.0
    hold: float = 0.0
    ssl: ssl.SSLContext | None = None
    proxy: str | None = None
    user_agent: str = BROWSER

    @property
    def options(self) -> Options:
        """How to open the socket. A browser sends no pings, so none are sent."""
        headers = {"User-Agent": self.user_agent, "Pragma": "no-cache", "Cache-Control": "no-cache"}
        if self.origin:
            headers["Origin"] = self.origin
        return Options(self.ssl, self.proxy, headers, self.timeout, keepalive=1e9)


async def examine(plan: Plan, report: Callable[[str], None]) -> list[str]:
    """Try all steps.

    Args:
        plan: How to connect.
        report: Called with a sentence for each step that succeeded.

    Returns:
        Notes on things that work from this computer but will not work from others.

    Raises:
        ClientError: A step failed.
    """
    try:
        return await _examine(plan, lambda sentence: report(printable(sentence)))
    except ServerFullError as error:
        raise ServerFullError(error.problem, "Try again later; the host can raise max_clients.") from error


async def _examine(plan: Plan, report: Callable[[str], None]) -> list[str]:
    address = diagnostics.check_address(plan.url)
    probe = _Probe()
    socket = await reach(plan, probe, report)
    try:
        probe.begin(socket.send)
        protocol = await probe.greeting(plan.timeout)
        report(
            f"It is {await _package(address, plan)} with protocol {protocol}; this is cloudlink {__version__}."
        )
        if plan.hold:
            report(await probe.silence(plan.hold))
    finally:
        await socket.close()
    return _notes(address)


async def reach(plan: Plan, receiver: Receiver, report: Callable[[str], None]) -> Socket:
    """Open a socket step by step.

    Args:
        plan: How to connect.
        receiver: The owner of the socket.
        report: Called with a sentence for each step that succeeded.

    Raises:
        ConnectError: A step failed.
    """
    address = diagnostics.check_address(plan.url)
    if plan.proxy is None:
        report(await _resolve(address, plan))
        report(await _reach_port(address, plan))
    socket = await _upgrade(address, plan, receiver)
    if address.secure:
        report("Its TLS certificate is trusted.")
    report("It upgrades to a WebSocket" + (f" for pages of {plan.origin}." if plan.origin else "."))
    return socket


async def _resolve(address: Address, plan: Plan) -> str:
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(plan.timeout):
            found = await loop.getaddrinfo(address.host, address.port, type=1)
    except OSError as error:
        raise diagnostics.unreachable(plan.url, error) from error
    numbers = sorted({entry[4][0] for entry in found})
    if numbers == [address.host]:
        return f"{address.host} is an address."
    return f"The name {address.host} means {', '.join(map(str, numbers))}."


async def _reach_port(address: Address, plan: Plan) -> str:
    try:
        async with asyncio.timeout(plan.timeout):
            _, writer = await asyncio.open_connection(address.host, address.port)
    except OSError as error:
        # The joined errors of a name with several addresses mean the same as their first.
        raise diagnostics.unreachable(plan.url, error) from error
    writer.transport.abort()
    return f"Something listens at {address.place}."


async def _upgrade(address: Address, plan: Plan, receiver: Receiver) -> Socket:
    try:
        return await open_socket(plan.url, receiver, plan.options)
    except ConnectError as error:
        raise await _explain(address, plan, error) from error


async def _explain(address: Address, plan: Plan, error: ConnectError) -> ConnectError:
    """Return a better error for a failed upgrade if another attempt finds one, otherwise the same error."""
    cause = error.__cause__
    if isinstance(cause, ssl.SSLCertVerificationError):
        return error
    if address.secure:
        if await _answers_without_tls(address, plan):
            return ConnectError(
                f"{address.place} speaks without TLS, but the address begins with wss://.",
                f"Connect with {address.with_scheme(secure=False)}, or give the server a certificate.",
            )
    elif (cause is None or isinstance(cause, OSError)) and await _speaks_tls(address, plan):
        return ConnectError(
            f"{address.place} speaks TLS, but the address begins with ws://.",
            f"Connect with {address.with_scheme(secure=True)}.",
        )
    if error.status == FORBIDDEN and plan.origin and await _opens(replace(plan, origin="")):
        return ConnectError(
            f"{address.place} refuses pages of {plan.origin} (HTTP 403).",
            "Let the host add that origin to the setting allowed_origins.",
        )
    if isinstance(cause, TimeoutError) and plan.proxy is None:
        return ConnectError(
            f"{address.place} accepts the connection and then sends nothing.",
            "Another program may have the port, or the server hangs; look at its log and restart it.",
        )
    return error


async def _opens(plan: Plan) -> bool:
    try:
        socket = await open_socket(plan.url, _Probe(), plan.options)
    except ConnectError:
        return False
    socket.abort()
    return True


async def _answers_without_tls(address: Address, plan: Plan) -> bool:
    """Return whether the port answers HTTP without TLS."""
    try:
        async with asyncio.timeout(plan.timeout):
            reader, writer = await asyncio.open_connection(address.host, address.port)
            try:
                writer.write(f"GET / HTTP/1.1\r\nHost: {address.place}\r\n\r\n".encode())
                line = await reader.readline()
            finally:
                writer.transport.abort()
    except OSError:
        return False
    # Web servers answer plain requests at a TLS port with 400 and an explanation.
    return line.startswith(b"HTTP/") and b" 400 " not in line


async def _speaks_tls(address: Address, plan: Plan) -> bool:
    """Return whether the port completes a TLS handshake, whatever its certificate."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        async with asyncio.timeout(plan.timeout):
            _, writer = await asyncio.open_connection(address.host, address.port, ssl=context)
    except OSError:
        return False
    writer.transport.abort()
    return True


async def _package(address: Address, plan: Plan) -> str:
    """Return the name and the version of the server's package, as far as its health check reports them."""
    status: object = None
    if plan.proxy is None:
        with contextlib.suppress(OSError, ValueError, RecursionError, http.client.HTTPException):
            status = json.loads(await asyncio.to_thread(_health, address, plan))
    version = status.get("version") if isinstance(status, dict) and "protocol_version" in status else None
    return f"cloudlink {version}" if version else "a CloudLink server"


def _health(address: Address, plan: Plan) -> bytes:
    scheme = "https" if address.secure else "http"
    request = urllib.request.Request(f"{scheme}://{address.place}/health", headers={"User-Agent": BROWSER})  # noqa: S310  # see above
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=plan.ssl)
    )
    with opener.open(request, timeout=plan.timeout) as answer:
        data: bytes = answer.read(_LONGEST_HEALTH)
    return data


def _notes(address: Address) -> list[str]:
    if address.secure or _is_this_computer(address.host):
        return []
    note = (
        "Pages with https:// addresses, such as TurboWarp's, may connect without TLS to their own computer only. "
        "For players elsewhere the server needs a certificate and an address with wss://."
    )
    return [note]


def _is_this_computer(host: str) -> bool:
    with contextlib.suppress(ValueError):
        return ip_address(host).is_loopback
    return host == "localhost" or host.endswith(".localhost")


class _Probe:
    """A client that waits for the greeting and then sends nothing; a `Receiver`."""

    def __init__(self) -> None:
        self._session = Session(DesiredState())
        loop = asyncio.get_running_loop()
        self._greeted: asyncio.Future[None] = loop.create_future()
        self._closed: asyncio.Future[ClientError] = loop.create_future()

    def begin(self, send: Callable[[str], None]) -> None:
        """Send the handshake."""
        self._session.opened()
        for text in self._session.outgoing:
            send(text)

    async def greeting(self, timeout: float) -> str:
        """Wait for the greeting and return the version of the protocol that the server reports."""
        await asyncio.wait(
            (self._greeted, self._closed), timeout=timeout, return_when=asyncio.FIRST_COMPLETED
        )
        if self._session.failure is not None:
            raise self._session.failure
        if self._greeted.done():
            return self._session.version
        if self._closed.done():
            raise self._closed.result()
        raise WrongServerError(
            "It is a WebSocket, but it does not answer a CloudLink handshake.",
            "Is it a CloudLink server, and is the path right?",
        )

    async def silence(self, seconds: float) -> str:
        """Wait without sending anything; return a sentence, or raise the error that ended the connection."""
        loop = asyncio.get_running_loop()
        since = loop.time()
        await asyncio.wait((self._closed,), timeout=seconds)
        if not self._closed.done():
            return f"It keeps a silent connection for {seconds:g} seconds."
        error = self._closed.result()
        if is_final(error):
            raise error
        code = error.code if isinstance(error, DisconnectedError) else 0
        raise ConnectError(
            f"A silent connection was cut after {loop.time() - since:.1f} seconds (code {code}).",
            "If there is a proxy in front of the server, let it wait longer (nginx: proxy_read_timeout), "
            "or lower the server's setting keepalive_interval.",
        )

    def received(self, text: str) -> None:
        self._session.received(text)
        if (self._session.ready or self._session.failure is not None) and not self._greeted.done():
            self._greeted.set_result(None)

    def ponged(self) -> None:
        """Ignore a pong; no ping is sent."""

    def connection_lost(self, code: int, reason: str) -> None:
        self._closed.set_result(self._session.closed(code, reason))
