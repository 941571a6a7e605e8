"""WebSocket frames a server sends (RFC 6455, section 5.2).

A server's frames are not masked, so one frame serves every recipient. Only whole, unfragmented text
messages are made here; control frames belong to the transport.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator, Sequence

    from .outbox import Outbox

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
    if size < len(_SHORT_HEADERS):  # most are; this saves a call
        return _SHORT_HEADERS[size] + payload
    return _header(size) + payload


def joined_text_frame(parts: Sequence[bytes | bytearray]) -> bytes:
    """Return the frame of a text message given in parts; each part is copied only once."""
    return b"".join((_header(sum(map(len, parts))), *parts))


def _header(size: int) -> bytes:
    if size < len(_SHORT_HEADERS):
        return _SHORT_HEADERS[size]
    if size < _MEDIUM_LIMIT:
        return _MEDIUM + size.to_bytes(2, "big")
    return _LONG + size.to_bytes(8, "big")


class Frame(bytes):
    """A frame that may know which client caused it; most are plain bytes.

    Attributes:
        sender: The client's outbox, None for the server itself.
        tag: Passed to `sender.owner.tell_undelivered` if a recipient does not get the frame.
    """

    sender: Outbox | None = None
    tag: bytes = b""


def signed(frame: bytes, sender: Outbox, tag: bytes) -> Frame:
    """Return a frame that knows its sender: the frame itself if it can hold one, else a copy."""
    frame = frame if isinstance(frame, Frame) else Frame(frame)
    frame.sender = sender
    frame.tag = tag
    return frame


class Update(Frame):
    """A frame that supersedes earlier ones with the same key, such as a variable's new value.

    A client that reads too slowly gets only the latest of them.
    """

    key: Hashable


def as_update(frame: bytes, key: Hashable) -> Update:
    """Return a frame as one that replaces earlier ones with an equal key."""
    update = Update(frame)
    update.key = key
    return update


def update_frame(payload: bytes, key: Hashable) -> Update:
    """Return the frame of a text message that replaces earlier ones with an equal key."""
    size = len(payload)
    header = _SHORT_HEADERS[size] if size < len(_SHORT_HEADERS) else _header(size)  # `text_frame`, inlined
    update = Update(header + payload)
    update.key = key
    return update


class Segment(bytes):
    """Several frames that go to the same recipients, joined once for all of them."""

    frames: tuple[bytes, ...]


def join(frames: list[bytes]) -> bytes:
    """Return the only frame itself, or several frames as a segment, which keeps its parts."""
    if len(frames) == 1:
        return frames[0]
    segment = Segment(b"".join(frames))
    segment.frames = tuple(frames)
    return segment


def iter_frames(frames: Iterable[bytes], size: int = 0) -> Iterator[bytes]:
    """Yield frames one by one; segments of more than `size` bytes are split into their frames."""
    for frame in frames:
        if isinstance(frame, Segment) and len(frame) > size:
            yield from frame.frames
        else:
            yield frame


def chunked(frames: Iterable[bytes], size: int) -> Iterator[list[bytes]]:
    """Yield frames in order, in lists of `size` bytes or slightly more."""
    piece: list[bytes] = []
    missing = size
    for frame in frames:
        piece.append(frame)
        missing -= len(frame)
        if missing <= 0:
            yield piece
            piece, missing = [], size
    if piece:
        yield piece
