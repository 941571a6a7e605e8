"""What makes error sentences readable: suggestions, quoted values, one line of text.

It holds words only: it decides nothing and raises nothing.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))}
CONTROLS |= {code: f"\\u{code:04x}" for code in (*range(0x2028, 0x202F), *range(0x2066, 0x206A))}
"""How control characters are shown. Names and messages of strangers get into logs and terminals; none of them may begin
a line, steer a terminal or turn the direction of writing."""

_LONGEST_VALUE = 60
"""Characters of a wrong value that an error sentence repeats."""


def did_you_mean(name: str, known: Iterable[str], *, prefix: str = "") -> str:
    """Return `; did you mean NAME?` for the known name that resembles `name` most, or an empty text.

    A prefix that all names share is left out of the comparison, or they would all resemble each other.
    """
    found = closest(name, known, prefix=prefix)
    return f"; did you mean {found}?" if found else ""


def closest(name: str, known: Iterable[str], *, prefix: str = "", cutoff: float = 0.6) -> str:
    """Return the known name that resembles `name` most, or an empty text.

    Args:
        name: The name that is not known.
        known: The names that are.
        prefix: As in `did_you_mean`.
        cutoff: How much they must resemble each other, from 0 to 1 (see `difflib.get_close_matches`).
    """
    import difflib  # noqa: PLC0415  # only mistakes need it, and servers live long

    spelled = {candidate.removeprefix(prefix).casefold(): candidate for candidate in known}
    close = difflib.get_close_matches(name.removeprefix(prefix).casefold(), spelled, n=1, cutoff=cutoff)
    return spelled[close[0]] if close else ""


def quoted(value: object) -> str:
    """Return a value as a settings file would spell it, cut when it is long."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _LONGEST_VALUE else text[:_LONGEST_VALUE] + "…"


def one_line(text: str) -> str:
    """Return a text with every run of white space, line ends included, made one space."""
    return " ".join(text.split())


def printable(text: str) -> str:
    """Return a text on one line, its control characters made visible."""
    return text.translate(CONTROLS)
