"""Colyseus: a seat reserved over HTTP, then binary packets of one code byte and MessagePack values.

Source: `Protocol.ts` and `WebSocketTransport.ts` of Colyseus 0.18. A client's message is broadcast to its room; a
player's variable is a field of the room's state, which Colyseus sends as patches, 20 times a second by default.
"""

from __future__ import annotations

import http.client
import json
from dataclasses import replace
from typing import TYPE_CHECKING

from bench.load.job import TEXT, Client
from bench.load.run import LoadError
from bench.protocols.base import Protocol

if TYPE_CHECKING:
    from bench.load.job import Job
    from bench.protocols.base import Kind

JOIN_ROOM, ROOM_DATA = b"\x0a", b"\x0d"
SERIALIZER = "schema"
"""Part of the server's JOIN_ROOM, which the client has to acknowledge."""
GREETING = "welcome"
"""Value in the initial state of programs/colyseus_server.js: the client has the state when it has this."""
HTTP_PATIENCE = 10.0


def msgpack(text: str) -> bytes:
    """Return a string of less than 256 bytes as MessagePack."""
    body = text.encode()
    return (bytes([0xA0 | len(body)]) if len(body) < 32 else bytes([0xD9, len(body)])) + body


class Colyseus(Protocol):
    """The room and the messages of programs/colyseus_server.js."""

    def client(self, number: int, room: str, kind: Kind) -> Client:  # noqa: ARG002  # a session has a name of its own
        """Acknowledge the room. The path is only the room's name until a seat is reserved."""
        steps = ((SERIALIZER, None), (GREETING, JOIN_ROOM))
        return Client(room, steps, () if kind == "nothing" else (ROOM_DATA + msgpack(kind) + msgpack(TEXT),))

    def admit(self, job: Job, port: int) -> Job:
        """Reserve the clients' seats, one after the other, so that each room is made once."""
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=HTTP_PATIENCE)
        try:
            clients = tuple(replace(client, path=_reserve(connection, client.path)) for client in job.clients)
        except (OSError, http.client.HTTPException) as error:
            raise LoadError(f"Colyseus reserved no seat: {error!r}") from error
        finally:
            connection.close()
        return replace(job, clients=clients)


def _reserve(connection: http.client.HTTPConnection, room: str) -> str:
    """Reserve a seat in a room, and return the path of its WebSocket connection."""
    body = json.dumps({"arena": room})
    connection.request("POST", "/matchmake/joinOrCreate/arena", body, {"Content-Type": "application/json"})
    answer = json.load(connection.getresponse())
    if "sessionId" not in answer:
        raise LoadError(f"Colyseus reserved no seat: {answer}")
    return f"/{answer['processId']}/{answer['roomId']}?sessionId={answer['sessionId']}"
