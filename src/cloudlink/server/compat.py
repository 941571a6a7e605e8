"""Compatibility attributes for plugins of CloudLink 0.2.0.

That server exposed its own libraries to plugins: `server.ujson`, `server.validator`, `server.ws`,
`server.async_iterable`. This module provides them without depending on those libraries. For attributes that
were removed, it holds a sentence that names the replacement.
"""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Any

from cloudlink import jsontext

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable


_HANDLERS = "the handlers of an event cannot be looked at or changed; register them with"
_SERVER_CALLS = (
    "the server calls handlers by itself; to have a message processed, await server.message_processor"
)

SUCCESSORS = {
    "on_connect_events": f"{_HANDLERS} @server.on_connect",
    "on_message_events": f"{_HANDLERS} @server.on_message",
    "on_disconnect_events": f"{_HANDLERS} @server.on_disconnect",
    "on_error_events": f"{_HANDLERS} @server.on_error",
    "exception_handlers": f"{_HANDLERS} @server.on_exception(exception_type, schema)",
    "disabled_commands_handlers": f"{_HANDLERS} @server.on_disabled_command(schema)",
    "protocol_identified_events": f"{_HANDLERS} @server.on_protocol_identified(schema)",
    "protocol_disconnect_events": f"{_HANDLERS} @server.on_protocol_disconnect(schema)",
    "execute_on_connect_events": _SERVER_CALLS,
    "execute_on_message_events": _SERVER_CALLS,
    "execute_on_command_events": _SERVER_CALLS,
    "execute_on_disconnect_events": _SERVER_CALLS,
    "execute_on_error_events": _SERVER_CALLS,
    "execute_exception_handlers": _SERVER_CALLS,
    "execute_disabled_command_events": _SERVER_CALLS,
    "execute_protocol_identified_events": _SERVER_CALLS,
    "execute_protocol_disconnect_events": _SERVER_CALLS,
    "execute_unicast": "call server.send_packet_unicast(client, message), without await",
    "execute_multicast": "call server.send_packet_multicast(clients, message), without await",
    "execute_close_single": "call server.close_connection(client, code, reason), without await",
    "execute_close_multi": "call server.close_connection(clients, code, reason), without await",
}
"""What to write instead of removed attributes of CloudLink 0.2.0's server."""


def equip_manager(manager: object, server: Any) -> None:
    """Set the attributes that CloudLink 0.2.0's managers have: `parent`, `logging` and `logger`."""
    vars(manager).update(parent=server, logging=server.logging, logger=server.logger)


class UJSON:
    """The functions of the ujson module that plugins call; formatting options are ignored."""

    JSONDecodeError = ValueError

    @staticmethod
    def dumps(obj: Any, **_options: Any) -> str:
        """Encode a value as compact JSON text."""
        return jsontext.dumps(obj).decode()

    @staticmethod
    def loads(text: str | bytes, **_options: Any) -> Any:
        """Decode JSON text. Raises `ValueError`."""
        return jsontext.loads(text.encode() if isinstance(text, str) else text)

    @classmethod
    def dump(cls, obj: Any, file: IO[str], **_options: Any) -> None:
        """Encode a value as JSON and write it to a text file."""
        file.write(cls.dumps(obj))

    @classmethod
    def load(cls, file: IO[str], **_options: Any) -> Any:
        """Decode a text file that holds JSON."""
        return cls.loads(file.read())

    encode = dumps
    decode = loads


class async_iterable:  # noqa: N801  # CloudLink 0.2.0's name
    """Makes any iterable usable in `async for`."""

    def __init__(self, iterables: Iterable[Any]) -> None:
        self._iterator = iter(iterables)

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        try:
            return next(self._iterator)
        except StopIteration:
            raise StopAsyncIteration from None
