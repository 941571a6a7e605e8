"""A uWebSockets broadcaster (through socketify) on the port given as the only argument.

Every message goes, unread, to all clients whose connection has the same path, the sender included. The only
Python code per message is one call of `publish`; uWebSockets itself makes and sends the copies.
"""

import importlib
import sys
from typing import Any

socketify: Any = importlib.import_module("socketify")


def on_upgrade(response: Any, request: Any, context: Any) -> None:
    """Accept the connection and remember its path as the room."""
    key = request.get_header("sec-websocket-key")
    response.upgrade(key, "", "", context, request.get_url())


def on_open(connection: Any) -> None:
    """Join the room."""
    connection.subscribe(connection.get_user_data())


def on_message(connection: Any, message: str, opcode: Any) -> None:
    """Send the message to the whole room."""
    app.publish(connection.get_user_data(), message, opcode)


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
app.listen(socketify.AppListenOptions(port=int(sys.argv[1]), host="127.0.0.1"))
app.loop.uv_loop.run()  # the bare libuv loop: `app.run()` would poll in turns with asyncio and keep a core busy
