"""A connection that reconnects when it breaks, and whose events wait in a bounded queue.

The shell around a session, shared by CloudLink 4 (`connection`) and cloud variables (`cloudconnection`). It decides when
to connect and when to read. The session decides what messages mean, and `retries` which errors are final.

Back-pressure: when the queue is full, nothing more is read until it is half empty; the server then holds the rest back.
While a request waits for its answer, reading pauses only when four times as many bytes wait.
"""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from cloudlink.client.backoff import Backoff
from cloudlink.client.errors import ClientError, DisconnectedError, WaitTimeoutError, WrongServerError
from cloudlink.client.eventqueue import EventQueue
from cloudlink.client.retries import may_come_up
from cloudlink.client.socket import Options, open_socket
from cloudlink.closecodes import CloseCode
from cloudlink.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from types import TracebackType
    from typing import Self

    from cloudlink.client.socket import Socket

logger = logging.getLogger("cloudlink.client")

E = TypeVar("E")
E_co = TypeVar("E_co", covariant=True)
S = TypeVar("S", bound="AnySession[object]")

MAX_QUEUE = 1000
MAX_QUEUE_BYTES = 16 << 20

_STABLE_AFTER = 10.0
"""Seconds after which a connection counts as stable: the next delay starts small again."""


class AnySession(Protocol[E_co]):
    """The interface of a session, which does no input or output of its own."""

    outgoing: list[str]
    failure: ClientError | None
    waiting_for: str

    @property
    def ready(self) -> bool:
        """Whether the session has started."""
        ...

    def opened(self) -> None:
        """Send the first packet."""
        ...

    def received(self, text: str) -> Iterable[E_co]:
        """Handle a message."""
        ...

    def ponged(self) -> Iterable[E_co]:
        """Handle the pong to the ping after the first packet: the server has read that packet."""
        ...

    def closed(self, code: int, reason: str) -> ClientError:
        """Return the error for the end of the connection."""
        ...


class ReconnectingClient(ABC, Generic[S, E]):
    """A connection as a context manager and as an iterator over its events.

    `S` is the type of its sessions, `E` that of its events.
    """

    def __init__(
        self,
        url: str,
        options: Options,
        *,
        wait: bool,
        reconnect: bool,
        max_queue: int,
        max_queue_bytes: int,
    ) -> None:
        if max_queue < 1 or max_queue_bytes < 1:
            raise ValueError("max_queue and max_queue_bytes must be at least 1")
        self.url = url
        self._options = options
        self._wait = wait
        self._reconnect = reconnect
        self._backoff = Backoff()
        self._queue: EventQueue[E] = EventQueue(max_queue, max_queue_bytes)
        self._event_available = asyncio.Event()
        self._connected = asyncio.Event()
        self._attempt: _Attempt[S, E] | None = None
        self._task: asyncio.Task[None] | None = None
        self._ended = False
        self._error: BaseException | None = None

    # For users.

    async def __aenter__(self) -> Self:
        """Connect.

        Raises:
            ClientError: The first attempt failed; with `wait`, an attempt failed in a way that waiting cannot fix.
        """
        if self._task is not None:
            raise RuntimeError("A connection can be entered once; make another one")
        attempt = await self._connect_first()
        self._task = asyncio.create_task(self._keep_connected(attempt), name="cloudlink client")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connection."""
        await self.close()

    async def close(self) -> None:
        """Close the connection for good; iterating ends."""
        self._finish(None)
        if self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._attempt is not None and self._attempt.socket is not None:
            await self._attempt.socket.close()

    def __aiter__(self) -> Self:
        """Return this connection, which iterates over its events."""
        return self

    async def __anext__(self) -> E:
        """Return the next event; wait for one.

        Raises:
            StopAsyncIteration: The connection was closed by `close`.
            ClientError: The connection has ended for good.
        """
        while not self._queue:
            if self._ended:
                if self._error is not None:
                    raise self._error
                raise StopAsyncIteration
            self._event_available.clear()
            await self._event_available.wait()
        event = self._queue.get()
        self._adjust_flow()
        return event

    @property
    def is_connected(self) -> bool:
        """Whether packets can be sent without waiting for a reconnection."""
        return self._connected.is_set() and not self._ended

    @property
    def waiting(self) -> int:
        """The number of events that wait in the queue."""
        return len(self._queue)

    async def wait_until_connected(self) -> None:
        """Wait until packets can be sent.

        Raises:
            ClientError: The connection has ended for good.
        """
        await self._connected_session()

    # For subclasses.

    @abstractmethod
    def _new_session(self, *, again: bool) -> S:
        """Return the session of a new connection."""

    @abstractmethod
    def _is_final(self, error: ClientError) -> bool:
        """Return whether an error ends the connection for good."""

    @abstractmethod
    def _disconnect_events(self, error: ClientError, retry_in: float) -> Sequence[E]:
        """Return the events for a broken connection."""

    def _shortest_delay(self, error: ClientError) -> float:  # noqa: ARG002  # for subclasses
        """Return the minimum number of seconds before reconnecting."""
        return 0.0

    def _enqueue(self, events: Iterable[E], size: int) -> None:
        """Queue the events of a message of `size` bytes."""
        if not self._ended:
            self._queue.put(list(events), size)
            self._event_available.set()
            self._adjust_flow()

    def _connection_lost(self, error: ClientError) -> None:
        """Handle the end of a connection that was ready."""

    def _needs_answer(self) -> bool:
        """Return whether a request waits for its answer, so that reading must go on."""
        return False

    @property
    def _session(self) -> S | None:
        return None if self._attempt is None else self._attempt.session

    async def _connected_session(self) -> S:
        while not self._connected.is_set():
            if self._task is None and not self._ended:
                raise RuntimeError("Not connected yet; use `async with`")
            await self._connected.wait()
        if self._ended or self._attempt is None:
            raise self._error or _closed_from_here()
        return self._attempt.session

    async def _flush(self) -> None:
        """Send the packets of the session, and wait while the server is slow to read."""
        if self._attempt is not None and self._attempt.socket is not None:
            self._attempt.flush()
            await self._attempt.socket.drain()

    def _adjust_flow(self) -> None:
        """Pause or resume reading, depending on the queue."""
        socket = None if self._attempt is None else self._attempt.socket
        if socket is None:
            return
        queue = self._queue
        if queue.is_half_empty or (self._needs_answer() and not queue.is_overfull):
            socket.resume_reading()
        elif queue.is_full:
            socket.pause_reading()

    # Connecting.

    async def _connect_first(self) -> _Attempt[S, E]:
        level = logging.WARNING
        while True:
            try:
                return await self._open(again=False)
            except ClientError as error:
                if not self._wait or self._ended or self._is_final(error) or not may_come_up(error):
                    raise
                delay = self._next_delay(error, level)
            level = logging.INFO  # the first warning shows that the program waits; more would only repeat it
            await asyncio.sleep(delay)

    async def _open(self, *, again: bool) -> _Attempt[S, E]:
        """Connect once, and return when the session is ready."""
        self._check_not_closed()
        attempt = _Attempt(self, self._new_session(again=again))
        socket = attempt.socket = await open_socket(self.url, attempt, self._options)
        try:
            attempt.session.opened()
            attempt.flush()
            socket.ping()
            async with asyncio.timeout(self._options.timeout):
                await attempt.started
            self._check_not_closed()
        except TimeoutError:
            socket.abort()
            raise WaitTimeoutError(
                f"The server is connected, but does not answer: {attempt.session.waiting_for} did not come in time. "
                "Is it a CloudLink server?"
            ) from None
        except BaseException:
            socket.abort()
            raise
        return attempt

    def _attempt_ready(self, attempt: _Attempt[S, E]) -> None:
        self._attempt = attempt
        self._connected.set()

    def _attempt_closed(self, attempt: _Attempt[S, E]) -> None:
        if attempt is self._attempt and not self._ended:
            self._connected.clear()  # from now on, sending waits for the reconnection

    async def _keep_connected(self, attempt: _Attempt[S, E]) -> None:
        loop = asyncio.get_running_loop()
        try:
            while True:
                since = loop.time()
                error = await asyncio.shield(attempt.closed)
                self._connection_lost(error)
                if loop.time() - since > _STABLE_AFTER:
                    self._backoff.reset()
                attempt = await self._connect_again(error)
        except ClientError as error:
            self._finish(error)
        except Exception as error:
            self._finish(error)
            raise

    async def _connect_again(self, error: ClientError) -> _Attempt[S, E]:
        """Reconnect after an error; raise the last one when it is final."""
        announced = False
        while self._reconnect and not self._is_final(error):
            delay = self._next_delay(error, logging.INFO)
            if not announced:
                self._enqueue(self._disconnect_events(error, delay), 0)
                announced = True
            await asyncio.sleep(delay)
            try:
                return await self._open(again=True)
            except ClientError as failed:
                error = failed
        raise error

    def _check_not_closed(self) -> None:
        if self._ended:
            raise _closed_from_here()

    def _next_delay(self, error: ClientError, level: int) -> float:
        delay = self._backoff.next(self._shortest_delay(error))
        logger.log(level, "%s Trying %s again in %.1f s.", printable(str(error)), self.url, delay)
        return delay

    def _finish(self, error: BaseException | None) -> None:
        if self._ended:
            return
        self._ended = True
        self._error = error
        if error is None:
            self._queue.clear()
            self._connection_lost(_closed_from_here())
        self._event_available.set()
        self._connected.set()


class _Attempt(Generic[S, E]):
    """One socket with its session; the `Receiver` of that socket."""

    def __init__(self, owner: ReconnectingClient[S, E], session: S) -> None:
        self.session = session
        self.socket: Socket | None = None
        loop = asyncio.get_running_loop()
        self.started: asyncio.Future[None] = loop.create_future()
        self.started.add_done_callback(_note_error)
        self.closed: asyncio.Future[ClientError] = loop.create_future()
        self._owner = owner
        self._unqueued_bytes = 0

    def received(self, text: str) -> None:
        self._unqueued_bytes += len(text) if text.isascii() else len(text.encode(errors="replace"))
        self._handle(self.session.received(text))
        # During the start events wait in the session, and reading cannot pause.
        if self._unqueued_bytes > self._owner._queue.hard_limit and not self.started.done():  # noqa: SLF001  # as below
            self.started.set_exception(WrongServerError("The server sends too much before it answers."))

    def ponged(self) -> None:
        self._handle(self.session.ponged())

    def connection_lost(self, code: int, reason: str) -> None:
        error = self.session.closed(code, reason)
        if not self.started.done():
            self.started.set_exception(error)
        self.closed.set_result(error)
        self._owner._attempt_closed(self)  # noqa: SLF001  # one class in two parts

    def flush(self) -> None:
        if self.socket is not None:
            for text in self.session.outgoing:
                self.socket.send(text)
            self.session.outgoing.clear()

    def _handle(self, events: Iterable[object]) -> None:
        self.flush()
        if not self.started.done():
            if self.session.failure is not None:
                self.started.set_exception(self.session.failure)
            elif self.session.ready:
                self.started.set_result(None)
                self._owner._attempt_ready(self)  # noqa: SLF001  # one class in two parts
        if self.session.ready:
            size, self._unqueued_bytes = self._unqueued_bytes, 0
            self._owner._enqueue(events, size)  # type: ignore[arg-type]  # noqa: SLF001  # S is an AnySession of E


def _closed_from_here() -> DisconnectedError:
    return DisconnectedError(CloseCode.ABNORMAL, "closed from here")


def _note_error(started: asyncio.Future[None]) -> None:
    """Keep asyncio from logging an error that nobody awaits, because connecting has failed with another one meanwhile."""
    if not started.cancelled():
        started.exception()
