"""The Scratch extension, which editors load from the server itself."""

from __future__ import annotations

import functools
from pathlib import Path

_NAME = "cloudlink.js"
_PLACES = (
    Path(__file__).with_name(_NAME),  # in an installed package
    Path(__file__).parents[3] / "extension" / _NAME,  # in a checkout
)


@functools.cache
def source() -> str | None:
    """Return the JavaScript of the extension, read once; None if this installation lacks it."""
    for place in _PLACES:
        if place.is_file():
            return place.read_text(encoding="utf-8")
    return None
