"""Keeps the tasks of plugin code alive, and ends them when the server stops."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from .handlers import describe, running

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable

logger = logging.getLogger("cloudlink.server")

_CANCEL_TIMEOUT = 1.0
"""Seconds that a cancelled task has to clean up before the server stops without it."""


class Supervisor:
    """Owns the tasks of handlers, or the background tasks.

    The event loop holds only weak references to tasks. Exceptions of a handler are handled inside its task.
    """

    def __init__(self) -> None:
        self._tasks: dict[asyncio.Task[None], Any] = {}

    def start(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run a coroutine as a task of the running loop."""
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks[task] = running.get()
        task.add_done_callback(self._tasks.pop)
        return task

    def unfinished(self) -> list[str]:
        """Return the name and place of the handler of each task that has not finished."""
        return self._names(self._tasks)

    async def finish(self, timeout: float) -> list[str]:
        """Wait up to `timeout` seconds for the tasks to finish, then cancel the others.

        Returns:
            The name and place of the handler of each cancelled task.
        """
        tasks = self._tasks.keys() - {asyncio.current_task()}
        # Even if `timeout` is 0, each task takes its first step, so that every coroutine is awaited.
        if tasks:
            _, tasks = await asyncio.wait(tasks, timeout=timeout)
        if not tasks:
            return []
        names = self._names(tasks)
        for task in tasks:
            task.cancel()
        _, stubborn = await asyncio.wait(tasks, timeout=_CANCEL_TIMEOUT)
        if stubborn:
            logger.warning(
                "The server stops without %s, which kept running when cancelled.",
                _list(self._names(stubborn)),
            )
        return names

    def _names(self, tasks: Iterable[asyncio.Task[None]]) -> list[str]:
        handlers = (self._tasks.get(task) for task in tasks)
        return sorted(
            "a connection handler" if handler is None else describe(handler) for handler in handlers
        )


def _list(names: list[str]) -> str:
    return ", ".join(dict.fromkeys(names))
