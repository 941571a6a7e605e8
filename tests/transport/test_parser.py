"""The size of read buffers, which picows tells nobody but its debug log."""

from __future__ import annotations

import asyncio
import random

import pytest

from cloudlink.transport.picowslog import PicowsLog
from tests.support.rawclients import connect, frame, running

BUFFER = "get_buffer("
PING = '{"cmd":"ping","listener":"taken"}'


@pytest.fixture
def sizes(monkeypatch):
    """The sizes of read buffers when picows was last asked for room, as its debug log has them."""
    seen = [0]

    def log(_self, _level, message, *arguments):
        if message.startswith(BUFFER):
            seen[0] = arguments[2]

    monkeypatch.setattr(PicowsLog, "isEnabledFor", lambda _self, _level: True)
    monkeypatch.setattr(PicowsLog, "log", log)
    return seen


async def send(peer, data):
    peer.writer.write(data)
    await peer.writer.drain()


async def taken(peer):
    """Wait until the server has read everything."""
    peer.send(PING)
    while b'"taken"' not in (await peer.receive())[1]:
        pass


@pytest.mark.parametrize("seed", range(4))
def test_the_size_of_a_read_buffer_is_known(sizes, seed):
    chance = random.Random(seed)

    async def scenario():
        async with running(limits=False) as server:
            peer = await connect(server.port)
            await taken(peer)
            (connection,) = server._endpoint.connections
            parser, known = connection._parser, []
            for most in (3_000, 20_000, 60_000, 110_000, 300_000, 900_000):
                await send(peer, frame(b" " * chance.randrange(most // 2, most)))
                await taken(peer)
                known.append((parser.room, sizes[0]))
                assert parser.kept in {0, parser.room}
            assert [room for room, _ in known[2:]] == [size for _, size in known[2:]]
            assert known[-1][0] > 400_000

    asyncio.run(scenario())


@pytest.mark.parametrize("size", [40_000, 57_330, 114_674, 200_000, 458_738, 900_000])
def test_half_a_message_is_kept_and_counted(sizes, size):
    async def scenario():
        async with running(limits=False) as server:
            peer = await connect(server.port)
            await taken(peer)
            (connection,) = server._endpoint.connections
            await send(peer, frame(b" " * size)[:-1])
            async with asyncio.timeout(30):
                while connection.kept < size:  # noqa: ASYNC110  # no event tells
                    await asyncio.sleep(0)
            assert connection.kept <= 2.3 * size
            assert connection._parser.room == sizes[0]
            await send(peer, b" ")
            await taken(peer)
            assert connection.kept == (sizes[0] if sizes[0] > 1 << 17 else 0)

    asyncio.run(scenario())
