"""A connection that lasts: it comes back when it breaks, and what it reads waits in a bounded queue.

The shell around a session, shared by CloudLink 4 (`connection`) and cloud variables (`cloudconnection`). It decides
when to connect and when to read; what anything means is decided by the session.

Back-pressure: when `max_queue` events wait to be looked at, nothing more is read until half of them are gone; the
server then holds the rest back. Only while a request waits for its answer is reading not paused.
"""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections import deque
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from cloudlink.client.errors import ClientError, DisconnectedError, WaitTimeoutError
from cloudlink.client.socket import Options, open_socket
from cloudlink.closecodes import CloseCode
from cloudlink.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType
    from typing import Self

    from cloudlink.client.backoff import Backoff
    from cloudlink.client.socket import Socket

logger = logging.getLogger("cloudlink.client")

E = TypeVar("E")
E_co = TypeVar("E_co", covariant=True)
S = TypeVar("S", bound="Conversation[object]")

_STEADY = 10.0
"""Seconds a connection has to last for the next delay to be short again."""


class Conversation(Protocol[E_co]):
    """A session as this shell sees it; no input or output of its own."""

    outgoing: list[str]
    failure: ClientError | None
    waiting_for: str

    @property
    def ready(self) -> bool:
        """Whether the start is over."""
        ...

    def opened(self) -> None:
        """Begin."""
        ...

    def received(self, text: str) -> Iterable[E_co]:
        """Take a message."""
        ...

    def ponged(self) -> Iterable[E_co]:
        """Take note that the server has read all that was sent before the ping of the beginning."""
        ...

    def closed(self, code: int, reason: str) -> ClientError:
        """Return what the end of the connection means."""
        ...


class ReconnectingClient(ABC, Generic[S, E]):
    """A connection as a context manager and as an iterator over its events.

    `S` is the type of its sessions, `E` that of its events.
    """

    def __init__(
        self, url: str, options: Options, *, reconnect: bool, max_queue: int, backoff: Backoff
    ) -> None:
        if max_queue < 1:
            raise ValueError("max_queue has to be at least 1")
        self.url = url
        self._options = options
        self._reconnect = reconnect
        self._max_queue = max_queue
        self._backoff = backoff
        self._queue: deque[E] = deque()
        self._arrived = asyncio.Event()
        self._up = asyncio.Event()
        self._attempt: _Attempt[S, E] | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._ended = False
        self._error: BaseException | None = None

    # For users.

    async def __aenter__(self) -> Self:
        """Connect.

        Raises:
            ClientError: It does not succeed; the first connecting is tried once.
        """
        if self._keeper is not None:
            raise RuntimeError("A connection can be entered once; make another one")
        attempt = await self._open(again=False)
        self._keeper = asyncio.create_task(self._keep(attempt), name="cloudlink client")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connection."""
        await self.close()

    async def close(self) -> None:
        """Close the connection for good; iterating ends."""
        self._finish(None)
        if self._keeper is not None and self._keeper is not asyncio.current_task():
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        if self._attempt is not None and self._attempt.socket is not None:
            await self._attempt.socket.close()

    def __aiter__(self) -> Self:
        """Return this connection, which hands out its events."""
        return self

    async def __anext__(self) -> E:
        """Return the next event; wait for one.

        Raises:
            StopAsyncIteration: The connection was closed from here.
            ClientError: The connection has ended and does not come back.
        """
        while not self._queue:
            if self._ended:
                if self._error is not None:
                    raise self._error
                raise StopAsyncIteration
            self._arrived.clear()
            await self._arrived.wait()
        event = self._queue.popleft()
        self._adjust_flow()
        return event

    @property
    def is_connected(self) -> bool:
        """Whether packets can be sent at once."""
        return self._up.is_set() and not self._ended

    @property
    def waiting(self) -> int:
        """How many events wait to be looked at."""
        return len(self._queue)

    async def wait_until_connected(self) -> None:
        """Wait until packets can be sent.

        Raises:
            ClientError: The connection has ended and does not come back.
        """
        await self._session_in_place()

    # For subclasses.

    @abstractmethod
    def _new_session(self, *, again: bool) -> S:
        """Return the session of a new connection."""

    @abstractmethod
    def _is_final(self, error: ClientError) -> bool:
        """Return whether connecting again is of no use."""

    @abstractmethod
    def _events_of_end(self, error: ClientError, retry_in: float) -> Iterable[E]:
        """Return the events of losing the connection."""

    def _take(self, events: Iterable[E]) -> None:
        """Queue events."""
        if not self._ended:
            self._queue.extend(events)
            self._arrived.set()
            self._adjust_flow()

    def _connection_lost(self, error: ClientError) -> None:
        """Take note that a connection that was ready is gone."""

    def _reads_on(self) -> bool:
        """Return whether reading must not be paused now."""
        return False

    @property
    def _session(self) -> S | None:
        return None if self._attempt is None else self._attempt.session

    async def _session_in_place(self) -> S:
        while not self._up.is_set():
            if self._keeper is None and not self._ended:
                raise RuntimeError("Not connected yet; use `async with`")
            await self._up.wait()
        if self._ended or self._attempt is None:
            raise self._error or DisconnectedError(CloseCode.ABNORMAL, "closed from here")
        return self._attempt.session

    async def _flush(self) -> None:
        """Send what the session has to say, and wait while the server is slow to take it."""
        if self._attempt is not None and self._attempt.socket is not None:
            self._attempt.flush()
            await self._attempt.socket.drain()

    def _adjust_flow(self) -> None:
        socket = None if self._attempt is None else self._attempt.socket
        if socket is None:
            return
        if self._reads_on() or len(self._queue) <= self._max_queue // 2:
            socket.resume_reading()
        elif len(self._queue) >= self._max_queue:
            socket.pause_reading()

    # The life of the connection.

    async def _open(self, *, again: bool) -> _Attempt[S, E]:
        attempt = _Attempt(self, self._new_session(again=again))
        socket = attempt.socket = await open_socket(self.url, attempt, self._options)
        try:
            attempt.session.opened()
            attempt.flush()
            socket.ping()
            async with asyncio.timeout(self._options.timeout):
                await attempt.started
        except TimeoutError:
            raise WaitTimeoutError(
                f"The server is connected, but does not answer: {attempt.session.waiting_for} did not come in time. "
                "Is it a CloudLink server?"
            ) from None
        finally:
            if attempt is not self._attempt:
                socket.abort()
        return attempt

    def _started(self, attempt: _Attempt[S, E]) -> None:
        self._attempt = attempt
        self._up.set()

    def _broke(self, attempt: _Attempt[S, E]) -> None:
        if attempt is self._attempt and not self._ended:
            self._up.clear()  # from now on what is sent waits

    async def _keep(self, attempt: _Attempt[S, E]) -> None:
        loop = asyncio.get_running_loop()
        try:
            while True:
                since = loop.time()
                error = await asyncio.shield(attempt.ended)
                self._connection_lost(error)
                if loop.time() - since > _STEADY:
                    self._backoff.reset()
                attempt = await self._come_back(error)
        except ClientError as error:
            self._finish(error)
        except Exception as error:
            self._finish(error)
            raise

    async def _come_back(self, error: ClientError) -> _Attempt[S, E]:
        told = False
        while self._reconnect and not self._is_final(error):
            delay = self._backoff.next()
            logger.info("%s Trying %s again in %.1f s.", printable(str(error)), self.url, delay)
            if not told:
                self._take(self._events_of_end(error, delay))
                told = True
            await asyncio.sleep(delay)
            try:
                return await self._open(again=True)
            except ClientError as failed:
                error = failed
        raise error

    def _finish(self, error: BaseException | None) -> None:
        if self._ended:
            return
        self._ended = True
        self._error = error
        if error is None:
            self._queue.clear()
            self._connection_lost(DisconnectedError(CloseCode.ABNORMAL, "closed from here"))
        self._arrived.set()
        self._up.set()


class _Attempt(Generic[S, E]):
    """One socket with its session; the `Receiver` of that socket."""

    def __init__(self, owner: ReconnectingClient[S, E], session: S) -> None:
        self.session = session
        self.socket: Socket | None = None
        loop = asyncio.get_running_loop()
        self.started: asyncio.Future[None] = loop.create_future()
        self.ended: asyncio.Future[ClientError] = loop.create_future()
        self._owner = owner

    def received(self, text: str) -> None:
        self._after(self.session.received(text))

    def ponged(self) -> None:
        self._after(self.session.ponged())

    def connection_lost(self, code: int, reason: str) -> None:
        error = self.session.closed(code, reason)
        if not self.started.done():
            self.started.set_exception(error)
        self.ended.set_result(error)
        self._owner._broke(self)  # noqa: SLF001  # one class in two parts

    def flush(self) -> None:
        if self.socket is not None:
            for text in self.session.outgoing:
                self.socket.send(text)
            self.session.outgoing.clear()

    def _after(self, events: Iterable[object]) -> None:
        self.flush()
        if not self.started.done():
            if self.session.failure is not None:
                self.started.set_exception(self.session.failure)
            elif self.session.ready:
                self.started.set_result(None)
                self._owner._started(self)  # noqa: SLF001  # one class in two parts
        if self.session.ready:
            self._owner._take(events)  # type: ignore[arg-type]  # noqa: SLF001  # S is a Conversation of E
