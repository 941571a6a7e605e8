"""The hooks plugins and protocols hang their code on, and the calling of it.

Built-in commands are registered here like a plugin's, with one difference: they are *native*. A
native handler is a plain function that gets the packet as its protocol parsed it and runs in place. A
plugin's handler gets the decoded message and, being `async`, runs as a task of its own, so that a slow
one delays nobody and one that raises harms nothing else.

This module does not know the event loop: whoever builds `Hooks` hands it the function that starts a
coroutine as a task.
"""

from __future__ import annotations

import inspect
import logging
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cloudlink.http import Routes

from .exceptions import InternalError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from .clients import Client, Schema
    from .engine import Engine

logger = logging.getLogger("cloudlink.server")


class Command:
    """One command of one protocol: who handles it, and whether it is switched off."""

    __slots__ = ("disabled", "handlers", "native")

    def __init__(self) -> None:
        self.native: Callable[[Client, Any], None] | None = None
        self.handlers: list[Callable[..., Any]] = []
        self.disabled = False

    @property
    def known(self) -> bool:
        """Whether the command has a handler."""
        return self.native is not None or bool(self.handlers)


class Hooks:
    """The registry of all handlers, and the way to call them.

    Protocols also register here for the server's own life: `start` is called with the loop's
    `call_soon_threadsafe`, `tick` at least once a second, `stop` when all clients are gone. `routes` says
    what HTTP requests are answered with.
    """

    NOT_JSON = object()

    def __init__(self, start: Callable[[Coroutine[Any, Any, None]], object]) -> None:
        """Args: start: runs a coroutine as a task and keeps it alive."""
        self._begin = start
        self.engines: dict[Schema, Engine] = {}
        self.commands: dict[Schema, dict[str, Command]] = {}
        self.start: list[Callable[[Callable[..., object]], None]] = []
        self.stop: list[Callable[[], None]] = []
        self.tick: list[Callable[[], None]] = []
        self.routes = Routes()
        self.connect: list[Callable[..., Any]] = []
        self.message: list[Callable[..., Any]] = []
        self.disconnect: list[Callable[..., Any]] = []
        self.error: list[Callable[..., Any]] = []
        self.disabled_command: dict[Schema, list[Callable[..., Any]]] = {}
        self.protocol_identified: dict[Schema, list[Callable[..., Any]]] = {}
        self.protocol_disconnect: dict[Schema, list[Callable[..., Any]]] = {}
        self.exception: dict[tuple[type[Exception], Schema], list[Callable[..., Any]]] = {}

    # Registering.

    def command(self, schema: Schema, cmd: str) -> Command:
        """Return a protocol's command, made if need be."""
        return self.commands.setdefault(schema, {}).setdefault(cmd, Command())

    def bind_native(self, schema: Schema, cmd: str, function: Callable[[Client, Any], None]) -> None:
        """Let a protocol's own function handle a command in place."""
        self.command(schema, cmd).native = function

    def bind(self, schema: Schema, cmd: str, handler: Callable[..., Any]) -> None:
        """Add a plugin's handler `handler(client, message)` to a command.

        Raises:
            TypeError: The handler cannot be called so.
        """
        check_handler(handler, f"the command {cmd}", ("client", "message"))
        _add(self.command(schema, cmd).handlers, handler)

    def unbind(self, schema: Schema, cmd: str) -> None:
        """Drop all handlers of a command, native ones too. Raises `ValueError` if there are none."""
        command = self.commands.get(schema, {}).get(cmd)
        if command is None or not command.known:
            raise ValueError(f"There is no command {cmd!r} to unbind.")
        command.native = None
        command.handlers.clear()

    def set_disabled(self, schema: Schema, cmd: str, disabled: bool) -> None:
        """Switch a command off or on. Raises `ValueError` if it is so already."""
        command = self.command(schema, cmd)
        if command.disabled == disabled:
            raise ValueError(f"The command {cmd!r} is {'already' if disabled else 'not'} disabled.")
        command.disabled = disabled

    # Calling.

    def run(self, handlers: list[Callable[..., Any]], *arguments: Any) -> None:
        """Call the handlers of an event; whatever one of them raises is logged and ends there."""
        for handler in tuple(handlers):
            self._call(handler, arguments, None)

    def run_command(self, command: Command, client: Client, message: Any, engine: Engine) -> None:
        """Call a command's plugin handlers; one that raises has the request answered as failed."""
        for handler in tuple(command.handlers):
            self._call(handler, (client, message), engine)

    def report(
        self, client: Client, schema: Schema, exception: type[Exception], details: Any, error: Any
    ) -> None:
        """Tell `on_exception` and `on_error` handlers of a client's mistake.

        Args:
            client: Who made it.
            schema: The client's protocol.
            exception: What `on_exception` handlers registered for.
            details: What they are given.
            error: What `on_error` handlers are given.
        """
        handlers = self.exception.get((exception, schema))
        if handlers:
            self.run(handlers, client, details)
        if self.error:
            self.run(self.error, client, error)

    def _call(self, handler: Callable[..., Any], arguments: tuple[Any, ...], engine: Engine | None) -> None:
        try:
            result = handler(*arguments)
        except Exception as error:  # noqa: BLE001  # a plugin may raise anything
            self.failed(handler, arguments[0], arguments[-1], engine, error)
            return
        if inspect.iscoroutine(result):
            self._begin(self._guard(handler, result, arguments, engine))

    async def _guard(
        self,
        handler: Callable[..., Any],
        coroutine: Coroutine[Any, Any, Any],
        arguments: tuple[Any, ...],
        engine: Engine | None,
    ) -> None:
        try:
            await coroutine
        except Exception as error:  # noqa: BLE001  # a plugin may raise anything
            self.failed(handler, arguments[0], arguments[-1], engine, error)

    def failed(
        self, handler: Any, client: Client, request: Any, engine: Engine | None, error: Exception
    ) -> None:
        """Log what a handler raised, and have its protocol answer the request if it was one."""
        name = getattr(handler, "__qualname__", repr(handler))
        logger.error("Handler %s raised %s.", name, type(error).__name__, exc_info=error)
        if engine is None:
            return
        engine.internal_error(client, request)
        self.report(client, engine.schema, InternalError, repr(error), repr(error))


def _add(handlers: list[Callable[..., Any]], handler: Callable[..., Any]) -> None:
    # CloudLink 0.2.0 keeps handlers in sets: adding one twice calls it once.
    if handler not in handlers:
        handlers.append(handler)


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
    _add(handlers, handler)
    return handler


def check_handler(handler: Any, event: str, takes: tuple[str, ...] | None) -> None:
    """Refuse what certainly cannot be called as a handler; whatever may be callable is let through.

    Args:
        handler: What the plugin gave.
        event: How the sentence calls what it is to handle, such as `on_connect`.
        takes: The names of its arguments; None not to look at them.

    Raises:
        TypeError: The handler is no function, or its signature has no place for these arguments.
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
        raise TypeError(
            f"the handler {name} of {event}{_place(handler)} must take ({', '.join(takes)}), not {signature}"
        ) from None


def _place(handler: Any) -> str:
    """Return where a handler's code stands, in parentheses; empty where that cannot be told."""
    for holder in (handler, getattr(handler, "func", None), type(handler).__call__):
        code = getattr(holder, "__code__", None)
        if inspect.iscode(code):
            file = Path(code.co_filename)
            with suppress(OSError, ValueError):  # it lies elsewhere, or the folder is gone
                file = file.relative_to(Path.cwd())
            return f" ({file}, line {code.co_firstlineno})"
    return ""
