"""A player whom others must not disturb, and what is measured of it."""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from contextlib import asynccontextmanager
from pathlib import Path

from tests.support.rawclients import connect

GREETING = ('{"cmd":"handshake","listener":"greeted"}',)
ROUNDS = 300
HEADROOM = 6
"""How much worse the 99th percentile may be than undisturbed."""
FLOOR = 0.15
"""Seconds that are bearable however short it was undisturbed."""
WAITED = Path("/proc/thread-self/schedstat")


def seconds():
    """The time, standing still while this thread could run but other programs had the processor."""
    waited = int(WAITED.read_text().split()[1]) if WAITED.exists() else 0
    return time.perf_counter() - waited / 1e9


async def join(port, room, name):
    """A named client in a room, with everything it was sent on the way read."""
    peer = await connect(port)
    peer.send(
        *GREETING,
        json.dumps({"cmd": "setid", "val": name}),
        json.dumps({"cmd": "link", "val": room, "listener": "linked"}),
    )
    while b'"listener":"linked"' not in (await peer.receive())[1]:
        pass
    return peer


async def p99_of_echoes(peer):
    """Play: send a variable, wait for it to come back, over and over; the 99th percentile in seconds."""
    times = []
    for number in range(ROUNDS):
        started = seconds()
        peer.send(json.dumps({"cmd": "gvar", "name": "x", "val": number}))
        wanted = f'"val":{number},'.encode()
        while wanted not in (await asyncio.wait_for(peer.receive(), 10))[1]:
            pass
        times.append(seconds() - started)
        await asyncio.sleep(0)
    return statistics.quantiles(times, n=100)[98]


@asynccontextmanager
async def beside(task):
    running_task = asyncio.create_task(task)
    try:
        yield running_task
    finally:
        running_task.cancel()
        await asyncio.gather(running_task, return_exceptions=True)


def memory():
    """Resident memory of this process, in bytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


def assert_undisturbed(disturbed, alone):
    assert disturbed <= max(alone * HEADROOM, FLOOR), (disturbed, alone)
