"""The rules for the values of Scratch cloud variables and the prefix of their names (protocol, section 3.1).

The server, the client and `cloudlink vars` share them. `is_value` applies them to the JSON text of a value where
packets are not decoded, `check` to a Python value that a program sets. Pure functions.
"""

from __future__ import annotations

import math
import re

from cloudlink import jsontext

Value = int | float | str

PREFIXES = ("☁ ", ":cloud: ")
"""The prefix of cloud variable names in Scratch."""

MAX_LENGTH = 100_000
"""Most characters of a value, unless the host sets another limit."""

_NUMERIC_TEXT = re.compile(r"-?[0-9]*(?:\.[0-9]*)?")
_PLAIN_NUMBER = re.compile(rb'"-?[0-9]+(?:\.[0-9]+)?"')
"""The JSON text of most values: text that spells a number, without escapes."""
_NOT_NUMERIC = ("-", ".")
_STRING_START = 0x22
_NUMBER_STARTS = b"-0123456789"


def is_value(raw: bytes, longest: int, *, text_allowed: bool) -> bool:
    """Return whether a JSON text is a valid value of a cloud variable.

    Args:
        raw: The text; empty for a missing value.
        longest: Most characters of a value.
        text_allowed: Whether any text is valid; in Scratch, only text that spells a number is.
    """
    if not raw:
        return False
    if raw[0] in _NUMBER_STARTS:
        return len(raw) <= longest and math.isfinite(float(raw))
    if raw[0] != _STRING_START:
        return False
    if len(raw) <= longest + 2 and (
        text_allowed or raw[1:-1].isdigit() or _PLAIN_NUMBER.fullmatch(raw) is not None
    ):
        return True  # without decoding; most values encode lists in digits, and need no pattern either
    if len(raw) > 12 * longest + 2:  # a character is at most two \uXXXX escapes
        return False
    text = jsontext.loads(raw)
    return len(text) <= longest and (text_allowed or _is_numeric(text))


def check(value: object, *, text_allowed: bool = False) -> None:
    """Raise an error unless a cloud variable can hold a Python value.

    Args:
        value: The value.
        text_allowed: Whether any text is valid, as on some hosts.

    Raises:
        TypeError: It is neither a number nor text.
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
