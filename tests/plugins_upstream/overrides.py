"""Adds to built-in commands, and replaces one."""


class Overrides:
    def __init__(self, server, protocol):
        # Both the built-in handler and this one run.
        @server.on_command(cmd="gmsg", schema=protocol.schema)
        async def shout(client, message):
            if message.get("val") == "shout":
                server.send_packet(client, {"cmd": "shouted"})

        # The built-in handler is gone, this one stands in for it.
        server.unbind_command(cmd="ping", schema=protocol.schema)

        @server.on_command(cmd="ping", schema=protocol.schema)
        async def ping(client, message):
            server.send_packet(client, {"cmd": "pong"})

        # Gone without a replacement.
        server.unbind_command(cmd="direct", schema=protocol.schema)
        try:
            server.unbind_command(cmd="direct", schema=protocol.schema)
            self.refused = False
        except ValueError:
            self.refused = True

        @server.on_command(cmd="refused", schema=protocol.schema)
        async def refused(client, message):
            server.send_packet(client, {"cmd": "refused", "val": self.refused})
