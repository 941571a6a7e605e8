"""Starting and stopping the server, as a process and inside one."""

import asyncio
import gc
import json
import logging
import signal
import sys
import weakref

import pytest

from cloudlink.cli import main
from cloudlink.errors import StartError
from cloudlink.server.app import Server
from cloudlink.server.protocols.clpv4 import Clpv4
from cloudlink.settings import Settings
from tests.support.memoryclients import named
from tests.support.process import CLOUDLINK, ServerProcess
from tests.support.rawclients import connect, running
from tests.support.servers import build


@pytest.fixture
def program():
    """`main`; what it sets for the whole process is undone afterwards."""
    handlers, threshold = logging.root.handlers[:], gc.get_threshold()
    yield main
    logging.root.handlers[:] = handlers
    gc.set_threshold(*threshold)


@pytest.mark.parametrize(
    ("event_loop", "signal_number"), [("asyncio", signal.SIGINT), ("uvloop", signal.SIGTERM)]
)
def test_both_event_loops_serve_and_signals_stop_in_order_with_exit_status_0(event_loop, signal_number):
    async def play(process):
        peer = await connect(process.port)
        peer.send('{"cmd":"gmsg","val":"hello"}')
        while b"hello" not in (await peer.receive())[1]:
            pass
        process.process.send_signal(signal_number)
        closed = await peer.receive_close()
        peer.writer.write(b"\x88\x82\0\0\0\0\x03\xe9")
        await peer.at_end()
        peer.leave()
        await asyncio.sleep(0)
        return closed

    with ServerProcess("--event-loop", event_loop) as process:
        assert asyncio.run(play(process)) == (1001, "The server is shutting down")
        assert process.stop(None) == 0
        assert "Traceback" not in "".join(process.lines)


def test_a_server_in_every_network_says_an_address_that_can_be_used():
    with ServerProcess("--host", "0.0.0.0") as process:
        assert f"connect to ws://127.0.0.1:{process.port}/" in process.lines[-1]
        process.process.send_signal(signal.SIGHUP)  # without TLS it changes nothing
        assert process.stop() == 0


def test_the_error_for_a_missing_uvloop_names_the_command_that_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "uvloop", None)
    server = Server()
    server.settings.set("event_loop", "uvloop")
    with pytest.raises(StartError) as caught:
        server.serve(port=0)
    assert str(caught.value).endswith(f"install it with: {sys.executable} -m pip install uvloop")


def test_port_in_use_is_one_sentence_and_exit_status_1():
    with ServerProcess() as first, ServerProcess("--port", str(first.port)) as second:
        assert second.stop() == 1
        text = "".join(second.lines).strip()
        assert len(text.splitlines()) == 1
        assert f"Port {first.port} is already in use" in text


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--host", "203.0.113.9"), "does not belong to this machine"),
        (("--host", "no.such.host.invalid"), "There is no address called no.such.host.invalid"),
        (("--host", "no.such.host.invalid"), "; set host (flag --host, environment variable HOST) to "),
        (
            ("--tls-certificate", "no.pem", "--tls-key", "no.pem"),
            "no.pem: No such file or directory; check the path in the setting tls_certificate, and that this user",
        ),
        (("--plugin", "no_such_module:Plugin"), "no_such_module"),
        (("--max-clients", "0"), "max_clients"),
    ],
)
def test_a_failed_start_prints_one_sentence_with_exit_status_1(arguments, sentence, capfd, program):
    assert program([*CLOUDLINK[3:], "--port", "0", *arguments]) == 1
    text = capfd.readouterr().err.strip()
    assert sentence in text
    assert len(text.splitlines()) == 1


def test_a_script_that_cannot_start_says_why_without_a_traceback():
    script = "from cloudlink import server; s = server(); s.run(ip='203.0.113.9')"
    with ServerProcess(script=script) as process:
        assert process.stop() == 1
        assert "".join(process.lines).startswith("CloudLink cannot start: The address 203.0.113.9")


def test_a_wrong_setting_in_the_environment_ends_a_script_with_one_sentence():
    with ServerProcess(
        script="from cloudlink import server; server()", CLOUDLINK_MAX_CLIENTS="many"
    ) as process:
        assert process.stop() == 1
        assert len(process.lines) == 1
        assert "CLOUDLINK_MAX_CLIENTS" in process.lines[0]


def test_the_environment_applies_to_scripts_and_arguments_win():
    script = (
        "from cloudlink import server; s = server(); print(s.settings.motd, flush=True); "
        "s.logging.basicConfig(level=20); s.run(port=0)"
    )
    with ServerProcess(script=script, PORT="1", CLOUDLINK_MOTD="hello") as process:
        assert process.port > 1
        process.process.send_signal(signal.SIGTERM)
        assert process.process.stdout.read() == "hello\n"
        assert process.process.wait(20) == 0


@pytest.mark.parametrize(
    ("value", "error"), [("5", TypeError), (True, TypeError), (0, ValueError), (-2, ValueError)]
)
def test_a_bad_max_clients_is_refused_when_the_server_starts(value, error):
    server = Server()
    server.max_clients = value
    with pytest.raises(error):
        server.run(port=0)


def test_a_handler_that_is_quick_finishes_and_a_slow_one_is_stopped():
    done = []

    async def scenario():
        async with running(shutdown_timeout=0.2) as server:
            server.on_disconnect(finish_soon)
            server.on_disconnect(never_finish)
            await connect(server.port)

    async def finish_soon(_client):
        await asyncio.sleep(0)
        done.append("quick")

    async def never_finish(_client):
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            done.append("stopped")
            raise

    asyncio.run(scenario())
    assert done == ["quick", "stopped"]


def test_stopping_accepts_nobody_any_more_and_may_be_asked_twice():
    async def scenario():
        async with running() as server:
            port = server.port
            await server.stop()
            await server.stop()
            with pytest.raises(OSError):
                await connect(port)

    asyncio.run(scenario())


def test_a_server_starts_again_after_it_has_stopped():
    async def scenario():
        async with running(implicit_greeting=False) as server:
            await server.stop()
            await server.start("127.0.0.1", 0)
            peer = await connect(server.port)
            peer.send('{"cmd":"ping"}')
            assert json.loads((await peer.receive())[1])["code_id"] == 100

    asyncio.run(scenario())


def test_enable_ssl_with_bad_files_is_logged_and_keeps_the_server_from_starting(caplog):
    server = Server()
    server.enable_ssl("no.pem", "no.key")
    assert not server.ssl_enabled
    assert "no.pem" in caplog.text
    with pytest.raises(StartError, match=r"no\.pem"):
        server.serve(port=0)


def test_a_version_that_would_mislead_clients_is_refused():
    server = Server()
    with pytest.raises(StartError, match=r"0\.2\."):
        server.version = "1.0"
    server.version = "MyServer 1.4 (CL 0.2.0)"
    assert server.version == "MyServer 1.4 (CL 0.2.0)"


def test_frames_waiting_when_a_server_stopped_do_not_delay_the_next_start():
    server = Server(Settings(implicit_greeting=False))
    Clpv4(server)

    async def scenario():
        server.delivery.coalescer.wait = 0.0
        await server.start("127.0.0.1", 0)
        peer = await connect(server.port)
        peer.send('{"cmd":"ping"}')
        assert b"I:100" in (await asyncio.wait_for(peer.receive(), 5))[1]
        server.delivery.coalescer.wait = 30.0
        server.send_packet(next(iter(server.clients_manager)), {"cmd": "late"})
        stopping = asyncio.ensure_future(server.stop())
        assert b"late" in (await asyncio.wait_for(peer.receive(), 5))[1]
        peer.leave()
        await stopping
        await asyncio.sleep(0)

    asyncio.run(scenario())
    asyncio.run(scenario())


def test_a_part_that_cannot_start_closes_the_port_again():
    async def scenario():
        async with running() as server:
            port = server.port
            await server.stop()

            def fail(_call_soon):
                raise StartError("no room")

            server.hooks.protocol_start.append(fail)
            with pytest.raises(StartError, match="no room"):
                await server.start("127.0.0.1", port)
            with pytest.raises(OSError):
                await connect(port)
            server.hooks.protocol_start.remove(fail)
            await server.start("127.0.0.1", port)
            await connect(port)

    asyncio.run(scenario())


def test_a_regular_task_that_fails_keeps_no_other_from_its_work(caplog):
    server = Server()
    done = []
    server.hooks.protocol_tick.extend([lambda: 1 / 0, lambda: done.append(True)])
    server._tick()
    assert done == [True]
    assert "ZeroDivisionError" in caplog.text


# Mistakes in how the server is run.


def test_running_inside_a_running_loop_says_what_to_write_there():
    async def scenario():
        Server().run()

    with pytest.raises(
        RuntimeError, match=r"^server\.run\(\) was called where an event loop runs already; write await"
    ):
        asyncio.run(scenario())


@pytest.mark.parametrize("is_overridden", [False, True])
def test_a_server_without_protocols_says_so(is_overridden, caplog):
    async def echo(client, message):
        await client.send(message)

    async def scenario():
        server = Server()
        if is_overridden:
            server.message_processor = echo
        await server.start("127.0.0.1", 0)
        await server.stop()

    asyncio.run(scenario())
    said = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert [
        text.startswith("This server has no protocol, so every client is turned away: write ")
        for text in said
    ] == ([] if is_overridden else [True])


def test_a_server_that_nobody_uses_any_more_is_freed():
    server = build()
    named(server, "alice").leave()
    gone = weakref.ref(server)
    del server
    gc.collect()
    assert gone() is None
