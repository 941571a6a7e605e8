"""The examples of the README run as they stand, as programs of their own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import sys
from pathlib import Path

from tests.support.scenario_drivers import OverSocket
from tests.support.servers import HOST, build, listening

README = Path(__file__).parent.parent / "README.md"
TIME_LIMIT = 20.0  # seconds
ADDRESS = re.compile(rb"ws://127\.0\.0\.1:(\d+)")


def plugin_example() -> str:
    """The one Python code block of the README in which `myplugin` is defined."""
    blocks = re.findall(
        r"^```python\n(.*?)^```", README.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )
    [example] = [block for block in blocks if "class myplugin" in block]
    return example


def client_example() -> str:
    """The Python code block of the README that connects to a server."""
    [example] = re.findall(
        r"^```python\n([^`]*cloudlink\.connect.*?)^```",
        README.read_text(encoding="utf-8"),
        re.DOTALL | re.MULTILINE,
    )
    return example


@contextlib.asynccontextmanager
async def running(program: Path):
    """Run a program with any free port as its default one."""
    surroundings = {name: value for name, value in os.environ.items() if not name.startswith("CLOUDLINK_")}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        program,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=surroundings | {"HOST": HOST, "PORT": "0", "PYTHONUNBUFFERED": "1"},
        cwd=program.parent,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def its_port(process) -> int:
    """The port that a program's log tells."""
    lines = []
    while line := await process.stderr.readline():
        lines.append(line)
        if match := ADDRESS.search(line):
            return int(match[1])
    raise AssertionError(f"it ended without listening: {b''.join(lines).decode()}")


def test_the_plugin_example_prints_its_line(tmp_path):
    program = tmp_path / "example.py"
    program.write_text(plugin_example(), encoding="utf-8")

    async def main():
        async with asyncio.timeout(TIME_LIMIT), running(program) as process:
            client = OverSocket(HOST, await its_port(process))
            await client.connect("A")
            await client.send("A", b'{"cmd":"foo"}')
            assert await process.stdout.readline() == b"Foobar!\n"
            await client.leave_all()
            process.send_signal(signal.SIGINT)
            rest, _ = await process.communicate()
            assert (process.returncode, rest) == (0, b"")

    asyncio.run(main())


def test_ctrl_c_ends_the_client_example_without_a_traceback(tmp_path):
    async def main():
        async with asyncio.timeout(TIME_LIMIT), listening(build()) as port:
            program = tmp_path / "example.py"
            program.write_text(client_example().replace(":3000/", f":{port}/"), encoding="utf-8")
            async with running(program) as process:
                while b"Hello, everybody!" not in await process.stdout.readline():
                    pass
                process.send_signal(signal.SIGINT)
                _, errors = await process.communicate()
                assert (process.returncode, errors) == (0, b"")

    asyncio.run(main())
