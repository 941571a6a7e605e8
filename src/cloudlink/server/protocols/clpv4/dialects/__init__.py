"""The dialects of CloudLink, one file each, and the detection of a client's dialect (protocol, section 4.7)."""

from __future__ import annotations

from functools import lru_cache

from .base import DEFAULT_ROOM, Dialect, Greeting, Opening, read_signs
from .cl2_early import CL2_EARLY
from .cl2_late import CL2_LATE
from .cl3_015 import CL3_015
from .cl3_017 import CL3_017, CL3_017_SCRATCH
from .cl4_018 import CL4_018, CL4_SAFE
from .cl4_019 import CL4_019
from .cl4_020 import CL4, CL4_SCRATCH, UNDECIDED, user_object

DIALECTS: tuple[Dialect, ...] = (
    CL2_LATE,
    CL2_EARLY,
    CL3_017_SCRATCH,
    CL3_017,
    CL3_015,
    CL4_018,
    CL4_SAFE,
    CL4_019,
    CL4_SCRATCH,
    CL4,
)
"""All dialects, those with the most specific signs first: the first one that claims a message is chosen."""

MODERN: tuple[Dialect, ...] = (CL4_SCRATCH, CL4)
"""The dialects of a server without legacy support."""

_USUAL = 256
"""Maximum bytes of a message whose detection result is cached."""

__all__ = [
    "CL4",
    "CL4_SCRATCH",
    "DEFAULT_ROOM",
    "DIALECTS",
    "MODERN",
    "UNDECIDED",
    "Dialect",
    "Greeting",
    "detect",
    "user_object",
]


def detect(
    data: bytes, current: Dialect, dialects: tuple[Dialect, ...], *, prefers_cl3: bool = False
) -> Dialect:
    """Return the dialect of a client that sends a message.

    Args:
        data: The message.
        current: The dialect assumed so far, `UNDECIDED` at first.
        dialects: The candidates, those with the most specific signs first.
        prefers_cl3: Whether a client that may be CL3 0.1.5 or CL4 without listeners is treated as CL3.
    """
    # All clients of one kind send the same first message.
    tell = _detect_again if len(data) <= _USUAL else _detect
    return tell(data, current, dialects, prefers_cl3)


def _detect(data: bytes, current: Dialect, dialects: tuple[Dialect, ...], prefers_cl3: bool) -> Dialect:
    signs = read_signs(data)
    opening = Opening(
        cmd=signs.cmd,
        val=bytes(signs.val),
        id=bytes(signs.id),
        listener=bytes(signs.listener),
        origin=bytes(signs.origin),
        text=data,
        is_first=current is UNDECIDED,
        prefers_cl3=prefers_cl3,
    )
    return next((dialect for dialect in dialects if dialect.claims(opening, current)), current)


_detect_again = lru_cache(maxsize=256)(_detect)
