"""Replaces words by stars in everything that clients send, and refuses usernames with them.

    cloudlink serve --plugin examples/plugins/word_filter.py

Change WORDS. Words are matched in any letter case and as whole words: `ass` does not match in `class`. A host who wants to
change them while the server runs uses the word filters of the administration instead; they need no plugin.
"""

from __future__ import annotations

import re

WORDS = ["darn", "heck", "gosh"]
PATTERN = re.compile(rf"\b({'|'.join(map(re.escape, WORDS))})\b", re.IGNORECASE)


def word_filter(server):
    """Look at each message before the server processes it."""

    @server.on_filter
    def clean(client, message):
        value = message.get("val", message.get("value"))
        cleaned = _stars(value)
        if cleaned == value:
            return None
        return "block" if message.get("cmd") == "setid" else cleaned


def _stars(value):
    """Return a value with all words replaced, also inside lists and objects."""
    if isinstance(value, str):
        return PATTERN.sub(lambda found: "*" * len(found[0]), value)
    if isinstance(value, list):
        return [_stars(item) for item in value]
    if isinstance(value, dict):
        return {key: _stars(item) for key, item in value.items()}
    return value
