"""Handlers of plugins: what may be one, how the log names it, and which one is running.

Nothing here calls a handler or knows the server.
"""

from __future__ import annotations

import inspect
import logging
from contextlib import suppress
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType

    from .clients import Client

logger = logging.getLogger("cloudlink.server")

_PACKAGE = Path(__file__).parents[1]

running: ContextVar[Any] = ContextVar("running", default=None)
"""The handler or background coroutine whose code runs; tasks that it starts inherit it."""


class EventHandlers(list["Callable[..., Any]"]):
    """The handlers of one event, in the order in which they were registered.

    Attributes:
        event: The name of the event, such as `on_connect`.
        is_droppable: Whether an `async` handler may be left out for a client that has too many unfinished ones.
        is_deferred: Whether a call that comes during another one waits for the end of that one, so that handlers
            which cause the same event for other clients do not recurse.
    """

    __slots__ = ("event", "is_deferred", "is_droppable")

    def __init__(self, event: str, *, is_droppable: bool = False, is_deferred: bool = False) -> None:
        super().__init__()
        self.event = event
        self.is_droppable = is_droppable
        self.is_deferred = is_deferred


# How a handler is named.


def code_of(handler: Any) -> CodeType | None:
    """Return the code of a handler or coroutine, None where it has none in Python."""
    if inspect.iscoroutine(handler):
        return handler.cr_code
    with suppress(ValueError):  # a wrapper that wraps itself
        handler = inspect.unwrap(handler)
    for holder in (handler, getattr(handler, "func", None), type(handler).__call__):
        code = getattr(holder, "__code__", None)
        if inspect.iscode(code):
            return code
    return None


def shown_path(file: str) -> str:
    """Return a path as sentences give it: below the working folder without that folder."""
    path = Path(file)
    with suppress(OSError, ValueError):  # it lies elsewhere, or the folder is gone
        path = path.relative_to(Path.cwd())
    return str(path)


def describe(handler: Any) -> str:
    """Return the name of a handler or coroutine and its place, such as `greet (plugins/hello.py, line 3)`."""
    name = getattr(handler, "__qualname__", None) or type(handler).__qualname__
    return f"{name.rpartition('<locals>.')[2]}{place_of(handler)}"


def place_of(handler: Any) -> str:
    """Return ` (file, line 3)` of a handler; empty where that cannot be told."""
    code = code_of(handler)
    return f" ({shown_path(code.co_filename)}, line {code.co_firstlineno})" if code else ""


def calling_plugin() -> str:
    """Return the name of the plugin's file whose handler is running; empty outside plugins."""
    handler = running.get()
    code = code_of(handler) if handler is not None else None
    if code is None:
        return ""
    file = Path(code.co_filename)
    return "" if file.is_relative_to(_PACKAGE) else file.name


def log_closing(client: Client, code: int, reason: str) -> None:
    """Log which plugin is about to close a client's connection; nothing if none is, or the client is gone."""
    if client.open and logger.isEnabledFor(logging.INFO):
        plugin = calling_plugin()
        if plugin:
            logger.info("%s was disconnected by the plugin %s: %d %s", client, plugin, code, reason)


# What may be a handler.


def add_handler(
    handlers: list[Callable[..., Any]], handler: Callable[..., Any], event: str, takes: tuple[str, ...] | None
) -> Callable[..., Any]:
    """Add a handler once and return it, so that decorators leave the function in place.

    Args:
        handlers: Those of the event.
        handler: What the plugin gave.
        event: How the sentence about a wrong one calls the event.
        takes: The names of what a handler of the event is called with; None to let it take what it likes.

    Raises:
        TypeError: The handler cannot be called, or not with that many arguments.
    """
    check_handler(handler, event, takes)
    # CloudLink 0.2.0 keeps handlers in sets: adding one twice calls it once.
    if handler not in handlers:
        handlers.append(handler)
    return handler


def check_handler(handler: Any, event: str, takes: tuple[str, ...] | None) -> None:
    """Refuse what certainly cannot be called as a handler; whatever may be callable is let through.

    Args:
        handler: What the plugin gave.
        event: How the sentence calls what it is to handle, such as `on_connect`.
        takes: The names of its arguments; None not to look at them.

    Raises:
        TypeError: The handler is not a function, or its signature has no place for these arguments.
    """
    if not callable(handler):
        raise TypeError(f"a handler must be a function, not {type(handler).__name__}")
    if takes is None or hasattr(handler, "__signature__"):  # what it says of itself need not be what it takes
        return
    try:
        # A wrapper takes what it takes itself, whatever the function inside takes.
        signature = inspect.signature(handler, follow_wrapped=False)
    except (TypeError, ValueError):  # a callable written in C need not tell
        return
    try:
        signature.bind(*takes)
    except TypeError:
        name = getattr(handler, "__name__", type(handler).__name__)
        has, wanted = str(signature), ", ".join(takes)
        if _lacks_self(handler, takes):
            has, wanted = str(inspect.signature(handler.__func__)), ", ".join(("self", *takes))
        raise TypeError(
            f"the handler {name} of {event}{place_of(handler)} must take ({wanted}), not {has}"
        ) from None


def _lacks_self(handler: Any, takes: tuple[str, ...]) -> bool:
    """Return whether a method would fit if it were a function: `self` was forgotten."""
    if not inspect.ismethod(handler):
        return False
    try:
        inspect.signature(handler.__func__, follow_wrapped=False).bind(*takes)
    except (TypeError, ValueError):
        return False
    return True
