"""The server API for plugins, compatible with CloudLink 0.2.0 (protocol, section 2.1).

Decorators return the function they decorate, so they stack. Packets leave in the order in which they were
sent, and none of these calls blocks.
"""

from __future__ import annotations

import asyncio
import copy
import importlib
import inspect
import logging
import math
from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterable
from types import FunctionType, MappingProxyType, MethodType
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from cloudlink import closecodes, jsontext
from cloudlink.closecodes import CloseCode
from cloudlink.delivery import text_frame
from cloudlink.http.folders import PUBLIC, folder_routes

from . import compat
from .client import Client
from .cluster import check_topic
from .exceptions import EmptyMessage, ServerExceptions
from .handlers import EventHandlers, add_handler, check_handler
from .schemas import SchemaEngine, check_schema

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import ModuleType

    from cloudlink.admin.sanctions import Sanctions
    from cloudlink.counters import Counters
    from cloudlink.delivery import Delivery, Outbox
    from cloudlink.settings import Settings

    from .background import Background, BackgroundTask
    from .client import Schema
    from .clients import ClientsManager
    from .cluster import Cluster
    from .directory import Directory
    from .enforcement import Enforcement
    from .federation import Federation
    from .hooks import Hooks
    from .hub import Hub
    from .limits import Limits
    from .pluginadmin import PluginAdmin
    from .reloader import Reloader
    from .rooms import RoomsManager

    F = TypeVar("F", bound=Callable[..., Any])

_NOTHING: Any = object()
"""Default that shows that a decorator was written with parentheses and so did not get its function."""


class PluginAPI(ABC):
    """Methods of the server with which plugins register handlers, send packets and close connections."""

    exceptions = ServerExceptions
    logging = logging
    asyncio = asyncio
    copy = staticmethod(copy.copy)
    ujson = compat.UJSON
    async_iterable = compat.async_iterable

    _LAZY: ClassVar[dict[str, tuple[str, str]]] = {
        "validator": ("cerberus", "Validator"),
        "ws": ("picows.websockets", ""),
    }

    settings: Settings
    background: Background
    hooks: Hooks
    delivery: Delivery
    limits: Limits
    counters: Counters
    reloader: Reloader
    clients_manager: ClientsManager
    rooms_manager: RoomsManager
    directory: Directory
    hub: Hub
    enforcement: Enforcement
    sanctions: Sanctions
    admin: PluginAdmin
    federation: Federation
    cluster: Cluster

    def __getattr__(self, name: str) -> Any:
        """Import rarely used libraries on first access."""
        if name not in self._LAZY:
            successor = compat.SUCCESSORS.get(name)
            then = f" any more: {successor}" if successor else ""
            text = f"{type(self).__name__!r} object has no attribute {name!r}{then}"
            raise AttributeError(text, name=name, obj=self)
        module_name, attribute = self._LAZY[name]
        module: ModuleType = importlib.import_module(module_name)
        return getattr(module, attribute) if attribute else module

    def plugin_settings(self, name: str) -> Mapping[str, Any]:
        """Return a read-only copy of the section `[plugin.NAME]` of the settings file; empty if it does not exist.

        Args:
            name: The plugin's own name for its section; no other plugin should use it.
        """
        return MappingProxyType(copy.deepcopy(self.settings.plugin.get(name, {})))

    # Commands.

    def on_command(self, cmd: str, schema: Schema = _NOTHING) -> Callable[[F], F]:
        """Decorate a handler `async def f(client, message)` of a command.

        A built-in command keeps its own behaviour and the handler runs in addition; a new command becomes
        valid immediately.

        Args:
            cmd: The command's name.
            schema: The protocol it belongs to, such as `clpv4.schema`.

        Raises:
            TypeError: The decorator is used without parentheses, or one of the two arguments is missing.
        """
        if not isinstance(cmd, str) or schema is _NOTHING:
            raise TypeError(
                'write @server.on_command(cmd="…", schema=protocol.schema), with both in parentheses'
            )

        def decorator(function: F) -> F:
            self.bind_callback(cmd, schema, function)
            return function

        return decorator

    def bind_callback(self, cmd: str, schema: Schema, method: Callable[..., Any]) -> None:
        """Add a handler to a command, like `on_command` without a decorator.

        Raises:
            TypeError: The handler cannot be called with `(client, message)`, or `schema` is not a schema.
        """
        self._adopt(schema)
        self.hooks.bind(schema, cmd, method)

    def unbind_command(self, cmd: str, schema: Schema) -> None:
        """Remove all handlers of a command, including built-in ones. Raises `ValueError` if there are none."""
        self.hooks.unbind(schema, cmd)

    def disable_command(self, cmd: str, schema: Schema) -> None:
        """Disable a command. Raises `ValueError` if it is already disabled."""
        self.hooks.set_disabled(schema, cmd, disabled=True)

    def enable_command(self, cmd: str, schema: Schema) -> None:
        """Enable a disabled command. Raises `ValueError` if it is already enabled."""
        self.hooks.set_disabled(schema, cmd, disabled=False)

    @property
    def disabled_commands(self) -> dict[Schema, set[str]]:
        """The disabled commands, per protocol; a snapshot."""
        return {
            schema: {name for name, command in commands.items() if command.disabled}
            for schema, commands in self.hooks.commands.items()
        }

    @property
    def command_handlers(self) -> dict[Schema, dict[str, set[Callable[..., Any]]]]:
        """The handlers of every command, per protocol; a snapshot."""
        return {
            schema: {
                name: {handler for handler in (command.native, *command.handlers) if handler is not None}
                for name, command in commands.items()
                if command.known
            }
            for schema, commands in self.hooks.commands.items()
        }

    # Events.

    def on_connect(self, func: F = _NOTHING) -> F:
        """Decorate `async def f(client)`: a WebSocket was accepted, nothing has been received yet."""
        return self._add(self.hooks.connect, func, ("client",))

    def on_message(self, func: F = _NOTHING) -> F:
        """Decorate `async def f(client, message)`: a valid, enabled command was dispatched."""
        return self._add(self.hooks.message, func, ("client", "message"))

    def on_disconnect(self, func: F = _NOTHING) -> F:
        """Decorate `async def f(client)`: a client disconnected; `client.rooms` still holds the rooms it was in."""
        return self._add(self.hooks.disconnect, func, ("client",))

    def on_error(self, func: F = _NOTHING) -> F:
        """Decorate `async def f(client, errors)`: a client made a mistake.

        `errors` is text, a dict of validation errors, an exception or an exception class.
        """
        return self._add(self.hooks.error, func, ("client", "errors"))

    def on_exception(self, exception_type: type[Exception], schema: Schema = _NOTHING) -> Callable[[F], F]:
        """Decorate `async def f(client, details)`: an identified client made a mistake of that type.

        Args:
            exception_type: `EmptyMessage`, `JSONError`, `ValidationError`, `InvalidCommand` or
                `InternalError` of `server.exceptions`. For these, `details` is a text, the exception, a dict,
                the command's name and a text, respectively.
            schema: The client's protocol.
        """
        if schema is _NOTHING:
            raise TypeError("write @server.on_exception(exception_type, schema), with both in parentheses")
        self._adopt(schema)
        handlers = self.hooks.exception.setdefault(
            (exception_type, schema), EventHandlers("on_exception", is_droppable=True)
        )
        # CloudLink 0.2.0 never calls handlers of EmptyMessage, and its own handler takes only the client.
        takes = None if exception_type is EmptyMessage else ("client", "details")
        return lambda function: self._add(handlers, function, takes)

    def on_filter(self, func: F = _NOTHING) -> F:
        """Decorate `f(client, message)`: a client sends a message; called before it has any effect.

        `f` returns None to let the message through, `"block"` to refuse it, or a value that replaces `val` (of cloud
        variables, `value`). It must not be `async`, because the message waits for it.

        Raises:
            TypeError: The handler is `async`, or does not take these arguments.
        """
        if inspect.iscoroutinefunction(func):
            raise TypeError("a handler of on_filter must not be async: the message waits for its answer")
        self._add(self.hooks.filter, func, ("client", "message"))
        self.enforcement.ask_plugins()
        return func

    def on_admin_action(self, func: F = _NOTHING) -> F:
        """Decorate `async def f(action)`: somebody banned, kicked, muted, or changed something else, or tried to.

        `action` is the line of the audit: `id`, `at`, `actor`, `role`, `via`, `from`, `method`, `target`, `params`,
        `outcome`, `reason`.
        """
        self._add(self.background.on_admin_action, func, ("action",))
        return func

    def on_disabled_command(self, schema: Schema) -> Callable[[F], F]:
        """Decorate `async def f(client, cmd)`: a client sent a disabled command."""
        _check_parentheses(schema, "on_disabled_command")
        self._adopt(schema)
        handlers = self.hooks.disabled_command.setdefault(
            schema, EventHandlers("on_disabled_command", is_droppable=True)
        )
        return lambda function: self._add(handlers, function, ("client", "cmd"))

    def on_protocol_identified(self, schema: Schema) -> Callable[[F], F]:
        """Decorate `async def f(client)`: the first message showed the client speaks that protocol."""
        _check_parentheses(schema, "on_protocol_identified")
        self._adopt(schema)
        handlers = self.hooks.protocol_identified.setdefault(schema, EventHandlers("on_protocol_identified"))
        return lambda function: self._add(handlers, function, ("client",))

    def on_protocol_disconnect(self, schema: Schema) -> Callable[[F], F]:
        """Decorate `async def f(client)`: a client of that protocol disconnected; runs after `on_disconnect`."""
        _check_parentheses(schema, "on_protocol_disconnect")
        self._adopt(schema)
        handlers = self.hooks.protocol_disconnect.setdefault(
            schema, EventHandlers("on_protocol_disconnect", is_deferred=True)
        )
        return lambda function: self._add(handlers, function, ("client",))

    def on_request(self, path: str) -> Callable[[F], F]:
        """Decorate `async def f(request)`: an HTTP client requests the path with GET or HEAD.

        The handler returns a `Response` of `cloudlink.http`, text, bytes, a dict or a list.

        Args:
            path: A path such as `/scores`, or `/scores/*` for everything below `/scores/`.

        Raises:
            ValueError: The path is invalid, or already has a handler.
        """

        def decorator(function: F) -> F:
            check_handler(function, f"on_request({path!r})", ("request",))
            self.hooks.routes.add(path, function, PUBLIC)
            return function

        return decorator

    def serve_folder(self, path: str, folder: str) -> None:
        """Serve the files of a folder over HTTP.

        Args:
            path: The path below which the files are served, such as `/game`.
            folder: The folder, relative to the working directory of the server.

        Raises:
            ValueError: The folder does not exist, or the path is invalid or already has a handler.
        """
        for route in folder_routes(path, folder, f"serve_folder({path!r}, {folder!r})"):
            self.hooks.routes.add_route(route)

    # Start, stop and background work.

    def on_start(self, func: F = _NOTHING) -> F:
        """Decorate `async def f()`: the server accepts clients now. The coroutine may run until the server stops."""
        self._add(self.background.on_start, func, ())
        self.background.start_late(func)
        return func

    def on_stop(self, func: F = _NOTHING) -> F:
        """Decorate `async def f()`: the server is stopping and all clients are disconnected.

        The server waits for the handler for at most `shutdown_timeout` seconds (a setting).
        """
        return self._add(self.background.on_stop, func, ())

    def on_reload(self, func: F = _NOTHING) -> F:
        """Decorate `async def f()`: sections `[plugin.NAME]` of the settings file have changed while the server runs.

        Read `plugin_settings` again; it returns the new values already.
        """
        return self._add(self.background.on_reload, func, ())

    def every(self, seconds: float) -> Callable[[F], F]:
        """Decorate `async def f()`, which is called at a fixed interval while the server runs.

        Calls are due at multiples of `seconds` after the start: they do not drift, and do not overlap. A call
        that takes longer than `seconds`, or raises, is logged; calls that became due meanwhile are skipped.

        Args:
            seconds: Seconds between two calls, such as 0.05 for 20 calls a second. The first call comes
                `seconds` after the start.

        Raises:
            TypeError: The decorator is used without parentheses.
            ValueError: `seconds` is not a number above 0.
        """
        if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
            raise TypeError("write @server.every(seconds), with the seconds between two calls in parentheses")
        if not 0 < seconds < math.inf:
            raise ValueError(f"every takes a number of seconds above 0, not {seconds!r}")

        def decorator(function: F) -> F:
            check_handler(function, "every", ())
            self.background.add_ticker(seconds, function)
            return function

        return decorator

    def on_cluster_message(self, topic: str) -> Callable[[F], F]:
        """Decorate `async def f(value)`: another node of the cluster has published a value for a topic.

        The nodes of a cluster publish with `server.cluster.publish(topic, value)`. The node that publishes does not
        get its own values, and a lone server gets none.

        Args:
            topic: The name of the topic, such as `chess/moves`; nobody but your plugin should use it.

        Raises:
            TypeError: The decorator is used without parentheses.
            ValueError: `topic` begins with a colon, as those of the server do.
        """
        _check_parentheses(topic, "on_cluster_message")
        check_topic(topic)

        def decorator(function: F) -> F:
            check_handler(function, f"on_cluster_message({topic!r})", ("value",))
            self.cluster.add_handler(topic, function)
            return function

        return decorator

    def create_task(self, coro: Any) -> BackgroundTask:
        """Run a coroutine in the background until it ends or the server stops.

        Exceptions of the coroutine are logged. If the server does not run yet, the coroutine starts with the
        server.

        Args:
            coro: The coroutine, such as `watch()` of `async def watch()`.

        Returns:
            A handle with `cancel()` and `done`.

        Raises:
            TypeError: `coro` is not a coroutine.
        """
        if not asyncio.iscoroutine(coro):
            call = ", such as f() of async def f(), with the parentheses" if callable(coro) else ""
            raise TypeError(f"create_task takes a coroutine{call}, not {type(coro).__name__}")
        return self.background.create_task(coro)

    # Events as CloudLink 0.1.9 bound them.

    def bind_event(self, event: Callable[..., Any], func: Callable[..., Any]) -> None:
        """Add a handler the way CloudLink 0.1.9 did: `bind_event(server.on_connect, f)`.

        Args:
            event: The server's `on_connect`, `on_message`, `on_disconnect` or `on_error`.
            func: The handler.

        Raises:
            ValueError: `event` is not one of those.
        """
        events = (self.on_connect, self.on_message, self.on_disconnect, self.on_error)
        if event not in events:
            names = ", ".join(f"server.{known.__name__}" for known in events)
            of_class = isinstance(event, FunctionType) and getattr(type(self), event.__name__, None) is event
            got = f" of the server object, not {event.__qualname__} of its class" if of_class else ""
            raise ValueError(f"bind_event takes one of {names}{got}.")
        event(func)

    # Sending.

    def send_packet(self, obj: Client | Iterable[Client], message: dict[str, Any] | str) -> None:
        """Send a packet to one client or to several.

        Args:
            obj: The recipient, or an iterable of recipients.
            message: A dict to encode as JSON, or JSON text.

        Raises:
            TypeError: The message is neither a dict nor text, or JSON cannot represent it; or `obj` is
                neither a client nor an iterable.
        """
        if isinstance(obj, Client):
            self.send_packet_unicast(obj, message)
        else:
            self.send_packet_multicast(_each(obj), message)

    def send_packet_unicast(self, client: Client, message: dict[str, Any] | str) -> None:
        """Send a packet to one client."""
        data = _encode(message)
        translate = _translator(client)
        client.session.send_frame(translate(data) if translate else text_frame(data))

    def send_packet_multicast(self, clients: Iterable[Client], message: dict[str, Any] | str) -> None:
        """Send a packet to many clients; it is encoded once per dialect."""
        data = _encode(message)
        audiences: dict[Callable[[bytes], bytes] | None, list[Outbox]] = {}
        for client in clients:
            if client.open:
                audiences.setdefault(_translator(client), []).append(client.outbox)
        for translate, outboxes in audiences.items():
            frame = translate(data) if translate else text_frame(data)
            if frame:
                self.delivery.multicast(outboxes, frame)

    def close_connection(
        self, obj: Client | Iterable[Client], code: int = CloseCode.NORMAL, reason: str = ""
    ) -> None:
        """Close the connection of one client or of several.

        Args:
            obj: The client to disconnect, or an iterable of clients.
            code: Close code (RFC 6455, section 7.4): 1000, or 3000 to 4999 for codes of your own.
            reason: Text for the client, truncated to 123 bytes.

        Raises:
            TypeError: `obj` is neither a client nor an iterable.
            ValueError: The code must not be sent (RFC 6455); no client was disconnected.
        """
        closecodes.check(code)
        for client in (obj,) if isinstance(obj, Client) else _each(obj):
            client.session.disconnect(code, reason)

    # Internals.

    @abstractmethod
    def later(self, delay: float, callback: Callable[[], None]) -> None:
        """Call a function after `delay` seconds, or immediately if no event loop runs."""

    def _add(self, handlers: EventHandlers, function: F, takes: tuple[str, ...] | None) -> F:
        if function is _NOTHING:
            raise TypeError(f"write @server.{handlers.event} without parentheses")
        add_handler(handlers, function, takes)
        return function

    def _adopt(self, schema: Schema) -> None:
        """Start a protocol that a plugin defines when its first handler is registered."""
        if not isinstance(schema, Hashable) or schema not in self.hooks.engines:
            check_schema(schema)
            self.hooks.engines[schema] = SchemaEngine(self.hooks, schema)


def _check_parentheses(schema: object, event: str) -> None:
    """Raise `TypeError` if a decorator that takes a schema got the function itself."""
    if isinstance(schema, (FunctionType, MethodType)):
        raise TypeError(f"write @server.{event}(schema=protocol.schema), with the schema in parentheses")


def _translator(client: Client) -> Callable[[bytes], bytes] | None:
    """Return a function that translates CL4 packets for a client of an older dialect, None if none is needed."""
    translate: Callable[[bytes], bytes] | None = getattr(client.dialect, "translate", None)
    return translate


def _each(clients: Any) -> list[Client]:
    """Return a copy of an iterable of clients, because the original may change when clients disconnect."""
    if isinstance(clients, (str, bytes)) or not isinstance(clients, Iterable):
        raise TypeError(f"a client or an iterable of clients is wanted, not {type(clients).__name__}")
    return list(clients)


def _encode(message: dict[str, Any] | str) -> bytes:
    if isinstance(message, str):
        return jsontext.text(message)
    if isinstance(message, dict):
        return jsontext.dumps(message)
    raise TypeError(f"a packet is a dict or text, not {type(message).__name__}")
