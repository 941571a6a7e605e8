"""Protocols that plugins define: a schema class of Cerberus rules, and handlers.

CloudLink 0.2.0 lets a plugin define a protocol by a class with `command_key` (the root key that names
the command) and `default` (the rules every packet must satisfy). Registering a handler with such a
class is enough; the first message of a connection is then also matched against it.

Cerberus is imported on first use, so that servers whose plugins define no rules do not load it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cloudlink import jsontext

from .exceptions import EmptyMessage, InvalidCommand, JSONError, Overloaded, ValidationError
from .opening import NOT_JSON

if TYPE_CHECKING:
    from .client import Client, Schema
    from .events import User
    from .hooks import Hooks

Rules = dict[str, Any]
Errors = dict[str, Any]


def validation_errors(message: Any, rules: Rules, *, allow_unknown: bool = True) -> Errors:
    """Validate a decoded message against Cerberus rules.

    Returns:
        A list of errors for each invalid key; empty if the message is valid.
    """
    from cerberus import Validator  # noqa: PLC0415  # see the module's docstring

    if not isinstance(message, dict):
        return {"": ["must be an object"]}
    validator = Validator(rules, allow_unknown=allow_unknown)
    validator.validate(message)
    errors: Errors = validator.errors
    return errors


def check_schema(schema: Any) -> None:
    """Reject a value that is not a protocol's schema.

    Args:
        schema: The `schema` argument of a plugin.

    Raises:
        TypeError: It has no `command_key` that is text.
    """
    if _is_schema(schema):
        return
    if _is_schema(getattr(schema, "schema", None)):
        raise TypeError(
            "schema is the protocol itself, but has to be its schema: "
            "write schema=protocol.schema, or schema=clpv4.schema in a script of your own"
        )
    what = (
        f"class {schema.__name__}" if isinstance(schema, type) else f"value of type {type(schema).__name__}"
    )
    raise TypeError(
        f"the {what} is not a protocol schema, because it has no command_key: "
        "for CloudLink 4 commands write schema=protocol.schema, or schema=clpv4.schema in a script of your own"
    )


def _is_schema(value: Any) -> bool:
    return isinstance(getattr(value, "command_key", None), str)


class SchemaEngine:
    """Runs a plugin's protocol. It sends nothing itself: the plugin answers invalid messages."""

    label = "other"
    slow_reader_code = 1013

    def __init__(self, hooks: Hooks, schema: Schema) -> None:
        self.schema = schema
        self._hooks = hooks
        self._commands = hooks.commands.setdefault(schema, {})
        self._rules: Rules = getattr(schema, "default", {})
        self._key: str = schema.command_key  # type: ignore[attr-defined]

    def identify(self, client: Client, data: bytes, packet: object) -> bool:  # noqa: ARG002  # the protocol of Engine
        """Return whether a first message satisfies the schema's `default`."""
        if packet is NOT_JSON:
            return False
        try:
            message = jsontext.loads(data)
        except jsontext.JSONTextError:
            return False
        return isinstance(message, dict) and not validation_errors(message, self._rules)

    def on_attach(self, client: Client) -> None:
        """Do nothing: such a protocol has no greeting and no rooms of its own."""

    def on_detach(self, client: Client) -> None:
        """Do nothing, see `on_attach`; the plugin's `on_protocol_disconnect` handlers are called."""

    def check_username(self, client: Client, username: str) -> None:
        """Accept every name: such a protocol has no rules of its own."""

    def on_rename(self, client: Client, former: User) -> None:
        """Do nothing: the plugin decides whom to notify."""

    def tell_undelivered(self, client: Client, listener: bytes, why: str) -> None:
        """Do nothing: the protocol has no message for it."""

    def internal_error(self, client: Client, request: Any) -> None:
        """Do nothing; the plugin's `on_exception` handlers are called."""

    def reject_packet(self, client: Client, data: bytes, why: str) -> None:  # noqa: ARG002  # the protocol of Engine
        """Report the refusal to the plugin, which can notify the client."""
        self._report(client, Overloaded, why, why)

    def receive_binary(self, client: Client, data: bytes) -> None:
        """Treat a binary message as text."""
        self.receive(client, data)

    def receive(self, client: Client, data: bytes) -> None:
        """Validate one message and call its command's handlers."""
        if not data:
            self._report(client, EmptyMessage, "Empty message", EmptyMessage)
            return
        try:
            message = jsontext.loads(data)
        except jsontext.JSONTextError as error:
            self._report(client, JSONError, error, error)
            return
        errors = validation_errors(message, self._rules)
        if errors:
            self._report(client, ValidationError, errors, errors)
            return
        self._dispatch(client, message)

    def _dispatch(self, client: Client, message: dict[str, Any]) -> None:
        name = message.get(self._key)
        command = self._commands.get(name) if isinstance(name, str) else None
        if command is not None and command.disabled:
            self._hooks.run(self._hooks.disabled_command.get(self.schema), client, name)
        elif command is None or not command.known:
            self._report(client, InvalidCommand, name, f"{name} is an invalid command.")
        elif self._admits(client, message):
            self._hooks.run_command(command, client, message, self)
            self._hooks.run(self._hooks.message, client, message)

    def _admits(self, client: Client, message: dict[str, Any]) -> bool:
        """Return whether the rules of the host let a message pass; its texts may be masked. The plugin is notified if not."""
        policy = self._hooks.packet_policy
        if policy is None:
            return True
        verdict = policy.judge(client, client.joined, jsontext.dumps(message), "messages")
        if verdict is None:
            return True
        if verdict.val and not verdict.hidden:
            message.update(jsontext.loads(verdict.val))
            return True
        if verdict.text:
            self._report(client, Overloaded, verdict.text, verdict.text)
        return False

    def _report(self, client: Client, exception: type[Exception], details: Any, error: Any) -> None:
        self._hooks.report(client, self.schema, exception, details, error)
