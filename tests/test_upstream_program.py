"""A whole program written for CloudLink 0.2.0 runs unchanged on ours."""

from __future__ import annotations

import asyncio
import socket
import sys

from tests.support.scenario_drivers import OverSocket
from tests.support.scenario_play import play
from tests.support.scenarios import parse
from tests.support.servers import HOST, TESTS

PROGRAM = TESTS / "plugins_upstream" / "whole_program.py"
CONVERSATION = TESTS / "plugins_upstream" / "whole_program.txt"
TIME_LIMIT = 20.0  # seconds


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return probe.getsockname()[1]


async def _until_it_listens(process) -> None:
    told = b""
    while b"ws://" not in told:
        line = await process.stderr.readline()
        assert line, f"it ended without listening: {told.decode()}"
        told += line


def test_a_whole_program_runs_unchanged():
    async def main():
        port = _free_port()
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            sys.executable, PROGRAM, str(port), stdout=pipe, stderr=pipe
        )
        try:
            async with asyncio.timeout(TIME_LIMIT):
                await _until_it_listens(process)
                driver = OverSocket(HOST, port)
                await play(parse(CONVERSATION), driver)
                await driver.leave_all()
        finally:
            process.kill()
            await process.communicate()

    asyncio.run(main())
