"""Handlers of plugins: who is called, in which order, and what becomes of one that fails."""

from __future__ import annotations

import asyncio
import gc
import inspect
import itertools
import re
import signal
import threading
from functools import partial, wraps
from unittest.mock import AsyncMock, Mock

import pytest

from cloudlink.server.exceptions import InternalError
from cloudlink.server.failures import _budgets, log_failure
from cloudlink.server.handlers import EventHandlers, describe
from cloudlink.server.hooks import Hooks
from cloudlink.server.protocols.clpv4 import Clpv4
from tests.support.memoryclients import MemoryClient, codes, turns
from tests.support.servers import build, protocol_of

CL4 = Clpv4.schema


class Other:
    """Another protocol's identity."""


@pytest.fixture
def server():
    return build({"implicit_greeting": False})


@pytest.fixture
def seen():
    return []


def of_event(handler):
    handlers = EventHandlers("on_event")
    handlers.append(handler)
    return handlers


def during(scenario):
    """Run a scenario in an event loop, for handlers that are coroutines; there is no socket."""
    asyncio.run(scenario())


# Which handlers run, and when.


def test_plain_handlers_run_on_the_spot_and_in_order_of_registration(server, seen):
    for name in "abc":
        server.bind_callback("ping", CL4, lambda client, message, name=name: seen.append(name))
    MemoryClient(server, {"cmd": "ping"})
    assert seen == ["a", "b", "c"]


def test_plain_handlers_come_first_then_coroutines_each_in_order(server, seen):
    def plain(name):
        return lambda client, message: seen.append(name)

    def waiting(name):
        async def handler(client, message):
            seen.append(name)

        return handler

    for handler in (waiting("async 1"), plain("plain 1"), waiting("async 2"), plain("plain 2")):
        server.bind_callback("ping", CL4, handler)

    async def scenario():
        MemoryClient(server, {"cmd": "ping"})
        assert seen == ["plain 1", "plain 2"]
        await turns()
        assert seen == ["plain 1", "plain 2", "async 1", "async 2"]

    during(scenario)


def test_the_built_in_command_comes_before_its_handlers(server, seen):
    server.bind_callback("setid", CL4, lambda client, message: seen.append(client.username))
    MemoryClient(server, {"cmd": "setid", "val": "alice"})
    assert seen == ["alice"]


def test_on_message_comes_after_the_commands_handlers(server, seen):
    server.on_message(lambda client, message: seen.append("message"))
    server.bind_callback("ping", CL4, lambda client, message: seen.append("command"))
    MemoryClient(server, {"cmd": "ping"})
    assert seen == ["command", "message"]


def test_a_handler_added_twice_runs_once(server, seen):
    def handler(client, *_message):
        seen.append(client)

    server.bind_callback("ping", CL4, handler)
    server.on_command("ping", CL4)(handler)
    assert server.on_connect(server.on_connect(handler)) is handler
    server.bind_event(server.on_connect, handler)
    visitor = MemoryClient(server, {"cmd": "ping"})
    assert seen == [visitor.client] * 2  # once for connecting, once for the command


def test_one_function_may_handle_several_commands_and_events(server, seen):
    @server.on_command("one", CL4)
    @server.on_command("two", CL4)
    @server.on_disconnect
    def handler(client, message=None):
        seen.append(message and message["cmd"])

    visitor = MemoryClient(server, {"cmd": "two"}, {"cmd": "one"})
    visitor.leave()
    assert seen == ["two", "one", None]


def test_a_slow_handler_delays_nobody(server, seen):
    async def scenario():
        gate = asyncio.Event()

        @server.on_command("work", CL4)
        async def slow(client, message):
            seen.append(f"{message['val']} begins")
            await gate.wait()
            seen.append(f"{message['val']} ends")

        @server.on_command("work", CL4)
        async def quick(client, message):
            seen.append(f"{message['val']} quick")

        worker, other = MemoryClient(server), MemoryClient(server)
        worker.say({"cmd": "work", "val": 1}, {"cmd": "work", "val": 2})
        await turns()
        assert seen == ["1 begins", "1 quick", "2 begins", "2 quick"]
        assert codes(worker.ask({"cmd": "ping"})) == [100]
        assert codes(other.ask({"cmd": "ping"})) == [100]
        gate.set()
        await turns()
        assert seen[4:] == ["1 ends", "2 ends"]

    during(scenario)


def test_handlers_of_one_packet_get_the_same_message(server, seen):
    server.bind_callback("note", CL4, lambda client, message: seen.append(message))
    server.on_message(lambda client, message: seen.append(message))
    MemoryClient(server, {"cmd": "note", "val": [1, {"a": None}], "listener": 5, "more": "kept"})
    assert seen[0] == {"cmd": "note", "val": [1, {"a": None}], "listener": 5, "more": "kept"}
    assert seen[1] is seen[0]


def test_a_handler_registered_by_a_handler_is_for_the_next_time(server, seen):
    def first(client, message):
        seen.append("first")
        server.bind_callback("ping", CL4, second)

    def second(client, message):
        seen.append("second")

    server.bind_callback("ping", CL4, first)
    visitor = MemoryClient(server, {"cmd": "ping"})
    assert seen == ["first"]
    visitor.say({"cmd": "ping"})
    assert seen == ["first", "first", "second"]


def test_a_handler_may_be_any_callable(server, seen):
    class Handler:
        async def __call__(self, client, message):
            seen.append("object")

        async def method(self, client, message):
            seen.append("method")

    async def scenario():
        server.bind_callback("ping", CL4, Handler())
        server.bind_callback("ping", CL4, Handler().method)
        MemoryClient(server, {"cmd": "ping"})
        await turns()
        assert seen == ["object", "method"]

    during(scenario)


# A handler that raises.


def plain_failure(client, message):
    raise KeyError("no such key")


async def late_failure(client, message):
    await asyncio.sleep(0)
    raise KeyError("no such key")


@pytest.mark.parametrize("failure", [plain_failure, late_failure])
def test_a_handler_that_raises_is_logged_answered_and_harms_nobody(server, seen, failure, caplog):
    async def scenario():
        server.bind_callback("gmsg", CL4, failure)
        server.bind_callback("gmsg", CL4, lambda client, message: seen.append("the next handler"))
        server.on_message(lambda client, message: seen.append("on_message"))
        server.on_error(lambda client, errors: seen.append(("on_error", errors)))
        server.on_exception(InternalError, CL4)(
            lambda client, details: seen.append(("on_exception", details))
        )
        visitor, other = MemoryClient(server, {"cmd": "ping"}), MemoryClient(server, {"cmd": "ping"})
        visitor.session.receive(b'{"cmd":"gmsg","val":1,"listener":"L"}')
        await turns()

        assert visitor.heard() == [
            {"cmd": "gmsg", "val": 1, "rooms": "default", "listener": "L"},
            {"cmd": "statuscode", "code": "E:105 | Internal server error", "code_id": 105, "listener": "L"},
        ]
        assert other.heard() == [{"cmd": "gmsg", "val": 1, "rooms": "default"}]
        assert codes(visitor.ask({"cmd": "ping"})) == [100]

    during(scenario)
    details = repr(KeyError("no such key"))
    assert {"the next handler", ("on_error", details), ("on_exception", details)} <= set(seen)
    assert seen.count("on_message") == 4  # three pings and the message
    (record,) = caplog.records
    assert record.name == "cloudlink.server"
    place = f"tests/server/test_hooks.py, line {failure.__code__.co_firstlineno}"
    assert re.fullmatch(
        rf"Handler {failure.__name__} \({place}\) of the command gmsg raised KeyError for Client \d+\.",
        record.getMessage(),
    )
    assert record.exc_info[0] is KeyError


@pytest.mark.parametrize(
    ("listener", "echo"),
    [({}, {}), ({"listener": 5}, {"listener": 5}), ({"listener": False}, {"listener": False})],
)
def test_the_answer_to_a_failed_request_has_its_listener(server, listener, echo):
    server.bind_callback("explode", CL4, plain_failure)
    visitor = MemoryClient(server)
    assert visitor.ask({"cmd": "explode", **listener}) == [
        {"cmd": "statuscode", "code": "E:105 | Internal server error", "code_id": 105, **echo}
    ]


def test_the_answer_to_a_failed_request_that_comes_too_late_comes_to_nothing(server, caplog):
    async def scenario():
        server.bind_callback("explode", CL4, late_failure)
        visitor = MemoryClient(server)
        visitor.session.receive(b'{"cmd":"explode"}')
        visitor.leave()
        await turns()
        assert visitor.heard() == []

    during(scenario)
    assert [record.exc_info[0] for record in caplog.records] == [KeyError]


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize(
    ("event", "expected"),
    [("on_connect", []), ("on_message", [100]), ("on_error", [100, 114]), ("on_disconnect", [])],
)
def test_an_event_handler_that_raises_is_logged_and_not_answered(
    server, seen, event, expected, is_async, caplog
):
    def plain(client, *_details):
        raise RuntimeError(event)

    async def late(client, *_details):
        raise RuntimeError(event)

    async def scenario():
        getattr(server, event)(late if is_async else plain)
        getattr(server, event)(lambda client, *_details: seen.append(event))
        visitor = MemoryClient(server)
        answers = []
        if event != "on_connect":
            answers = visitor.ask({"cmd": "ping"})[: len(expected)]
        if event == "on_error":
            answers += visitor.ask("hello")
        visitor.leave()
        await turns()
        assert codes(answers) == expected

    during(scenario)
    assert seen == [event]
    assert [str(record.exc_info[1]) for record in caplog.records] == [event]


def test_a_built_in_command_that_raises_is_answered_and_logged(server, seen, caplog):
    def broken(client, packet):
        raise ZeroDivisionError

    server.hooks.bind_native(CL4, "ping", broken)
    server.on_error(lambda client, errors: seen.append(errors))
    visitor = MemoryClient(server)
    answers = visitor.ask({"cmd": "ping", "listener": "L"})
    assert codes(answers) == [105]
    assert answers[0]["listener"] == "L"
    assert seen == ["ZeroDivisionError()"]
    assert caplog.records[0].exc_info[0] is ZeroDivisionError


# Events the way CloudLink 0.1.9 bound them.


def test_bind_event_takes_the_four_events_of_old(server, seen):
    server.bind_event(server.on_connect, lambda client: seen.append("connect"))
    server.bind_event(server.on_message, lambda client, message: seen.append("message"))
    server.bind_event(server.on_error, lambda client, errors: seen.append("error"))
    server.bind_event(server.on_disconnect, lambda client: seen.append("disconnect"))
    MemoryClient(server, {"cmd": "ping"}, "hello").leave()
    assert seen == ["connect", "message", "error", "disconnect"]


@pytest.mark.parametrize("event", ["on_connect", None, print])
def test_bind_event_takes_nothing_else(server, event):
    with pytest.raises(ValueError, match=r"server\.on_connect, server\.on_message, .*, server\.on_error"):
        server.bind_event(event, print)


def test_bind_event_does_not_take_another_servers_event(server):
    with pytest.raises(ValueError, match="bind_event takes"):
        server.bind_event(build().on_connect, print)


# Mistakes of plugins.


@pytest.mark.parametrize("handler", [None, "ping", 5, {}])
def test_an_object_that_is_not_a_function_is_not_a_handler(server, handler):
    registrations = [
        server.on_connect,
        server.on_message,
        server.on_disconnect,
        server.on_error,
        server.on_command("ping", CL4),
        server.on_exception(InternalError, CL4),
        server.on_disabled_command(CL4),
        server.on_protocol_identified(CL4),
        server.on_protocol_disconnect(CL4),
        lambda function: server.bind_callback("ping", CL4, function),
        lambda function: server.bind_event(server.on_connect, function),
    ]
    for register in registrations:
        with pytest.raises(TypeError, match=f"must be a function, not {type(handler).__name__}"):
            register(handler)


@pytest.mark.parametrize(
    ("schema", "what"),
    [
        (None, "value of type NoneType"),
        ("clpv4", "value of type str"),
        ({}, "value of type dict"),
        (Other, "class Other"),
    ],
)
def test_a_command_belongs_to_a_protocol(server, schema, what):
    with pytest.raises(TypeError, match=r"write schema=protocol\.schema") as caught:
        server.on_command("ping", schema)(print)
    assert str(caught.value).startswith(
        f"the {what} is not a protocol schema, because it has no command_key: "
    )


@pytest.mark.parametrize("of", [protocol_of, lambda server: Clpv4])
def test_the_protocol_itself_is_not_its_schema(server, of):
    with pytest.raises(TypeError) as caught:
        server.on_command("ping", of(server))(print)
    assert str(caught.value) == (
        "schema is the protocol itself, but has to be its schema: "
        "write schema=protocol.schema, or schema=clpv4.schema in a script of your own"
    )


@pytest.mark.parametrize("event", ["on_connect", "on_message", "on_disconnect", "on_error"])
def test_bare_decorators_say_that_they_take_no_parentheses(server, event):
    with pytest.raises(TypeError, match=f"^write @server.{event} without parentheses$"):
        getattr(server, event)()


def test_the_error_for_a_missing_command_names_it(server):
    with pytest.raises(AttributeError, match="'Server' object has no attribute 'on_comand'") as caught:
        _ = server.on_comand
    assert caught.value.name == "on_comand"
    assert caught.value.obj is server


# Handlers that cannot be called.


def registrations(server):
    """Each way to register a handler, with what the sentence calls it and how many arguments handlers get."""
    return [
        (server.on_connect, "on_connect", 1),
        (server.on_message, "on_message", 2),
        (server.on_disconnect, "on_disconnect", 1),
        (server.on_error, "on_error", 2),
        (server.on_command("probe", CL4), "the command probe", 2),
        (server.on_exception(InternalError, CL4), "on_exception", 2),
        (server.on_disabled_command(CL4), "on_disabled_command", 2),
        (server.on_protocol_identified(CL4), "on_protocol_identified", 1),
        (server.on_protocol_disconnect(CL4), "on_protocol_disconnect", 1),
        (lambda handler: server.bind_callback("probe", CL4, handler), "the command probe", 2),
        (lambda handler: server.bind_event(server.on_error, handler), "on_error", 2),
    ]


async def nothing(): ...


async def one(client): ...


async def two(client, message): ...


async def three(client, message, more): ...


async def keyword(client, message=None, *, more): ...


class Methods:
    async def one(self, client): ...

    async def two(self, client, message): ...

    def __call__(self): ...


@pytest.mark.parametrize(
    "handler",
    [
        nothing,
        one,
        two,
        three,
        keyword,
        Methods().one,
        Methods().two,
        Methods(),
        partial(three, 1),
        partial(two, 1),
    ],
)
def test_a_handler_with_no_place_for_its_arguments_is_refused(server, handler):
    for register, event, count in registrations(server):
        arguments = [None] * count
        try:
            coroutine = handler(*arguments)
        except TypeError:
            with pytest.raises(
                TypeError, match=rf"^the handler .* of {event} \(.*test_hooks.py, line \d+\) must"
            ):
                register(handler)
        else:
            coroutine.close()
            register(handler)


def test_the_sentence_about_a_handler_names_its_place_and_what_it_has_to_take(server):
    line = one.__code__.co_firstlineno
    with pytest.raises(TypeError) as caught:
        server.on_command("probe", CL4)(one)
    sentence = str(caught.value)
    assert sentence.startswith("the handler one of the command probe (")
    assert sentence.endswith(f"test_hooks.py, line {line}) must take (client, message), not (client)")
    assert "probe" not in server.hooks.commands[CL4]


def wrapped(handler):
    """Decorate as others do: what is shown outside is not what is taken."""

    @wraps(handler)
    async def wrapper(client, message):
        await handler(client)

    return wrapper


async def anything(*arguments): ...


async def optional(client, message=None, more=None): ...


class Signed:
    __signature__ = inspect.signature(nothing)

    def __call__(self, client, message): ...


@pytest.mark.parametrize(
    "handler",
    [print, dict, anything, optional, wrapped(one), partial(three, more=1), Signed(), Mock(), AsyncMock()],
)
def test_a_handler_that_may_be_callable_is_taken(server, handler):
    server.on_command("probe", CL4)(handler)
    assert server.hooks.commands[CL4]["probe"].handlers == [handler]


def test_a_handler_of_empty_messages_may_be_one_of_old(server):
    """CloudLink 0.2.0 never calls them, and teaches by its own one to take the client alone."""
    server.on_exception(server.exceptions.EmptyMessage, CL4)(one)


def test_a_missing_command_cannot_be_unbound(server):
    server.unbind_command("ping", CL4)
    for cmd, schema in (("ping", CL4), ("no such command", CL4), ("ping", Other)):
        with pytest.raises(ValueError, match=f"There is no command '{cmd}' to unbind"):
            server.unbind_command(cmd, schema)


def test_an_unbound_command_is_invalid_until_it_is_bound_again(server, seen):
    server.bind_callback("ping", CL4, lambda client, message: seen.append("old"))
    server.unbind_command("ping", CL4)
    visitor = MemoryClient(server)
    assert codes(visitor.ask({"cmd": "ping"})) == [109]
    server.bind_callback("ping", CL4, lambda client, message: seen.append("new"))
    assert visitor.ask({"cmd": "ping"}) == []
    assert seen == ["new"]


def test_a_command_is_switched_off_and_on_once_each(server, seen):
    server.bind_callback("ping", CL4, lambda client, message: seen.append("handler"))
    server.on_message(lambda client, message: seen.append("message"))
    server.on_disabled_command(CL4)(lambda client, cmd: seen.append(("disabled", cmd)))
    visitor = MemoryClient(server)

    server.disable_command("ping", CL4)
    assert codes(visitor.ask({"cmd": "ping"})) == [110]
    assert seen == [("disabled", "ping")]
    with pytest.raises(ValueError, match="already disabled"):
        server.disable_command("ping", CL4)

    server.enable_command("ping", CL4)
    assert codes(visitor.ask({"cmd": "ping"})) == [100]
    assert seen[1:] == ["handler", "message"]
    with pytest.raises(ValueError, match="not disabled"):
        server.enable_command("ping", CL4)


def test_commands_and_handlers_are_shown_as_snapshots(server):
    server.bind_callback("dance", CL4, print)
    server.disable_command("dance", CL4)
    handlers, disabled = server.command_handlers, server.disabled_commands
    assert handlers[CL4]["dance"] == {print}
    assert "ping" in handlers[CL4]
    assert disabled[CL4] == {"dance"}
    server.unbind_command("dance", CL4)
    server.enable_command("dance", CL4)
    assert handlers[CL4]["dance"] == {print}
    assert disabled[CL4] == {"dance"}
    assert "dance" not in server.command_handlers[CL4]
    assert server.disabled_commands[CL4] == set()


# The registry alone, which knows no event loop.


def test_coroutines_are_handed_over_to_be_started():
    started, seen = [], []

    async def handler(client):
        seen.append(client)

    hooks = Hooks(started.append)
    hooks.run(of_event(handler), "client")
    assert seen == []
    (coroutine,) = started
    with pytest.raises(StopIteration):
        coroutine.send(None)
    assert seen == ["client"]


def test_mistakes_reach_the_handlers_of_that_kind_and_protocol_and_those_of_all():
    seen = []
    hooks = Hooks(lambda coroutine: None)
    hooks.report("client", CL4, KeyError, "details", "error")
    hooks.exception[KeyError, CL4] = of_event(lambda client, details: seen.append(("exception", details)))
    hooks.exception[KeyError, Other] = of_event(lambda client, details: seen.append("another protocol's"))
    hooks.exception[ValueError, CL4] = of_event(lambda client, details: seen.append("another kind"))
    hooks.report("client", CL4, KeyError, "details", "error")
    hooks.error.append(lambda client, error: seen.append(("error", error)))
    hooks.report("client", CL4, LookupError, "details", "error")
    assert seen == [("exception", "details"), ("error", "error")]


# Whatever a handler raises, the server goes on.


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize(
    "error",
    [SystemExit(2), KeyboardInterrupt(), GeneratorExit(), asyncio.CancelledError(), BaseException("x")],
)
def test_even_what_would_end_the_program_ends_in_the_log(server, caplog, is_async, error):
    def plain(client, message):
        raise error

    async def late(client, message):
        await asyncio.sleep(0)
        raise error

    async def scenario():
        server.bind_callback("explode", CL4, late if is_async else plain)
        visitor = MemoryClient(server, {"cmd": "explode"})
        await turns()
        assert codes(visitor.heard() if is_async else [*visitor.ask({"cmd": "ping"})])[-1:] == [
            105 if is_async else 100
        ]
        assert codes(visitor.ask({"cmd": "ping"})) == [100]

    during(scenario)
    assert [record.exc_info[1] for record in caplog.records] == [error]


def test_ctrl_c_goes_on_where_no_event_loop_has_taken_it(server):
    def interrupted(client):
        raise KeyboardInterrupt

    server.on_connect(interrupted)
    with pytest.raises(KeyboardInterrupt):
        MemoryClient(server)


def test_ctrl_c_that_the_event_loop_raises_goes_on(server):
    async def handler(client):
        handle = signal.getsignal(signal.SIGINT)
        handle(signal.SIGINT, None)  # the first one cancels the main task
        handle(signal.SIGINT, None)

    async def scenario():
        server.on_connect(handler)
        MemoryClient(server)
        await turns()

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(scenario())
    gc.collect()  # or asyncio logs the interrupted task in a later test


def test_ctrl_c_reaches_only_the_main_thread(server, caplog):
    def handler(client):
        raise KeyboardInterrupt

    server.on_connect(handler)
    thread = threading.Thread(target=MemoryClient, args=(server,))
    thread.start()
    thread.join()
    assert [record.exc_info[0] for record in caplog.records] == [KeyboardInterrupt]


def test_a_handler_that_is_ended_from_outside_is_not_logged(caplog):
    started = []
    hooks = Hooks(started.append)

    class Pause:
        def __await__(self):
            yield

    async def handler(client):
        await Pause()

    async def scenario():
        hooks.run(of_event(handler), "client")
        task = asyncio.ensure_future(started.pop())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    during(scenario)
    hooks.run(of_event(handler), "client")
    started[0].send(None)
    started[0].close()
    assert caplog.records == []


# Handlers that close other clients.


def test_a_chain_of_disconnections_does_not_recurse(server, seen):
    visitors = [MemoryClient(server, {"cmd": "ping"}) for _ in range(3000)]
    following = {visitor.client: after.client for visitor, after in itertools.pairwise(visitors)}

    @server.on_disconnect
    def close_next(client):
        if client in following:
            server.close_connection(following[client])
        seen.append(client)

    server.on_protocol_disconnect(CL4)(lambda client: seen.append(("protocol", client)))
    visitors[0].leave()
    clients = [visitor.client for visitor in visitors]
    assert [one for one in seen if not isinstance(one, tuple)] == clients
    assert {one[1] for one in seen if isinstance(one, tuple)} == set(clients)
    for client in clients[:100]:
        assert seen.index(client) < seen.index(("protocol", client))
    assert len(server.clients_manager) == 0


# Too many unfinished handlers.


@pytest.fixture
def gate():
    """Return what slow handlers wait for; it is made in the scenario's event loop."""
    return asyncio.Event()


def slow_server(gate, **settings):
    server = build({"implicit_greeting": False, **settings})
    server.begun = 0

    @server.on_command("slow", CL4)
    async def slow(client, message):
        server.begun += 1
        await gate.wait()
        protocol_of(server).send_statuscode(client, ("I", 100, "OK"), message=message)

    return server


def test_a_flood_of_a_slow_command_stays_bounded(gate, caplog):
    server = slow_server(gate, max_handlers_per_client=3)

    async def scenario():
        flooder, other = MemoryClient(server), MemoryClient(server)
        answers = flooder.ask(*[{"cmd": "slow", "listener": number} for number in range(10)])
        assert [answer["listener"] for answer in answers] == list(range(3, 10))
        assert answers[0] == {
            "cmd": "statuscode",
            "code": "E:108 | Refused",
            "code_id": 108,
            "details": "Too many of your requests are unfinished; this packet was dropped.",
            "listener": 3,
        }
        assert codes(flooder.ask({"cmd": "ping"})) == [100]
        assert other.ask({"cmd": "slow"}) == []
        await turns()
        assert server.begun == 4
        gate.set()
        await turns()
        assert codes(flooder.heard()) == [100] * 3
        assert flooder.ask({"cmd": "slow"}) == []
        await turns()
        assert codes(flooder.heard()) == [100]

    during(scenario)
    (line,) = [record.getMessage() for record in caplog.records]
    assert re.fullmatch(
        r"Handler slow \(tests/server/test_hooks\.py, line \d+\) of the command slow was not started "
        r"for Client \d+: 3 handlers are unfinished\.",
        line,
    )


def test_all_clients_together_are_bounded_too(gate):
    server = slow_server(gate, max_handlers=3)

    async def scenario():
        answers = [MemoryClient(server).ask({"cmd": "slow"}) for _ in range(4)]
        assert [codes(answer) for answer in answers] == [[], [], [], [108]]
        assert (
            answers[3][0]["details"]
            == "Too many requests are unfinished on this server; this packet was dropped."
        )
        await turns()
        gate.set()
        await turns()

    during(scenario)


def test_a_server_without_limits_has_no_bound(gate):
    server = slow_server(gate, max_handlers=3, max_handlers_per_client=3, limits=False)

    async def scenario():
        assert MemoryClient(server).ask(*[{"cmd": "slow"}] * 10) == []
        await turns()
        gate.set()
        await turns()
        assert server.begun == 10

    during(scenario)


def test_events_of_packets_are_left_out_and_those_of_connections_are_not(gate, seen):
    server = slow_server(gate, max_handlers_per_client=2)

    def note(event):
        async def handler(client, *_details):
            seen.append(event)

        return handler

    for event in ("on_connect", "on_message", "on_error", "on_disconnect"):
        getattr(server, event)(note(event))
    server.on_protocol_identified(CL4)(note("identified"))
    server.on_disabled_command(CL4)(note("disabled"))
    server.on_message(lambda client, message: seen.append("plain"))
    server.disable_command("link", CL4)

    async def scenario():
        visitor = MemoryClient(server)
        await turns()
        visitor.say({"cmd": "ping"})
        await turns()
        assert seen == ["on_connect", "plain", "identified", "on_message"]
        seen.clear()
        visitor.say({"cmd": "slow"})
        await turns()
        assert seen == ["plain", "on_message"]
        seen.clear()
        visitor.say({"cmd": "slow"}, {"cmd": "slow"}, {"cmd": "link", "val": 1}, "{")
        visitor.leave()
        await turns()
        assert seen == ["plain", "plain", "on_disconnect"]
        gate.set()
        await turns()

    during(scenario)


# Mistakes in how decorators are written.


def function(client): ...


@pytest.mark.parametrize(
    ("mistake", "sentence"),
    [
        (
            lambda server: server.on_command(function),
            'write @server.on_command(cmd="…", schema=protocol.schema), with both in parentheses',
        ),
        (
            lambda server: server.on_command("ping"),
            'write @server.on_command(cmd="…", schema=protocol.schema), with both in parentheses',
        ),
        (
            lambda server: server.on_exception(function),
            "write @server.on_exception(exception_type, schema), with both in parentheses",
        ),
        (
            lambda server: server.on_disabled_command(function),
            "write @server.on_disabled_command(schema=protocol.schema), with the schema in parentheses",
        ),
        (
            lambda server: server.on_protocol_identified(function),
            "write @server.on_protocol_identified(schema=protocol.schema), with the schema in parentheses",
        ),
        (
            lambda server: server.on_protocol_disconnect(function),
            "write @server.on_protocol_disconnect(schema=protocol.schema), with the schema in parentheses",
        ),
        (
            lambda server: server.every(function),
            "write @server.every(seconds), with the seconds between two calls in parentheses",
        ),
        (lambda server: server.on_start(), "write @server.on_start without parentheses"),
        (lambda server: server.on_stop(), "write @server.on_stop without parentheses"),
        (lambda server: server.on_start(5), "a handler must be a function, not int"),
        (lambda server: server.every(1)(5), "a handler must be a function, not int"),
    ],
)
def test_a_decorator_that_is_written_wrongly_says_how_to_write_it(server, mistake, sentence):
    with pytest.raises(TypeError) as caught:
        mistake(server)
    assert str(caught.value) == sentence


@pytest.mark.parametrize("register", ["on_start", "on_stop", "every"])
def test_handlers_of_the_servers_life_take_nothing(server, register):
    decorator = server.every(1) if register == "every" else getattr(server, register)
    with pytest.raises(TypeError) as caught:
        decorator(function)
    line = function.__code__.co_firstlineno
    assert str(caught.value) == (
        f"the handler function of {register} (tests/server/test_hooks.py, line {line}) must take (), not (client)"
    )


class Forgetful:
    async def hello(client): ...  # noqa: N805  # the mistake that is named


def test_a_forgotten_self_is_reported(server):
    line = Forgetful.hello.__code__.co_firstlineno
    with pytest.raises(TypeError) as caught:
        server.on_connect(Forgetful().hello)
    assert str(caught.value) == (
        f"the handler hello of on_connect (tests/server/test_hooks.py, line {line}) "
        "must take (self, client), not (client)"
    )


def test_bind_event_with_the_classs_own_event_says_so(server):
    with pytest.raises(ValueError) as caught:
        server.bind_event(type(server).on_connect, function)
    assert str(caught.value).endswith(
        "server.on_error of the server object, not PluginAPI.on_connect of its class."
    )


def test_two_plugins_that_answer_one_new_command_are_both_named(server, caplog):
    namespace = {}
    exec(compile("\n\ndef dance(client, message): ...", "other.py", "exec"), namespace)

    def dance(client, message): ...

    for handler in (dance, lambda client, message: None, namespace["dance"], namespace["dance"]):
        server.bind_callback("dance", CL4, handler)
        server.bind_callback("ping", CL4, handler)
    (record,) = caplog.records
    line = dance.__code__.co_firstlineno
    assert record.getMessage() == (
        f"Two plugins answer the command dance: dance (tests/server/test_hooks.py, line {line}) and dance "
        "(other.py, line 3). Clients get both answers; rename one of the commands."
    )


def test_a_handler_that_fails_again_and_again_does_not_fill_the_log(caplog):
    def broken():
        raise AssertionError  # its name is all that is used

    for _ in range(100):
        log_failure(broken, "on_start", ValueError("no"))
    assert 20 <= caplog.text.count("raised ValueError") < 50
    _budgets[describe(broken)].give_back(1)
    log_failure(broken, "on_start", ValueError("no"))
    assert re.search(r"raised ValueError\. [5-8]\d more exceptions of it are not in the log\.", caplog.text)
