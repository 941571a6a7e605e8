"""Plugin code that does not belong to a client: start and stop handlers, periodic handlers and background tasks.

It may be registered before the server runs, while plugins are loaded, or later. Exceptions that it raises are
logged with the place of the handler and do not propagate.
"""

from __future__ import annotations

import asyncio
import logging
import math
from types import CoroutineType
from typing import TYPE_CHECKING, Any

from cloudlink.counters import Counters
from cloudlink.logthrottle import LogThrottle

from .failures import log_failure, must_propagate
from .handlers import EventHandlers, describe, running
from .supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    Failed = Callable[[object, str, BaseException], None]

logger = logging.getLogger("cloudlink.server")


class BackgroundTask:
    """The handle of a coroutine given to `server.create_task`."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        self._coroutine: Coroutine[Any, Any, Any] | None = coroutine
        self._task: asyncio.Task[None] | None = None

    @property
    def done(self) -> bool:
        """Whether the task has ended: returned, raised or been cancelled."""
        return self._coroutine is None and (self._task is None or self._task.done())

    def cancel(self) -> None:
        """Cancel the task: raise `asyncio.CancelledError` in the coroutine, or never start it."""
        if self._task is not None:
            self._task.cancel()
        elif self._coroutine is not None:
            self._coroutine.close()
            self._coroutine = None

    def __del__(self) -> None:
        # If the server never started, Python would warn that the coroutine was never awaited.
        if self._coroutine is not None:
            self._coroutine.close()

    def start(self, supervisor: Supervisor, failed: Failed = log_failure) -> None:
        """Run the coroutine as a task unless it was cancelled; `failed` reports its exception."""
        coroutine, self._coroutine = self._coroutine, None
        if coroutine is not None:
            token = running.set(coroutine)
            self._task = supervisor.start(_logged(coroutine, coroutine, "", failed))
            running.reset(token)


class Background:
    """The start and stop handlers, the tickers and the background tasks of all plugins.

    Attributes:
        on_start: The handlers to call when the server has started.
        on_stop: The handlers to call when the server stops.
        on_reload: The handlers to call when sections of plugins in the settings file have changed.
        on_admin_action: The handlers to call with each line of the audit.
    """

    def __init__(self, handler_tasks: Supervisor, counters: Counters | None = None) -> None:
        """Set up empty lists.

        Args:
            handler_tasks: Runs `async` stop handlers, for which the server waits when it stops.
            counters: Counts errors of plugins, None for nobody.
        """
        self._counters = counters or Counters()
        self.on_start = EventHandlers("on_start")
        self.on_stop = EventHandlers("on_stop")
        self.on_reload = EventHandlers("on_reload")
        self.on_admin_action = EventHandlers("on_admin_action")
        self._tickers: list[Ticker] = []
        self._waiting: list[BackgroundTask] = []
        self._handler_tasks = handler_tasks
        self._tasks = Supervisor()
        self._ticks = Supervisor()
        self._is_running = False

    # Registering.

    def start_late(self, handler: Callable[[], Any]) -> None:
        """Call a start handler that is registered while the server runs; do nothing if it does not run yet."""
        if self._is_running:
            asyncio.get_running_loop().call_soon(self._call_start, handler)

    def add_ticker(self, interval: float, handler: Callable[[], Any]) -> None:
        """Call a handler every `interval` seconds while the server runs."""
        ticker = Ticker(interval, handler, self._failed)
        self._tickers.append(ticker)
        if self._is_running:
            self._start_ticker(ticker)

    def create_task(self, coroutine: Coroutine[Any, Any, Any]) -> BackgroundTask:
        """Run a coroutine until it ends or the server stops; it starts with the server."""
        task = BackgroundTask(coroutine)
        if self._is_running:
            task.start(self._tasks, self._failed)
        else:
            self._waiting.append(task)
        return task

    # Starting and stopping.

    def start(self) -> None:
        """Call the start handlers and start tickers and tasks; the server accepts clients now."""
        self._is_running = True
        for handler in tuple(self.on_start):
            self._call_start(handler)
        for ticker in self._tickers:
            self._start_ticker(ticker)
        waiting, self._waiting = self._waiting, []
        for task in waiting:
            task.start(self._tasks, self._failed)

    def call_reload_handlers(self) -> None:
        """Call the handlers of `on_reload`."""
        for handler in tuple(self.on_reload):
            self._call(handler, "on_reload", self._tasks)

    async def stop_tickers(self) -> None:
        """Cancel all tickers; background tasks continue."""
        await self._ticks.finish(0)

    def call_stop_handlers(self) -> None:
        """Call the stop handlers: plain ones immediately, `async` ones as tasks that the server waits for."""
        for handler in tuple(self.on_stop):
            self._call(handler, "on_stop", self._handler_tasks)

    def call_admin_action(self, action: dict[str, Any]) -> None:
        """Call the handlers of `on_admin_action`: plain ones immediately, `async` ones as tasks."""
        for handler in tuple(self.on_admin_action):
            self._call(handler, "on_admin_action", self._tasks, dict(action))

    async def finish(self) -> None:
        """Cancel the tasks that are still running."""
        self._is_running = False
        await self._tasks.finish(0)

    def _call_start(self, handler: Callable[[], Any]) -> None:
        self._call(handler, "on_start", self._tasks)

    def _call(self, handler: Callable[..., Any], event: str, tasks: Supervisor, *arguments: object) -> None:
        token = running.set(handler)
        try:
            result = handler(*arguments)
            if isinstance(result, CoroutineType):
                tasks.start(_logged(result, handler, event, self._failed))
        except BaseException as error:  # a plugin may raise anything
            if must_propagate(error):
                raise
            self._failed(handler, event, error)
        finally:
            running.reset(token)

    def _failed(self, handler: object, event: str, error: BaseException) -> None:
        self._counters.plugin_errors += 1
        log_failure(handler, event, error)

    def run(self, handler: Callable[..., Any], event: str, *arguments: Any) -> None:
        """Call a plugin's handler, as a task if it is `async`."""
        self._call(handler, event, self._handler_tasks, *arguments)

    def _start_ticker(self, ticker: Ticker) -> None:
        token = running.set(ticker.handler)
        self._ticks.start(ticker.run())
        running.reset(token)


class Ticker:
    """Calls a handler at multiples of `interval` seconds after the start.

    A call waits for the end of the previous call. Ticks that pass meanwhile are skipped, so calls never pile
    up.
    """

    def __init__(self, interval: float, handler: Callable[[], Any], failed: Failed = log_failure) -> None:
        """Set up a ticker.

        Args:
            interval: Seconds between two calls.
            handler: The function to call.
            failed: Reports its exception.
        """
        self.handler = handler
        self._failed = failed
        self._interval = interval
        self._event = f"every({interval:g})"
        self._log = LogThrottle()

    async def run(self) -> None:
        """Call the handler at each tick until cancelled."""
        loop = asyncio.get_running_loop()
        due = loop.time() + self._interval
        while True:
            await asyncio.sleep(due - loop.time())
            began = loop.time()
            await self._tick()
            now = loop.time()
            due, skipped = next_tick(due, self._interval, now)
            if skipped and self._log.should_log():
                took = now - began
                why = (
                    f"it took {took:.3g} s"
                    if took >= self._interval
                    else "something else kept the server busy"
                )
                logger.warning(
                    "Handler %s of %s missed %d ticks: %s.", describe(self.handler), self._event, skipped, why
                )

    async def _tick(self) -> None:
        try:
            result = self.handler()
            if isinstance(result, CoroutineType):
                await result
        except BaseException as error:  # a plugin may raise anything
            if must_propagate(error):
                raise
            self._failed(self.handler, self._event, error)


def next_tick(due: float, interval: float, now: float) -> tuple[float, int]:
    """Return the time of the next tick after `due`, and the number of ticks skipped because their time has passed."""
    ticks = max(1, math.floor((now - due) / interval) + 1)
    return due + ticks * interval, ticks - 1


async def _logged(coroutine: Coroutine[Any, Any, Any], handler: object, event: str, failed: Failed) -> None:
    try:
        await coroutine
    except BaseException as error:  # a plugin may raise anything
        if must_propagate(error):
            raise
        failed(handler, event, error)
