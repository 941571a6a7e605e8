"""A protocol of its own, in addition to CL4: packets have an "action", and everybody meets in one room."""

# ruff: noqa: RUF012  # this is how schemas of CloudLink 0.2.0 are written


class ChatSchema:
    command_key = "action"
    default = {
        "action": {"type": "string", "required": True},
        "text": {"type": "string", "required": False},
        "to": {"type": ["string", "list"], "required": False},
    }
    say = {
        "action": {"type": "string", "required": True},
        "text": {"type": "string", "required": True, "maxlength": 20},
    }


class Chat:
    def __init__(self, server, protocol):
        self.server = server
        self.schema = ChatSchema

        @server.on_protocol_identified(schema=ChatSchema)
        async def welcome(client):
            server.rooms_manager.subscribe(client, "chat")

        @server.on_protocol_disconnect(schema=ChatSchema)
        async def farewell(client):
            server.rooms_manager.unsubscribe(client, "chat")
            server.send_packet(await self.everybody(), {"left": client.username})

        @server.on_command(cmd="name", schema=ChatSchema)
        async def name(client, message):
            if client.username_set:
                server.send_packet(client, {"error": "you have a name"})
                return
            server.rooms_manager.unsubscribe(client, "chat")
            server.clients_manager.set_username(client, message["text"])
            server.rooms_manager.subscribe(client, "chat")
            server.send_packet(await self.everybody(), {"came": client.username})

        @server.on_command(cmd="say", schema=ChatSchema)
        async def say(client, message):
            validator = server.validator(ChatSchema.say, allow_unknown=True)
            if not validator.validate(message):
                server.send_packet(client, {"error": validator.errors})
                return
            everybody = await self.everybody()
            server.send_packet_multicast(everybody, {"from": client.username, "text": message["text"]})

        @server.on_command(cmd="whisper", schema=ChatSchema)
        async def whisper(client, message):
            try:
                found = await server.rooms_manager.get_specific_in_room("chat", ChatSchema, message["to"])
            except server.rooms_manager.exceptions.NoResultsFound:
                found = set()
            if found:
                server.send_packet(found, {"from": client.username, "secret": message["text"]})
            else:
                server.send_packet(client, {"error": "nobody"})

        @server.on_exception(exception_type=server.exceptions.ValidationError, schema=ChatSchema)
        async def not_valid(client, details):
            server.send_packet(client, {"error": details})

        @server.on_exception(exception_type=server.exceptions.InvalidCommand, schema=ChatSchema)
        async def not_known(client, details):
            server.send_packet(client, {"error": f"what is {details}?"})

        @server.on_exception(exception_type=server.exceptions.JSONError, schema=ChatSchema)
        async def not_json(client, details):
            server.send_packet(client, "that is not JSON")

    async def everybody(self):
        return await self.server.rooms_manager.get_all_in_rooms("chat", ChatSchema)
