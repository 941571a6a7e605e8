"""A connection to NATS that is made anew whenever it breaks.

`nats-py` can reconnect itself, but waits for a server that has stopped without a word, and gives up after a refusal. So
each connection here is a new client of that library, and one that has been silent for long is left. The library is
imported only where the setting `cluster` asks for it.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from cloudlink.errors import StartError
from cloudlink.natsaddress import NatsAddress

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from nats.aio.client import Client

logger = logging.getLogger("cloudlink.cluster")

_FIRST_PATIENCE = 5.0
"""Seconds in which the first connection must succeed."""
_NEXT_PATIENCE = 1.0
"""Seconds for which a process that was started again waits for NATS before it goes on alone."""
_CONNECT_TIMEOUT = 2
_RETRY_EVERY = 0.25
_LOOK_EVERY = 0.1
_SILENCE = 4.0
"""Seconds without any message after which a connection is given up; the own hellos come back once a second."""
_CLOSE_TIMEOUT = 1.0
_MOST_UNREAD = 32 << 20
"""Bytes that a subscription keeps while the process is busy; beyond that, messages are dropped."""
_MOST_FAILURES = 8


class NatsBus:
    """A lasting connection.

    Attributes:
        is_up: Whether a connection exists.
    """

    def __init__(self, address: str) -> None:
        """Args: address: The setting `cluster`."""
        self.is_up = False
        self._address = NatsAddress(address)
        self._client: Client | None = None
        self._heard_at = 0.0
        self._subscriptions: list[tuple[str, Callable[[bytes], None]]] = []
        self._watchers: list[Callable[[bool], None]] = []
        self._task: asyncio.Task[None] | None = None
        self._closing: set[asyncio.Task[None]] = set()

    @property
    def shown(self) -> str:
        """The addresses, for messages."""
        return self._address.shown

    @property
    def client(self) -> Client | None:
        """The client of the library, None while there is no connection."""
        return self._client if self.is_up else None

    async def connect(self, *, must_answer: bool = True) -> None:
        """Connect for the first time; from then on, the connection is kept up until `close`.

        Args:
            must_answer: Whether a server must answer now. Otherwise the connection is made when one does.

        Raises:
            StartError: The library is missing, no server answers, or it refuses the name or password.
        """
        try:
            import nats  # noqa: F401, PLC0415  # optional, and large
        except ImportError:
            raise StartError(
                "The setting cluster needs nats-py; install it with: pip install 'cloudlink-server[cluster]'"
            ) from None
        try:
            async with asyncio.timeout(_FIRST_PATIENCE if must_answer else _NEXT_PATIENCE):
                self._client = await self._open_patiently()
        except StartError:
            await self.closed()
            raise
        except TimeoutError:
            if must_answer:
                await self.closed()
                raise StartError(
                    f"No NATS server answers at {self.shown}; start one with: nats-server -js"
                ) from None
        self._task = asyncio.get_running_loop().create_task(self._keep())

    def subscribe(self, subject: str, callback: Callable[[bytes], None]) -> None:
        """Call a function with each message of a subject, on this and all later connections."""
        self._subscriptions.append((subject, callback))
        if self.is_up and self._client is not None:
            self._start(self._subscribe(self._client, subject, callback))

    def watch(self, callback: Callable[[bool], None]) -> None:
        """Call `callback(is_up)` when the connection breaks or is back."""
        self._watchers.append(callback)

    def send_last(self, messages: list[tuple[str, bytes]]) -> None:
        """Send messages, each with its subject, before the connection is closed."""
        client = self.client
        if client is not None:
            self._start(_publish(client, messages))

    def close(self) -> None:
        """Send what is waiting if that takes no longer than a moment, and disconnect."""
        if self._task is not None:
            self._task.cancel()
        self._watchers.clear()
        self._leave()

    async def closed(self) -> None:
        """Wait until everything is closed, after `close`."""
        if self._closing:
            await asyncio.wait(self._closing, timeout=_CLOSE_TIMEOUT)

    # How it is done.

    async def _open_patiently(self) -> Client:
        while True:
            try:
                return await self._open()
            except _RefusedError:
                raise StartError(
                    f"NATS at {self.shown} refuses the name or password in the setting cluster; correct them there."
                ) from None
            except OSError:
                await asyncio.sleep(_RETRY_EVERY)

    async def _open(self) -> Client:
        """Return a new client. Raises `OSError`, or `_RefusedError` for a wrong name or password."""
        from nats import errors  # noqa: PLC0415
        from nats.aio.client import Client  # noqa: PLC0415

        client = Client()
        failures: deque[Exception] = deque(maxlen=_MOST_FAILURES)

        async def note(error: Exception) -> None:
            failures.append(error)

        try:
            async with asyncio.timeout(2 * _CONNECT_TIMEOUT):
                await client.connect(
                    **self._address.options(),
                    error_cb=note,
                    allow_reconnect=False,
                    connect_timeout=_CONNECT_TIMEOUT,
                    ping_interval=2,
                    pending_size=0,
                )
            for subject, callback in self._subscriptions:
                await self._subscribe(client, subject, callback)
        except (errors.Error, OSError, TimeoutError, ssl.SSLError) as error:
            self._start(_close(client))
            if any("uthorization" in str(each) for each in (error, *failures)):
                raise _RefusedError from None
            raise ConnectionError from None
        self._heard_at = asyncio.get_running_loop().time()
        self.is_up = True
        return client

    async def _keep(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            client = self._client
            # The library reports the end of a connection late, or not at all.
            while (  # noqa: ASYNC110  # see above
                client is not None and client.is_connected and loop.time() - self._heard_at < _SILENCE
            ):
                await asyncio.sleep(_LOOK_EVERY)
            self._leave()
            self._tell(is_up=False)
            while self._client is None:
                try:
                    self._client = await self._open()
                except (OSError, _RefusedError):
                    await asyncio.sleep(_RETRY_EVERY)
            self._tell(is_up=True)

    def _leave(self) -> None:
        client, self._client, self.is_up = self._client, None, False
        if client is not None:
            self._start(_close(client))

    def _tell(self, *, is_up: bool) -> None:
        for callback in self._watchers:
            callback(is_up)

    async def _subscribe(self, client: Client, subject: str, callback: Callable[[bytes], None]) -> None:
        async def receive(message: Any) -> None:
            self._heard_at = asyncio.get_running_loop().time()
            callback(message.data)

        await client.subscribe(subject, cb=receive, pending_bytes_limit=_MOST_UNREAD)

    def _start(self, work: Awaitable[None]) -> None:
        async def run() -> None:
            with suppress(Exception):  # the connection breaks, which `_keep` sees
                await work

        task = asyncio.get_running_loop().create_task(run())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


class _RefusedError(Exception):
    """NATS refuses the name or password."""


async def _publish(client: Client, messages: list[tuple[str, bytes]]) -> None:
    for subject, message in messages:
        await client.publish(subject, message)


async def _close(client: Client) -> None:
    with suppress(Exception):  # it is left, whatever it says
        await asyncio.wait_for(client.close(), _CLOSE_TIMEOUT)
    transport: Any = client._transport  # noqa: SLF001  # after a refusal, the library leaves the socket open
    if transport is not None:
        with suppress(Exception):
            transport.close()
            await asyncio.wait_for(transport.wait_closed(), _CLOSE_TIMEOUT)
