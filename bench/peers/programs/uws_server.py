"""A uWebSockets broadcaster (through socketify): `python uws_server.py PORT [PROCESSES]`.

Every message goes, unread, to all clients whose connection has the same path, the sender included. The only
Python code per message is one call of `publish`; uWebSockets itself makes and sends the copies.

Several processes share the port. uWebSockets does not join them, so each hands its messages, with their room, to the others
over Unix sockets, which they look at after each turn of their loop and once a millisecond.
"""

import contextlib
import importlib
import os
import signal
import socket
import sys
from typing import Any

BUFFER = 8 << 20
"""Bytes that may wait for another process; messages beyond it are lost."""
LONGEST = 1 << 16

socketify: Any = importlib.import_module("socketify")
port, count = int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1
ends: list[tuple[socket.socket, socket.socket]] = [
    socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(count if count > 1 else 0)
]
children: list[int] = []
number = 0
while number == 0 and len(children) < count - 1:
    child = os.fork()
    if child:
        children.append(child)
    else:
        number, children = len(children) + 1, []

others = [ends[each][0] for each in range(len(ends)) if each != number]
inbox = ends[number][1] if ends else None
for each in (*others, *([inbox] if inbox else [])):
    each.setblocking(False)
    each.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER)


def stop(*_: object) -> None:
    """End this process and those that it has started."""
    for child in children:
        os.kill(child, signal.SIGKILL)
    os._exit(0)


def on_upgrade(response: Any, request: Any, context: Any) -> None:
    """Accept the connection and remember its path as the room."""
    key = request.get_header("sec-websocket-key")
    response.upgrade(key, "", "", context, request.get_url())


def on_open(connection: Any) -> None:
    """Join the room."""
    connection.subscribe(connection.get_user_data())


def on_message(connection: Any, message: str, opcode: Any) -> None:
    """Send the message to the whole room."""
    room = connection.get_user_data()
    app.publish(room, message, opcode)
    for other in others:
        with contextlib.suppress(BlockingIOError):
            other.send(f"{room}\n{int(opcode)}\n{message}".encode())


def relay(*_: object) -> None:
    """Send to the own clients what other processes have handed over."""
    assert inbox is not None
    while True:
        try:
            room, opcode, message = inbox.recv(LONGEST).decode().split("\n", 2)
        except BlockingIOError:
            return
        app.publish(room, message, socketify.OpCode(int(opcode)))


app = socketify.App()
app.ws(
    "/*",
    {
        "compression": socketify.CompressOptions.DISABLED,
        "max_backpressure": 64 * 1024 * 1024,
        "upgrade": on_upgrade,
        "open": on_open,
        "message": on_message,
    },
)
app.listen(socketify.AppListenOptions(port=port, host="127.0.0.1"))
if inbox is not None:
    signal.signal(signal.SIGTERM, stop)
    look = app.loop.uv_loop.create_check(relay, None)
    wake = app.loop.uv_loop.create_timer(1, 1, relay, None)
app.loop.uv_loop.run()  # the bare libuv loop: `app.run()` would poll in turns with asyncio and keep a core busy
