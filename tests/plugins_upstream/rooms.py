"""Uses the rooms manager: makes rooms, moves clients between them, reads who is in them."""


class Rooms:
    def __init__(self, server, protocol):
        manager = server.rooms_manager
        wrong = manager.exceptions
        schema = protocol.schema

        def answer(client, val):
            server.send_packet(client, {"cmd": "answer", "val": val})

        @server.on_command(cmd="life", schema=schema)
        async def life(client, message):
            lines = [manager.exists("den")]
            manager.create("den")
            lines.append(manager.exists("den"))
            for call, expected in (
                (lambda: manager.create("den"), wrong.RoomAlreadyExists),
                (lambda: manager.delete("no such room"), wrong.RoomDoesNotExist),
                (lambda: manager.delete("default"), wrong.RoomNotEmpty),
                (lambda: manager.create(5), TypeError),
                (lambda: manager.find_room("no such room"), wrong.NoResultsFound),
            ):
                try:
                    call()
                    lines.append("nothing was raised")
                except expected:
                    lines.append(expected.__name__)
            manager.delete("den")
            lines.append(manager.exists("den"))
            answer(client, lines)

        @server.on_command(cmd="move", schema=schema)
        async def move(client, message):
            manager.subscribe(client, message["val"])
            manager.subscribe(client, message["val"])
            manager.unsubscribe(client, "default")
            answer(client, [sorted(client.rooms), manager.exists("default"), manager.exists(message["val"])])

        @server.on_command(cmd="list", schema=schema)
        async def users(client, message):
            names = [user["username"] for user in manager.generate_userlist(message["val"], schema)]
            answer(client, sorted(names))

        @server.on_command(cmd="all", schema=schema)
        async def everybody(client, message):
            found = await manager.get_all_in_rooms(message["val"], schema)
            server.send_packet(found, {"cmd": "answer", "val": "everybody"})

        @server.on_command(cmd="some", schema=schema)
        async def some(client, message):
            try:
                found = await manager.get_specific_in_room(message["val"], schema, message["id"])
            except wrong.NoResultsFound:
                found = set()
            answer(client, sorted(one.snowflake for one in found))

        @server.on_command(cmd="part", schema=schema)
        async def part(client, message):
            part = manager.get(message["val"])["clients"][schema]
            named = manager.find_obj(message["id"], part)
            counts = [len(part["all"]), len(manager.get_snowflakes(part)), len(manager.get_uuids(part))]
            answer(client, [*counts, sorted(filter(None, part["usernames"])), len(named)])
