"""Takes words out of the values that clients send, and out of usernames.

    cloudlink serve --plugin examples/plugins/word_filter.py

Change WORDS. A word is found in any letter case and as a word of its own: `ass` does not spoil `class`. It is replaced by
stars; a username with such a word is refused (status code 108), so that the player can choose another. What clients of
CloudLink 2 send is no JSON and passes; switch the setting `legacy` off if that matters.
"""

from __future__ import annotations

import json
import re

WORDS = ["darn", "heck", "gosh"]
CENSORED = ("gmsg", "gvar", "pmsg", "pvar", "direct")


class WordFilter:
    """Stands before the server's own way of processing messages."""

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
                    # Only what changes is written anew; all else stays as it was typed, letter by letter.
                    message = json.dumps({**packet, "val": cleaned})
            await process(client, message)

        server.message_processor = filtered

    def clean(self, value):
        """Return a value with all words replaced, in lists and objects too."""
        if isinstance(value, str):
            return self.pattern.sub(lambda found: "*" * len(found[0]), value)
        if isinstance(value, list):
            return [self.clean(item) for item in value]
        if isinstance(value, dict):
            return {key: self.clean(item) for key, item in value.items()}
        return value


def _object(message):
    """Return the packet in a message; an empty one if there is none, for the server to complain about."""
    try:
        packet = json.loads(message)
    except (ValueError, RecursionError):
        return {}
    return packet if isinstance(packet, dict) else {}
