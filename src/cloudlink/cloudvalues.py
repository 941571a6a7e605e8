"""The rule of what a Scratch cloud variable can hold and how its name begins (protocol, section 3.1).

One rule for the server, the client and `cloudlink vars`. It is applied to the JSON text of a value where packets are
not decoded (`is_value`), and to a Python value where a program sets one (`check`). Pure functions.
"""

from __future__ import annotations

import math
import re

from cloudlink import jsontext

Value = int | float | str

PREFIXES = ("☁ ", ":cloud: ")
"""How the names of cloud variables begin in Scratch."""

MAX_LENGTH = 100_000
"""Characters of the longest text that a variable holds, where a host has not set another limit."""

_NUMERIC_TEXT = re.compile(r"-?[0-9]*(?:\.[0-9]*)?")
_NOT_NUMERIC = ("-", ".")
_STRING_START = 0x22
_NUMBER_STARTS = b"-0123456789"


def is_value(raw: bytes, longest: int, *, text_allowed: bool) -> bool:
    """Tell whether a JSON text is a value a cloud variable can have.

    Args:
        raw: The text; empty for a missing value.
        longest: Most characters of a value.
        text_allowed: Whether any text is a value; in Scratch only text that spells a number is.
    """
    if not raw:
        return False
    if raw[0] in _NUMBER_STARTS:
        return len(raw) <= longest and math.isfinite(float(raw))
    if raw[0] != _STRING_START:
        return False
    if len(raw) > 12 * longest + 2:  # each character is at most a pair of \uXXXX
        return False
    text = jsontext.loads(raw)
    return len(text) <= longest and (text_allowed or _is_numeric(text))


def check(value: object, *, text_allowed: bool = False) -> None:
    """Check that a cloud variable can hold a Python value.

    Args:
        value: The value.
        text_allowed: Whether any text is a value, as some hosts have it.

    Raises:
        TypeError: It is neither number nor text.
        ValueError: It is not finite, or not text of digits, or too long.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise TypeError(f"A cloud variable holds a number or text of digits, not {value!r}")
    if isinstance(value, str):
        if len(value) > MAX_LENGTH:
            raise ValueError(f"A cloud variable holds at most {MAX_LENGTH} digits")
        if not text_allowed and not _is_numeric(value):
            raise ValueError(f"A cloud variable holds text of digits, not {value[:60]!r}")
    elif not _is_finite(value):
        raise ValueError("A cloud variable holds finite numbers only")


def _is_numeric(text: str) -> bool:
    return _NUMERIC_TEXT.fullmatch(text) is not None and text not in _NOT_NUMERIC


def _is_finite(number: float) -> bool:
    try:
        return math.isfinite(number)
    except OverflowError:  # an integer of more than 308 digits
        return False
