"""A plugin for the tests: a command that reaches the clients of all nodes, and one that says where it is handled."""

import os


class Shouting:
    def __init__(self, server, protocol):
        @server.on_command(cmd="shout", schema=protocol.schema)
        async def shout(client, message):
            server.cluster.publish("tests/shout", {"from": client.username, "val": message["val"]})

        @server.on_cluster_message("tests/shout")
        async def heard(value):
            server.send_packet(list(server.clients_manager), {"cmd": "direct", "val": value})

        @server.on_command(cmd="where", schema=protocol.schema)
        async def where(client, message):
            names = sorted(each.username or "" for each in server.clients_manager)
            server.send_packet(
                client, {"cmd": "direct", "val": [os.getpid(), names], "listener": message["listener"]}
            )
