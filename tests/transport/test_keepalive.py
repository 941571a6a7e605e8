"""Connections that are stuck are dropped; those that are slow but get on are kept."""

import asyncio
import itertools
import socket

import pytest

from cloudlink.transport.keepalive import Keepalive
from tests.support.memoryclients import turns
from tests.support.rawclients import PING, connect, frame, running
from tests.support.servers import build, listening


class Stuck:
    """A congested connection whose peer keeps sending, and reads as much as the test says."""

    def __init__(self, unsent):
        self.congested = True
        self.heard = True
        self.patience = 1
        self.pinged = False
        self.quiet_since = self.stalled_for = 0.0
        self.has_ended = False
        self.left_unsent = 0
        self.unsent = unsent
        self.aborted = False

    def take_heard(self):
        heard, self.heard = self.heard, False
        return heard

    def abort(self):
        self.aborted = True


@pytest.fixture
def looking():
    """Rounds of half a second that look after one connection, which may take nothing for five seconds."""
    keepalive = Keepalive(20, 20, 5, lambda: None)
    keepalive._call_later = lambda delay, callback: None

    def rounds(connection, taken):
        if connection not in keepalive.connections():
            keepalive.add(connection)
        for count, size in enumerate(taken):
            connection.heard = True
            connection.unsent -= size
            keepalive._round()
            if connection.aborted:
                return count
        return None

    rounds.keepalive = keepalive
    return rounds


def test_a_client_that_reads_nothing_is_dropped_in_time(looking):
    assert looking(Stuck(1000), [0] * 20) == 8


def test_a_client_that_reads_a_little_now_and_then_is_kept(looking):
    assert looking(Stuck(1000), [0, 0, 0, 0, 0, 0, 0, 1] * 20) is None


def test_more_waiting_data_is_not_progress(looking):
    assert looking(Stuck(1000), [-2] * 20) == 8


def test_an_uncongested_client_is_left_alone(looking):
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
        keepalive = Keepalive(0.02, 0.02, 0.02, fail_once)
        keepalive.start()
        await asyncio.wait_for(done.wait(), 5)
        keepalive.stop()
        assert complaints == ["no reason"]

    asyncio.run(scenario())


class Quiet(Stuck):
    """A connection that is not congested; its peer sends when the test says."""

    def __init__(self, patience):
        super().__init__(0)
        self.congested = False
        self.patience = patience
        self.pings = 0

    def ping(self):
        self.pings += 1


def rounds_until_dropped(connection, heard_in=()):
    """Rounds of half a second with an interval of 5 and a time-out of 10 seconds; the peer is heard in some of them."""
    keepalive = Keepalive(5, 10, 5, lambda: None)
    keepalive.add(connection)
    keepalive._call_later = lambda delay, callback: None
    for count in range(1, 1000):
        connection.heard = count in heard_in
        keepalive._round()
        if connection.aborted:
            return count
    return None


class Spreading:
    """A keepalive whose calls a test makes itself, at a time of its own; looking at a connection takes time."""

    def __init__(self, count, step=1.0):
        self.now = 100.0
        self.seconds = 0.0001  # for each look
        self.calls = []
        self.looked = []
        self.rounds = 0
        self.keepalive = Keepalive(10 * step, 10 * step, 10 * step, self.count_round, lambda: self.now)
        self.connections = [Quiet(1) for _ in range(count)]
        for connection in self.connections:
            self.keepalive.add(connection)
        self.keepalive._call_later = lambda delay, callback: self.calls.append((delay, callback))
        self.keepalive._look_at = self.look_at

    def count_round(self):
        self.rounds += 1

    def look_at(self, connection):
        self.looked.append(connection)
        self.now += self.seconds

    def go_on(self):
        """Make the next call and return how long it took."""
        ((delay, callback),) = self.calls
        self.calls.clear()
        self.now += delay
        began = self.now
        callback()
        return self.now - began


def test_a_round_over_a_few_hundred_connections_takes_one_turn():
    few = Spreading(300)
    few.seconds = 1e-6
    few.keepalive.start()
    few.go_on()
    assert few.looked == few.connections


def test_a_round_over_many_connections_is_spread_over_its_time():
    many = Spreading(5000)
    many.keepalive.start()
    many.go_on()
    began = many.now
    longest = 0.0
    while len(many.looked) < 5000:
        longest = max(longest, many.go_on())
    assert longest < 0.01
    assert 0.9 < many.now - began <= 1.0, "evenly, and in time for the next round"
    assert many.looked == many.connections
    assert many.rounds == 1
    many.go_on()
    assert many.rounds == 2


@pytest.mark.parametrize("count", [1, 51, 60, 101, 105, 1001, 5001])
def test_rounds_follow_each_other_in_time_however_few_connections_are_left_for_the_last_portion(count):
    many = Spreading(count)
    many.seconds = 0.00001  # a batch of 50 is a portion
    many.keepalive.start()
    began = []
    while many.rounds < 4:
        before = many.rounds
        many.go_on()
        if many.rounds > before:
            began.append(many.now)
    assert all(later - earlier == pytest.approx(1.0, abs=0.2) for earlier, later in itertools.pairwise(began))


def test_a_round_that_takes_longer_than_its_time_is_finished_before_the_next():
    many = Spreading(50_000)
    many.keepalive.start()
    while many.rounds < 2:
        many.go_on()
    assert many.looked[:50_000] == many.connections
    assert all(delay >= 0 for delay, _ in many.calls)


def test_connections_that_end_between_two_portions_are_not_looked_at():
    many = Spreading(1000)
    many.keepalive.start()
    many.go_on()
    gone = set(many.connections) - set(many.looked)
    for connection in gone:
        connection.has_ended = True
    assert set(many.keepalive.connections()) == set(many.looked)
    while many.rounds < 2:
        many.go_on()
    assert not gone.intersection(many.looked)


def test_a_connection_that_cannot_be_looked_at_does_not_keep_others_from_it():
    many = Spreading(1000)

    def fail_once(connection):
        many.keepalive._look_at = many.look_at
        raise RuntimeError("no reason")

    many.keepalive._look_at = fail_once
    many.keepalive.start()
    with pytest.raises(RuntimeError):
        many.go_on()
    while many.rounds < 2:
        many.go_on()
    assert len(set(many.looked)) >= 1000 - 50


def test_new_connections_are_looked_at_from_the_next_round_on():
    many = Spreading(100)
    many.keepalive.start()
    latecomer = Quiet(1)
    many.keepalive.add(latecomer)
    while len(many.looked) < 101:
        many.go_on()
    assert many.looked == [*many.connections, latecomer]
    latecomer.has_ended = True
    many.looked.clear()
    while many.rounds < 3:
        many.go_on()
    assert latecomer not in many.looked


@pytest.mark.parametrize("patience", [1, 3])
def test_a_dead_peer_is_gone_within_interval_and_time_out_times_its_patience(patience):
    connection = Quiet(patience)
    connection.heard = False
    seconds = rounds_until_dropped(connection) * 0.5
    assert (5 + 10) * patience - 1 <= seconds <= (5 + 10) * patience
    assert connection.pings == 1


@pytest.mark.parametrize(("patience", "every"), [(1, 25), (3, 80)])
def test_a_peer_that_sends_now_and_then_is_kept_though_it_answers_no_ping(patience, every):
    assert rounds_until_dropped(Quiet(patience), range(0, 1000, every)) is None


def test_a_part_of_a_frame_is_a_sign_of_life():
    async def scenario():
        async with running(keepalive_interval=20, keepalive_timeout=20) as server:
            keepalive = server._endpoint._keepalive
            keepalive.stop()
            keepalive._call_later = lambda *_: None  # time passes only as this test says

            def wait(seconds):
                for _ in range(int(seconds / keepalive._step)):
                    keepalive._round()

            peer = await connect(server.port)
            await turns()
            for byte in frame(b'{"cmd":"ping","listener":1}'):  # all of it takes longer than silence may
                peer.writer.write(bytes((byte,)))
                await turns()
                wait(15)
                assert server._endpoint.connections
            wait(45)
            async with asyncio.timeout(5):
                await peer.at_end()

    asyncio.run(scenario())


def test_cloud_clients_are_given_more_time():
    async def scenario():
        server = build()
        patience, both = [], asyncio.Event()

        @server.on_message
        def note(client, message):
            patience.append(("cmd" in message, client.outbox.connection.patience))
            if len(patience) == 2:
                both.set()

        async with listening(server) as port:
            cloud, blocks = await connect(port), await connect(port)
            cloud.send('{"method":"handshake","user":"bot","project_id":"1"}')
            blocks.send('{"cmd":"ping"}')
            await asyncio.wait_for(both.wait(), 5)
            cloud.leave()
            blocks.leave()
        return sorted(patience)

    assert asyncio.run(scenario()) == [(False, 3), (True, 1)]


def test_other_times_count_from_the_next_round_on(looking):
    assert looking(Stuck(1000), [0] * 5) is None
    looking.keepalive.set_times(20, 20, 2.5)  # now a round is a quarter of a second
    assert looking(Stuck(1000), [0] * 20) == 8


@pytest.mark.parametrize("patience", [1, 3])
def test_a_silent_peer_is_pinged_in_time_and_once(patience):
    connection = Quiet(patience)
    connection.heard = False
    keepalive = Keepalive(5, 10, 5, lambda: None)
    keepalive.add(connection)
    keepalive._call_later = lambda *_: None
    pinged = []
    for count in range(1, 200):
        keepalive._round()
        pinged += [count * 0.5] * (connection.pings - len(pinged))
        if connection.aborted:
            break
    assert len(pinged) == 1
    assert 5 * patience - 1 <= pinged[0] <= 5 * patience


@pytest.mark.parametrize("rounds_before", [0, 1, 7, 1000])
@pytest.mark.parametrize("seconds", [0.7, 1, 2, 3, 7])
def test_times_whose_tenth_is_not_exact_are_kept_however_long_the_server_has_run(seconds, rounds_before):
    keepalive = Keepalive(seconds, seconds, seconds, lambda: None)
    keepalive._call_later = lambda *_: None
    for _ in range(rounds_before):
        keepalive._round()
    silent, stuck = Quiet(1), Stuck(1000)
    silent.heard = False
    for connection in (silent, stuck):
        keepalive.add(connection)
    events = []
    for _ in range(30):
        keepalive._round()
        events.append((silent.pings == 1, silent.aborted, stuck.aborted))
        stuck.heard = True
        if silent.aborted:
            break
    pinged, dropped, dropped_stuck = (column.index(True) + 1 for column in zip(*events, strict=True))
    assert (pinged, dropped, dropped_stuck) == (9, 18, 9), "in rounds of a tenth of the time"


def test_a_peer_that_answers_is_pinged_again_after_the_same_silence():
    connection = Quiet(1)
    keepalive = Keepalive(5, 10, 5, lambda: None)
    keepalive.add(connection)
    keepalive._call_later = lambda *_: None
    rounds = []
    for count in range(60):
        before = connection.pings
        keepalive._round()
        if connection.pings > before:
            rounds.append(count)
            connection.heard = True  # the pong
    assert connection.aborted is False
    assert len({later - earlier for earlier, later in itertools.pairwise(rounds)}) == 1


def test_a_client_that_gets_on_has_all_the_time_again(looking):
    connection = Stuck(1000)
    assert looking(connection, [0] * 7 + [1] + [0] * 7) is None
    assert looking(connection, [0] * 20) is not None


@pytest.mark.parametrize(("times", "step"), [((3600, 3600, 3600), 1.0), ((20, 5, 60), 0.5)])
def test_there_is_a_round_each_second_or_more_often(times, step):
    delays = []
    keepalive = Keepalive(*times, lambda: None)
    keepalive._call_later = lambda delay, callback: delays.append(delay)
    keepalive.start()
    assert delays == [step]


def test_there_are_no_rounds_after_the_server_has_stopped():
    async def scenario():
        async with running() as server:
            keepalive = server._endpoint._keepalive
            assert keepalive._timer is not None
        assert keepalive._timer.cancelled()

    asyncio.run(scenario())
