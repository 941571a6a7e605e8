"""A command that takes its time, and one that ends the waiting; and two handlers for one command."""


class Patient:
    def __init__(self, server, protocol):
        waiting = []

        @server.on_command(cmd="wait", schema=protocol.schema)
        async def wait(client, message):
            event = server.asyncio.Event()
            waiting.append(event)
            await event.wait()
            server.send_packet(client, {"cmd": "waited", "val": message["val"]})

        @server.on_command(cmd="go", schema=protocol.schema)
        async def go(client, message):
            while waiting:
                waiting.pop(0).set()

        @server.on_command(cmd="both", schema=protocol.schema)
        async def first(client, message):
            event = server.asyncio.Event()
            waiting.append(event)
            await event.wait()
            server.send_packet(client, {"cmd": "first"})

        @server.on_command(cmd="both", schema=protocol.schema)
        async def second(client, message):
            server.send_packet(client, {"cmd": "second"})
