"""Binds its events the way plugins of CloudLink 0.1.9 did."""


class OldStyle:
    def __init__(self, server, protocol):
        self.server = server
        self.seen = []
        server.bind_event(server.on_connect, self.connected)
        server.bind_event(server.on_message, self.message)
        server.bind_event(server.on_error, self.error)
        server.bind_event(server.on_disconnect, self.disconnected)

    async def connected(self, client):
        self.seen.append("connect")

    async def message(self, client, message):
        self.seen.append(message["cmd"])
        if message["cmd"] == "gmsg":
            self.server.send_packet(client, {"cmd": "seen", "val": self.seen})

    async def error(self, client, errors):
        self.seen.append("error")

    async def disconnected(self, client):
        self.seen.append("disconnect")
