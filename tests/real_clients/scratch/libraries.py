"""Bots made with the Python libraries for Scratch's cloud variables, as processes, and the Python that has these libraries."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from pathlib import Path

from tests.real_clients.environment import python_with

BOTS = Path(__file__).with_name("bots.py")
PINS = (
    "scratchattach==2.2.6",
    "scratchclient==1.0.1",
    "scratchcloudclient==0.0.3",
    # What these need, and what is needed by that.
    "beautifulsoup4==4.15.0",
    "browser-cookie3==0.20.1",
    "bs4==0.0.2",
    "requests==2.34.2",
    "SimpleWebSocketServer==0.1.2",
    "typing_extensions==4.16.0",
    "websocket-client==1.9.2",
)
TIME_LIMIT = 20.0  # seconds, for one thing to happen


def library_python() -> str:
    """The path of the Python that has the libraries."""
    return python_with("scratchattach", PINS, "scratchattach")


class Bot:
    """One of the bots of bots.py, as a process."""

    def __init__(self, process):
        self._process = process

    async def says(self, count=1):
        """Wait for this many more lines of its and return them."""
        said = []
        async with asyncio.timeout(TIME_LIMIT):
            while len(said) < count:
                line = await self._process.stdout.readline()
                assert line, "The bot has ended"
                said.append(json.loads(line))
        return said

    async def obeys(self, *command):
        """Give it a command."""
        self._process.stdin.write(json.dumps(command).encode() + b"\n")
        await self._process.stdin.drain()


@contextlib.asynccontextmanager
async def bot(python, name, address, **environment):
    # No proxy between a bot and this machine, whatever is set up for the others.
    clean = {key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy")}
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *(python, BOTS, name, "104", address),
        stdin=pipe,
        stdout=pipe,
        env=clean | environment,
    )
    try:
        yield Bot(process)
    finally:
        try:
            async with asyncio.timeout(TIME_LIMIT):
                process.stdin.close()
                await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.communicate()
