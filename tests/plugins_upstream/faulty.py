"""A plugin with mistakes, as everybody writes one some day."""


class Faulty:
    def __init__(self, server, protocol):
        self.server = server
        self.raised = []

        @server.on_command(cmd="explode", schema=protocol.schema)
        async def explode(client, message):
            return {}["there is no such key"]

        @server.on_connect
        async def no_greeting(client):
            raise RuntimeError("on_connect raises")

        @server.on_message
        async def no_log(client, message):
            if message["cmd"] == "ping":
                raise RuntimeError("on_message raises")

        @server.on_disconnect
        async def no_farewell(client):
            raise RuntimeError("on_disconnect raises")
