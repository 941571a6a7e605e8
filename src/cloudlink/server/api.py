"""What plugins call on the server: the API of CloudLink 0.2.0 (protocol, section 2.1).

Decorators return the function they decorate, so they stack. Everything sent leaves in the order it was
sent, and none of these calls waits.
"""

from __future__ import annotations

import asyncio
import copy
import importlib
import logging
from abc import abstractmethod
from collections.abc import Hashable, Iterable
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from cloudlink import closecodes, jsontext
from cloudlink.closecodes import CloseCode
from cloudlink.delivery import text_frame
from cloudlink.http.folders import PUBLIC, folder_routes

from . import compat
from .clients import Client
from .exceptions import EmptyMessage, ServerExceptions
from .hooks import Hooks, add_handler, check_handler
from .schemas import SchemaEngine, check_schema

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from cloudlink.delivery import Delivery, Outbox
    from cloudlink.settings import Settings

    from .clients import ClientsManager, Schema
    from .directory import Directory
    from .hub import Hub
    from .limits import Limits
    from .rooms import RoomsManager

    F = TypeVar("F", bound=Callable[..., Any])

_NOTHING: Any = object()
"""Stands for the function that a decorator with needless parentheses was not given."""


class PluginAPI:
    """The registering, sending and closing that plugins do."""

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
    hooks: Hooks
    delivery: Delivery
    limits: Limits
    clients_manager: ClientsManager
    rooms_manager: RoomsManager
    directory: Directory
    hub: Hub

    def __getattr__(self, name: str) -> Any:
        """Import the libraries that few plugins ask for when one does."""
        if name not in self._LAZY:
            text = f"{type(self).__name__!r} object has no attribute {name!r}"
            raise AttributeError(text, name=name, obj=self)
        module_name, attribute = self._LAZY[name]
        module: ModuleType = importlib.import_module(module_name)
        return getattr(module, attribute) if attribute else module

    # Commands.

    def on_command(self, cmd: str, schema: Schema) -> Callable[[F], F]:
        """Decorate a handler `async def f(client, message)` of a command.

        A built-in command keeps its own behaviour and the handler runs beside it; a new command becomes
        valid at once.

        Args:
            cmd: The command's name.
            schema: The protocol it belongs to, such as `clpv4.schema`.
        """

        def decorator(function: F) -> F:
            self.bind_callback(cmd, schema, function)
            return function

        return decorator

    def bind_callback(self, cmd: str, schema: Schema, method: Callable[..., Any]) -> None:
        """Add a handler to a command; `on_command` for code that is no decorator.

        Raises:
            TypeError: It cannot be called with `(client, message)`, or the schema is none.
        """
        self._adopt(schema)
        self.hooks.bind(schema, cmd, method)

    def unbind_command(self, cmd: str, schema: Schema) -> None:
        """Drop all handlers of a command, built-in ones too. Raises `ValueError` if there are none."""
        self.hooks.unbind(schema, cmd)

    def disable_command(self, cmd: str, schema: Schema) -> None:
        """Switch a command off. Raises `ValueError` if it is off."""
        self.hooks.set_disabled(schema, cmd, disabled=True)

    def enable_command(self, cmd: str, schema: Schema) -> None:
        """Switch a command on again. Raises `ValueError` if it is on."""
        self.hooks.set_disabled(schema, cmd, disabled=False)

    @property
    def disabled_commands(self) -> dict[Schema, set[str]]:
        """The commands that are switched off, per protocol; a snapshot."""
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
        return self._add(self.hooks.connect, func, "on_connect", ("client",))

    def on_message(self, func: F = _NOTHING) -> F:
        """Decorate `async def f(client, message)`: a valid, enabled command was dispatched."""
        return self._add(self.hooks.message, func, "on_message", ("client", "message"))

    def on_disconnect(self, func: F = _NOTHING) -> F:
        """Decorate `async def f(client)`: a client is gone; `client.rooms` tells where it was."""
        return self._add(self.hooks.disconnect, func, "on_disconnect", ("client",))

    def on_error(self, func: F = _NOTHING) -> F:
        """Decorate `async def f(client, errors)`: a client made a mistake.

        `errors` is text, a dict of validation errors, an exception or an exception class.
        """
        return self._add(self.hooks.error, func, "on_error", ("client", "errors"))

    def on_exception(self, exception_type: type[Exception], schema: Schema) -> Callable[[F], F]:
        """Decorate `async def f(client, details)`: an identified client made a mistake of that type.

        Args:
            exception_type: `EmptyMessage`, `JSONError`, `ValidationError`, `InvalidCommand` or
                `InternalError` of `server.exceptions`; details are a text, the exception, a dict, the
                command's name, and a text.
            schema: The client's protocol.
        """
        self._adopt(schema)
        handlers = self.hooks.exception.setdefault((exception_type, schema), [])
        # CloudLink 0.2.0 never calls those of EmptyMessage, and its own takes the client alone.
        takes = None if exception_type is EmptyMessage else ("client", "details")
        return lambda function: self._add(handlers, function, "on_exception", takes)

    def on_disabled_command(self, schema: Schema) -> Callable[[F], F]:
        """Decorate `async def f(client, cmd)`: a client sent a command that is switched off."""
        self._adopt(schema)
        handlers = self.hooks.disabled_command.setdefault(schema, [])
        return lambda function: self._add(handlers, function, "on_disabled_command", ("client", "cmd"))

    def on_protocol_identified(self, schema: Schema) -> Callable[[F], F]:
        """Decorate `async def f(client)`: the first message showed the client speaks that protocol."""
        self._adopt(schema)
        handlers = self.hooks.protocol_identified.setdefault(schema, [])
        return lambda function: self._add(handlers, function, "on_protocol_identified", ("client",))

    def on_protocol_disconnect(self, schema: Schema) -> Callable[[F], F]:
        """Decorate `async def f(client)`: a client of that protocol is gone; runs after `on_disconnect`."""
        self._adopt(schema)
        handlers = self.hooks.protocol_disconnect.setdefault(schema, [])
        return lambda function: self._add(handlers, function, "on_protocol_disconnect", ("client",))

    def on_request(self, path: str) -> Callable[[F], F]:
        """Decorate `async def f(request)`: somebody asks for a path over HTTP, by GET or HEAD.

        It returns a `Response` of `cloudlink.http`, text, bytes, a dict or a list.

        Args:
            path: Such as `/scores`, or `/scores/*` for everything below `/scores/`.

        Raises:
            ValueError: The path is not one, or another handler has it.
        """

        def decorator(function: F) -> F:
            check_handler(function, f"on_request({path!r})", ("request",))
            self.hooks.routes.add(path, function, PUBLIC)
            return function

        return decorator

    def serve_folder(self, path: str, folder: str) -> None:
        """Serve the files of a folder over HTTP.

        Args:
            path: What they are below, such as `/game`.
            folder: The folder, seen from where the server was started.

        Raises:
            ValueError: There is no such folder, the path is not one, or another handler has it.
        """
        for route in folder_routes(path, folder, f"serve_folder({path!r}, {folder!r})"):
            self.hooks.routes.add_route(route)

    def bind_event(self, event: Callable[..., Any], func: Callable[..., Any]) -> None:
        """Add a handler the way CloudLink 0.1.9 did: `bind_event(server.on_connect, f)`.

        Args:
            event: The server's `on_connect`, `on_message`, `on_disconnect` or `on_error`.
            func: The handler.

        Raises:
            ValueError: It is none of those.
        """
        events = (self.on_connect, self.on_message, self.on_disconnect, self.on_error)
        if event not in events:
            names = ", ".join(f"server.{known.__name__}" for known in events)
            raise ValueError(f"bind_event takes one of {names}.")
        event(func)

    # Sending.

    def send_packet(self, obj: Client | Iterable[Client], message: dict[str, Any] | str) -> None:
        """Send a packet to a client, or to each of any number of clients.

        Args:
            obj: The recipient, or an iterable of recipients.
            message: A dict to encode as JSON, or ready text.

        Raises:
            TypeError: The message is neither, or holds what JSON cannot; or the recipient is neither.
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
        """Close the connection of a client, or of each of any number of clients.

        Args:
            obj: Whom to disconnect, a client or an iterable of clients.
            code: Close code (RFC 6455, section 7.4), 1000 or 3000 to 4999 for your own.
            reason: Text for the client, cut to 123 bytes.

        Raises:
            TypeError: It is neither.
            ValueError: Nobody may send that code; nobody was disconnected.
        """
        closecodes.check(code)
        for client in (obj,) if isinstance(obj, Client) else _each(obj):
            client.session.close(code, reason)

    # Inside.

    @abstractmethod
    def later(self, delay: float, callback: Callable[[], None]) -> None:
        """Call a function after some seconds, or at once where no event loop runs."""

    def _add(
        self, handlers: list[Callable[..., Any]], function: F, event: str, takes: tuple[str, ...] | None
    ) -> F:
        if function is _NOTHING:
            raise TypeError(f"write @server.{event} without parentheses")
        add_handler(handlers, function, event, takes)
        return function

    def _adopt(self, schema: Schema) -> None:
        """Run a protocol that a plugin brings along, from its first handler on."""
        if not isinstance(schema, Hashable) or schema not in self.hooks.engines:
            check_schema(schema)
            self.hooks.engines[schema] = SchemaEngine(self.hooks, schema)


def _translator(client: Client) -> Callable[[bytes], bytes] | None:
    """Return what turns CL4 packets into the words of a client that knows others, None for most."""
    translate: Callable[[bytes], bytes] | None = getattr(client.dialect, "translate", None)
    return translate


def _each(clients: Any) -> list[Client]:
    """Return the clients of an iterable, which may be one that changes when clients go."""
    if isinstance(clients, (str, bytes)) or not isinstance(clients, Iterable):
        raise TypeError(f"a client or an iterable of clients is wanted, not {type(clients).__name__}")
    return list(clients)


def _encode(message: dict[str, Any] | str) -> bytes:
    if isinstance(message, str):
        return jsontext.text(message)
    if isinstance(message, dict):
        return jsontext.dumps(message)
    raise TypeError(f"a packet is a dict or text, not {type(message).__name__}")
