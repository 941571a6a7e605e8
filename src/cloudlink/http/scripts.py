"""The JavaScript files of the server: the Scratch extension, the client for web pages, and the start page's script."""

from __future__ import annotations

import functools
from pathlib import Path

EXTENSION = "cloudlink.js"
CLIENT = "cloudlink.mjs"
TRY = "try.mjs"

_IN_CHECKOUT = {EXTENSION: "extension", CLIENT: "web", TRY: "web"}


@functools.cache
def source(name: str) -> str | None:
    """Return the text of a file, read once; None if this installation lacks it."""
    places = (
        Path(__file__).with_name(name),  # in an installed package
        Path(__file__).parents[3] / _IN_CHECKOUT[name] / name,
    )
    for place in places:
        if place.is_file():
            return place.read_text(encoding="utf-8")
    return None
