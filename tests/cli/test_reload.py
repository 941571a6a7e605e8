"""`cloudlink serve --reload` runs the server in a child, which it replaces when a plugin changes."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys

import pytest

from cloudlink.cli import flags, reload
from cloudlink.cli.parser import Parser
from cloudlink.client import connect
from cloudlink.errors import StartError
from cloudlink.settings import Settings


def parsed(*words):
    parser = Parser()
    flags.add_settings_flags(parser)
    return parser.parse_args(words)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], []),
        (["--config", "a b.toml"], ["--config=a b.toml"]),
        (["--port", "4000", "--no-limits", "--cloud"], ["--port=4000", "--cloud", "--no-limits"]),
        (["--plugin", "a.py", "--plugin=b.py:B"], ["--plugin=a.py", "--plugin=b.py:B"]),
        (["--no-storage", "--motd", "--hello"], None),
        (["--no-storage", "--motd=--hello"], ["--motd=--hello", "--storage="]),
    ],
)
def test_the_child_gets_the_same_flags(words, expected):
    if expected is None:
        with pytest.raises(StartError):
            parsed(*words)
        return
    given = reload.flags_of(parsed(*words))
    assert sorted(given) == sorted(expected)
    assert vars(parsed(*given)) == vars(parsed(*words))


def test_the_files_of_plugins(tmp_path, monkeypatch):
    for name in (
        *("plugins/a.py", "plugins/deep/b.py", "plugins/notes.txt"),
        *(
            "mine/greet.py",
            "mine/helper.py",
            "mine/deep/not.py",
            "game/__init__.py",
            "game/rules.py",
            "one.py",
        ),
        *("installed/theirs/__init__.py", "installed/theirs/more.py"),
    ):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path / "installed")
    settings = Settings(
        plugins=["mine/greet.py:Greet", "game.rules:Rules", "one:One", "theirs:T", "no_such:X"]
    )
    found = {str((tmp_path / file).relative_to(tmp_path)) for file in reload.plugin_files(settings)}
    assert found == {
        *("plugins/a.py", "plugins/deep/b.py", "mine/greet.py", "mine/helper.py"),
        *(
            "game/__init__.py",
            "game/rules.py",
            "one.py",
            "installed/theirs/__init__.py",
            "installed/theirs/more.py",
        ),
    }
    settings.set("plugins_folder", "")
    settings.set("plugins", [])
    assert reload.plugin_files(settings) == set()


@pytest.mark.parametrize(
    ("host", "is_known"), [("127.0.0.1", True), ("203.0.113.9", False), ("no.such.invalid", False)]
)
def test_a_free_port_is_looked_for(host, is_known):
    assert (reload._free_port(host) > 0) == is_known


def test_a_change_is_seen(tmp_path):
    file, gone = tmp_path / "a.py", tmp_path / "b.py"
    file.write_text("1")
    before = reload.snapshot({file, gone})
    assert before.keys() == {file}
    file.write_text("12")
    assert reload.snapshot({file, gone}) != before


# When a child is replaced, with children that are none.


class Fake:
    """A child whose ends are scripted: the status of each call of `wait`, None for one that lasts too long."""

    def __init__(self, *statuses):
        self.statuses = list(statuses)
        self.calls = []
        self.ended = None

    def poll(self):
        return self.ended

    def wait(self, timeout=None):
        status = self.statuses.pop(0)
        if status is None:
            raise subprocess.TimeoutExpired("child", timeout)
        self.ended = status
        return status

    def send_signal(self, sig):
        self.calls.append(sig)

    def terminate(self):
        self.calls.append("terminate")

    def kill(self):
        self.calls.append("kill")


def run(children, looks, **options):
    """Run a reloader with these children and what it sees at each look; return its status and how many started."""
    started = []
    looks = iter(looks)

    def start():
        started.append(children[len(started)])
        return started[-1]

    reloader = reload.Reloader(start, lambda: {"a.py": next(looks)}, 5.0, interval=0.001)
    return reloader.run(), len(started)


def test_a_child_that_was_stopped_ends_it():
    assert run([Fake(None, 0)], [1, 1, 1]) == (0, 1)


def test_a_change_replaces_the_child(caplog):
    caplog.set_level("INFO")
    first, second = Fake(None, None, 0), Fake(0)
    assert run([first, second], [1, 1, 2, 2]) == (0, 2)
    assert first.calls == ["terminate"]
    assert caplog.messages == ["The server starts again, for these files have changed: a.py."]


def test_a_child_that_does_not_stop_is_killed():
    first, second = Fake(None, None, 0), Fake(0)
    assert run([first, second], [1, 2, 2]) == (0, 2)
    assert first.calls == ["terminate", "kill"]


def test_a_child_that_fails_is_tried_again_at_the_next_change(caplog):
    first, second, third = Fake(1), Fake(1), Fake(0)
    assert run([first, second, third], [1, 1, 1, 2, 2, 3, 3]) == (0, 3)
    assert first.calls == second.calls == []
    assert caplog.messages == ["The server does not run. It starts again when a plugin changes."] * 2


def test_a_signal_is_passed_on_and_ends_it():
    child = Fake(None, 130)
    reloader = reload.Reloader(lambda: child, dict, 5.0)
    wait = child.wait

    def interrupted(timeout=None):
        if timeout is not None:
            reloader.forward(signal.SIGHUP)
            reloader.forward(signal.SIGINT)
        return wait(timeout)

    child.wait = interrupted
    assert reloader.run() == 130
    assert child.calls == [signal.SIGHUP, signal.SIGINT]


def test_a_signal_ends_it_also_while_no_server_runs():
    def look():
        if child.ended is not None:
            reloader.forward(signal.SIGTERM)
        return {}

    child = Fake(1)
    reloader = reload.Reloader(lambda: child, look, 5.0, interval=30.0)
    assert reloader.run() == 0
    assert child.calls == []


def test_a_signal_that_comes_while_the_child_is_made_is_not_lost():
    def start():
        reloader.forward(signal.SIGTERM)
        return child

    child = Fake(0, 0)
    reloader = reload.Reloader(start, dict, 5.0)
    assert reloader.run() == 0
    assert child.calls == ["terminate"]


def test_signals_of_the_process_are_passed_on():
    child = Fake()
    reloader = reload.Reloader(lambda: child, dict, 5.0)
    reloader._child = child
    before = signal.getsignal(signal.SIGHUP)
    with reloader.forwarding_signals():
        signal.raise_signal(signal.SIGHUP)
    assert child.calls == [signal.SIGHUP]
    assert signal.getsignal(signal.SIGHUP) is before


# For real.


GREET = """
def greet(server, protocol):
    @server.on_command(cmd="greet", schema=protocol.schema)
    async def answer(client, message):
        protocol.send_statuscode(client, protocol.statuscodes.ok, message=message, val={val!r})
"""


def test_a_changed_plugin_is_served_on_the_same_port(tmp_path):
    file = tmp_path / "greet.py"

    async def wait_for(process, pattern):
        while not (found := re.search(pattern, line := (await process.stderr.readline()).decode())):
            assert line, "it ended"
        return found[0]

    async def greeting(url):
        async with connect(url) as c:
            return (await c.request("greet")).value

    async def scenario():
        file.write_text(GREET.format(val="one"))
        surroundings = {
            name: value for name, value in os.environ.items() if not name.startswith("CLOUDLINK_")
        }
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "cloudlink", "serve", "--reload", "--plugin", "greet.py", "--no-storage"),
            stderr=asyncio.subprocess.PIPE,
            env=surroundings | {"HOST": "127.0.0.1", "PORT": "0"},
            cwd=tmp_path,
        )
        try:
            url = await wait_for(process, r"ws://127\.0\.0\.1:\d+")
            assert await greeting(url) == "one"
            file.write_text("oh = no no\n")
            await wait_for(process, r"Plugin greet\.py failed to load at line 1: SyntaxError")
            await wait_for(process, "The server does not run")
            file.write_text(GREET.format(val="fixed"))
            assert await wait_for(process, r"ws://127\.0\.0\.1:\d+") == url
            assert await greeting(url) == "fixed"
            process.send_signal(signal.SIGTERM)
            await wait_for(process, "CloudLink has stopped")
            assert await process.wait() == 0
        finally:
            if process.returncode is None:
                process.terminate()
                await process.communicate()

    async def limited():
        async with asyncio.timeout(50):
            await scenario()

    asyncio.run(limited())
