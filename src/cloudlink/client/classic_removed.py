"""The attributes of the client of CloudLink 0.2.0 that `client()` lacks, and their replacements."""

from __future__ import annotations

_HANDLERS = "the decorators, such as on_message and on_command; the handlers they collect cannot be read"
_CALLS = "nothing: the client calls the handlers itself"
_LISTENERS = "wait_for_listener(...) and on_listener(...)"
_PROCESSING = "on_message, which gets every packet; the client reads the connection itself"

REMOVED = {
    "async_iterable": "a plain `for`",
    "client": (
        "protocol.generate_user_object() for this client's id, uuid and username, disconnect() to close the connection, "
        "and send_packet(...) to send"
    ),
    "command_handlers": _HANDLERS,
    "connection_handler": _PROCESSING,
    "connection_loop": _PROCESSING,
    "copy": "`from copy import copy`",
    "exception_handlers": _HANDLERS,
    "execute_disconnect": "disconnect(code, reason), which is not awaited",
    "execute_exception_handlers": _CALLS,
    "execute_on_command_events": _CALLS,
    "execute_on_disconnect_events": _CALLS,
    "execute_on_error_events": _CALLS,
    "execute_on_full_connect_events": _CALLS,
    "execute_on_initial_connect_events": _CALLS,
    "execute_on_listener_events": _CALLS,
    "execute_on_message_events": _CALLS,
    "execute_on_username_set_events": _CALLS,
    "execute_send": "send_packet(message), which is not awaited",
    "listener_events_await_specific": _LISTENERS,
    "listener_events_decorator_specific": _LISTENERS,
    "listener_responses": _LISTENERS,
    "listener_waiter": _LISTENERS,
    "message_processor": _PROCESSING,
    "on_disconnect_events": _HANDLERS,
    "on_error_events": _HANDLERS,
    "on_full_connect_events": _HANDLERS,
    "on_initial_connect_events": _HANDLERS,
    "on_message_events": _HANDLERS,
    "on_username_set_events": _HANDLERS,
    "protocol_command_handlers": _HANDLERS,
    "schema": "nothing: the client checks packets itself, and on_exception(exceptions.ValidationError) gets the errors",
    "suppress_websocket_logs": "nothing: the WebSocket library logs nothing",
    "ujson": "`import json`",
    "validator": "`from cerberus import Validator`",
    "ws": "nothing: the client uses another WebSocket library",
}


def explain(name: str) -> str | None:
    """Return the sentence about a removed attribute; None for other names."""
    if name not in REMOVED:
        return None
    return (
        f"client() has no attribute {name} any more. Its successor is {REMOVED[name]}; see docs/migrating.md."
    )
