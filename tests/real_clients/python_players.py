"""Alice and bob of `python_client.py`, as processes: what each has seen."""

from __future__ import annotations

import asyncio
import contextlib
import json
from pathlib import Path

PLAYER = Path(__file__).with_name("python_client.py")
TIME_LIMIT = 20.0  # seconds


async def meet(python, addresses):
    """Have alice and bob play, with the client of a Python.

    Args:
        python: The path of the Python.
        addresses: Where each connects, by name.

    Returns:
        The events of each, by name, as lists of [event, details…].
    """
    async with asyncio.timeout(TIME_LIMIT):
        async with _player(python, "bob", addresses["bob"]) as bob:
            bob_saw = [json.loads(await bob.stdout.readline())]
            while bob_saw[-1][:2] != ["asked", "link"]:
                bob_saw.append(json.loads(await bob.stdout.readline()))
            async with _player(python, "alice", addresses["alice"]) as alice:
                alice_saw, bob_saw_more = await asyncio.gather(_rest(alice), _rest(bob))
    return {"alice": alice_saw, "bob": bob_saw + bob_saw_more}


@contextlib.asynccontextmanager
async def _player(python, role, address):
    pipe = asyncio.subprocess.PIPE
    player = await asyncio.create_subprocess_exec(python, PLAYER, role, address, stdout=pipe, stderr=pipe)
    try:
        yield player
    finally:
        if player.returncode is None:
            player.kill()
        await player.communicate()


async def _rest(process):
    output, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    return [json.loads(line) for line in output.splitlines()]
