"""A whole server program, as its author starts it: python whole_program.py PORT"""

import sys

from cloudlink import server
from cloudlink.server.protocols import clpv4


class Counter:
    """Counts, for everybody to see."""

    def __init__(self, server, protocol):
        self.count = 0
        self.server = server
        self.protocol = protocol
        server.bind_callback(cmd="count", schema=protocol.schema, method=self.add)
        server.bind_event(server.on_disconnect, self.reset)

    async def add(self, client, message):
        self.count += 1
        everybody = await self.server.rooms_manager.get_all_in_rooms("default", self.protocol.schema)
        self.server.send_packet(everybody, {"cmd": "count", "val": self.count})

    async def reset(self, client):
        self.count = 0


if __name__ == "__main__":
    server = server()
    server.logging.basicConfig(format="[%(asctime)s] %(levelname)s: %(message)s", level=server.logging.INFO)
    server.max_clients = 2
    server.suppress_websocket_logs = True

    clpv4 = clpv4(server)
    clpv4.enable_motd = True
    clpv4.motd_message = "Welcome!"
    clpv4.real_ip_header = "x-real-ip"
    clpv4.warn_if_multiple_username_matches = False
    counter = Counter(server, clpv4)

    for attribute in (server.ujson.dumps([1]), server.copy({}), server.asyncio.sleep, server.ws, server.gen):
        assert attribute is not None
    assert server.version == "0.2.0"

    server.run(ip="127.0.0.1", port=int(sys.argv[1]))
