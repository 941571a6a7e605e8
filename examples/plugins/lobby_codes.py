"""Lobbies that are found by a short code, as in party games.

    cloudlink serve --plugin examples/plugins/lobby_codes.py

It has two commands, each answered by a status code:

* `{"cmd":"lobby_open"}`: `val` of the answer is a new code such as `KXQF`. The host links to the room of that name.
* `{"cmd":"lobby_find","val":"kxqf"}`: `val` of the answer is `{"room":"KXQF","players":["alice"]}`, and the player links to
  that room. The answer to an unknown code is 103.

A lobby exists while somebody is in it, and for five minutes after it was opened.
"""

from __future__ import annotations

import random
import time

LETTERS = "BCDFGHJKLMNPQRSTVWXZ"  # no vowels, so no words; nothing that looks like a digit
LENGTH = 4
PATIENCE = 300.0  # seconds
MOST = 10_000  # lobbies at the same time


class LobbyCodes:
    """Keeps the codes that are in use."""

    def __init__(self, server, protocol):
        self.opened = {}  # code: time of opening
        self.rooms = server.rooms_manager
        codes = protocol.statuscodes

        @server.on_command(cmd="lobby_open", schema=protocol.schema)
        async def lobby_open(client, message):
            if not protocol.require_username_set(client, message):
                return
            code = self.new_code()
            if code is None:
                protocol.send_statuscode(client, codes.refused, "There are too many lobbies.", message)
            else:
                protocol.send_statuscode(client, codes.ok, message=message, val=code)

        @server.on_command(cmd="lobby_find", schema=protocol.schema)
        async def lobby_find(client, message):
            code = str(message.get("val", "")).strip().upper()
            if not self.is_there(code):
                protocol.send_statuscode(client, codes.id_not_found, f"There is no lobby {code}.", message)
                return
            users = self.rooms.generate_userlist(code, protocol.schema) if self.rooms.exists(code) else []
            players = [user["username"] for user in users]
            protocol.send_statuscode(
                client, codes.ok, message=message, val={"room": code, "players": players}
            )

    def new_code(self):
        """Return a code that is not in use; None if there are too many."""
        if len(self.opened) >= MOST:
            self.opened = {code: opened for code, opened in self.opened.items() if self.is_there(code)}
        if len(self.opened) >= MOST:
            return None
        code = "".join(random.choices(LETTERS, k=LENGTH))
        while self.is_there(code) or self.rooms.exists(code):
            code = "".join(random.choices(LETTERS, k=LENGTH))
        self.opened[code] = time.monotonic()
        return code

    def is_there(self, code):
        """Return whether a lobby is open."""
        opened = self.opened.get(code)
        return opened is not None and (self.rooms.exists(code) or time.monotonic() - opened < PATIENCE)
