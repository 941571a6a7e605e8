"""Helpers for messages: suggestions, quoted values, numbers with nouns, one line of text.

Nothing here raises an error.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))}
CONTROLS |= {code: f"\\u{code:04x}" for code in (*range(0x2028, 0x202F), *range(0x2066, 0x206A))}
"""How control characters are shown. Names and messages of strangers appear in logs and terminals; they must not start
a new line, control a terminal or change the direction of writing."""

_LONGEST_VALUE = 60
"""Most characters of a wrong value that an error message repeats."""


def did_you_mean(name: str, known: Iterable[str], *, prefix: str = "") -> str:
    """Return `; did you mean NAME?` with the known name most similar to `name`, or an empty text.

    A prefix that all names share is ignored in the comparison; otherwise they would all be similar.
    """
    found = closest(name, known, prefix=prefix)
    return f"; did you mean {found}?" if found else ""


def closest(name: str, known: Iterable[str], *, prefix: str = "", cutoff: float = 0.6) -> str:
    """Return the known name most similar to `name`, or an empty text.

    Args:
        name: The unknown name.
        known: The known names.
        prefix: As in `did_you_mean`.
        cutoff: How similar they must be, from 0 to 1 (see `difflib.get_close_matches`).
    """
    import difflib  # noqa: PLC0415  # only errors need it, and servers run for long

    spelled = {candidate.removeprefix(prefix).casefold(): candidate for candidate in known}
    close = difflib.get_close_matches(name.removeprefix(prefix).casefold(), spelled, n=1, cutoff=cutoff)
    return spelled[close[0]] if close else ""


def quoted(value: object) -> str:
    """Return a value as it is written in a settings file, cut if it is long."""
    try:
        text = json.dumps(value, ensure_ascii=False, default=str)
    except ValueError:  # Python writes no whole number of more than 4300 digits
        return "a number with too many digits"
    return printable(text if len(text) <= _LONGEST_VALUE else text[:_LONGEST_VALUE] + "…")


def one_line(text: str) -> str:
    """Return a text with every run of white space, including line ends, replaced by one space."""
    return " ".join(text.split())


def printable(text: str) -> str:
    """Return a text on one line, its control characters made visible."""
    return text.translate(CONTROLS)


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, such as `1 room` or `2 rooms`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
