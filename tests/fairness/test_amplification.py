"""Little that is sent must not become much: not in memory, and not in time for which others wait."""

import asyncio
import json

from tests.fairness.latency import assert_undisturbed, beside, join, memory, p99_of_echoes
from tests.support.rawclients import frame, running

ROOMS = [f"r{number}" for number in range(99)]


async def everywhere(port, name):
    """A named client in a hundred rooms, which from here on reads nothing."""
    peer = await join(port, "game of its own", name)
    peer.send(json.dumps({"cmd": "link", "val": ROOMS, "listener": "linked"}))
    while b'"listener":"linked"' not in (await peer.receive())[1]:
        pass
    peer.writer.transport.pause_reading()
    return peer


async def send_for_ever(peer, *messages):
    """Send messages over and over, as fast as they are taken."""
    data = b"".join(frame(json.dumps(message).encode()) for message in messages)
    while True:
        peer.writer.write(data)
        await peer.writer.drain()
        await asyncio.sleep(0)


async def assert_bearable(player, alone, *attacks, bound):
    """Let a player play during attacks, while memory may grow by `bound` bytes."""
    before = memory()
    peak = 0

    async def watch():
        nonlocal peak
        while True:
            peak = max(peak, memory() - before)
            await asyncio.sleep(0.002)

    async def attack():
        await asyncio.gather(watch(), *attacks, return_exceptions=True)  # who is cut off ends its part

    async with beside(attack()):
        disturbed = await p99_of_echoes(player)
    assert_undisturbed(disturbed, alone)
    assert peak < bound, f"{peak >> 20} MB"


def test_a_huge_turn_is_not_kept_for_clients_that_do_not_read():
    async def scenario():
        async with running(byte_rate=1e9, byte_burst=1 << 30) as server:
            player = await join(server.port, "game", "player")
            alone = await p99_of_echoes(player)
            sleepers = [await everywhere(server.port, f"sleeper {number}") for number in range(12)]

            async def shout():
                sleepers[0].send(json.dumps({"cmd": "gmsg", "val": "x" * 500_000}))

            # The turn itself takes 50 MB, once; kept for each sleeper it would be 600.
            await assert_bearable(player, alone, shout(), bound=128 << 20)
            # Who does not read what it sends itself is closed; the others are not, as one sender is to blame.
            left = {client.username for client in server.clients_manager}
            assert left == {"player", *(f"sleeper {number}" for number in range(1, 12))}

    asyncio.run(scenario())


def test_long_names_in_many_rooms_become_no_flood_of_lists():
    async def scenario():
        async with running() as server:
            player = await join(server.port, "game", "player")
            alone = await p99_of_echoes(player)
            names = ["\x01" * 60 + "é" * 10 + str(number) for number in range(30)]
            crowd = [await everywhere(server.port, name) for name in names]
            there_and_back = ({"cmd": "unlink", "val": ""}, {"cmd": "link", "val": ROOMS})
            attacks = [send_for_ever(peer, *there_and_back) for peer in crowd]
            await assert_bearable(player, alone, *attacks, bound=128 << 20)

    asyncio.run(scenario())


def test_lists_of_a_thousand_recipients_for_a_hundred_rooms_delay_nobody():
    async def scenario():
        async with running() as server:
            player = await join(server.port, "game", "player")
            alone = await p99_of_echoes(player)
            crowd = [await everywhere(server.port, f"p{number}") for number in range(10)]
            ids = ([client.uuid for client in server.clients_manager] * 100)[:999]
            lists = (ids, json.dumps(ids), [json.dumps(ids)], ids[:7], [*ids[:900], "nobody"])
            packets = [{"cmd": "pmsg", "id": recipients, "val": 1} for recipients in lists]
            attacks = [send_for_ever(peer, *packets) for peer in crowd]
            await assert_bearable(player, alone, *attacks, bound=64 << 20)

    asyncio.run(scenario())
