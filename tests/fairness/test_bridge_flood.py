"""The other side of a bridge cannot harm local players, however much it sends."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

from tests.bridge.servers import SECRET, BridgedServer, running, until
from tests.fairness.latency import assert_undisturbed, join, memory, p99_of_echoes

FLOODER = Path(__file__).with_name("flooding_bridge.py")


def test_a_flooding_bridge_is_bounded_and_local_players_play_on():
    async def scenario(port):
        quiet = BridgedServer({}, packet_rate=1e6, packet_burst=10**6)
        async with running(quiet):
            alone = await p99_of_echoes(await join(quiet.server.port, "other", "player"))
        section = {"secret": SECRET, "rooms": ["game"], "url": f"ws://127.0.0.1:{port}/"}
        host = BridgedServer({"b": section}, packet_rate=1e6, packet_burst=10**6)
        async with running(host):
            player = await join(host.server.port, "other", "player")
            await host.until_up("b")
            before = memory()
            disturbed = await p99_of_echoes(player)
            await until(lambda: host.bridges.health()["b"]["dropped"] > 1000)
            assert memory() - before < 30 << 20
        assert_undisturbed(disturbed, alone)

    command = [sys.executable, FLOODER, SECRET]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            asyncio.run(scenario(int(process.stdout.readline())))
        finally:
            process.kill()
