"""A client in memory: it says something to the server's inside, and hears what comes of it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from tests.conversation_drivers import MemoryConnection


class Visitor:
    """A client and its connection.

    What is said is a dict (a packet), a text, or bytes (a binary message).
    """

    def __init__(self, server: Any, *messages: Any, **connection: Any) -> None:
        self.server = server
        self.connection = MemoryConnection(**connection)
        self.session = server.open_session(self.connection)
        self.client = self.session.client
        if messages:
            self.say(*messages)

    def say(self, *messages: Any) -> None:
        """Send messages and forget the answers; `ask` returns them."""
        self.ask(*messages)

    def ask(self, *messages: Any) -> list[Any]:
        """Send messages and return what is heard since the last time."""
        for message in messages:
            if isinstance(message, bytes):
                self.session.receive_binary(message)
            else:
                text = json.dumps(message) if isinstance(message, dict) else message
                self.session.receive(text.encode())
        return self.heard()

    def heard(self) -> list[Any]:
        """Return the packets, or bare texts, received since the last time."""
        self.server.delivery.flush()
        return [_decoded(frame) for frame in self.connection.take()]

    def leave(self) -> None:
        """Go, as a closed browser tab does."""
        self.session.connection_lost()

    @property
    def closed(self) -> tuple[int, str] | None:
        """Code and reason with which the server closed the connection, None if it did not."""
        return self.connection.closed


def named(server: Any, name: str, **connection: Any) -> Visitor:
    """A client with a name, greeted and in the default room."""
    return Visitor(server, {"cmd": "handshake"}, {"cmd": "setid", "val": name}, **connection)


def codes(answers: list[Any]) -> list[int]:
    """The numbers of the status codes among some answers."""
    return [answer["code_id"] for answer in answers if answer["cmd"] == "statuscode"]


async def turns(count: int = 20) -> None:
    """Let the event loop turn until whatever is ready has run."""
    for _ in range(count):
        await asyncio.sleep(0)


def _decoded(frame: str) -> Any:
    try:
        return json.loads(frame)
    except ValueError:
        return frame
