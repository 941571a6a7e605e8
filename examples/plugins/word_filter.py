"""Removes words from the values that clients send, and refuses usernames with them.

    cloudlink serve --plugin examples/plugins/word_filter.py

Change WORDS. Words are matched in any letter case and as whole words: `ass` does not match in `class`. They are replaced by
stars; a username with such a word is refused (status code 108), so that the player can choose another. Messages of
CloudLink 2 clients are not JSON and pass unchanged; switch the setting `legacy` off if that matters.
"""

from __future__ import annotations

import json
import re

WORDS = ["darn", "heck", "gosh"]
CENSORED = ("gmsg", "gvar", "pmsg", "pvar", "direct")


class WordFilter:
    """Filters messages before the server processes them."""

    def __init__(self, server, protocol):
        self.pattern = re.compile(rf"\b({'|'.join(map(re.escape, WORDS))})\b", re.IGNORECASE)
        process = server.message_processor

        async def filtered(client, message):
            packet = _object(message)
            cmd = packet.get("cmd")
            if cmd == "setid" and self.clean(packet.get("val")) != packet.get("val"):
                codes = protocol.statuscodes
                protocol.send_statuscode(client, codes.refused, "Choose a friendlier name.", packet)
                return
            if cmd in CENSORED:
                cleaned = self.clean(packet.get("val"))
                if cleaned != packet.get("val"):
                    # Only changed packets are encoded again; all others keep their exact text.
                    message = json.dumps({**packet, "val": cleaned})
            await process(client, message)

        server.message_processor = filtered

    def clean(self, value):
        """Return a value with all words replaced, also inside lists and objects."""
        if isinstance(value, str):
            return self.pattern.sub(lambda found: "*" * len(found[0]), value)
        if isinstance(value, list):
            return [self.clean(item) for item in value]
        if isinstance(value, dict):
            return {key: self.clean(item) for key, item in value.items()}
        return value


def _object(message):
    """Return the packet in a message; an empty one if there is none, so that the server reports the error."""
    try:
        packet = json.loads(message)
    except (ValueError, RecursionError):
        return {}
    return packet if isinstance(packet, dict) else {}
