"""The hooks: the registry of all handlers of plugins and protocols, and the code that calls them.

Built-in commands are registered here like a plugin's, with one difference: they are *native*. A native
handler is a plain function that gets the packet as its protocol parsed it and is called directly. A
plugin's handler gets the decoded message. If it is `async`, it runs as its own task, so that a slow or
failing handler does not affect others.

This module does not know the event loop: the creator of `Hooks` passes in a function that starts a
coroutine as a task.
"""

from __future__ import annotations

import logging
from collections import deque
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Protocol

from cloudlink import jsontext
from cloudlink.admin.policy import Blocked, Policy
from cloudlink.counters import Counters
from cloudlink.http import Routes
from cloudlink.logthrottle import LogThrottle

from .exceptions import InternalError
from .failures import log_failure, must_propagate
from .handlers import EventHandlers, check_handler, code_of, describe, running
from .workload import Workload

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from concurrent.futures import Future

    from .client import Client, Schema
    from .engine import Engine

logger = logging.getLogger("cloudlink.server")

BLOCK = "block"
"""What a filter of a plugin returns to block a message."""


class Command:
    """One command of one protocol: its handlers, and whether it is disabled.

    Attributes:
        native: The built-in handler, None for none.
        handlers: The handlers of plugins.
        disabled: Whether it is disabled.
        is_built_in: Whether the protocol itself has this command, even if a plugin has replaced it since.
        calls: Number of packets with this command.
    """

    __slots__ = ("calls", "disabled", "handlers", "is_built_in", "native")

    def __init__(self) -> None:
        self.native: Callable[[Client, Any], None] | None = None
        self.handlers: list[Callable[..., Any]] = []
        self.disabled = False
        self.is_built_in = False
        self.calls = 0

    @property
    def known(self) -> bool:
        """Whether the command has a handler."""
        return self.native is not None or bool(self.handlers)


class Moderation(Protocol):
    """The part of `cloudlink.admin.moderation.Moderation` that protocols use."""

    def may_moderate(self, player: Client) -> bool:
        """Return whether a client has a grant."""
        ...

    def run(self, player: Client, request: Any) -> dict[str, Any] | Future[dict[str, Any]]:
        """Do what a client with a grant asks for, and return the answer, now or later. Raises `AdminError`."""
        ...


class BridgeControl(Protocol):
    """The bridges of a server, for its administration."""

    def __contains__(self, name: object) -> bool:
        """Return whether there is a bridge of that name."""
        ...

    def list(self) -> list[dict[str, Any]]:
        """Return the state of each bridge."""
        ...

    def pause(self, name: str) -> bool:
        """Take a bridge down until `resume`; return False if it is paused already."""
        ...

    def resume(self, name: str) -> bool:
        """Let a paused bridge connect again; return False if it is not paused."""
        ...


class Hooks:
    """The registry of all handlers, with methods to call them.

    Handlers of plugins that do not belong to a client are in `background`.

    Attributes:
        engines: The protocols, by their schema class.
        commands: The commands of each protocol.
        unknown_command: Has no handlers; protocols count the packets with commands that nobody has registered there.
        protocol_start: Functions of protocols, called with the loop's `call_soon_threadsafe` when the server starts.
        protocol_stop: Functions of protocols, called after all clients are disconnected.
        protocol_tick: Functions of protocols, called at least once a second.
        routes: The handlers of HTTP requests.
        health: Functions that return further keys of `/health`.
        policy: The bans, mutes and other rules in force.
        packet_policy: The same while it may refuse or change packets, None otherwise.
        moderation: Runs the actions of players who may moderate; None if this process has no administration.
        bridges: The bridges of the server, None if it has none.
    """

    def __init__(
        self,
        start: Callable[[Coroutine[Any, Any, None]], object],
        workload: Workload | None = None,
        counters: Counters | None = None,
    ) -> None:
        """Set up an empty registry.

        Args:
            start: Runs a coroutine as a task and keeps it alive.
            workload: Limits the tasks, None for no limit.
            counters: Counts errors of plugins, None for nobody.
        """
        self._begin = start
        self._workload = workload or Workload()
        self._counters = counters or Counters()
        self._overload_log = LogThrottle()
        self._deferred: deque[tuple[EventHandlers, tuple[Any, ...]]] | None = None
        self.engines: dict[Schema, Engine] = {}
        self.commands: dict[Schema, dict[str, Command]] = {}
        self.unknown_command = Command()
        self.moderation: Moderation | None = None
        self.protocol_start: list[Callable[[Callable[..., object]], None]] = []
        self.protocol_stop: list[Callable[[], None]] = []
        self.protocol_tick: list[Callable[[], None]] = []
        self.routes = Routes()
        self.health: dict[str, Callable[[], object]] = {}
        self.connect = EventHandlers("on_connect")
        self.message = EventHandlers("on_message", is_droppable=True)
        self.disconnect = EventHandlers("on_disconnect", is_deferred=True)
        self.error = EventHandlers("on_error", is_droppable=True)
        self.disabled_command: dict[Schema, EventHandlers] = {}
        self.protocol_identified: dict[Schema, EventHandlers] = {}
        self.protocol_disconnect: dict[Schema, EventHandlers] = {}
        self.exception: dict[tuple[type[Exception], Schema], EventHandlers] = {}
        self.filter = EventHandlers("on_filter")
        self.policy = Policy(dropped=self._counters.dropped, refused=self._counters.refused)
        self.packet_policy: Policy | None = None
        self.bridges: BridgeControl | None = None

    @property
    def unfinished(self) -> int:
        """Number of `async` handlers that have started and not finished."""
        return self._workload.total

    def handlers_of(self, client: Client) -> int:
        """Return the number of unfinished handlers that run for a client."""
        return self._workload.of(client)

    # Registering.

    def command(self, schema: Schema, cmd: str) -> Command:
        """Return a protocol's command, creating it if needed."""
        return self.commands.setdefault(schema, {}).setdefault(cmd, Command())

    def bind_native(self, schema: Schema, cmd: str, function: Callable[[Client, Any], None]) -> None:
        """Set the native handler of a command."""
        command = self.command(schema, cmd)
        command.native = function
        command.is_built_in = True

    def bind(self, schema: Schema, cmd: str, handler: Callable[..., Any]) -> None:
        """Add a plugin's handler `handler(client, message)` to a command.

        Raises:
            TypeError: The handler cannot be called with these arguments.
        """
        check_handler(handler, f"the command {cmd}", ("client", "message"))
        command = self.command(schema, cmd)
        if handler not in command.handlers:  # CloudLink 0.2.0 keeps them in sets
            if command.native is None:
                _warn_of_rivals(cmd, command.handlers, handler)
            command.handlers.append(handler)

    def unbind(self, schema: Schema, cmd: str) -> None:
        """Remove all handlers of a command, including native ones. Raises `ValueError` if there are none."""
        command = self.commands.get(schema, {}).get(cmd)
        if command is None or not command.known:
            raise ValueError(f"There is no command {cmd!r} to unbind.")
        command.native = None
        command.handlers.clear()

    def set_disabled(self, schema: Schema, cmd: str, disabled: bool) -> None:
        """Disable or enable a command. Raises `ValueError` if that changes nothing."""
        command = self.command(schema, cmd)
        if command.disabled == disabled:
            raise ValueError(f"The command {cmd!r} is {'already' if disabled else 'not'} disabled.")
        command.disabled = disabled

    # Calling.

    def run(self, handlers: EventHandlers | None, *arguments: Any) -> None:
        """Call the handlers of an event, None for none; exceptions are logged and do not propagate."""
        if not handlers:
            return
        if not handlers.is_deferred:
            self._run(handlers, arguments)
        elif self._deferred is not None:
            self._deferred.append((handlers, arguments))
        else:
            self._run_deferred(handlers, arguments)

    def _run_deferred(self, handlers: EventHandlers, arguments: tuple[Any, ...]) -> None:
        """Call handlers, and then those of each event that was deferred meanwhile, in order."""
        self._deferred = deque([(handlers, arguments)])
        try:
            while self._deferred:
                self._run(*self._deferred.popleft())
        finally:
            self._deferred = None

    def _run(self, handlers: EventHandlers, arguments: tuple[Any, ...]) -> None:
        may_drop = handlers.is_droppable and self._workload.refusal(arguments[0])
        for handler in tuple(handlers):
            if not self._call(handler, arguments, None, handlers.event, may_start=not may_drop):
                self._log_overload(handler, handlers.event, arguments[0])

    def run_command(self, command: Command, client: Client, message: Any, engine: Engine) -> None:
        """Call a command's plugin handlers; if one raises, the request is answered as failed.

        If too many handlers are unfinished, `async` ones are not started and the request is answered as
        refused.
        """
        if not command.handlers:
            return
        refusal, is_refused = self._workload.refusal(client), False
        packet = jsontext.dumps(message) if refusal else b""  # before a handler can change it
        for handler in tuple(command.handlers):
            if not self._call(handler, (client, message), engine, "", may_start=not refusal):
                is_refused = True
                self._log_overload(handler, _command_name(engine, message), client)
        if is_refused:
            engine.reject_packet(client, packet, refusal)

    def ask_filters(self, client: Client, message: dict[str, Any], key: str) -> bytes:
        """Ask the filters of plugins about a message; see `Policy.plugins`.

        A filter that raises lets the message through, and its error is logged.

        Raises:
            Blocked: One of them blocks it.
        """
        is_changed = False
        for handler in tuple(self.filter):
            token = running.set(handler)
            try:
                verdict = handler(client, message)
                encoded = b"" if verdict is None or verdict == BLOCK else jsontext.dumps(verdict)
            except BaseException as error:  # a plugin may raise anything
                if must_propagate(error):
                    raise
                self._counters.plugin_errors += 1
                self.failed(handler, client, message, None, error, "on_filter")
                continue
            finally:
                running.reset(token)
            if encoded:
                message[key], is_changed = verdict, True
            elif verdict is not None:
                raise Blocked
        return jsontext.dumps(message[key]) if is_changed else b""

    def report(
        self, client: Client, schema: Schema, exception: type[Exception], details: Any, error: Any
    ) -> None:
        """Tell `on_exception` and `on_error` handlers of a client's mistake.

        Args:
            client: The client that made it.
            schema: The client's protocol.
            exception: The exception class that `on_exception` handlers registered for.
            details: The argument for `on_exception` handlers.
            error: The argument for `on_error` handlers.
        """
        handlers = self.exception.get((exception, schema))
        if handlers:
            self.run(handlers, client, details)
        if self.error:
            self.run(self.error, client, error)

    def _call(
        self,
        handler: Callable[..., Any],
        arguments: tuple[Any, ...],
        engine: Engine | None,
        event: str,
        *,
        may_start: bool,
    ) -> bool:
        """Call a handler; return False if it is `async` and was not started because `may_start` is False."""
        token = running.set(handler)
        try:
            try:
                result = handler(*arguments)
            except BaseException as error:  # a plugin may raise anything
                if must_propagate(error):
                    raise
                self._counters.plugin_errors += 1
                self.failed(handler, arguments[0], arguments[-1], engine, error, event)
                return True
            if isinstance(result, CoroutineType):
                if not may_start:
                    result.close()
                    return False
                self._workload.begin(arguments[0])
                self._begin(self._guard(handler, result, arguments, engine, event))
        finally:
            running.reset(token)
        return True

    async def _guard(
        self,
        handler: Callable[..., Any],
        coroutine: Coroutine[Any, Any, Any],
        arguments: tuple[Any, ...],
        engine: Engine | None,
        event: str,
    ) -> None:
        try:
            await coroutine
        except BaseException as error:  # a plugin may raise anything
            if must_propagate(error):
                raise
            self._counters.plugin_errors += 1
            self.failed(handler, arguments[0], arguments[-1], engine, error, event)
        finally:
            self._workload.end(arguments[0])

    def failed(
        self,
        handler: Any,
        client: Client,
        request: Any,
        engine: Engine | None,
        error: BaseException,
        event: str = "",
    ) -> None:
        """Log the exception of a handler and, if it handled a request, have the protocol answer it as failed."""
        log_failure(handler, event if engine is None else _command_name(engine, request), error, repr(client))
        if engine is None:
            return
        engine.internal_error(client, request)
        self.report(client, engine.schema, InternalError, repr(error), repr(error))

    def _log_overload(self, handler: object, event: str, client: Client) -> None:
        self._counters.limited["handlers"] += 1
        if self._overload_log.should_log(code_of(handler)):
            logger.warning(
                "Handler %s of %s was not started for %s: %d handlers are unfinished.",
                describe(handler),
                event,
                client,
                self._workload.total,
            )


def _command_name(engine: Engine, request: Any) -> str:
    """Return the command name of a request for log messages; the request is a dict or a parsed packet."""
    key = getattr(engine.schema, "command_key", "")
    name = request.get(key) if isinstance(request, dict) else getattr(request, key, None)
    return f"the command {name}"


def _warn_of_rivals(cmd: str, others: list[Callable[..., Any]], handler: Callable[..., Any]) -> None:
    """Log that handlers of two files answer the same command, which is rarely intended."""
    code = code_of(handler)
    for other in others:
        rival = code_of(other)
        if code and rival and code.co_filename != rival.co_filename:
            logger.warning(
                "Two plugins answer the command %s: %s and %s. Clients get both answers; rename one of the commands.",
                cmd,
                describe(other),
                describe(handler),
            )
            return
