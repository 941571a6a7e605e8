"""A network in memory for `reconnecting`: a list of what each attempt to connect leads to, and sockets that record."""

from __future__ import annotations

import asyncio
import json

from cloudlink.client import reconnecting
from tests.support.fakeservers import GREETING, ok

SILENT = object()
"""A server that accepts the connection and never says anything."""


class FakeSocket:
    """A socket to a server that answers requests as CloudLink does, at once."""

    def __init__(self, receiver, outcome):
        self.receiver = receiver
        self.sent = []
        self.paused = False
        self.aborted = False
        self.closed_with = None
        self.writable = asyncio.Event()
        self.writable.set()
        self._outcome = outcome

    def send(self, text):
        packet = json.loads(text)
        self.sent.append(packet)
        if self._outcome is None:
            for answer in answers(packet):
                self.says(answer)

    def ping(self):
        if self._outcome is None:
            asyncio.get_running_loop().call_soon(self.receiver.ponged)

    def says(self, packet):
        """The server sends a packet, which arrives next."""
        asyncio.get_running_loop().call_soon(self.delivers, packet)

    def delivers(self, packet):
        """A packet of the server arrives now."""
        self.receiver.received(json.dumps(packet, ensure_ascii=False))

    def greets(self):
        """A server that was silent answers the handshake now."""
        for answer in answers(self.sent[0]):
            self.delivers(answer)

    def lose(self, code=1006, reason=""):
        """The server closes the connection, or it breaks."""
        self.receiver.connection_lost(code, reason)

    async def drain(self):
        await self.writable.wait()

    def pause_reading(self):
        self.paused = True

    def resume_reading(self):
        self.paused = False

    async def close(self, code=1000, reason=""):
        self.closed_with = code

    def abort(self):
        self.aborted = True


def answers(packet):
    """The answers of a server; none to packets without a listener."""
    cmd = packet.get("cmd")
    if cmd == "handshake":
        return [*GREETING, ok(packet)]
    if cmd == "setid":
        return [ok(packet, val={"id": "1", "uuid": "u", "username": packet["val"]})]
    return [ok(packet)] if cmd == "link" else []


class Network:
    """The result of connecting.

    Attributes:
        outcomes: For each attempt an exception to raise, a pair of a close code and a reason with which the server
            closes at once, `SILENT`, or None for a server that answers. The last one counts for all that follow.
        attempts: When each attempt was made.
        sockets: The sockets of those that connected.
    """

    def __init__(self, *outcomes):
        self.outcomes = list(outcomes) or [None]
        self.attempts = []
        self.sockets = []
        self._attempted = asyncio.Event()

    async def attempted(self, number):
        """Wait until there have been so many attempts."""
        while len(self.attempts) < number:
            self._attempted.clear()
            await self._attempted.wait()

    async def open_socket(self, url, receiver, options):
        loop = asyncio.get_running_loop()
        self.attempts.append(loop.time())
        self._attempted.set()
        outcome = self.outcomes.pop(0) if len(self.outcomes) > 1 else self.outcomes[0]
        if isinstance(outcome, Exception):
            raise outcome
        socket = FakeSocket(receiver, outcome)
        self.sockets.append(socket)
        if isinstance(outcome, tuple):
            loop.call_soon(socket.lose, *outcome)
        return socket

    @property
    def socket(self):
        """The latest socket."""
        return self.sockets[-1]

    def install(self, monkeypatch):
        monkeypatch.setattr(reconnecting, "open_socket", self.open_socket)
        return self
