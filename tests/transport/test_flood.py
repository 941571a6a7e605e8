"""A peer that sends too much: what it costs the others, and the memory."""

import asyncio
import json

import pytest
from picows.picows import WSProtocol

from cloudlink.server.session import Session
from cloudlink.transport.parser import PORTION, SMALL_PORTION, Parser
from tests.support.rawclients import BINARY, PING, TEXT, connect, frame, running

PING_PACKET = '{"cmd":"ping","listener":"l"}'
TINY = [frame(b"", PING), frame(b"", TEXT), frame(b"", 0x80 | 0x02)]
MEGABYTE = 1_000_000


async def answer(peer):
    peer.send(PING_PACKET)
    while b'"listener":"l"' not in (await peer.receive())[1]:
        pass


def drop(server):
    """Drop the flooders: they would not answer when the server stops."""
    for connection in tuple(server._endpoint.connections):
        connection.abort()


@pytest.fixture
def frames(monkeypatch):
    """How many frames of floods were looked at."""
    counted = []
    for name in ("admit", "receive", "receive_binary"):
        original = getattr(Session, name)

        def count(self, argument, original=original):
            counted.append(argument)
            return original(self, argument)

        monkeypatch.setattr(Session, name, count)
    return counted


@pytest.mark.parametrize("tiny", TINY, ids=["pings", "empty texts", "empty binaries"])
def test_a_flood_of_tiny_frames_delays_nobody(frames, tiny):
    async def scenario():
        async with running(implicit_greeting=False, packet_burst=100) as server:
            good, flooder = await connect(server.port), await connect(server.port)
            await answer(flooder)
            flooder.writer.write(tiny * (4 * MEGABYTE // len(tiny)))
            began, most = asyncio.get_running_loop().time(), 0
            for _ in range(200):
                before = len(frames)
                await asyncio.sleep(0)
                most = max(most, len(frames) - before)
            for _ in range(3):
                await answer(good)
            portions = 2 + (asyncio.get_running_loop().time() - began) / 0.1
            assert 0 < most <= PORTION // len(tiny) + 2
            assert len(frames) <= (PORTION + portions * SMALL_PORTION) // len(tiny) + 100
            drop(server)

    asyncio.run(scenario())


def test_packets_sent_during_the_pause_are_processed_after_it():
    async def scenario():
        async with running(implicit_greeting=False, packet_burst=5, packet_rate=1000.0) as server:
            peer = await connect(server.port)
            peer.send(*[PING_PACKET] * 100)
            answers = 0
            while answers < 20:
                answers += b"I:100" in (await asyncio.wait_for(peer.receive(), 5))[1]
                peer.send(PING_PACKET)

    asyncio.run(scenario())


def test_a_client_that_keeps_flooding_is_disconnected_all_the_same():
    async def scenario():
        async with running(packet_burst=100, flood_patience=0.3) as server:
            flooder = await connect(server.port)
            await answer(flooder)
            flooder.writer.write(TINY[0] * (4 * MEGABYTE // len(TINY[0])))
            assert (await asyncio.wait_for(flooder.receive_close(), 5))[0] == 1008
            assert len(server.clients_manager) == 0
            drop(server)

    asyncio.run(scenario())


def test_a_flood_of_tiny_frames_does_not_make_the_read_buffer_grow(monkeypatch):
    sizes = []

    def get_buffer(self, size_hint):
        sizes.append(len(WSProtocol.get_buffer(self, size_hint)))
        return original(self, size_hint)

    original = Parser.get_buffer
    monkeypatch.setattr(Parser, "get_buffer", get_buffer)

    async def scenario():
        async with running(limits=False) as server:
            flooder = await connect(server.port)
            await answer(flooder)
            flooder.writer.write(TINY[0] * (MEGABYTE // 2 // len(TINY[0])))
            await answer(flooder)

    asyncio.run(scenario())
    assert max(sizes) <= 2 * PORTION


@pytest.mark.parametrize("size", [MEGABYTE, 50_000, PORTION - 8, PORTION])
def test_large_messages_come_through_the_portions_whole(size):
    async def scenario():
        async with running(implicit_greeting=False) as server:
            sender, receiver = await connect(server.port), await connect(server.port)
            await answer(receiver)
            await answer(sender)
            for letter in "ab":
                sender.send('{"cmd":"gmsg","val":"%s"}' % (letter * size))
                while (letter * size).encode() not in (await receiver.receive())[1]:
                    pass

    asyncio.run(scenario())


def test_a_peer_that_floods_after_it_was_closed_is_read_slowly(monkeypatch):
    taken = []
    original = Parser.buffer_updated
    monkeypatch.setattr(
        Parser, "buffer_updated", lambda self, size: (taken.append(size), original(self, size))[1]
    )

    async def scenario():
        async with running() as server:
            peer = await connect(server.port)
            peer.send("no JSON")
            assert (await peer.receive_close())[0] == 1000
            del taken[:]
            peer.writer.write(TINY[0] * (MEGABYTE // len(TINY[0])))
            for _ in range(200):
                await asyncio.sleep(0)
            assert sum(taken) <= PORTION + SMALL_PORTION
            drop(server)

    asyncio.run(scenario())


WAYS = {
    "text": [frame(PING_PACKET.encode())],
    "binary": [frame(PING_PACKET.encode(), BINARY)],
    "fragments": [frame(PING_PACKET[:9].encode(), 0x01), frame(PING_PACKET[9:].encode(), 0x80)],
}


@pytest.mark.parametrize(("way", "cost"), [("text", 1), ("binary", 1), ("fragments", 2)])
def test_a_message_counts_once_however_it_comes(way, cost):
    async def scenario():
        async with running(
            implicit_greeting=False, packet_burst=40, packet_rate=1.0, byte_rate=1.0
        ) as server:
            peer = await connect(server.port)
            await answer(peer)
            peer.writer.write(b"".join(WAYS[way]) * (36 // cost))
            codes = [json.loads((await peer.receive())[1])["code_id"] for _ in range(36 // cost)]
            assert codes == [100] * (36 // cost)

    asyncio.run(scenario())


def test_the_bytes_of_a_message_in_fragments_count_once():
    async def scenario():
        async with running(implicit_greeting=False, byte_burst=1_300_000, byte_rate=1.0) as server:
            peer = await connect(server.port)
            await answer(peer)
            half = b"x" * 300_000
            for _ in range(2):
                peer.writer.write(frame(b'{"cmd":"ping","val":"' + half, 0x01))
                peer.writer.write(frame(half + b'"}', 0x80))
                assert json.loads((await peer.receive())[1])["code_id"] == 100

    asyncio.run(scenario())


def test_a_binary_flood_is_refused_as_a_text_flood_is():
    async def scenario():
        async with running(implicit_greeting=False, packet_burst=20, packet_rate=1.0) as server:
            peer = await connect(server.port)
            await answer(peer)
            peer.writer.write(frame(b'{"cmd":"ping","listener":"l"}', BINARY) * 60)
            codes = []
            while not codes or codes[-1] == 100:
                codes.append(json.loads((await peer.receive())[1])["code_id"])
            assert codes[-1] == 108
            assert len(server.clients_manager) == 1

    asyncio.run(scenario())


def test_too_many_fragments_are_refused_with_their_message_and_end_the_connection_in_the_end():
    async def scenario():
        async with running(
            implicit_greeting=False, packet_burst=20, packet_rate=1.0, flood_patience=0.5
        ) as server:
            peer = await connect(server.port)
            await answer(peer)
            peer.writer.write(b"".join(WAYS["fragments"]) * 15)
            codes = [100]
            while codes[-1] == 100:
                codes.append(json.loads((await peer.receive())[1])["code_id"])
            assert codes[-1] == 108
            assert len(server.clients_manager) == 1
            peer.writer.write(frame(b"", 0x01) + frame(b"", 0x00) * (MEGABYTE // 6))
            assert await asyncio.wait_for(peer.receive_close(), 5) == (1008, "Too much was sent for too long")
            drop(server)

    asyncio.run(scenario())


def test_a_turn_of_tiny_frames_holds_the_other_connections_of_their_address_too():
    async def scenario():
        async with running() as server:
            peers = [await connect(server.port) for _ in range(3)]
            for peer in peers:
                peer.send('{"cmd":"handshake","listener":"in"}')
                while b'"listener":"in"' not in (await peer.receive())[1]:
                    pass
            sessions = [client.session for client in server.clients_manager]
            share = server.fair_share
            share.spent = 1.0
            for _ in range(200):
                sessions[0].admit(0)
            assert all(share.is_held(session) for session in sessions)
            for peer in peers:  # all have their turn again
                peer.send('{"cmd":"ping","listener":"again"}')
                while b'"listener":"again"' not in (await peer.receive())[1]:
                    pass
            assert not any(share.is_held(session) for session in sessions)

    asyncio.run(scenario())
