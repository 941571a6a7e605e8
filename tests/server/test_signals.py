"""Signals: a terminal that is closed, and a server whose event loop hangs."""

from __future__ import annotations

import asyncio
import os
import pty
import re
import signal
import subprocess
import sys

import pytest

from cloudlink.hangup import hangup_means_stop
from cloudlink.server import signals
from tests.support.rawclients import ask, connect, request

COMMAND = [sys.executable, "-m", "cloudlink", "serve", "--port", "0", "--no-storage", "--plugins-folder", ""]

BLOCKING = """
import time

def blocking(server, protocol):
    @server.on_command(cmd="block", schema=protocol.schema)
    def block(client, message):
        while True:
            server.logger.info("Blocked.")
            time.sleep(600)
"""
PATIENT = """
import asyncio

def patient(server, protocol):
    @server.on_disconnect
    async def wait(client):
        server.logger.info("Waiting.")
        await asyncio.sleep(600)
"""


def wait_for(stream, pattern):
    """Read lines until one matches; return the match and what was read."""
    read = []
    for line in stream:
        read.append(line)
        if match := re.search(pattern, line):
            return match, read
    raise AssertionError(f"nothing matched {pattern}: {read}")


async def send(port, *packets):
    peer = await connect(port)
    for packet in packets:
        peer.send(packet)
    await asyncio.sleep(0)  # written before the connection goes
    return peer


class Server:
    """A process whose standard error is read line by line."""

    def __init__(self, *arguments):
        self.process = subprocess.Popen(
            [*COMMAND, *arguments],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            match, self.first_lines = wait_for(self.process.stderr, r"connect to ws://\S+:(\d+)/")
            self.port = int(match[1])
        except BaseException:  # the time limit of the test, which the process is not to outlive
            self.__exit__()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        self.process.kill()
        self.process.wait()
        self.process.stderr.close()

    def send_signal(self, number):
        self.process.send_signal(number)

    def see(self, pattern):
        return wait_for(self.process.stderr, pattern)[0]

    def end(self):
        _, rest = self.process.communicate(timeout=20)
        return self.process.returncode, rest


@pytest.fixture
def plugin(tmp_path):
    def write(text):
        file = tmp_path / "plugin.py"
        file.write_text(text)
        return str(file)

    return write


@pytest.mark.parametrize("event_loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_ends_a_server_that_hangs_and_says_where(plugin, event_loop, number):
    async def block(port):
        peer = await send(port, '{"cmd":"block"}')
        await asyncio.to_thread(server.see, "Blocked")
        peer.leave()

    file = plugin(BLOCKING)
    with Server("--event-loop", event_loop, "--plugin", file) as server:
        asyncio.run(block(server.port))
        server.send_signal(number)
        with pytest.raises(subprocess.TimeoutExpired):
            server.process.wait(0.3)
        server.send_signal(number)
        status, rest = server.end()

    assert status == 1
    assert "CloudLink has not reacted to the signal before." in rest
    assert f'File "{file}", line 9 in block' in rest


@pytest.mark.parametrize("event_loop", ["asyncio", "uvloop"])
def test_a_second_signal_leaves_a_server_that_is_stopping_its_time(plugin, event_loop):
    async def leave(port):
        peer = await send(port, '{"cmd":"ping"}')
        await peer.receive()
        server.send_signal(signal.SIGTERM)
        await asyncio.to_thread(server.see, "Waiting")
        server.send_signal(signal.SIGTERM)
        peer.leave()

    arguments = ("--event-loop", event_loop, "--plugin", plugin(PATIENT), "--shutdown-timeout", "1.5")
    with Server(*arguments) as server:
        asyncio.run(leave(server.port))
        status, rest = server.end()

    assert status == 0
    assert "Stopped 1 handlers that were still running: wait (" in rest
    assert "not reacted" not in rest


def test_handlers_are_those_of_before_afterwards():
    async def main():
        with signals.handled(lambda: None, lambda: None, lambda: None):
            assert signal.getsignal(signal.SIGTERM) is not before
        return signal.getsignal(signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    assert asyncio.run(main()) is before


def test_another_thread_keeps_the_handlers_as_they_are():
    async def main():
        with signals.handled(lambda: None, lambda: None, lambda: None):
            return signal.getsignal(signal.SIGTERM)

    async def in_a_thread():
        return await asyncio.to_thread(asyncio.run, main())

    assert asyncio.run(in_a_thread()) is signal.getsignal(signal.SIGTERM)


def test_sighup_reads_the_settings_again_where_there_is_no_terminal():
    with Server() as server:
        server.send_signal(signal.SIGHUP)
        assert server.see("The settings were read again: nothing has changed")
        server.send_signal(signal.SIGTERM)
        assert server.end()[0] == 0


def test_sigterm_lets_players_go_on_for_a_while_and_turns_newcomers_away():
    async def play(port):
        peer = await send(port, '{"cmd":"handshake"}')
        await peer.receive()
        server.send_signal(signal.SIGTERM)
        await asyncio.to_thread(server.see, "CloudLink stops in 0.8 seconds")
        newcomer = await connect(port)
        refused = await newcomer.receive_close()
        ready = await ask(port, request({"Host": "localhost"}, "/ready"))
        closed = await peer.receive_close()
        peer.leave()
        newcomer.leave()
        return refused[0], ready, closed[0]

    with Server("--drain-time", "0.8") as server:
        refused, ready, closed = asyncio.run(play(server.port))
        status, rest = server.end()

    assert (refused, closed, status) == (1013, 1001, 0)
    assert ready.startswith("HTTP/1.1 503")
    assert ready.endswith('{"status":"draining"}')
    assert "CloudLink has stopped" in rest


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_cuts_the_drain_short(second):
    async def play(port):
        peer = await send(port, '{"cmd":"handshake"}')
        await peer.receive()
        server.send_signal(signal.SIGTERM)
        await asyncio.to_thread(server.see, "CloudLink stops in 600 seconds")
        server.send_signal(second)
        closed = await peer.receive_close()
        peer.leave()
        return closed[0]

    with Server("--drain-time", "600") as server:
        assert asyncio.run(play(server.port)) == 1001
        assert server.end()[0] == 0


def test_nobody_is_waited_for_where_nobody_is():
    with Server("--drain-time", "600") as server:
        server.send_signal(signal.SIGTERM)
        assert server.end()[0] == 0


def in_a_terminal(tmp_path, *, hangup=signal.SIG_DFL):
    """Start a server in a terminal of its own; return its process id and the terminal's other end."""
    pid, terminal = pty.fork()
    if pid == 0:
        signal.signal(signal.SIGHUP, hangup)
        os.chdir(tmp_path)
        os.execv(COMMAND[0], COMMAND)
    return pid, terminal


def read_until(terminal, words):
    text = b""
    while words not in text:
        text += os.read(terminal, 4096)
    return text


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded")
def test_closing_the_terminal_stops_the_server(tmp_path):
    pid, terminal = in_a_terminal(tmp_path)
    read_until(terminal, b"CloudLink is running")

    os.close(terminal)

    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded")
def test_sighup_stops_a_server_that_has_a_terminal(tmp_path):
    pid, terminal = in_a_terminal(tmp_path)
    read_until(terminal, b"CloudLink is running")

    os.kill(pid, signal.SIGHUP)
    read_until(terminal, b"CloudLink has stopped")

    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    os.close(terminal)


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded")
def test_nohup_keeps_a_server_running_that_has_a_terminal(tmp_path):
    pid, terminal = in_a_terminal(tmp_path, hangup=signal.SIG_IGN)
    read_until(terminal, b"CloudLink is running")

    os.kill(pid, signal.SIGHUP)
    read_until(terminal, b"The settings were read again")
    os.kill(pid, signal.SIGTERM)

    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    os.close(terminal)


def test_a_terminal_is_looked_for_at_both_ends(monkeypatch):
    class Stream:
        def __init__(self, answer):
            self.isatty = lambda: answer
            self.closed = answer is None

    monkeypatch.setattr(signal, "getsignal", lambda _: signal.SIG_DFL)  # the tests may run under nohup
    cases = (
        (None, Stream(None), False),
        (Stream(False), Stream(False), False),
        (Stream(False), Stream(True), True),
        (Stream(True), None, True),
    )
    for stdin, stderr, expected in cases:
        monkeypatch.setattr(sys, "stdin", stdin)
        monkeypatch.setattr(sys, "stderr", stderr)
        assert hangup_means_stop() is expected
