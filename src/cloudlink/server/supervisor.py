"""Keeps the tasks of plugin handlers alive, and ends them when the server stops."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Coroutine


class Supervisor:
    """Owns the tasks started for handlers.

    The event loop itself holds tasks only weakly. What a handler raises is dealt with inside its task.
    """

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine as a task of the running loop."""
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def finish(self, timeout: float) -> int:
        """Let the tasks finish and cancel those that do not within `timeout` seconds.

        Returns:
            How many had to be cancelled.
        """
        tasks = self._tasks - {asyncio.current_task()}
        if not tasks:
            return 0
        _, unfinished = await asyncio.wait(tasks, timeout=timeout)
        for task in unfinished:
            task.cancel()
        await asyncio.gather(*unfinished, return_exceptions=True)
        return len(unfinished)
