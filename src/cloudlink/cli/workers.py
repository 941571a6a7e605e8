"""`cloudlink serve --workers N`: runs the server in several processes, which share its port, and serves nobody itself.

It opens the sockets, starts the workers and starts again what dies, passes signals on, and joins each two workers by a
socket pair, so that there is nothing on disk to clean up. `cloudlink.cli.worker` is the other side.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from cloudlink import reloading
from cloudlink.cli.control import Control, in_file
from cloudlink.errors import StartError
from cloudlink.hangup import hangup_means_stop
from cloudlink.hosts import parse_hosts, unix_path
from cloudlink.settings import OPTIONS, TABLES
from cloudlink.sharedcounts import SharedCounts, create
from cloudlink.transport import raise_open_files_limit, where_to_connect
from cloudlink.transport.listening import reserve_sockets, shareable
from cloudlink.transport.unixsocket import UnixListener

if TYPE_CHECKING:
    from cloudlink.cli.flags import Source
    from cloudlink.settings import Settings

logger = logging.getLogger("cloudlink.cluster")
server_logger = logging.getLogger("cloudlink.server")

_FIRST_DELAY = 0.1
_LONGEST_DELAY = 10.0
_STEADY = 10.0
"""Seconds after which a worker counts as running well, so that its next restart is not delayed by former ones."""
_STOP_TIMEOUT = 10.0
"""Seconds in addition to `shutdown_timeout` after which a worker that has not stopped is killed."""
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run(settings: Settings, count: int, source: Source) -> int:
    """Run the server in `count` processes until it is stopped; return the exit status.

    Args:
        settings: The settings.
        count: The number of processes.
        source: Where the settings come from, to read them again.

    Raises:
        StartError: The port or a worker prevents the start.
    """
    raise_open_files_limit()  # workers inherit it
    return asyncio.run(WorkerPool(settings, count, source).run())


class WorkerPool:
    """The workers of one server."""

    def __init__(self, settings: Settings, count: int, source: Source) -> None:
        """See `run`."""
        self._settings = settings
        self._count = count
        self._source = source
        self._workers: list[_Worker] = []
        self._stopping = asyncio.Event()
        self._failure = ""
        self._failed = asyncio.Event()
        self._reserved: list[socket.socket] = []
        self._locks: list[socket.socket] = []
        self._unix_listeners: list[UnixListener] = []

    async def run(self) -> int:
        """See `run`."""
        loop = asyncio.get_running_loop()
        self._hangup_means_stop = hangup_means_stop()
        for number in _SIGNALS:
            loop.add_signal_handler(number, self._pass_on, number)
        try:
            await self._open_sockets()
            self._memory = create(self._count)
            self._counts = SharedCounts(self._memory, 0, self._count)
            self._workers = [_Worker(self, number) for number in range(self._count)]
            if await self._start():
                self._log_address()
                await self._stopping.wait()
        finally:
            self._stopping.set()
            await asyncio.gather(*(worker.stop() for worker in self._workers))
            self._close_sockets()
        server_logger.info("CloudLink has stopped.")
        return 0

    async def _start(self) -> bool:
        """Start the workers; return False if a signal ended the start. Raises `StartError`."""
        for worker in self._workers:
            worker.begin()
        for worker in self._workers:
            events = (worker.ready, self._stopping, self._failed)
            waits = [asyncio.ensure_future(event.wait()) for event in events]
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for wait in waits:
                wait.cancel()
            if self._failure:
                raise StartError(self._failure)
            if self._stopping.is_set():
                return False
        return True

    def _reload(self) -> None:
        """Read the settings again for workers that are started later; those that run do it themselves, and say so."""
        with suppress(StartError):
            fresh = self._source.read()
            changes = reloading.compare(self._settings, fresh)
            reloading.check(self._settings, fresh, changes)
            reloading.apply(self._settings, fresh, changes)

    def _log_address(self) -> None:
        settings = self._settings
        port = self._reserved[0].getsockname()[1] if self._reserved else 0
        where = where_to_connect(settings.host, port, secure=bool(settings.tls_certificate))
        server_logger.info("CloudLink is running: connect to %s (%d workers)", where, self._count)

    async def _open_sockets(self) -> None:
        entries = parse_hosts(self._settings.host)
        paths = [path for entry in entries if (path := unix_path(entry)) is not None]
        for path in paths:
            self._unix_listeners.append(UnixListener(path))
        hosts = [entry for entry in entries if unix_path(entry) is None]
        self._reserved, self._locks = await reserve_sockets(hosts, self._settings.port)

    def _close_sockets(self) -> None:
        for listener in self._unix_listeners:
            listener.close()
        for each in (*self._reserved, *self._locks):
            each.close()

    def _pass_on(self, number: int) -> None:
        if number != signal.SIGHUP or self._hangup_means_stop:
            self._stopping.set()
        elif number == signal.SIGHUP:
            self._reload()
        for worker in self._workers:
            worker.send_signal(number)

    # Called by the workers.

    def is_stopping(self) -> bool:
        """Whether no worker is started again."""
        return self._stopping.is_set()

    def is_serving(self) -> bool:
        """Whether a worker has been ready, so that one that is killed meanwhile does not end the start."""
        return any(worker.ready.is_set() for worker in self._workers)

    async def pause(self, delay: float) -> None:
        """Wait `delay` seconds, or until the server stops."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), delay)

    @property
    def stop_timeout(self) -> float:
        """Seconds that a worker has to stop."""
        return self._settings.drain_time + self._settings.shutdown_timeout + _STOP_TIMEOUT

    def equip(self, worker: _Worker, control: Control) -> None:
        """Send a new worker its settings and sockets, and join it with the others."""
        settings = self._settings
        is_successor = worker.ready.is_set()
        speaks = worker.number == 0 and not is_successor
        content = {
            "settings": {name: getattr(settings, name) for name in (*OPTIONS, *TABLES)},
            "origins": settings.origins,
            "warnings": settings.warnings if speaks else [],
            "source": self._source,
            "hangup_means_stop": self._hangup_means_stop,
        }
        sockets = [shareable(reserved) for reserved in self._reserved]
        described = in_file(content)
        shared = [listener.socket.fileno() for listener in self._unix_listeners]
        try:
            control.send(
                {
                    "number": worker.number,
                    "count": self._count,
                    "speaks": speaks,
                    "is_successor": is_successor,
                },
                [described, self._memory, *(each.fileno() for each in sockets), *shared],
            )
        finally:
            os.close(described)
            for each in sockets:  # only the worker keeps it, so that it is closed when the worker dies
                each.close()
        for other in self._workers:
            if other is not worker and other.control is not None:
                _join(worker.number, control, other.number, other.control)

    def lost(self, worker: _Worker) -> None:
        """Clear what an ended worker had counted."""
        self._counts.clear(worker.number)

    def reloaded(self, worker: _Worker) -> None:
        """Read the settings again, as a worker has, and have the others do so."""
        self._reload()
        for other in self._workers:
            if other is not worker and other.control is not None:
                with suppress(OSError):  # it is gone, or it hangs
                    other.control.send({"reload": True})

    def failed(self, sentence: str) -> None:
        """End the start with a sentence."""
        self._failure = self._failure or sentence
        self._failed.set()


class _Worker:
    """One worker, and its successors."""

    def __init__(self, pool: WorkerPool, number: int) -> None:
        self.number = number
        self.ready = asyncio.Event()
        self.control: Control | None = None
        self._pool = pool
        self._process: asyncio.subprocess.Process | None = None
        self._task: asyncio.Task[None] | None = None
        self._sentence = ""
        self._is_asked = False  # whether the process has been asked to stop

    def begin(self) -> None:
        """Start, and start again after each end until the pool stops."""
        self._task = asyncio.get_running_loop().create_task(self._keep())

    def send_signal(self, number: int) -> None:
        """Send a signal to the process if it runs."""
        self._is_asked = self._is_asked or number in (signal.SIGINT, signal.SIGTERM)
        if self._process is not None and self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.send_signal(number)

    async def stop(self) -> None:
        """End the process."""
        if self._task is None:
            return
        if not self._is_asked:  # a second signal would cut short what `drain_time` allows
            self.send_signal(signal.SIGTERM)
        _, unfinished = await asyncio.wait({self._task}, timeout=self._pool.stop_timeout)
        if unfinished:
            logger.warning("Worker %d did not stop and is killed.", self.number + 1)
            self.send_signal(signal.SIGKILL)
        await self._task

    async def _keep(self) -> None:
        delay = _FIRST_DELAY
        while not self._pool.is_stopping():
            started_at = time.monotonic()
            status = await self._run()
            if self._pool.is_stopping():
                return
            if not self.ready.is_set() and (self._sentence or not self._pool.is_serving()):
                self._pool.failed(
                    self._sentence or f"Worker {self.number + 1} {_end(status)} before it was ready."
                )
                return
            if self._sentence:
                logger.error("%s", self._sentence)
            logger.warning("Worker %d %s and is started again.", self.number + 1, _end(status))
            if time.monotonic() - started_at >= _STEADY:
                delay = _FIRST_DELAY
            await self._pool.pause(delay)
            delay = min(_LONGEST_DELAY, 2 * delay)

    async def _run(self) -> int:
        """Run a process to its end and return its status."""
        loop = asyncio.get_running_loop()
        self._sentence = ""
        control, inherited = Control.pair()
        os.set_inheritable(inherited.fileno(), True)
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "cloudlink.cli.worker",
            str(inherited.fileno()),
            pass_fds=[inherited.fileno()],
            start_new_session=True,  # so that it gets Ctrl-C only once: from this process
        )
        inherited.close()
        control.stop_waiting()
        loop.add_reader(control.fileno(), self._read, control)
        try:
            self._pool.equip(self, control)
            self.control = control
            return await self._process.wait()
        except (OSError, StartError) as error:  # it is gone already, or its sockets cannot be opened
            self._sentence = str(error) if isinstance(error, StartError) else self._sentence
            self.send_signal(signal.SIGKILL)
            return await self._process.wait()
        finally:
            self._read(control)  # what it said at its end
            self.control = None
            loop.remove_reader(control.fileno())
            control.close()
            self._pool.lost(self)

    def _read(self, control: Control) -> None:
        try:
            while (received := control.receive()) is not None:
                message, _ = received
                self._sentence = message.get("failed", self._sentence)
                if message.get("ready"):
                    self.ready.set()
                if message.get("reloaded"):
                    self._pool.reloaded(self)
        except BlockingIOError:
            return
        asyncio.get_running_loop().remove_reader(control.fileno())


def _join(one: int, to_one: Control, other: int, to_other: Control) -> None:
    """Join two workers by a socket pair, of which this process keeps nothing, so that each sees the other's end."""
    ends = socket.socketpair()
    with suppress(OSError):  # a worker that is gone, or that hangs; the other one sees the end at once
        to_one.send({"worker": other}, [ends[0].fileno()])
        to_other.send({"worker": one}, [ends[1].fileno()])
    for end in ends:
        end.close()


def _end(status: int) -> str:
    return f"ended with signal {-status}" if status < 0 else f"ended with status {status}"
