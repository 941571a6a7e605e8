"""Looks clients up, sends to many, closes connections, and switches commands on and off."""


class Moderator:
    def __init__(self, server, protocol):
        self.server = server
        self.schema = protocol.schema
        manager = server.clients_manager

        @server.on_command(cmd="count", schema=protocol.schema)
        async def count(client, message):
            counts = [len(manager), len(manager.get_snowflakes()), len(manager.get_uuids())]
            counts += [len(manager.clients), len(manager.protocols[protocol.schema])]
            server.send_packet(client, {"cmd": "count", "val": counts})

        @server.on_command(cmd="find", schema=protocol.schema)
        async def find(client, message):
            try:
                found = manager.find_obj(message["val"])
            except manager.exceptions.NoResultsFound:
                server.send_packet(client, {"cmd": "find", "val": "nobody"})
                return
            several = found if isinstance(found, set) else {found}
            users = sorted(protocol.generate_user_object(one)["id"] for one in several)
            server.send_packet(client, {"cmd": "find", "val": users, "set": isinstance(found, set)})

        @server.on_command(cmd="tell", schema=protocol.schema)
        async def tell(client, message):
            everybody = set(manager.protocols[protocol.schema])
            kinds = {"set": everybody, "list": list(everybody), "one": client}
            server.send_packet(kinds[message["val"]], {"cmd": "told", "val": "hello"})

        @server.on_command(cmd="kick", schema=protocol.schema)
        async def kick(client, message):
            found = manager.find_obj(message["id"])
            server.close_connection(found, code=4001, reason="kicked")

        @server.on_command(cmd="kick_all", schema=protocol.schema)
        async def kick_all(client, message):
            others = [other for other in manager.clients if other is not client]
            server.close_connection(others)

        @server.on_command(cmd="switch", schema=protocol.schema)
        async def switch(client, message):
            action = {"off": server.disable_command, "on": server.enable_command}[message["val"]]
            try:
                action("gmsg", protocol.schema)
                answer = "done"
            except ValueError:
                answer = "it is so"
            server.send_packet(client, {"cmd": "switch", "val": answer})

        @server.on_command(cmd="rename", schema=protocol.schema)
        async def rename(client, message):
            try:
                manager.set_username(client, message["val"])
                answer = "done"
            except manager.exceptions.ClientUsernameAlreadySet:
                answer = "never"
            server.send_packet(client, {"cmd": "rename", "val": answer})
