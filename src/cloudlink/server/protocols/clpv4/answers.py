"""Answers invalid packets with status codes, and reports them to the handlers of plugins."""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, Any

from cloudlink import jsontext
from cloudlink.logthrottle import LogThrottle
from cloudlink.server.exceptions import EmptyMessage, InvalidCommand, JSONError, ValidationError

from .dialects import CL4
from .packet import Packet
from .schema import Schema
from .statuscodes import StatusCodes

if TYPE_CHECKING:
    from cloudlink.server.client import Client
    from cloudlink.server.hooks import Hooks

    from .packet import SyntaxProblem
    from .statuscodes import Refusal, StatusCode

_EMPTY = "Your client has sent an empty message."
_LIMITING = (StatusCodes.refused, StatusCodes.too_large)

logger = logging.getLogger("cloudlink.server")


class Answers:
    """Sends the answers as status codes in the client's dialect."""

    def __init__(self, hooks: Hooks) -> None:
        self._hooks = hooks
        self._throttle = LogThrottle(math.inf)

    def empty(self, client: Client) -> None:
        """Answer an empty message with E:106."""
        self.status(client, StatusCodes.empty_packet, details=jsontext.dumps(_EMPTY))
        self._hooks.report(client, Schema, EmptyMessage, _EMPTY, EmptyMessage)

    def json_error(self, client: Client, error: Exception, listener: bytes = b"") -> None:
        """Answer a message that is not JSON, or cannot be decoded, with E:114."""
        text = f"A JSON error was raised: {error}"
        self.status(client, StatusCodes.json_error, listener, jsontext.dumps(text))
        self._hooks.report(client, Schema, JSONError, error, error)

    def syntax(self, client: Client, problem: SyntaxProblem) -> None:
        """Answer JSON that is not a packet, or lacks a required key, with E:101."""
        self.status(client, StatusCodes.syntax, problem.listener, jsontext.dumps(problem.details))
        self._hooks.report(client, Schema, ValidationError, problem.details, problem.details)

    def refusal(self, client: Client, request: Packet | dict[str, Any] | None, refusal: Refusal) -> None:
        """Answer a refused command with the refusal's status; if a limit caused it, log it, too."""
        if refusal.code in _LIMITING:
            client.session.log_limit(refusal.details or refusal.code[2])
        details = jsontext.dumps(refusal.details) if refusal.details else b""
        self.status(client, refusal.code, listener_of(request), details, refusal.val)

    def invalid(self, client: Client, packet: Packet) -> None:
        """Answer a command that does not exist with E:109."""
        text = f"{packet.cmd} is an invalid command."
        self.status(client, StatusCodes.invalid_command, packet.listener, jsontext.dumps(text))
        self._hooks.report(client, Schema, InvalidCommand, packet.cmd, text)

    def disabled(self, client: Client, packet: Packet) -> None:
        """Answer a disabled command with E:110."""
        text = f"{packet.cmd} is a disabled command."
        self.status(client, StatusCodes.disabled_command, packet.listener, jsontext.dumps(text))
        self._hooks.run(self._hooks.disabled_command.get(Schema), client, packet.cmd)

    def status(
        self,
        client: Client,
        code: StatusCode,
        listener: bytes = b"",
        details: bytes = b"",
        val: bytes = b"",
    ) -> None:
        """Send a status code. Clients of another protocol get none, which is logged once.

        Args:
            client: The recipient.
            code: One of `StatusCodes`.
            listener: JSON text of the echo tag, empty for none.
            details: JSON text of an explanation, empty for none.
            val: JSON text of the payload, empty for none.
        """
        if client.protocol is Schema:
            dialect = client.dialect
        elif client.protocol is None:
            dialect = CL4  # nothing has been received; most clients speak CL4
        else:
            if self._throttle.should_log(client.protocol):
                logger.warning(
                    "%s does not speak CloudLink 4; clients of its protocol get no status codes.", client
                )
            return
        client.session.send_frame(dialect.status(code, listener, details, val))


def listener_of(request: Packet | dict[str, Any] | None) -> bytes:
    """Return the JSON text of a request's listener, empty if it has none or it cannot be echoed."""
    if isinstance(request, Packet):
        return request.listener
    if request is None or not isinstance(request.get("listener"), (str, int, float)):
        return b""
    return jsontext.dumps(request["listener"])
