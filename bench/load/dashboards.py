"""Open dashboards, in a process of their own: they ask what the page asks, and read what it reads.

    python dashboards.py KEY_FILE COUNT

It prints `ready` when all have had their first answers and, when its input ends, the number of answers and the longest wait
for one in milliseconds.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

from websockets.asyncio.client import connect

EVERY = 2.0
"""Seconds between two polls of the page."""
SORTS = ("since", "-since", "name", "-name")


class Dashboard:
    """One open page."""

    def __init__(self, url: str, key: str, number: int) -> None:
        self.answers = 0
        self.slowest = 0.0
        self._url = url
        self._key = key
        self._asked = (
            ("clients.list", {"sort": SORTS[number % len(SORTS)], "limit": 50}),
            ("rooms.list", {"limit": 50}),
            ("rooms.get", {"name": "*"}),
            ("stats.history", {"minutes": 10}),
        )
        self._last = 0

    async def run(self, ready: asyncio.Event) -> None:
        """Poll until the task is cancelled."""
        headers = {"Authorization": f"Bearer {self._key}"}
        async with connect(self._url, additional_headers=headers, max_size=None) as socket:
            await self._ask(socket, "subscribe", {"topics": ["stats", "notices", "audit"]})
            while True:
                for method, params in self._asked:
                    await self._ask(socket, method, params)
                ready.set()
                await asyncio.sleep(EVERY)

    async def _ask(self, socket: Any, method: str, params: dict[str, Any]) -> None:
        self._last += 1
        start = time.perf_counter()
        await socket.send(json.dumps({"id": self._last, "method": method, "params": params}))
        while (answer := json.loads(await socket.recv())).get("id") != self._last:
            pass
        if "error" in answer:
            raise RuntimeError(answer["error"]["message"])
        self.answers += 1
        self.slowest = max(self.slowest, time.perf_counter() - start)


async def main(url: str, key: str, count: int) -> None:
    """Keep the dashboards open until the input ends."""
    dashboards = [Dashboard(url, key, number) for number in range(count)]
    events = [asyncio.Event() for _ in dashboards]
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one.run(event)) for one, event in zip(dashboards, events, strict=True)]
        for event in events:
            await event.wait()
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.read)
        for task in tasks:
            task.cancel()
    slowest = max(one.slowest for one in dashboards) * 1000
    print(sum(one.answers for one in dashboards), f"{slowest:.1f}", flush=True)


if __name__ == "__main__":
    found = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    asyncio.run(main(found["url"], found["key"], int(sys.argv[2])))
