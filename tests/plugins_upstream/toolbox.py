"""Commands that use what the CL4 protocol object offers to plugins."""


class Toolbox:
    def __init__(self, server, protocol):
        self.server = server
        self.protocol = protocol

        # The rules of a packet, as Cerberus knows them.
        self.dice_schema = {
            "cmd": {"type": "string", "required": True},
            "val": {"type": "integer", "required": True, "min": 1},
            "listener": {"type": ["string", "integer", "float", "boolean", "number"], "required": False},
        }

        @server.on_command(cmd="dice", schema=protocol.schema)
        async def dice(client, message):
            if not protocol.valid(client, message, self.dice_schema):
                return
            protocol.send_statuscode(client, protocol.statuscodes.ok, message=message, val=message["val"] * 2)

        @server.on_command(cmd="strict", schema=protocol.schema)
        async def strict(client, message):
            if protocol.valid(client, message, self.dice_schema, allow_unknown=False):
                server.send_packet(client, {"cmd": "strict", "val": "fine"})

        @server.on_command(cmd="echo", schema=protocol.schema)
        async def echo(client, message):
            if protocol.valid(client, message, protocol.schema.gmsg):
                protocol.send_message(client, {"cmd": "echo", "val": message["val"]}, message=message)

        @server.on_command(cmd="whoami", schema=protocol.schema)
        async def whoami(client, message):
            if not protocol.require_username_set(client, message):
                return
            user = protocol.generate_user_object(client)
            server.send_packet(client, {"cmd": "whoami", "val": user, "ip": protocol.get_client_ip(client)})

        @server.on_command(cmd="where", schema=protocol.schema)
        async def where(client, message):
            rooms = sorted(protocol.gather_rooms(client, message))
            server.send_packet(client, {"cmd": "where", "val": rooms})

        @server.on_command(cmd="codes", schema=protocol.schema)
        async def codes(client, message):
            text, number = protocol.statuscodes.generate(protocol.statuscodes.too_large)
            protocol.send_statuscode(client, protocol.statuscodes.refused, details=f"not {text} ({number})")

        # The same without a decorator.
        server.bind_callback(cmd="about", schema=protocol.schema, method=self.about)

    async def about(self, client, message):
        about = {
            "id": client.snowflake,
            "uuid": str(client.id),
            "username": client.username,
            "named": client.username_set,
            "greeted": client.handshake,
            "rooms": sorted(client.rooms),
            "cl4": client.protocol is self.protocol.schema and client.protocol_set,
            "host": client.remote_address[0],
            "mine": client.request_headers.get("x-mine", "none"),
            "path": client.path,
        }
        self.server.send_packet_unicast(client, {"cmd": "about", "val": about})
