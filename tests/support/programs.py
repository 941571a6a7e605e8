"""Client programs of the docs and examples, each in a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import sys


@contextlib.asynccontextmanager
async def running_program(*arguments):
    """Run Python with these arguments; yield the process, and kill it at the end."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(sys.executable, *arguments, stdout=pipe, stderr=pipe)
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


async def until(client, wanted):
    """Return the next event of a client for which `wanted` is true."""
    async for event in client:
        if wanted(event):
            return event
    raise AssertionError("the events ended")
