"""The watchdog names the line of a plugin that blocks the event loop."""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
import time
from functools import partial

import pytest

from cloudlink.server.handlers import shown_path
from cloudlink.server.watchdog import Watchdog, plugin_frames
from tests.support.servers import build

FILE = "tests/server/test_watchdog.py"


def inside_loop(function):
    """Call a function from an event loop, as handlers are called."""
    found = []
    loop = asyncio.new_event_loop()
    call = compile("lambda: found.append(function())", asyncio.__file__, "eval")  # by the standard library
    loop.call_soon(eval(call, {"found": found, "function": function}))
    loop.call_soon(loop.stop)
    loop.run_forever()
    loop.close()
    return found[0]


def place_in(frame):
    """Return the file and line that a stack would be named by; empty if by none."""
    frames = plugin_frames(frame)
    return f"{shown_path(frames[0].f_code.co_filename)} line {frames[0].f_lineno}" if frames else ""


def compiled(file, name="plugin"):
    """Return a function of a module elsewhere, which returns the place that its own frame is named by."""
    namespace = {"place": lambda: place_in(sys._getframe(1)), "__name__": name}
    exec(
        compile("def function(inner=None): return inner() if inner else place()", file, "exec"),
        namespace,
    )
    return namespace["function"]


# Which line.


def test_the_line_that_runs_is_named():
    line = sys._getframe().f_lineno + 3

    def handler():
        return place_in(sys._getframe())

    assert inside_loop(handler) == f"{FILE} line {line}"


@pytest.mark.parametrize(
    "library",
    [asyncio.__file__, sys.modules["cloudlink.server.hooks"].__file__, pytest.__file__, "<string>"],
)
def test_functions_called_by_the_plugin_are_not_named(library):
    plugin, called = compiled("/games/chess.py"), compiled(library)
    assert inside_loop(partial(plugin, called)) == "/games/chess.py line 1"


def test_an_installed_plugin_is_named():
    assert inside_loop(compiled(pytest.__file__)) == f"{shown_path(pytest.__file__)} line 1"


def test_callers_of_the_loop_are_not_named():
    assert inside_loop(compiled(sys.modules["cloudlink.server.hooks"].__file__)) == ""


def test_outside_of_a_loop_nothing_is_named():
    assert plugin_frames(sys._getframe()) == []
    assert plugin_frames(None) == []


@pytest.mark.parametrize(("file", "module"), [("/lib/x.py", "bdb"), ("/ide/pydevd.py", "__main__")])
def test_a_line_at_which_a_debugger_waits_is_not_named(file, module):
    plugin, debugger = compiled("/games/chess.py"), compiled(file, name=module)
    assert inside_loop(partial(plugin, debugger)) == ""


# When.


class Watched:
    """A watchdog in virtual time, and what it has said."""

    def __init__(self, caplog):
        self.now = 100.0
        self.watchdog = Watchdog(lambda: self.now)
        self.watchdog._threshold = self.watchdog._report_at = 1.0
        self._caplog = caplog

    def look_after(self, seconds, frame, *, beat=False):
        """Look after some seconds, and return the seconds it says."""
        self.now += seconds
        if beat:
            self.watchdog.beat()
        self._caplog.clear()
        self.watchdog.look(frame)
        return [record.args[1] for record in self._caplog.records]


def blocked():
    """Return the frame of a plugin's code that an event loop has called."""
    return inside_loop(lambda: sys._getframe())  # noqa: PLW0108  # its own frame is wanted


def test_a_block_is_named_once_and_again_after_twice_the_time(caplog):
    watched, frame = Watched(caplog), blocked()
    said = [watched.look_after(0.5, frame) for _ in range(22)]
    assert [seconds for lines in said for seconds in lines] == [1.0, 2.0, 4.0, 8.0]
    assert watched.look_after(0.5, frame, beat=True) == []
    assert watched.watchdog._suspect is None


def test_a_loop_that_beats_is_left_alone_and_the_next_block_is_news(caplog):
    watched, frame = Watched(caplog), blocked()
    for _ in range(2):
        assert watched.look_after(0.1, frame, beat=True) == []
        assert watched.look_after(1.9, frame) == []
        assert watched.look_after(0.5, frame, beat=True) == []
        assert watched.look_after(1.9, frame) == []
        assert watched.look_after(0.6, frame) == [1.5]


def test_a_busy_loop_blames_no_handler_that_runs_by_chance(caplog):
    watched = Watched(caplog)
    assert [watched.look_after(0.5, blocked()) for _ in range(10)] == [[]] * 10


def test_a_loop_that_stands_still_without_a_plugin_is_not_reported(caplog):
    watched = Watched(caplog)
    assert [watched.look_after(5, None) for _ in range(3)] == [[]] * 3


# For real.


@pytest.mark.parametrize("event_loop", ["asyncio", "uvloop"])
def test_a_running_server_names_the_plugin_that_blocks_it(event_loop, caplog):
    server = build({"blocking_warning": 0.01, "event_loop": event_loop, "port": 0})

    @server.on_start
    async def block():
        limit = time.monotonic() + 20
        while not caplog.records and time.monotonic() < limit:
            time.sleep(0.01)  # noqa: ASYNC251  # the mistake that is named
        signal.raise_signal(signal.SIGINT)

    server.serve()
    line = block.__code__.co_firstlineno + 4
    (text,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert text.startswith(f"{FILE} line ")
    assert int(text.split()[2]) in (line, line - 1)
    assert "has blocked everybody for more than" in text


def test_it_can_be_switched_off(monkeypatch):
    server = build({"blocking_warning": 0.0, "port": 0})
    threads = []
    start = threading.Thread.start

    def note(thread):
        threads.append(thread.name)
        start(thread)

    monkeypatch.setattr("threading.Thread.start", note)
    server.on_start(lambda: signal.raise_signal(signal.SIGINT))
    server.serve()
    assert "cloudlink-watchdog" not in threads
