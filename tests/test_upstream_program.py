"""A whole program written for CloudLink 0.2.0 runs unchanged on ours."""

from __future__ import annotations

import asyncio
import re
import sys

from tests.support.scenario_drivers import OverSocket
from tests.support.scenario_play import play
from tests.support.scenarios import parse
from tests.support.servers import HOST, TESTS

PROGRAM = TESTS / "plugins_upstream" / "whole_program.py"
CONVERSATION = TESTS / "plugins_upstream" / "whole_program.txt"
TIME_LIMIT = 20.0  # seconds


async def _port_of(process) -> int:
    """Wait until the program listens, and return the port that it says."""
    told = ""
    while (found := re.search(r"ws://[^ /]*:(\d+)", told)) is None:
        line = await process.stderr.readline()
        assert line, f"it ended without listening: {told}"
        told += line.decode()
    return int(found[1])


def test_a_whole_program_runs_unchanged():
    async def main():
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(sys.executable, PROGRAM, "0", stdout=pipe, stderr=pipe)
        try:
            async with asyncio.timeout(TIME_LIMIT):
                driver = OverSocket(HOST, await _port_of(process))
                await play(parse(CONVERSATION), driver)
                await driver.leave_all()
        finally:
            process.kill()
            await process.communicate()

    asyncio.run(main())
