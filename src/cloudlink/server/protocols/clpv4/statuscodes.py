"""Status codes (protocol, section 1.3)."""

from __future__ import annotations

StatusCode = tuple[str, int, str]
"""Letter (`I` or `E`), number and text."""


class StatusCodes:
    """All status codes, with the names of CloudLink 0.2.0."""

    info = "I"
    error = "E"

    test: StatusCode = (info, 0, "Test")
    echo: StatusCode = (info, 1, "Echo")
    ok: StatusCode = (info, 100, "OK")
    syntax: StatusCode = (error, 101, "Syntax")
    datatype: StatusCode = (error, 102, "Datatype")
    id_not_found: StatusCode = (error, 103, "ID not found")
    id_not_specific: StatusCode = (error, 104, "ID not specific enough")
    internal_error: StatusCode = (error, 105, "Internal server error")
    empty_packet: StatusCode = (error, 106, "Empty packet")
    id_already_set: StatusCode = (error, 107, "ID already set")
    refused: StatusCode = (error, 108, "Refused")
    invalid_command: StatusCode = (error, 109, "Invalid command")
    disabled_command: StatusCode = (error, 110, "Command disabled")
    id_required: StatusCode = (error, 111, "ID required")
    id_conflict: StatusCode = (error, 112, "ID conflict")
    too_large: StatusCode = (error, 113, "Too large")
    json_error: StatusCode = (error, 114, "JSON error")
    room_not_joined: StatusCode = (error, 115, "Room not joined")

    @staticmethod
    def generate(code: StatusCode) -> tuple[str, int]:
        """Return the `code` text and `code_id` number of a status code."""
        letter, number, text = code
        return f"{letter}:{number} | {text}", number


class Dropped(Exception):  # noqa: N818  # as `Refusal`
    """A packet exceeds a limit; its session has already handled the refusal."""


class Refusal(Exception):  # noqa: N818  # it is answered and never reaches a caller of the API
    """A command is refused; answered with a status code.

    Attributes:
        code: The status code.
        details: Explanation for humans, None for none.
        val: JSON text of the answer's `val`, empty for none.
    """

    def __init__(self, code: StatusCode, details: str | None = None, val: bytes = b"") -> None:
        super().__init__(code, details)
        self.code = code
        self.details = details
        self.val = val
