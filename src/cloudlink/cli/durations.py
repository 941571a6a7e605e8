"""Durations on the command line, such as `90s`, `10m`, `2h` or `7d`."""

from __future__ import annotations

import re

from cloudlink.errors import StartError
from cloudlink.text import counted, quoted

_DURATION = re.compile(r"(?P<number>[0-9]{1,9}(?:\.[0-9]{1,3})?)(?P<unit>[smhdw]?)")
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def seconds_of(text: str) -> float:
    """Return the seconds of a duration; a number alone means seconds.

    Raises:
        StartError: The text is not a duration.
    """
    match = _DURATION.fullmatch(text.strip().lower())
    if match is None:
        raise StartError(f"{quoted(text)} is not a duration: write 90s, 10m, 2h, 7d or 2w.")
    return float(match["number"]) * _UNITS[match["unit"]]


def in_words(seconds: float) -> str:
    """Return a duration for people, rounded, such as `2 hours`."""
    for unit, size in (("day", 86_400), ("hour", 3600), ("minute", 60)):
        if seconds >= 2 * size:
            return f"{round(seconds / size)} {unit}s"
    return counted(round(seconds), "second")
