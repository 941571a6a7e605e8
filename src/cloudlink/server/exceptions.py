"""The exceptions that `on_exception` handlers register for (protocol, section 2.1)."""

from __future__ import annotations


class EmptyMessage(Exception):  # noqa: N818  # the names are CloudLink 0.2.0's
    """A client sent an empty message."""


class JSONError(Exception):
    """A client sent a message that is not JSON."""


class ValidationError(Exception):
    """A client sent a packet that does not satisfy its schema."""


class InvalidCommand(Exception):  # noqa: N818
    """A client sent a command that does not exist."""


class InternalError(Exception):
    """A handler raised an exception."""


class Overloaded(Exception):  # noqa: N818
    """The server refused a packet because it, or the client, exceeded a limit."""


class ServerExceptions:
    """The exceptions for `on_exception`, reachable as `server.exceptions`."""

    EmptyMessage = EmptyMessage
    JSONError = JSONError
    ValidationError = ValidationError
    InvalidCommand = InvalidCommand
    InternalError = InternalError
    Overloaded = Overloaded
