"""How a program runs a server: the event loop, its memory, and errors that end a script with one sentence."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from cloudlink import sources
from cloudlink.errors import StartError
from cloudlink.transport.selector import new_event_loop

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from cloudlink.settings import Settings

_MMAP_THRESHOLD = -3
"""The parameter `M_MMAP_THRESHOLD` of glibc's `mallopt`."""
_LARGE_BUFFER = 1 << 17
"""Bytes from which glibc takes a buffer from the system by itself, until it has freed a larger one."""


def refuse_inside_loop() -> None:
    """Raise `RuntimeError` where an event loop runs already."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise RuntimeError(
        "server.run() was called where an event loop runs already; write await server.start(ip, port) there, "
        "and await server.stop() at the end"
    )


def settings_of_environment() -> Settings:
    """Return the settings of the environment. Raises `SystemExit`, with a sentence."""
    try:
        return sources.from_environment(os.environ)
    except StartError as error:
        raise as_exit(error) from None


def as_exit(error: StartError) -> SystemExit:
    """Return an exception that ends a script with one sentence instead of a traceback."""
    return SystemExit(f"CloudLink cannot start: {error}")


def loop_runner(name: str, is_behind: Callable[[], bool]) -> Callable[[Coroutine[Any, Any, None]], None]:
    """Return a function that runs a coroutine on a new event loop.

    Args:
        name: A value of the setting `event_loop`.
        is_behind: Returns whether so much waits that little more should be read; used only by asyncio's loop on Linux.

    Raises:
        StartError: The event loop is not installed.
    """
    if name == "asyncio":
        return partial(_run, is_behind=is_behind)
    try:
        import uvloop  # noqa: PLC0415  # optional
    except ImportError:
        raise StartError(
            "The setting event_loop asks for uvloop, which is not installed; install it with: "
            f"{sys.executable} -m pip install uvloop"
        ) from None
    return uvloop.run


def _run(main: Coroutine[Any, Any, None], is_behind: Callable[[], bool]) -> None:
    """Run a coroutine as `asyncio.run` does, but without its handler of SIGINT; the server sets its own.

    Replacing asyncio's handler makes Python write a text about it, for which it loads `inspect` (1 MB).
    """
    with asyncio.Runner(loop_factory=partial(new_event_loop, is_behind)) as runner:
        runner.get_loop().run_until_complete(main)


def calm_garbage_collector() -> None:
    """Make garbage collections rare: with thousands of clients, each one pauses the server.

    Disconnected clients are freed by reference counting. Cycles that plugins create are still collected, but
    later. The youngest objects are looked through more often than the others, because that pause grows with their number: for
    5000 objects it is some milliseconds, and they are as many as 500 new clients have.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(5_000, 200, 50)


def return_large_buffers() -> None:
    """Have the memory of large buffers returned to the system when they are freed (glibc).

    By default, glibc does so only until it has freed a large buffer once. Then it keeps buffers of that size in its heap, which
    gets gaps: after a rush of large messages, a server took up to 100 MB more than it needed.
    """
    if sys.platform == "linux":
        import ctypes  # noqa: PLC0415  # only here

        with suppress(AttributeError):  # musl has no such function, and needs none
            ctypes.CDLL(None).mallopt(_MMAP_THRESHOLD, _LARGE_BUFFER)
