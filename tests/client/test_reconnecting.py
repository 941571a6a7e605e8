"""Connecting, reconnecting, waiting and closing, without sockets and by a fake clock."""

import asyncio
import gc
import logging

import pytest

from cloudlink.client import (
    CloudChange,
    Connected,
    ConnectError,
    Disconnected,
    DisconnectedError,
    GlobalMessage,
    NameRefusedError,
    OtherPacket,
    ServerFullError,
    StaleValueError,
    StatusCode,
    UserList,
    WaitTimeoutError,
    WrongServerError,
    connect,
    connect_cloud,
    reconnecting,
)
from cloudlink.client.backoff import Backoff
from cloudlink.client.eventqueue import EVENT_BYTES
from tests.client.fakeclock import now, run, settle
from tests.client.fakesockets import SILENT, Network
from tests.support.fakeservers import ok

DOWN = ConnectError("Nothing listens.")
SCORE = "☁ score"


@pytest.fixture
def network(monkeypatch):
    """A network whose attempts lead to these outcomes."""
    return lambda *outcomes: Network(*outcomes).install(monkeypatch)


def regular(connection, first=1, longest=30):
    """The same connection, whose delays are not random."""
    connection._backoff = Backoff(first, longest, random=lambda: 1.0)
    return connection


def cl4(**options):
    return regular(connect("ws://fake/", **options))


def cloud(**options):
    return regular(connect_cloud("ws://fake/", 104, "bot", **options))


KINDS = [pytest.param(cl4, id="connect"), pytest.param(cloud, id="connect_cloud")]


async def until(c, kind):
    async for event in c:
        if isinstance(event, kind):
            return event
    raise AssertionError("the events ended")


# Reconnecting.


def test_delays_grow_over_several_failed_attempts_and_are_announced_once(network):
    net = network(None, DOWN, DOWN, ServerFullError("full"), DOWN, None)

    async def scenario():
        async with cl4() as c:
            await until(c, Connected)
            net.socket.lose()
            assert await anext(c) == Disconnected("The connection was closed with 1006.", 1)
            back = await anext(c)  # nothing is said of the attempts in between
            assert isinstance(back, Connected)
            assert back.again
        return net.attempts

    assert run(scenario) == [0, 1, 3, 7, 15, 31]


@pytest.mark.parametrize(("lasted", "next_delay"), [(0.0, 4), (9.9, 4), (10.0, 4), (10.1, 1), (1000.0, 1)])
def test_the_delay_starts_small_again_after_a_stable_connection_only(network, lasted, next_delay):
    net = network(None, DOWN, None)

    async def scenario():
        async with cl4() as c:
            net.socket.lose()
            await net.attempted(3)
            since = net.attempts[-1]
            await c.wait_until_connected()
            await asyncio.sleep(since + lasted - now())
            net.socket.lose()
            await settle()
            return await until(c, Disconnected), await until(c, Disconnected)

    _, again = run(scenario)
    assert again.retry_in == next_delay


@pytest.mark.parametrize("kind", KINDS)
def test_a_failed_attempt_leaves_no_socket_behind(network, kind):
    net = network(None, SILENT, (1001, "going away"), None)

    async def scenario():
        async with kind(timeout=5.0) as c:
            net.socket.lose()
            await settle()
            await c.wait_until_connected()
            _, silent, closing, second = net.sockets
            assert silent.aborted
            assert closing.aborted
            assert not second.aborted
            assert second.closed_with is None
            silent.lose()  # the end of an earlier attempt does not concern the connection
            assert c.is_connected
        assert second.closed_with == 1000
        return net.attempts

    # One second after the break; the silent server is given five; then two seconds, then four.
    assert run(scenario) == [0, 1, 8, 12]


def test_the_first_attempt_leaves_no_socket_behind_either(network):
    net = network(SILENT)

    async def scenario():
        with pytest.raises(WaitTimeoutError, match="the greeting did not come in time"):
            await cl4(timeout=5.0).__aenter__()
        assert now() == 5
        assert net.socket.aborted

    run(scenario)


def test_sending_waits_during_a_disconnection(network):
    net = network(None, DOWN, None)

    async def scenario():
        async with cl4() as c:
            net.socket.lose()
            assert not c.is_connected
            await c.send("late")
            assert c.is_connected
            assert now() == 3
            assert net.sockets[0].sent[-1]["cmd"] == "handshake"
            assert net.sockets[1].sent[-1] == {"cmd": "gmsg", "val": "late"}

    run(scenario)


def test_sending_waits_for_a_slow_server(network):
    net = network()

    async def scenario():
        async with cl4() as c:
            net.socket.writable.clear()
            sending = asyncio.create_task(c.send("slow"))
            await asyncio.sleep(100)
            assert net.socket.sent[-1]["val"] == "slow"
            assert not sending.done()
            net.socket.writable.set()
            await sending

    run(scenario)


def test_a_broken_connection_ends_its_requests_at_once(network):
    net = network(None, DOWN)

    async def scenario():
        async with cl4() as c:
            waiting = asyncio.create_task(c.request("plugin"))
            await settle()
            net.socket.lose(1001, "restart")
            with pytest.raises(DisconnectedError, match="1001"):
                await waiting
            assert now() < 1

    run(scenario)


# Final errors: each code, before and after the greeting, for each kind of connection.


CL4_FINAL = [1000, 1008, 4000, 4001, 4004, 4050, 4099]
CL4_OTHERS = [1001, 1006, 1009, 1011, 1012, 1013, 3000, 4100, 4999]
CLOUD_FINAL = [1000, 1008, 4002, 4004, 4005]
CLOUD_OTHERS = [1001, 1006, 1011, 1012, 1013, 3000, 4001, 4006, 4100]
CLOUD_LATER = [4000, 4003]


def final(kind, code):
    return code in (CL4_FINAL if kind is cl4 else CLOUD_FINAL)


CODES = [
    *(pytest.param(cl4, code, id=f"connect-{code}") for code in CL4_FINAL + CL4_OTHERS),
    *(
        pytest.param(cloud, code, id=f"connect_cloud-{code}")
        for code in CLOUD_FINAL + CLOUD_OTHERS + CLOUD_LATER
    ),
]


@pytest.mark.parametrize(("kind", "code"), CODES)
def test_closed_when_ready(network, kind, code):
    net = network()

    async def scenario():
        async with kind() as c:
            await settle()
            net.socket.lose(code, "spam")
            if final(kind, code):
                with pytest.raises((DisconnectedError, NameRefusedError), match="spam"):
                    await until(c, UserList)
                with pytest.raises((DisconnectedError, NameRefusedError), match="spam"):
                    await c.wait_until_connected()
                await asyncio.sleep(10_000)
                assert len(net.attempts) == 1
            else:
                await c.wait_until_connected()
                assert len(net.attempts) == 2
                expected = 120 if kind is cloud and code in CLOUD_LATER else 1
                assert net.attempts[1] == pytest.approx(expected, abs=0.01)

    run(scenario)


@pytest.mark.parametrize("reason", ["spam", ""])
@pytest.mark.parametrize(("kind", "code"), CODES)
def test_closed_before_the_start_of_a_reconnection(network, kind, code, reason):
    # A close with 1000 instead of a greeting is how a server says that it did not understand.
    is_final = final(kind, code) and not (kind is cl4 and code == 1000)
    net = network(None, (code, reason), None)

    async def scenario():
        async with kind() as c:
            await settle()
            net.socket.lose()
            if is_final:
                errors = (DisconnectedError, NameRefusedError, WrongServerError)
                with pytest.raises(
                    errors, match=reason or str(code) if code != 4002 else "cannot be used|spam"
                ):
                    await until(c, UserList)
                assert len(net.attempts) == 2
            else:
                await net.attempted(3)

    run(scenario)


@pytest.mark.parametrize("wait", [False, True])
@pytest.mark.parametrize(("kind", "code"), CODES)
def test_closed_before_the_start_of_the_first_connection(network, kind, code, wait):
    # A server that did not understand the handshake is the wrong one, whatever is waited for.
    not_understood = kind is cl4 and code in (1000, 1002, 1003, 1007)
    net = network((code, "spam"), None)

    async def scenario():
        if not wait or final(kind, code) or not_understood:
            with pytest.raises((DisconnectedError, NameRefusedError, ConnectError), match="spam"):
                await kind(wait=wait).__aenter__()
            assert len(net.attempts) == 1
        else:
            async with kind(wait=wait):
                assert len(net.attempts) == 2

    run(scenario)


@pytest.mark.parametrize("code", CLOUD_LATER)
@pytest.mark.parametrize(("chance", "delay"), [(0.0, 60), (0.5, 90), (1.0, 120)])
def test_a_cloud_server_without_room_is_left_alone_for_a_minute_or_more(network, code, chance, delay):
    net = network(None, (code, "no room"), (code, "no room"), None)

    async def scenario():
        connection = cloud()
        connection._backoff = Backoff(1, 30, random=lambda: chance)
        async with connection as c:
            net.socket.lose(code, "no room")
            await settle()
            await c.wait_until_connected()

    run(scenario)
    assert net.attempts == pytest.approx([0, delay, 2 * delay, 3 * delay], abs=0.01)


@pytest.mark.parametrize("kind", KINDS)
def test_without_reconnection_every_break_is_final(network, kind):
    net = network()

    async def scenario():
        async with kind(reconnect=False) as c:
            net.socket.lose()
            with pytest.raises(DisconnectedError, match="1006"):
                await until(c, UserList)
            await asyncio.sleep(1000)
            assert len(net.attempts) == 1

    run(scenario)


def test_an_error_that_is_final_ends_the_attempts_in_between_too(network):
    net = network(None, DOWN, (4004, "You are banned"), None)

    async def scenario():
        async with cl4() as c:
            net.socket.lose()
            with pytest.raises(DisconnectedError, match="You are banned"):
                await until(c, UserList)
            assert len(net.attempts) == 3

    run(scenario)


# Waiting for a server that is not up yet.


@pytest.mark.parametrize("kind", KINDS)
def test_a_server_that_is_not_up_is_waited_for(network, caplog, kind):
    net = network(DOWN, ServerFullError("full"), SILENT, (1012, "restarting"), None)

    async def scenario():
        async with kind(wait=True, timeout=5.0) as c:
            assert c.is_connected
        assert [socket.aborted for socket in net.sockets] == [True, True, False]
        return net.attempts

    with caplog.at_level(logging.INFO, "cloudlink.client"):
        assert run(scenario) == [0, 1, 3, 12, 20]
    # One warning is seen without configuring anything; the other attempts are for those who look.
    assert [record.levelno for record in caplog.records] == [logging.WARNING] + 3 * [logging.INFO]
    assert "Nothing listens. Trying ws://fake/ again in 1.0 s." in caplog.text


@pytest.mark.parametrize("kind", KINDS)
def test_without_wait_the_first_attempt_decides(network, kind):
    net = network(DOWN, None)

    async def scenario():
        with pytest.raises(ConnectError, match="Nothing listens"):
            await kind().__aenter__()
        assert net.attempts == [0]

    run(scenario)


@pytest.mark.parametrize("kind", KINDS)
def test_a_wrong_address_is_not_waited_for(network, kind):
    net = network(DOWN, ConnectError("http://x/ is the address of a web page.", permanent=True))

    async def scenario():
        with pytest.raises(ConnectError, match="web page"):
            await kind(wait=True).__aenter__()
        assert net.attempts == [0, 1]

    run(scenario)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("outcome", [DOWN, SILENT], ids=["down", "silent"])
def test_waiting_can_be_limited_and_cancelled(network, kind, outcome):
    net = network(outcome)

    async def scenario():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(100), kind(wait=True):
                raise AssertionError("it should not connect")
        assert now() == 100
        attempts = len(net.attempts)
        assert attempts > 3
        await asyncio.sleep(1000)
        assert len(net.attempts) == attempts
        assert all(socket.aborted for socket in net.sockets)

    run(scenario)


def test_cancelling_in_the_moment_of_success_leaves_no_socket_behind(network):
    net = network(SILENT)

    async def scenario():
        entering = asyncio.create_task(cl4().__aenter__())
        await settle()
        net.socket.greets()
        entering.cancel()
        with pytest.raises(asyncio.CancelledError):
            await entering
        assert net.socket.aborted

    run(scenario)


def test_waiting_ends_when_the_connection_is_closed(network):
    net = network(DOWN, None)

    async def scenario():
        c = cl4(wait=True)
        entering = asyncio.create_task(c.__aenter__())
        await settle()
        await c.close()
        with pytest.raises(DisconnectedError, match="closed from here"):
            await entering
        assert len(net.attempts) == 1

    run(scenario)


def test_closing_while_the_first_attempt_connects(network):
    net = network(SILENT)

    async def scenario():
        c = cl4(wait=True)
        entering = asyncio.create_task(c.__aenter__())
        await settle()
        await c.close()
        net.socket.greets()
        with pytest.raises(DisconnectedError, match="closed from here"):
            await entering
        assert net.socket.aborted

    run(scenario)


# Closing.


def test_after_closing_there_are_no_events(network):
    net = network()

    async def scenario():
        async with cl4() as c:
            await settle()
            assert c.waiting == 1
            await c.close()
            net.socket.says({"cmd": "gmsg", "val": "after the end", "rooms": "default"})
            await settle()
            assert c.waiting == 0
            assert [event async for event in c] == []

    run(scenario)


def test_closing_ends_requests_and_sending(network):
    network()

    async def scenario():
        async with cl4() as c:
            waiting = asyncio.create_task(c.request("plugin", timeout=1000))
            await settle()
            await c.close()
            with pytest.raises(DisconnectedError, match="closed from here"):
                await waiting
            with pytest.raises(DisconnectedError, match="closed from here"):
                await c.send("too late")
            assert now() < 1

    run(scenario)


def test_closing_during_a_disconnection_ends_the_attempts(network):
    net = network(None, DOWN)

    async def scenario():
        async with cl4():
            net.socket.lose()
            await asyncio.sleep(5)
            attempts = len(net.attempts)
        await asyncio.sleep(1000)
        assert len(net.attempts) == attempts

    run(scenario)


def test_events_that_came_before_a_final_end_are_read_before_its_error(network):
    net = network()

    async def scenario():
        async with cl4() as c:
            net.socket.says({"cmd": "gmsg", "val": "last words", "rooms": "default"})
            await settle()
            net.socket.lose(4004, "You were kicked")
            await settle()
            assert isinstance(await anext(c), Connected)
            assert await anext(c) == GlobalMessage("last words", "default")
            with pytest.raises(DisconnectedError, match="kicked"):
                await anext(c)

    run(scenario)


# Requests and the queue.


def message(value):
    return {"cmd": "gmsg", "val": value, "rooms": "default"}


async def fill(net, *values):
    for value in values:
        net.socket.says(message(value))
    await settle()


def test_reading_pauses_at_the_allowed_number_of_events_and_resumes_at_half(network):
    net = network()

    async def scenario():
        async with cl4(max_queue=4) as c:
            await fill(net, 1, 2)  # with Connected
            assert (c.waiting, net.socket.paused) == (3, False)
            await fill(net, 3)
            assert (c.waiting, net.socket.paused) == (4, True)
            await anext(c)
            assert (c.waiting, net.socket.paused) == (3, True)
            await anext(c)
            assert (c.waiting, net.socket.paused) == (2, False)

    run(scenario)


def test_reading_pauses_at_the_allowed_number_of_bytes(network):
    net = network()

    async def scenario():
        async with cl4(max_queue_bytes=1_000_000) as c:
            await until(c, Connected)
            await fill(net, *["x" * 100_000] * 9)
            assert not net.socket.paused
            await fill(net, "☁" * 33_000)  # of three bytes each
            assert net.socket.paused
            for _ in range(4):
                await anext(c)
            assert net.socket.paused
            await anext(c)
            await anext(c)
            assert not net.socket.paused

    run(scenario)


def test_reading_goes_on_for_an_answer_but_not_for_ever(network):
    net = network()

    async def scenario():
        async with cl4(max_queue=2, max_queue_bytes=10_000) as c:
            await fill(net, 1, 2)
            assert net.socket.paused
            waiting = asyncio.create_task(c.request("plugin", timeout=1000))
            await settle()
            assert not net.socket.paused
            await fill(net, *["x" * 9000] * 4)
            assert not net.socket.paused
            await fill(net, "x" * 9000)
            assert net.socket.paused
            # The program reads: there is room for the answer again.
            for _ in range(6):
                await anext(c)
            assert not net.socket.paused
            net.socket.says(ok(net.socket.sent[-1]))
            assert isinstance(await waiting, StatusCode)

    run(scenario)


def test_after_an_answer_reading_pauses_again_while_the_queue_is_full(network):
    net = network()

    async def scenario():
        async with cl4(max_queue=2) as c:
            await fill(net, 1, 2)
            waiting = asyncio.create_task(c.request("plugin"))
            await settle()
            assert not net.socket.paused
            net.socket.says(ok(net.socket.sent[-1]))
            await waiting
            assert net.socket.paused

    run(scenario)


def test_many_small_events_count_for_their_objects_too(network):
    net = network()

    async def scenario():
        async with cl4(max_queue_bytes=10 * EVENT_BYTES) as c:
            await until(c, Connected)
            await fill(net, *range(5))
            assert not net.socket.paused
            await fill(net, *range(5))
            assert net.socket.paused

    run(scenario)


def test_data_from_before_the_session_was_ready_counts_too(network):
    net = network(SILENT)

    async def scenario():
        c = cl4(max_queue_bytes=10_000)
        entering = asyncio.create_task(c.__aenter__())
        await settle()
        await fill(net, "x" * 10_000)
        net.socket.greets()
        await entering
        assert net.socket.paused
        await c.close()

    run(scenario)


def test_a_server_that_sends_too_much_before_it_answers_is_left(network):
    net = network(SILENT)

    async def scenario():
        entering = asyncio.create_task(cl4(max_queue_bytes=10_000, timeout=1000).__aenter__())
        await settle()
        await fill(net, *["x" * 9900] * 4)
        assert not entering.done()
        await fill(net, "x" * 1000)
        with pytest.raises(WrongServerError, match="sends too much before it answers"):
            await entering
        assert net.socket.aborted

    run(scenario)


def test_an_answer_of_a_plugin_is_returned_and_not_queued(network):
    net = network()

    async def scenario():
        async with cl4() as c:
            await until(c, Connected)
            waiting = asyncio.create_task(c.request("hello"))
            await settle()
            answer = {"cmd": "direct", "val": "Hello!", "listener": net.socket.sent[-1]["listener"]}
            net.socket.says(answer)
            assert await waiting == OtherPacket(answer)
            await fill(net, "the next event")
            assert await anext(c) == GlobalMessage("the next event", "default")
            assert c.waiting == 0

    run(scenario)


def test_an_answer_that_comes_too_late_is_an_event(network):
    net = network()

    async def scenario():
        async with cl4() as c:
            await until(c, Connected)
            with pytest.raises(WaitTimeoutError, match="hello was not answered within 7 seconds"):
                await c.request("hello", timeout=7)
            assert now() == 7
            assert c._session._pending == {}
            late = {"cmd": "direct", "val": "Hello!", "listener": net.socket.sent[-1]["listener"]}
            net.socket.says(late)
            assert await anext(c) == OtherPacket(late)

    run(scenario)


def test_an_answer_that_comes_in_the_moment_of_the_time_out_is_an_event(network):
    net = network()

    async def scenario():
        async with cl4() as c:
            await until(c, Connected)
            waiting = asyncio.create_task(c.request("hello", timeout=7))
            await settle()
            late = {"cmd": "direct", "val": "Hello!", "listener": net.socket.sent[-1]["listener"]}
            waiting.cancel()
            net.socket.delivers(late)
            with pytest.raises(asyncio.CancelledError):
                await waiting
            assert await anext(c) == OtherPacket(late)

    run(scenario)


@pytest.mark.parametrize("bound", ["max_queue", "max_queue_bytes"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_queue_has_room_for_something(kind, bound):
    async def scenario():
        with pytest.raises(ValueError, match="max_queue"):
            kind(**{bound: 0})
        kind(**{bound: 1})

    run(scenario)


# Cloud variables.


def value(name, value):
    return {"method": "set", "name": name, "value": value}


def test_a_value_computed_before_a_break_does_not_overwrite_a_newer_one(network):
    net = network()

    async def scenario():
        async with cloud() as c:
            await c.set(SCORE, 1)
            await c.set("☁ mine", 1)
            net.socket.lose()
            stale = asyncio.create_task(c.set(SCORE, 2))
            fresh = asyncio.create_task(c.set("☁ mine", 2))
            await settle()
            await net.attempted(2)
            net.socket.delivers(value(SCORE, 100))
            net.socket.delivers(value("☁ mine", 1))
            with pytest.raises(StaleValueError) as caught:
                await stale
            assert (caught.value.name, caught.value.current) == (SCORE, 100)
            await fresh
            assert await anext(c) == CloudChange(SCORE, 100)
            assert c.variables == {SCORE: 100, "☁ mine": 2}
            assert [packet["method"] for packet in net.socket.sent] == ["handshake", "set"]

    run(scenario)


@pytest.mark.parametrize("call", [lambda c: c.set("score", 5), lambda c: c.get("score")], ids=["set", "get"])
def test_a_name_without_the_cloud_is_warned_of_once(network, caplog, call):
    network()

    async def scenario():
        async with cloud() as c:
            for _ in range(3):
                if (waiting := call(c)) is not None:
                    await waiting
            c.get("other\n")

    run(scenario)
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert 'do not see the cloud variable "score"' in record.getMessage()
    assert 'et("☁ score", ...).' in record.getMessage()


def test_names_that_projects_have_are_not_warned_of(network, caplog):
    net = network()

    async def scenario():
        async with cloud() as c:
            await c.set(SCORE, 5)
            await c.set(":cloud: x", 5)
            net.socket.says(value("odd", 1))
            assert await anext(c) == CloudChange("odd", 1)
            assert c.get("odd") == 1

    run(scenario)
    assert caplog.records == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_closed_connection_is_not_connected_and_leaves_no_task(network, kind):
    network()

    async def scenario():
        c = kind()
        assert not c.is_connected
        async with c:
            assert c.is_connected
        assert not c.is_connected
        assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []

    run(scenario)


def test_only_the_last_error_of_an_attempt_is_reported(monkeypatch, caplog):
    async def open_and_fail(url, receiver, options):
        receiver.received('{"cmd":"gmsg","val":1}')
        receiver.connection_lost(1002, "")
        raise ConnectError("Nothing listens.")

    monkeypatch.setattr(reconnecting, "open_socket", open_and_fail)

    async def scenario():
        try:
            await cloud().__aenter__()
        except ConnectError as error:
            assert error.problem == "Nothing listens."  # noqa: PT017  # what pytest.raises keeps holds the attempt
        gc.collect()

    run(scenario)
    assert caplog.records == []


def test_reading_of_cloud_variables_pauses_too(network):
    net = network()

    async def scenario():
        async with cloud(max_queue=4) as c:
            for value in range(4):
                net.socket.delivers({"method": "set", "name": SCORE, "value": value})
            assert net.socket.paused
            while c.waiting > 2:
                assert net.socket.paused
                await anext(c)
            assert not net.socket.paused

    run(scenario)
