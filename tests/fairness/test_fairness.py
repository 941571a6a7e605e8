"""One client cannot harm another: others play on while one stops reading, floods, or connects and connects."""

import asyncio
import json
import socket

import pytest

from tests.fairness.latency import assert_undisturbed, beside, join, memory, p99_of_echoes, seconds
from tests.support.rawclients import CLOSE, UPGRADE, frame, open_socket, request, running


def test_a_client_that_stops_reading_is_cut_and_others_play_on():
    async def scenario():
        async with running(
            max_queued_bytes=100_000,
            packet_rate=1e6,
            packet_burst=10**6,
            byte_rate=1e9,
            stalled_timeout=1.0,
        ) as server:
            player = await join(server.port, "game", "player")
            alone = await p99_of_echoes(player)
            sleeper = await join(server.port, "chat", "sleeper")
            sleeper.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sleeper.writer.transport.pause_reading()
            talker = await join(server.port, "chat", "talker")
            before = memory()

            async def talk():
                message = json.dumps({"cmd": "gmsg", "val": "x" * 20_000})
                while True:
                    talker.send(message)
                    await talker.receive()

            async with beside(talk()):
                disturbed = await p99_of_echoes(player)
                gone = asyncio.Event()
                server.on_disconnect(lambda client: gone.set())
                if len(server.clients_manager) == 3:
                    await asyncio.wait_for(gone.wait(), 10)
            assert_undisturbed(disturbed, alone)
            assert memory() - before < 30 << 20
            assert {client.username for client in server.clients_manager} == {"player", "talker"}

    asyncio.run(scenario())


def test_a_client_that_pauses_gets_all_messages_and_only_the_latest_values():
    async def scenario():
        async with running(
            packet_rate=1e6, packet_burst=10**6, byte_rate=1e9, max_queued_bytes=64 << 20
        ) as server:
            slow = await join(server.port, "game", "slow")
            slow.writer.transport.pause_reading()
            player = await join(server.port, "game", "player")
            padding = "x" * 5000
            for number in range(3000):
                player.send(json.dumps({"cmd": "gvar", "name": "place", "val": f"{number} {padding}"}))
                if number % 1000 == 0:
                    player.send(json.dumps({"cmd": "gmsg", "val": f"message {number}"}))
                await player.receive()
            player.send(json.dumps({"cmd": "gmsg", "val": "end"}))
            slow.writer.transport.resume_reading()
            values, messages = [], []
            while not messages or messages[-1] != "end":
                packet = json.loads((await asyncio.wait_for(slow.receive(), 10))[1])
                if packet["cmd"] == "gvar":
                    values.append(int(packet["val"].split()[0]))
                elif packet["cmd"] == "gmsg":
                    messages.append(packet["val"])
            assert messages == ["message 0", "message 1000", "message 2000", "end"]
            assert values == sorted(values)
            assert values[-1] == 2999
            assert len(values) < 3000

    asyncio.run(scenario())


def test_a_flooder_is_refused_then_cut_and_others_play_on(caplog):
    async def scenario():
        async with running(flood_patience=1.0, packet_rate=10.0, packet_burst=300) as server:
            player = await join(server.port, "game", "player")
            player_session = next(iter(server.clients_manager)).session
            player_session._meter.packets._burst = player_session._meter.packets.tokens = 10**9
            alone = await p99_of_echoes(player)
            flooder = await join(server.port, "game", "flooder")
            before = memory()

            async def flood():
                burst = frame(b'{"cmd":"ping","listener":"f"}') * 200
                while True:
                    flooder.writer.write(burst)
                    await asyncio.sleep(0.002)

            async def watch():
                answers, refusals = 0, 0
                while True:
                    first, payload = await flooder.receive()
                    if first == CLOSE:
                        return answers, refusals, payload
                    answers += b"I:100" in payload
                    refusals += b"E:108" in payload

            watcher = asyncio.create_task(watch())
            async with beside(flood()):
                disturbed = await p99_of_echoes(player)
                answers, refusals, closed = await asyncio.wait_for(watcher, 20)
            assert_undisturbed(disturbed, alone)
            assert closed[:2] == (1008).to_bytes(2, "big")
            assert b"too long" in closed
            assert 300 <= answers < 700  # twice the burst, when it has filled again before it was empty
            assert 1 <= refusals <= 4
            assert memory() - before < 30 << 20
            assert len(server.clients_manager) == 1

    asyncio.run(scenario())
    assert "sends too much" in caplog.text
    assert caplog.text.count("sends too much") == 1


def test_a_burst_of_300_packets_is_answered_300_times_by_default():
    async def scenario():
        async with running() as server:
            peer = await join(server.port, "game", "player")
            peer.writer.write(frame(b'{"cmd":"ping"}') * 300)
            for _ in range(300):
                assert b"I:100 | OK" in (await peer.receive())[1]

    asyncio.run(scenario())


def test_1000_connections_one_after_the_other_disturb_nobody():
    async def scenario():
        proxies = {"trusted_proxies": ["192.0.2.1"], "real_ip_header": "X-Forwarded-For"}
        async with running(
            **proxies, connection_rate_per_address=0.001, connection_burst_per_address=100
        ) as server:
            player = await join(server.port, "game", "player")
            alone = await p99_of_echoes(player)
            before = memory()
            answers = []

            async def begin():
                for _ in range(1000):
                    peer = await open_socket(server.port)
                    peer.writer.write(request(UPGRADE))
                    answers.append((await peer.reader.readexactly(12)).decode())
                    peer.leave()

            knocking = asyncio.create_task(begin())
            disturbed = await p99_of_echoes(player)
            await knocking
            assert_undisturbed(disturbed, alone)
            # The player has used one of the hundred, and the last one is on credit.
            assert answers == ["HTTP/1.1 101"] * 100 + ["HTTP/1.1 429"] * 900
            assert memory() - before < 30 << 20

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "message",
    [
        b'{"cmd":"gmsg","val":' + b"[" * 500_000 + b"]" * 500_000 + b"}",
        b'{"cmd":"gmsg","val":"' + b"\\\\ud83d" * 100_000 + b'"}',
        b'{"cmd":"gmsg","val":"' + rb"\ud83d" * 150_000 + b'"}',
        b'{"cmd":"pmsg","val":1,"id":[' + b",".join([b'"x"'] * 200_000) + b"]}",
        b'{"cmd":"link","val":[' + b",".join(b'"%d"' % number for number in range(100_000)) + b"]}",
        b'{"cmd":"gmsg","val":1,"rooms":[' + b",".join([b"[]"] * 200_000) + b"]}",
    ],
    ids=["deep", "escapes", "half pairs", "recipients", "rooms", "lists"],
)
def test_huge_and_deep_json_stalls_the_loop_for_nobody(message):
    async def scenario():
        async with running(byte_rate=1e12, byte_burst=1 << 40) as server:
            attacker = await join(server.port, "other", "attacker")
            session = next(iter(server.clients_manager)).session
            stalls = []
            for _ in range(3):
                started = seconds()
                session.receive(message)
                stalls.append(seconds() - started)
            assert min(stalls) < 0.05
            attacker.leave()

    assert len(message) <= 1 << 20
    asyncio.run(scenario())
