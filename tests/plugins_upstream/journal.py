"""Writes down every event that a plugin can hear of, and reads it out on request.

Clients are written down by the order in which they connected: 1, 2, 3.
"""


class Journal:
    def __init__(self, server, protocol):
        self.entries = []
        self.numbers = {}
        self.write_down_events(server, protocol.schema)
        self.write_down_mistakes(server, protocol.schema)

        @server.on_command(cmd="journal", schema=protocol.schema)
        async def journal(client, message):
            entries, self.entries = self.entries, []
            server.send_packet(client, {"cmd": "journal", "val": entries})

    def note(self, client, event, *details):
        number = self.numbers.setdefault(client.snowflake, len(self.numbers) + 1)
        self.entries.append([event, number, *details])

    def write_down_events(self, server, schema):
        @server.on_connect
        async def connected(client):
            self.note(client, "connect", client.protocol_set)

        @server.on_protocol_identified(schema=schema)
        async def identified(client):
            self.note(client, "identified", client.protocol is schema)

        @server.on_command(cmd="ping", schema=schema)
        async def pinged(client, message):
            self.note(client, "ping", message.get("val"))

        @server.on_message
        async def message(client, message):
            if message["cmd"] != "journal":
                self.note(client, "message", message["cmd"])

        @server.on_disconnect
        async def gone(client):
            known = server.clients_manager.exists(client)
            self.note(client, "disconnect", known, sorted(client.rooms))

        @server.on_protocol_disconnect(schema=schema)
        async def protocol_gone(client):
            self.note(client, "protocol_disconnect")

    def write_down_mistakes(self, server, schema):
        @server.on_disabled_command(schema=schema)
        async def disabled(client, cmd):
            self.note(client, "disabled", cmd)

        @server.on_exception(exception_type=server.exceptions.JSONError, schema=schema)
        async def not_json(client, details):
            self.note(client, "JSONError", isinstance(details, Exception))

        @server.on_exception(exception_type=server.exceptions.ValidationError, schema=schema)
        async def not_valid(client, details):
            self.note(client, "ValidationError", details)

        @server.on_exception(exception_type=server.exceptions.InvalidCommand, schema=schema)
        async def not_known(client, details):
            self.note(client, "InvalidCommand", details)

        @server.on_exception(exception_type=server.exceptions.EmptyMessage, schema=schema)
        async def empty(client, details):
            self.note(client, "EmptyMessage", isinstance(details, str))

        @server.on_exception(exception_type=server.exceptions.InternalError, schema=schema)
        async def internal(client, details):
            self.note(client, "InternalError", isinstance(details, str))

        @server.on_command(cmd="explode", schema=schema)
        async def explode(client, message):
            raise RuntimeError("on purpose")
