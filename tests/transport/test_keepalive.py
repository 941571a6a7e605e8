"""Connections that are stuck are dropped; those that are slow but get on are kept."""

import asyncio
import socket

import pytest

from cloudlink.transport.keepalive import Keepalive
from tests.transport.peers import PING, connect, frame, running


class Stuck:
    """A congested connection whose peer goes on sending, and takes what it is told to take."""

    def __init__(self, unsent):
        self.congested = True
        self.heard = True
        self.pinged = False
        self.silent_for = self.stalled_for = 0.0
        self.left_unsent = 0
        self.unsent = unsent
        self.aborted = False

    def abort(self):
        self.aborted = True


@pytest.fixture
def looking():
    """Rounds of half a second that look after one connection, which may take nothing for five seconds."""
    connections = []
    keepalive = Keepalive(connections, 20, 20, 5, lambda: None)
    keepalive.start = lambda: None

    def rounds(connection, taken):
        connections[:] = [connection]
        for count, size in enumerate(taken):
            connection.heard = True
            connection.unsent -= size
            keepalive._round()
            if connection.aborted:
                return count
        return None

    rounds.keepalive = keepalive
    return rounds


def test_who_takes_nothing_is_dropped_in_time(looking):
    assert looking(Stuck(1000), [0] * 20) == 8


def test_who_takes_a_little_now_and_then_is_kept(looking):
    assert looking(Stuck(1000), [0, 0, 0, 0, 0, 0, 0, 1] * 20) is None


def test_more_to_take_is_no_progress(looking):
    assert looking(Stuck(1000), [-2] * 20) == 8


def test_who_is_not_congested_is_left_alone(looking):
    connection = Stuck(0)
    connection.congested = False
    assert looking(connection, [0] * 20) is None


def test_a_peer_that_sends_and_never_reads_is_dropped(caplog):
    async def scenario():
        async with running(stalled_timeout=0.5) as server:
            gone, came = asyncio.Event(), asyncio.get_running_loop().create_future()
            server.on_disconnect(lambda client: gone.set())
            server.on_message(lambda client, message: came.set_result(client))
            stuck = await connect(server.port)
            stuck.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            stuck.writer.transport.pause_reading()
            stuck.send('{"cmd":"ping"}')
            client = await asyncio.wait_for(came, 5)
            while not client.outbox.connection.congested:
                server.send_packet(client, {"cmd": "direct", "val": "x" * 60_000})
                await asyncio.sleep(0)

            async def go_on():
                while True:
                    stuck.writer.write(frame(b"", PING))
                    await asyncio.sleep(0.05)

            sending = asyncio.create_task(go_on())
            await asyncio.wait_for(gone.wait(), 5)
            sending.cancel()
            assert not server.clients_manager.clients

    asyncio.run(scenario())
    assert "takes nothing" in caplog.text


def test_a_round_that_fails_is_followed_by_another():
    async def scenario():
        complaints, rounds, done = [], [], asyncio.Event()

        def fail_once():
            rounds.append(True)
            if len(rounds) == 1:
                raise RuntimeError("no reason")
            done.set()

        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _loop, context: complaints.append(str(context["exception"])))
        keepalive = Keepalive([], 0.02, 0.02, 0.02, fail_once)
        keepalive.start()
        await asyncio.wait_for(done.wait(), 5)
        keepalive.stop()
        assert complaints == ["no reason"]

    asyncio.run(scenario())


def test_other_times_count_from_the_next_round_on(looking):
    assert looking(Stuck(1000), [0] * 5) is None
    looking.keepalive.set_times(20, 20, 2.5)  # now a round is a quarter of a second
    assert looking(Stuck(1000), [0] * 20) == 8
