"""Plugin handlers: validates them, names them in the log, and tracks which one is running.

This module calls no handler and does not know the server.
"""

from __future__ import annotations

import inspect
import logging
from contextlib import suppress
from contextvars import ContextVar
from pathlib import Path
from types import CodeType, CoroutineType, MethodType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from .client import Client

logger = logging.getLogger("cloudlink.server")

_PACKAGE = Path(__file__).parents[1]

running: ContextVar[Any] = ContextVar("running", default=None)
"""The running handler or background coroutine; tasks that it starts inherit it."""


class EventHandlers(list["Callable[..., Any]"]):
    """The handlers of one event, in the order in which they were registered.

    Attributes:
        event: The name of the event, such as `on_connect`.
        is_droppable: Whether `async` handlers may be skipped for a client that has too many unfinished ones.
        is_deferred: Whether a call during another call waits for the end of that call, so that handlers that
            cause the same event for other clients do not recurse.
    """

    __slots__ = ("event", "is_deferred", "is_droppable")

    def __init__(self, event: str, *, is_droppable: bool = False, is_deferred: bool = False) -> None:
        super().__init__()
        self.event = event
        self.is_droppable = is_droppable
        self.is_deferred = is_deferred


# How a handler is named.


def code_of(handler: Any) -> CodeType | None:
    """Return the code of a handler or coroutine, None if it is not written in Python."""
    if isinstance(handler, CoroutineType):
        return handler.cr_code
    with suppress(ValueError):  # a wrapper that wraps itself
        handler = inspect.unwrap(handler)
    for holder in (handler, getattr(handler, "func", None), type(handler).__call__):
        code = getattr(holder, "__code__", None)
        if isinstance(code, CodeType):
            return code
    return None


def shown_path(file: str) -> str:
    """Return a path for use in messages: relative to the working directory if it is below it."""
    path = Path(file)
    with suppress(OSError, ValueError):  # the file is elsewhere, or the directory does not exist any more
        path = path.relative_to(Path.cwd())
    return str(path)


def describe(handler: Any) -> str:
    """Return the name and the place of a handler or coroutine, such as `greet (plugins/hello.py, line 3)`."""
    name = getattr(handler, "__qualname__", None) or type(handler).__qualname__
    return f"{name.rpartition('<locals>.')[2]}{place_of(handler)}"


def place_of(handler: Any) -> str:
    """Return the place of a handler, such as ` (file, line 3)`; empty if unknown."""
    code = code_of(handler)
    return f" ({shown_path(code.co_filename)}, line {code.co_firstlineno})" if code else ""


def calling_plugin() -> str:
    """Return the file name of the plugin whose handler is running; empty outside plugins."""
    handler = running.get()
    code = code_of(handler) if handler is not None else None
    if code is None:
        return ""
    file = Path(code.co_filename)
    return "" if file.is_relative_to(_PACKAGE) else file.name


def log_closing(client: Client, code: int, reason: str) -> None:
    """Log which plugin closes a client's connection; do nothing outside plugins or if the client is disconnected."""
    if client.open and logger.isEnabledFor(logging.INFO):
        plugin = calling_plugin()
        if plugin:
            logger.info("%s was disconnected by the plugin %s: %d %s", client, plugin, code, reason)


# Validating handlers.


def add_handler(
    handlers: EventHandlers, handler: Callable[..., Any], takes: tuple[str, ...] | None
) -> Callable[..., Any]:
    """Add a handler unless it is already present, and return it, as decorators have to.

    Args:
        handlers: The handlers of the event.
        handler: The plugin's handler.
        takes: The names of the arguments that handlers of the event get; None to skip the check.

    Raises:
        TypeError: The handler cannot be called, or not with these arguments.
    """
    check_handler(handler, handlers.event, takes)
    # CloudLink 0.2.0 keeps handlers in sets: a handler that is added twice is called once.
    if handler not in handlers:
        handlers.append(handler)
    return handler


def check_handler(handler: Any, event: str, takes: tuple[str, ...] | None) -> None:
    """Reject a handler that certainly cannot be called with the given arguments; accept it in case of doubt.

    Args:
        handler: The plugin's handler.
        event: The event's name in error messages, such as `on_connect`.
        takes: The names of its arguments; None to skip the check of the signature.

    Raises:
        TypeError: The handler is not callable, or its signature does not accept these arguments.
    """
    if not callable(handler):
        raise TypeError(f"a handler must be a function, not {type(handler).__name__}")
    # A declared signature may differ from the real one.
    if takes is None or hasattr(handler, "__signature__"):
        return
    try:
        # The wrapper's own signature decides, not that of the wrapped function.
        signature = inspect.signature(handler, follow_wrapped=False)
    except (TypeError, ValueError):  # callables written in C may lack a signature
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
    """Return whether a method was written without `self` and would fit as a plain function."""
    if not isinstance(handler, MethodType):
        return False
    try:
        inspect.signature(handler.__func__, follow_wrapped=False).bind(*takes)
    except (TypeError, ValueError):
        return False
    return True
