"""Peers that stop reading: what the server keeps for them, and who pays for it."""

import asyncio
import json
import socket
import sys

import pytest

from cloudlink.transport.sockets import bound_unsent
from tests.support.rawclients import CLOSE, connect, running

MEGABYTE = 1_000_000


async def until(peer, is_it):
    """Read packets up to the first that is wanted, and return all of them."""
    heard = []
    while not heard or not is_it(heard[-1]):
        kind, payload = await peer.receive()
        assert kind != CLOSE, payload
        heard.append(json.loads(payload))
    return heard


def answers(packet):
    return packet.get("listener") == "ping"


@pytest.mark.skipif(sys.platform != "linux", reason="how much other systems keep is theirs to decide")
def test_the_kernel_keeps_little_for_a_peer_that_does_not_read():
    with socket.create_server(("127.0.0.1", 0)) as listening, socket.socket() as peer:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        peer.connect(listening.getsockname())
        accepted, _ = listening.accept()
        with accepted:
            bound_unsent(accepted)
            accepted.setblocking(False)
            taken = 0
            try:
                while taken < 10 * MEGABYTE:
                    taken += accepted.send(bytes(1 << 16))
            except BlockingIOError:
                pass
    assert 400_000 < taken < 900_000


def test_every_connection_is_bounded():
    async def scenario():
        async with running() as server:
            await connect(server.port)
            (connection,) = server._endpoint.connections
            sock = connection._socket.get_extra_info("socket")
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT) == 1 << 19

    if not hasattr(socket, "TCP_NOTSENT_LOWAT"):
        pytest.skip("the system has no such option")
    asyncio.run(scenario())


def test_strangers_cannot_get_slow_readers_closed():
    async def scenario():
        async with running(implicit_greeting=False) as server:
            players = [await connect(server.port, receive_buffer=4096) for _ in range(20)]
            for player in players:
                player.send('{"cmd":"ping","listener":"ping"}')
                await until(player, answers)
            strangers = [await connect(server.port) for _ in range(4)]
            big = '{"cmd":"gmsg","val":"%s","listener":"big"}' % ("x" * MEGABYTE)
            for stranger in strangers:
                stranger.send(big, big)
            for stranger in strangers:
                stranger.send('{"cmd":"ping","listener":"ping"}')
            told = await asyncio.gather(*(until(stranger, answers) for stranger in strangers))
            refused = [packet for heard in told for packet in heard if packet.get("code_id") == 108]
            assert {packet["listener"] for packet in refused} == {"big"}
            assert len(server.clients_manager) == 24
            for player in players:
                player.send('{"cmd":"ping","listener":"ping"}')
            await asyncio.gather(*(until(player, answers) for player in players))

    asyncio.run(scenario())
