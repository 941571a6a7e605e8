"""WebSocket frames a server sends (RFC 6455, section 5.2).

A server's frames are not masked, so one frame serves every recipient. Only whole, unfragmented text
messages are made here; control frames belong to the transport.
"""

from __future__ import annotations

_TEXT = 0x81  # FIN set, opcode 1
_SHORT_HEADERS = tuple(bytes((_TEXT, size)) for size in range(126))
_MEDIUM = bytes((_TEXT, 126))
_LONG = bytes((_TEXT, 127))
_MEDIUM_LIMIT = 1 << 16


def text_frame(payload: bytes) -> bytes:
    """Return the frame of a text message.

    Args:
        payload: UTF-8 text of any length.
    """
    size = len(payload)
    if size < len(_SHORT_HEADERS):
        return _SHORT_HEADERS[size] + payload
    if size < _MEDIUM_LIMIT:
        return _MEDIUM + size.to_bytes(2, "big") + payload
    return _LONG + size.to_bytes(8, "big") + payload
