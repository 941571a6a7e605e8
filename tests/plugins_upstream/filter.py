"""Puts itself before the server's own way of processing messages."""


class Filter:
    def __init__(self, server, protocol):
        process = server.message_processor

        async def filtered(client, message):
            if "badword" in message:
                server.send_packet(client, "language, please")
            else:
                await process(client, message)

        server.message_processor = filtered
