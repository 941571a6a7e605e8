"""`cloudlink serve` in a process of its own, stopped and started again on the same port with the same file."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from pathlib import Path

HOST = "127.0.0.1"
TIME_LIMIT = 40.0  # seconds, for starting and for stopping


class CloudServer:
    """A CloudLink server that keeps the cloud variables in a file in `folder`."""

    def __init__(self, folder: Path, *flags: str) -> None:
        self.folder = folder
        self.flags = flags
        self.port = 0
        self.log: list[str] = []
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        return self._process.pid

    async def start(self) -> None:
        """Start it, on the port it had before if it has run before, and wait until it listens."""
        ours = {name: v for name, v in os.environ.items() if name not in ("HOST", "PORT")}
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "cloudlink", "serve", "--plugins-folder", ""),
            *("--host", HOST, "--port", str(self.port), "--storage", str(self.folder / "cloud.db")),
            *self.flags,
            stderr=asyncio.subprocess.PIPE,
            cwd=self.folder,
            env=ours,
        )
        try:
            async with asyncio.timeout(TIME_LIMIT):
                await self._listening()
        except BaseException:  # or it would outlive the test
            self._process.kill()
            await self._process.wait()
            raise
        self._rest = asyncio.create_task(self._process.stderr.read())

    async def _listening(self) -> None:
        async for line in self._process.stderr:
            self.log.append(line.decode())
            if match := re.search(r"connect to wss?://\S+:(\d+)/", self.log[-1]):
                self.port = int(match[1])
                return
        raise AssertionError("The server did not start:\n" + "".join(self.log))

    async def stop(self) -> None:
        """Ask it to stop and wait until it has."""
        self._process.terminate()
        async with asyncio.timeout(TIME_LIMIT):
            status = await self._process.wait()
            self.log.append((await self._rest).decode())
        assert (status, "Traceback" in self.log[-1]) == (0, False), "".join(self.log)

    async def kill(self) -> None:
        """End it without giving it a chance to say goodbye."""
        self._process.kill()
        await self._process.wait()
        await self._rest

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_error: object) -> None:
        try:
            if self._process.returncode is None:
                await self.stop()
        finally:
            if self._process.returncode is None:
                self._process.kill()
                await self._process.wait()
