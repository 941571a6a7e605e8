"""`client()`, as scripts for CloudLink 0.2.0 use it; a whole script of theirs is in tests/real_clients."""

import asyncio
import gc
import json
import logging
import ssl
import weakref
from pathlib import Path

import pytest
import trustme

from cloudlink import client
from cloudlink.client.classic_removed import REMOVED
from cloudlink.client.classic_rules import validation_errors
from tests.client.upstream import ATTRIBUTES, EXCEPTIONS, PROTOCOL_ATTRIBUTES
from tests.support.fakeservers import greet, ok, websocket_server
from tests.support.servers import restartable_server

LIMIT = 20.0  # seconds


def play(c, handler=None, **settings):
    """Run a client until it ends, against a scripted server or against ours; return what `seen` got."""

    async def scenario():
        server = websocket_server(handler) if handler else restartable_server(**settings)
        async with asyncio.timeout(LIMIT), server as host:
            await asyncio.to_thread(c.run, host if handler else host.url)

    asyncio.run(scenario())


def noting(c, *events):
    """Bind a handler that notes what it is called with to each event."""
    seen = []

    def bind(name):
        async def note(*details):
            seen.append((name, *details))

        getattr(c, name)(note)

    for event in events:
        bind(event)
    return seen


def saying(*texts):
    """A server that greets, says these, and closes."""

    async def handler(socket):
        await greet(socket)
        for text in texts:
            await socket.send(text if isinstance(text, (str, bytes)) else json.dumps(text))

    return handler


def test_events_come_as_they_should():
    c = client()
    seen = noting(
        c,
        "on_initial_connect",
        "on_client_ip",
        "on_server_version",
        "on_client_obj",
        "on_connect",
        "on_username_set",
        "on_disconnect",
    )

    @c.on_connect
    async def connected():
        assert c.protocol.generate_user_object()["id"] != ""
        await c.protocol.set_username("alice")
        assert c.protocol.generate_user_object()["username"] == "alice"
        c.disconnect()

    play(c)
    assert [name for name, *_ in seen] == [
        "on_initial_connect",
        "on_client_ip",
        "on_server_version",
        "on_client_obj",
        "on_connect",
        "on_username_set",
        "on_disconnect",
    ]
    assert seen[1] == ("on_client_ip", {"cmd": "client_ip", "val": "127.0.0.1"})
    user = seen[3][1]["val"]
    assert seen[5] == ("on_username_set", user["id"], "alice", user["uuid"])


def test_decorators_return_the_function():
    c = client()

    async def handler(*_):
        pass

    for name in dir(c):
        if name in ("on_command", "on_listener", "on_exception"):
            assert getattr(c, name)("x")(handler) is handler
        elif name.startswith("on_"):
            assert getattr(c, name)(handler) is handler


def test_garbage_is_an_error_and_not_the_end():
    c = client()
    errors = noting(c, "on_error", "on_gmsg", "on_message")
    details = []
    for name in ("EmptyMessage", "JSONError", "ValidationError", "UnknownCommand"):

        @c.on_exception(getattr(c.exceptions, name))
        async def note(what, name=name):
            details.append((name, what))

    play(
        c,
        saying(
            "Server is full!",
            "",
            "[]",
            {"cmd": "gmsg", "val": None},
            {"cmd": "gvar", "val": 1, "name": 5},
            {"cmd": "never heard of", "val": 1},
            {"cmd": "gmsg", "val": "fine", "rooms": "default"},
        ),
    )
    assert [name for name, _ in details] == [
        "JSONError",
        "EmptyMessage",
        "ValidationError",
        "ValidationError",
        "ValidationError",
        "UnknownCommand",
    ]
    kinds = [what for name, what in errors if name == "on_error"]
    assert kinds[1:] == [
        c.exceptions.EmptyMessage,
        {"cmd": ["required field"]},
        {"val": ["null value not allowed"]},
        {"name": ["must be of string type"]},
        "Unknown command",
    ]
    fine = {"cmd": "gmsg", "val": "fine", "rooms": "default"}
    assert ("on_gmsg", fine) in errors
    assert ("on_message", fine) in errors


def test_a_command_with_a_handler_is_known_and_listeners_are_called():
    c = client()
    seen = noting(c, "on_error")
    c.on_command("plugin")(c.on_listener("L")(c.on_message(seen.append)))
    packet = {"cmd": "plugin", "val": 1, "listener": "L"}
    play(c, saying(packet))
    assert seen.count(packet) == 3
    assert [one for one in seen if isinstance(one, tuple)] == []


def test_waiting_has_a_time_out_and_one_waiter():
    async def handler(socket):
        await greet(socket)
        await socket.wait_closed()

    c = client()
    raised, words = [], []

    @c.on_connect
    async def connected():
        waiting = asyncio.create_task(c.wait_for_listener("L"))
        await asyncio.sleep(0)
        for call in (
            lambda: c.wait_for_listener("L"),
            lambda: c.send_packet_and_wait({"cmd": "ping"}),
            lambda: c.send_packet_and_wait({"cmd": "ping", "listener": 1}, timeout=0.01),
            lambda: c.send_packet_and_wait({"cmd": "ping", "listener": 1, "val": object()}),
            lambda: c.wait_for_listener(1, timeout=0.01),
        ):
            try:
                await call()
            except Exception as error:  # noqa: BLE001  # which one is the test
                raised.append(type(error))
                words.append(str(error))
        waiting.cancel()
        c.disconnect()

    play(c, handler)
    assert raised[:2] == [c.exceptions.ListenerExists, KeyError]
    assert issubclass(raised[2], TimeoutError)
    assert raised[3] is TypeError
    assert issubclass(raised[4], TimeoutError)
    assert words[4] == "Nothing with the listener 1 came in time."
    assert c._waiting == {}


def test_a_second_answer_with_a_listener_disturbs_nobody(caplog):
    answers = []
    packets = [{"cmd": "plugin", "val": number, "listener": "L"} for number in range(3)]
    c = client()

    @c.on_initial_connect
    async def wait():
        answers.append(await c.wait_for_listener("L"))

    seen = noting(c, "on_error")
    play(c, saying(*packets))
    assert answers == packets[:1]
    assert caplog.records == []
    assert len(seen) <= 2, "as nobody waits any more, the command is unknown"


def test_a_listener_that_nobody_waits_for_makes_no_command_known():
    c = client()
    unknown = []
    c.on_exception(c.exceptions.UnknownCommand)(unknown.append)
    play(c, saying({"cmd": "strange", "listener": "nobody's"}))
    assert unknown == ["strange"]


def test_an_answer_reaches_its_waiter():
    async def handler(socket):
        await greet(socket)
        async for text in socket:
            await socket.send(json.dumps(ok(json.loads(text))))

    c = client()
    answers = []

    @c.on_connect
    async def connected():
        answers.extend(
            await asyncio.gather(
                c.send_packet_and_wait({"cmd": "ping", "listener": 0}),
                c.send_packet_and_wait({"cmd": "ping", "listener": "x"}),
            )
        )
        c.disconnect(1000, "done")

    play(c, handler)
    assert [answer["listener"] for answer in answers] == [0, "x"]


def test_a_refused_name_is_logged_and_nobody_hangs(caplog):
    c = client()
    seen = noting(c, "on_username_set", "on_statuscode")

    @c.on_connect
    async def connected():
        await c.protocol.set_username("")
        c.disconnect()

    with caplog.at_level(logging.ERROR):
        play(c)
    assert "refuses the username" in caplog.text
    assert [one[1]["code_id"] for one in seen if one[0] == "on_statuscode"] == [100, 108]
    assert [one for one in seen if one[0] == "on_username_set"] == []


def test_a_refused_handshake_ends_it(caplog):
    c = client()
    seen = noting(c, "on_connect", "on_disconnect")
    with caplog.at_level(logging.ERROR):
        play(c, disabled_commands=["handshake"])
    assert seen == [("on_disconnect",)]
    assert "E:110" in caplog.text


def test_text_from_a_server_begins_no_line_of_the_log(caplog):
    refusal = {"cmd": "statuscode", "code": "E:1\nfake", "code_id": 1, "listener": "init_handshake"}
    play(client(), saying(refusal))
    assert "refuses the handshake: E:1\\x0afake" in caplog.text


def test_a_failing_handler_harms_no_other(caplog):
    c = client()
    seen = noting(c, "on_gmsg", "on_error")
    told = []

    @c.on_gmsg
    async def fails(message):
        raise ValueError("oops")

    @c.on_exception(c.exceptions.InternalError)
    async def fails_too(details):
        told.append(details)
        raise ValueError("again")

    play(c, saying({"cmd": "gmsg", "val": 1}, {"cmd": "gmsg", "val": 2}))
    assert [one[1]["val"] for one in seen if one[0] == "on_gmsg"] == [1, 2]
    assert told == ["Unexpected exception was raised: oops"] * 2
    assert "oops" in caplog.text


def test_nothing_listens(caplog):
    with pytest.raises(ConnectionRefusedError):
        client().run("ws://127.0.0.1:1")
    assert "Nothing listens" in caplog.text


def test_it_runs_again():
    c = client()
    seen = noting(c, "on_connect", "on_disconnect")
    c.on_connect(c.disconnect)
    play(c)
    c.disconnect()
    c.send_packet({"cmd": "ping"})
    assert (c._socket, c._tasks) == (None, set())
    play(c)
    assert [name for (name,) in seen] == ["on_connect", "on_disconnect"] * 2


def test_sending_without_a_connection_does_nothing():
    client().send_packet({"cmd": "ping"})
    client().disconnect()


def test_ctrl_c_ends_quietly(caplog):
    caplog.set_level(logging.WARNING, "cloudlink.client.picows")  # which tells of what fails in its callbacks
    c = client()

    @c.on_connect
    def connected():
        raise KeyboardInterrupt

    play(c, saying())
    assert caplog.text == ""


def test_certificates_are_really_used(tmp_path, caplog):
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    issued = authority.issue_cert("localhost")
    issued.private_key_pem.write_to_path(tmp_path / "key.pem")
    (tmp_path / "cert.pem").write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))

    def connects(c):
        async def scenario():
            settings = {"tls_certificate": str(tmp_path / "cert.pem"), "tls_key": str(tmp_path / "key.pem")}
            async with asyncio.timeout(LIMIT), restartable_server(**settings) as host:
                c.on_connect(c.disconnect)
                await asyncio.to_thread(c.run, f"wss://localhost:{host.port}")

        asyncio.run(scenario())

    with pytest.raises(ssl.SSLCertVerificationError):
        connects(client())
    c = client()
    c.enable_ssl(str(tmp_path / "nowhere.pem"))
    assert not c.ssl_enabled
    assert "nowhere.pem" in caplog.text
    c.enable_ssl(str(tmp_path / "authority.pem"))
    assert c.ssl_enabled
    connects(c)


@pytest.mark.parametrize(
    ("packet", "wrong"),
    [
        ({"cmd": "gmsg", "val": {"a": None}, "rooms": ["r"], "listener": False}, {}),
        ({"cmd": "statuscode", "code": "x", "code_id": "100"}, {"code_id": ["must be of integer type"]}),
        ({"cmd": 5}, {"cmd": ["must be of string type"]}),
        ("text", {"cmd": ["required field"]}),
    ],
)
def test_packets_that_raise_errors(packet, wrong):
    assert validation_errors(packet) == wrong


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_each_attribute_of_the_old_client_is_there_or_says_what_takes_its_place(name):
    c = client()
    if name not in REMOVED:
        assert getattr(c, name, "absent") != "absent"
        return
    assert not hasattr(c, name)
    with pytest.raises(AttributeError) as caught:
        getattr(c, name)
    assert str(caught.value).startswith(f"client() has no attribute {name} any more. Its successor is ")
    assert REMOVED[name] in str(caught.value)


def test_only_attributes_of_the_old_client_are_explained():
    assert set(REMOVED) <= set(ATTRIBUTES)
    with pytest.raises(AttributeError, match=r"^'Client' object has no attribute 'nonsense'$"):
        client().nonsense  # noqa: B018  # reading it is the test


def test_the_parts_of_the_old_client_have_all_attributes():
    c = client()
    assert [name for name in PROTOCOL_ATTRIBUTES if not hasattr(c.protocol, name)] == []
    assert [name for name in EXCEPTIONS if not hasattr(c.exceptions, name)] == []


def test_the_page_about_migrating_has_every_attribute_that_is_gone():
    page = (Path(__file__).parents[2] / "docs" / "migrating.md").read_text(encoding="utf-8")
    assert [name for name in REMOVED if f"`{name}`" not in page] == []


def test_an_answer_with_a_command_of_a_plugin_comes_to_the_caller_that_waits():
    async def handler(socket):
        await greet(socket)
        request = json.loads(await socket.recv())
        await socket.send(json.dumps({"cmd": "rolled", "val": 6, "listener": request["listener"]}))
        await socket.wait_closed()

    c = client()
    errors = noting(c, "on_error")
    answers = []

    @c.on_connect
    async def connected():
        answers.append(await c.send_packet_and_wait({"cmd": "roll", "listener": "L"}, timeout=10))
        c.disconnect()

    play(c, handler)
    assert answers == [{"cmd": "rolled", "val": 6, "listener": "L"}]
    assert errors == []


@pytest.mark.parametrize("greeted", [True, False])
@pytest.mark.parametrize(("code", "logged"), [(1000, False), (1001, False), (1008, True), (4004, True)])
def test_the_log_says_why_a_connection_was_ended(code, logged, greeted, caplog):
    async def handler(socket):
        if greeted:
            await greet(socket)
        await socket.close(code, "You were kicked\n")

    c = client()
    seen = noting(c, "on_disconnect")
    play(c, handler)
    assert seen == [("on_disconnect",)]
    assert (f"The server closed the connection with {code} (You were kicked\\x0a)." in caplog.text) == logged


def test_a_handler_that_waits_is_not_lost_to_the_garbage_collector():
    async def wait():
        await asyncio.get_running_loop().create_future()

    async def scenario():
        owner = client()
        kept = weakref.ref(owner._spawn(wait()))
        await asyncio.sleep(0)
        gc.collect()
        assert kept() is not None
        kept().cancel()

    asyncio.run(scenario())


def test_a_socket_that_ends_before_or_after_the_run_disturbs_nobody():
    c = client()
    c.connection_lost(1006, "")
