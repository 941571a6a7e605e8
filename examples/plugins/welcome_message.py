"""Greets everybody by name, and lists the other users.

    cloudlink serve --plugin examples/plugins/welcome_message.py

The greeting is a `direct` message that follows a client's username, once for each connection.
"""

from __future__ import annotations

WELCOME = "Welcome, {name}! {others}"


class WelcomeMessage:
    """Sends the greeting."""

    def __init__(self, server, protocol):
        @server.on_command(cmd="setid", schema=protocol.schema)
        async def named(client, message):
            # The handler also runs if the name was refused, or requested twice.
            if not client.username_set or getattr(client, "welcomed", False):
                return
            client.welcomed = True
            users = server.rooms_manager.generate_userlist("default", protocol.schema)
            others = [user["username"] for user in users if user["uuid"] != str(client.id)]
            text = WELCOME.format(name=client.username, others=_words(others))
            protocol.send_message(client, {"cmd": "direct", "val": text})


def _words(names):
    if not names:
        return "You are the first here."
    if len(names) > 5:
        return f"{len(names)} others are here."
    return f"Also here: {', '.join(names)}."
