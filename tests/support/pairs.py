"""Two processes that are one server to their users: two workers, or two nodes that NATS joins."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import tempfile

from tests.support.lastingserver import LastingServer
from tests.support.natsserver import NatsServer
from tests.support.nodes import SECRET, Place, children
from tests.support.visitors import until

_BACK_LIMIT = 10.0
"""Seconds in which a process must be back."""
PASSWORD = "hush-hush"
"""The password of NATS."""
_ENDING = (signal.SIGTERM, signal.SIGKILL)


class Workers:
    """Two workers of one server.

    Attributes:
        kind: What it is.
        notices: Seconds after which a killed process must be noticed.
    """

    kind = "workers"
    notices = 1.0

    def __init__(self, folder, *arguments):
        self.server = LastingServer(
            folder, "server", ("--workers", "2", "--storage", "cloudlink.db", *arguments), {}
        )
        self._ended = set()

    async def start(self):
        await self.server.logged("(2 workers)")

    @property
    def places(self):
        """Where clients can connect; a process that was started again is the last."""
        return [Place(self.server.port, process) for process in children(self.server.pid)]

    def signal(self, number, sent):
        """Send a signal to a process."""
        process = self.places[number].process
        if sent in _ENDING:
            self._ended.add(process)
        os.kill(process, sent)

    async def whole(self):
        """Wait until both processes serve again."""

        def is_whole():
            places = self.places
            processes = {place.process for place in places}
            return len(places) == 2 and not processes & self._ended and all(each.listens() for each in places)

        await until(_BACK_LIMIT, is_whole)

    def log(self):
        """What all processes have logged."""
        return self.server.log.read_text()

    def health(self):
        """What a process says of the server."""
        return self.server.health()

    def end(self):
        self.server.end()


@contextlib.contextmanager
def started(pair):
    """Start a pair and end it; no error may have been logged."""
    try:
        asyncio.run(pair.start())
        yield pair
    finally:
        pair.end()
    assert "Traceback" not in pair.log()


class Nodes:
    """Two nodes and NATS; the attributes and methods are those of `Workers`."""

    kind = "nodes"
    notices = 4.0

    def __init__(self, folder, *arguments):
        self.nats = NatsServer(folder / "jetstream", "--user", "u", "--pass", PASSWORD)
        self.url = self.nats.url.replace("//", f"//u:{PASSWORD}@")
        self._folder, self._arguments = folder, arguments
        self.servers = [self.another("n1"), self.another("n2")]

    def another(self, name):
        """Start a further node, which its caller ends."""
        place = tempfile.mkdtemp(dir=self._folder)
        joined = ("--cluster", self.url, "--cluster-name", "pair", "--node-name", name)
        return LastingServer(
            place,
            name,
            (*joined, "--storage", "cloudlink.db", *self._arguments),
            {"CLOUDLINK_CLUSTER_SECRET": SECRET},
        )

    async def start(self):
        await asyncio.gather(*(server.logged("connect to ws") for server in self.servers))
        await self._met()

    @property
    def places(self):
        return [Place(server.port) for server in self.servers]

    def signal(self, number, sent):
        self.servers[number].send_signal(sent)
        if sent == signal.SIGKILL:
            self.servers[number].kill()

    async def whole(self):
        ended = [server for server in self.servers if not server.is_running]
        for server in ended:
            server.start()
        await asyncio.gather(*(server.answering() for server in ended))
        await self._met()

    async def _met(self):
        await until(
            _BACK_LIMIT, lambda: all(server.health()["cluster"]["nodes"] == 2 for server in self.servers)
        )

    def log(self):
        return "".join(server.log.read_text() for server in self.servers)

    def health(self):
        return self.servers[0].health()

    def end(self):
        for server in self.servers:
            server.end()
        self.nats.__exit__()
