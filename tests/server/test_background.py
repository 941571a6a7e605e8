"""Plugin code that belongs to no client: at start and stop, at intervals, and in the background."""

from __future__ import annotations

import asyncio
import inspect
import selectors

import pytest

from cloudlink.server.background import next_tick
from tests.support.servers import build, listening


class VirtualTime(asyncio.SelectorEventLoop):
    """An event loop in which waiting takes no time: where nothing is ready, its clock jumps to the next timer."""

    def __init__(self):
        super().__init__(_Selector(self))
        self.now = 0.0

    def time(self):
        return self.now

    async def shutdown_default_executor(self, timeout=None):
        await super().shutdown_default_executor()  # no deadline: threads take real time


class _Selector(selectors.DefaultSelector):
    def __init__(self, loop):
        super().__init__()
        self._owner = loop

    def select(self, timeout=None):
        if timeout:
            self._owner.now += timeout
        return super().select(0)


@pytest.fixture
def server():
    return build({"shutdown_timeout": 2.0})


@pytest.fixture
def seen():
    return []


def play(scenario):
    """Run a scenario in virtual time."""
    with asyncio.Runner(loop_factory=VirtualTime) as runner:
        runner.run(scenario())


def messages(caplog):
    return [record.getMessage() for record in caplog.records if record.levelname != "INFO"]


def place(function):
    return f"(tests/server/test_background.py, line {function.__code__.co_firstlineno})"


# Start and stop.


@pytest.mark.parametrize("is_late", [False, True])
def test_start_handlers_run_when_the_port_is_open(server, seen, is_late):
    def register():
        @server.on_start
        async def waiting():
            seen.append("async")
            await asyncio.Event().wait()

        @server.on_start
        def plain():
            seen.append(server.port > 0)

    async def scenario():
        if not is_late:
            register()
        async with listening(server):
            if is_late:
                register()
                assert seen == []
            await asyncio.sleep(0.001)
            assert seen == [True, "async"]

    play(scenario)


def test_start_handlers_run_at_each_start(server, seen):
    server.on_start(lambda: seen.append("start"))
    server.on_stop(lambda: seen.append("stop"))

    async def scenario():
        for _ in range(2):
            async with listening(server):
                pass

    play(scenario)
    assert seen == ["start", "stop"] * 2


def test_stop_waits_for_stop_handlers_but_not_for_ever(server, seen, caplog):
    @server.on_stop
    async def quick():
        await asyncio.sleep(1.5)
        seen.append("saved")

    @server.on_stop
    async def endless():
        try:
            await asyncio.Event().wait()
        finally:
            seen.append("cancelled")

    async def scenario():
        async with listening(server):
            began = asyncio.get_running_loop().time()
        assert asyncio.get_running_loop().time() - began == pytest.approx(2.0, abs=0.1)

    play(scenario)
    assert seen == ["saved", "cancelled"]
    assert messages(caplog) == [f"Stopped 1 handlers that were still running: endless {place(endless)}."]


def test_a_handler_that_ignores_being_cancelled_does_not_keep_the_server(server, caplog):
    over = asyncio.Event()

    @server.on_stop
    async def stubborn():
        while not over.is_set():
            try:
                await over.wait()
            except asyncio.CancelledError:
                continue

    async def scenario():
        async with listening(server):
            pass
        over.set()

    play(scenario)
    assert messages(caplog)[0] == (
        f"The server stops without stubborn {place(stubborn)}, which kept running when cancelled."
    )


@pytest.mark.parametrize("event", ["on_start", "on_stop"])
def test_one_that_raises_is_logged_and_the_others_run(server, seen, caplog, event):
    register = getattr(server, event)

    @register
    def plain():
        raise SystemExit(3)

    @register
    async def late():
        raise KeyError("x")

    register(lambda: seen.append("next"))

    async def scenario():
        async with listening(server):
            await asyncio.sleep(0.001)

    play(scenario)
    assert seen == ["next"]
    assert messages(caplog) == [
        f"Handler plain {place(plain)} of {event} raised SystemExit.",
        f"Handler late {place(late)} of {event} raised KeyError.",
    ]


# Every few seconds.


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (10.0, (10.5, 0)),
        (9.999999, (10.5, 0)),  # timers may be a little early
        (10.4, (10.5, 0)),
        (10.5, (11.0, 1)),
        (11.2, (11.5, 2)),
    ],
)
def test_ticks_stay_on_their_grid(now, expected):
    assert next_tick(10.0, 0.5, now) == expected


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("is_late", [False, True])
def test_twenty_ticks_a_second_do_not_drift(server, seen, is_async, is_late):
    def register():
        loop = asyncio.get_running_loop()

        def plain():
            seen.append(loop.time())
            loop.now += 0.013  # the work of a tick

        async def waiting():
            plain()

        decorated = server.every(0.05)(waiting if is_async else plain)
        assert decorated in (waiting, plain)

    async def scenario():
        if not is_late:
            register()
        async with listening(server):
            if is_late:
                register()
            began = asyncio.get_running_loop().time()
            await asyncio.sleep(10.01)
        assert seen == pytest.approx([began + 0.05 * number for number in range(1, 201)], abs=0.002)
        await asyncio.sleep(1)
        assert len(seen) == 200

    play(scenario)


def test_slow_ticks_are_skipped_and_logged_once(server, seen, caplog):
    @server.every(0.5)
    async def slow():
        seen.append(asyncio.get_running_loop().time())
        await asyncio.sleep(1.2)

    async def scenario():
        async with listening(server):
            began = asyncio.get_running_loop().time()
            await asyncio.sleep(4)
        assert seen == pytest.approx([began + due for due in (0.5, 2.0, 3.5)], abs=0.01)

    play(scenario)
    assert messages(caplog) == [f"Handler slow {place(slow)} of every(0.5) missed 2 ticks: it took 1.2 s."]


@pytest.mark.parametrize(
    "error", [KeyError("x"), SystemExit(), KeyboardInterrupt(), asyncio.CancelledError()]
)
def test_a_tick_that_raises_is_logged_and_comes_again(server, seen, caplog, error):
    @server.every(1)
    async def broken():
        seen.append(1)
        raise error

    async def scenario():
        async with listening(server):
            await asyncio.sleep(3.5)

    play(scenario)
    assert len(seen) == 3
    line = f"Handler broken {place(broken)} of every(1) raised {type(error).__name__}."
    assert messages(caplog) == [line] * 3


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf")])
def test_every_takes_seconds_above_zero(server, seconds):
    with pytest.raises(ValueError, match="every takes a number of seconds above 0"):
        server.every(seconds)


def test_without_time_to_stop_no_handler_is_forgotten(server, seen):
    server.settings.set("shutdown_timeout", 0.0)

    @server.on_stop
    async def save():
        seen.append("begun")
        await asyncio.sleep(1)
        seen.append("saved")

    async def scenario():
        async with listening(server):
            pass

    play(scenario)
    assert seen == ["begun"]


# Tasks in the background.


@pytest.mark.parametrize("is_late", [False, True])
def test_a_task_runs_until_the_server_stops(server, seen, is_late):
    async def work():
        seen.append("begin")
        try:
            await asyncio.Event().wait()
        finally:
            seen.append("end")

    async def scenario():
        task = None if is_late else server.create_task(work())
        async with listening(server):
            task = task or server.create_task(work())
            await asyncio.sleep(0.001)
            assert seen == ["begin"]
            assert not task.done
            server.on_stop(lambda: seen.append("stop"))
        assert seen == ["begin", "stop", "end"]
        assert task.done

    play(scenario)


def test_a_task_that_raises_is_logged(server, caplog):
    async def work():
        raise SystemExit

    async def scenario():
        async with listening(server):
            task = server.create_task(work())
            await asyncio.sleep(0.001)
            assert task.done

    play(scenario)
    assert messages(caplog) == [f"Handler work {place(work)} raised SystemExit."]


def test_a_task_of_a_server_that_never_starts_is_dropped_quietly(server):
    async def work(): ...

    coroutine = work()
    server.create_task(coroutine)
    server.background._waiting.clear()
    assert inspect.getcoroutinestate(coroutine) == inspect.CORO_CLOSED


@pytest.mark.parametrize("is_late", [False, True])
def test_a_task_can_be_cancelled(server, seen, is_late):
    async def work():
        seen.append("begin")
        await asyncio.Event().wait()

    async def scenario():
        task = server.create_task(work())
        if not is_late:
            task.cancel()
            assert task.done
        async with listening(server):
            await asyncio.sleep(0.001)
            task.cancel()
            await asyncio.sleep(0.001)
            assert task.done

    play(scenario)
    assert seen == (["begin"] if is_late else [])


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (
            print,
            (
                "create_task takes a coroutine, such as f() of async def f(), with the parentheses, "
                "not builtin_function_or_method"
            ),
        ),
        (5, "create_task takes a coroutine, not int"),
    ],
)
def test_a_task_is_made_of_a_coroutine(server, given, sentence):
    with pytest.raises(TypeError) as caught:
        server.create_task(given)
    assert str(caught.value) == sentence
