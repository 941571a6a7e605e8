"""The other side of a bridge in a process of its own: proves the secret, then floods, says nothing, or reads nothing.

Arguments: the secret, and `flood`, `silence` or `slow`. Prints its port.
"""

import json
import socket
import sys
import time

from websockets.sync.server import serve

from cloudlink.bridge.proof import CalledHandshake, key_of

KEY = key_of(sys.argv[1])
SMALL_BUFFER = 4096


def prove(connection):
    handshake = CalledHandshake({"b": KEY})
    while not handshake.bridge:
        connection.send(handshake.received(connection.recv()))
    shares = {"type": "shares", "val": {"rooms": [["game"]]}, "at": time.time_ns() // 1_000_000}
    user = {"type": "user", "room": "game", "user": 1, "name": "hostile"}
    connection.send(json.dumps([shares, user, {"type": "ping"}]))


def flood(connection):
    """Send records as fast as they are read."""
    records = []
    for number in range(500):
        at = time.time_ns() // 1_000_000
        records += [
            {"type": "gmsg", "room": "game", "user": 1, "val": "spam"},
            {"type": "gvar", "room": "game", "user": 1, "name": f"x{number}", "val": 1, "at": at, "by": "b"},
        ]
    text = json.dumps(records)
    while True:
        connection.send(text)


def silence(connection):
    """Read everything, and say nothing."""
    for _ in connection:
        pass


def slow(connection):
    """Read nothing, but show signs of life."""
    while True:
        connection.send('[{"type":"ping"}]')
        time.sleep(1)


def handle(connection):
    prove(connection)
    {"flood": flood, "silence": silence, "slow": slow}[sys.argv[2]](connection)


listening = socket.create_server(("127.0.0.1", 0))
if sys.argv[2] == "slow":
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER)
with serve(handle, sock=listening, compression=None, max_queue=1, ping_interval=None) as server:
    print(listening.getsockname()[1], flush=True)  # noqa: T201  # the test reads it
    server.serve_forever()
