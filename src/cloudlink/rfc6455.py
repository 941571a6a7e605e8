"""The parts of RFC 6455 that picows leaves to its users, for both ends: whole messages, and valid close frames.

Joins a message's fragments and checks them (sections 5.4, 5.6 and 8.1), answers close codes and cuts reasons (5.5
and 7.4). Pure: bytes, flags and codes in, messages and codes out. It does not read or write frames.
"""

from __future__ import annotations

import codecs

from cloudlink.closecodes import CloseCode

_CONTINUATION = 0x0
_TEXT = 0x1

_LARGEST_CODE = 4999
_NEVER_SENT = (1004, 1005, 1006, 1015)
"""Close codes that a close frame must not hold (RFC 6455, section 7.4.1)."""

_MAX_REASON = 123
"""Most bytes of a reason: a control frame holds 125, two of which are the code (RFC 6455, section 5.5)."""

_NOT_UTF8 = "Text is not UTF-8"


class Violation(Exception):  # noqa: N818  # it closes a connection and is not a program error
    """The peer broke a rule; its connection is to be closed.

    Attributes:
        code: Close code (RFC 6455, section 7.4.1).
        reason: Reason for the close frame.
    """

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason


RESERVED_BITS = Violation(CloseCode.PROTOCOL_ERROR, "Reserved bits are set but no extension was agreed on")
"""The violation by a frame with RSV1, RSV2 or RSV3 set (RFC 6455, section 5.2)."""


def fitting_reason(reason: str) -> bytes:
    """Return a close reason as UTF-8, cut between characters to the 123 bytes that fit into a close frame."""
    return reason.encode(errors="replace")[:_MAX_REASON].decode(errors="ignore").encode()


def answer_to_close(code: int | None) -> int:
    """Return the close code of the answer to a close frame: its own code, if that may be sent.

    Args:
        code: The code in the frame to be answered; None if it has none.
    """
    if code is None:
        return CloseCode.NORMAL
    # Codes below 1000 are not used, and none is defined above 4999 (RFC 6455, section 7.4.2).
    is_defined = CloseCode.NORMAL <= code <= _LARGEST_CODE
    return code if is_defined and code not in _NEVER_SENT else CloseCode.PROTOCOL_ERROR


class Assembler:
    """Assembles the messages of one connection from data frames."""

    __slots__ = ("_decoder", "_max_size", "_message", "busy")

    def __init__(self, max_size: int) -> None:
        """Args: max_size: Largest message accepted, in bytes."""
        self.busy = False
        self._max_size = max_size
        self._message: bytearray | None = None
        self._decoder: codecs.IncrementalDecoder | None = None

    @property
    def size(self) -> int:
        """Bytes of the message that has begun."""
        return len(self._message) if self._message is not None else 0

    def add(self, opcode: int, *, fin: bool, data: bytes) -> tuple[bool, bytes] | None:
        """Handle one data frame.

        Args:
            opcode: 0 continuation, 1 text or 2 binary.
            fin: Whether it ends its message.
            data: Its payload, unmasked.

        Returns:
            Whether the message is text, and the message, if it is complete; None otherwise.

        Raises:
            Violation: Fragments are out of order, the message is too big, or text is not UTF-8. Text is
                checked fragment by fragment, to find errors early.
        """
        if (opcode == _CONTINUATION) != self.busy:
            raise Violation(CloseCode.PROTOCOL_ERROR, "A message's fragments are out of order")
        if not self.busy:
            self._decoder = codecs.getincrementaldecoder("utf-8")() if opcode == _TEXT else None
            self.busy = True
        if self._message is None:
            self._message = bytearray()
        _check_size(len(self._message) + len(data), self._max_size)
        self._message += data
        if self._decoder is not None:
            try:
                self._decoder.decode(data, fin)
            except UnicodeDecodeError:
                raise Violation(CloseCode.INVALID_TEXT, _NOT_UTF8) from None
        if not fin:
            return None
        message, self._message = bytes(self._message), None
        self.busy = False
        return self._decoder is not None, message


def whole_text(data: bytes, max_size: int) -> bytes:
    """Check a text message that came in one frame, and return it. Raises `Violation`."""
    if len(data) > max_size:  # `_check_size`, inlined
        raise _too_big(max_size)
    if not data.isascii():
        try:
            data.decode()
        except UnicodeDecodeError:
            raise Violation(CloseCode.INVALID_TEXT, _NOT_UTF8) from None
    return data


def _check_size(size: int, max_size: int) -> None:
    if size > max_size:
        raise _too_big(max_size)


def _too_big(max_size: int) -> Violation:
    return Violation(CloseCode.TOO_BIG, f"A message may have at most {max_size} bytes")
