"""The other side of a bridge in a process of its own: proves the secret, then sends records as fast as they are read.

Arguments: the secret. Prints its port.
"""

import json
import sys
import time

from websockets.sync.server import serve

from cloudlink.bridge.proof import CalledHandshake, key_of

KEY = key_of(sys.argv[1])


def flood(socket):
    handshake = CalledHandshake({"b": KEY})
    while not handshake.bridge:
        socket.send(handshake.received(socket.recv()))
    shares = {"type": "shares", "val": {"rooms": [["game"]]}, "at": time.time_ns() // 1_000_000}
    user = {"type": "user", "room": "game", "user": 1, "name": "flooder"}
    socket.send(json.dumps([shares, user, {"type": "ping"}]))
    records = []
    for number in range(500):
        at = time.time_ns() // 1_000_000
        records += [
            {"type": "gmsg", "room": "game", "user": 1, "val": "spam"},
            {"type": "gvar", "room": "game", "user": 1, "name": f"x{number}", "val": 1, "at": at, "by": "b"},
        ]
    text = json.dumps(records)
    while True:
        socket.send(text)


with serve(flood, "127.0.0.1", 0, compression=None) as server:
    print(server.socket.getsockname()[1], flush=True)  # noqa: T201  # the test reads it
    server.serve_forever()
