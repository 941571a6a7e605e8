"""Servers of several processes: workers behind one port, or nodes joined by NATS; and clients at a chosen one of them."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
from dataclasses import dataclass
from pathlib import Path

from websockets.exceptions import InvalidHandshake

from tests.support.process import ServerProcess
from tests.support.scenario_drivers import TIME_LIMIT, OverSocket
from tests.support.servers import HOST
from tests.support.socketclient import SocketClient

_PROJECT = re.compile(rb'"project_id":\s*"')
SECRET = "the secret of the tests"


@dataclass
class Place:
    """A process that clients can connect to.

    Attributes:
        port: Its port.
        process: Its process id if others share the port, 0 otherwise.
    """

    port: int
    process: int = 0

    async def open(self):
        """Return a socket that this process has accepted."""
        while True:
            opened = socket.create_connection((HOST, self.port))
            opened.setblocking(False)
            if not self.process or await self._has(opened):
                return opened
            opened.close()

    def listens(self):
        """Whether this process accepts connections; only for one that shares its port."""
        files = _open_files(self.process)
        return any(f"socket:[{inode}]" in files for inode in _listening(self.port))

    async def _has(self, opened):
        while not (inode := _inode(self.port, opened.getsockname()[1])):  # not accepted yet
            if _is_gone(opened):
                return False
            await asyncio.sleep(0.001)
        return f"socket:[{inode}]" in _open_files(self.process)


def _is_gone(opened):
    """Whether the other side of a connection has closed it; it has sent nothing."""
    try:
        return not opened.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return False
    except OSError:
        return True


def _listening(port):
    """The inodes of the sockets that listen at a port."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return [int(words[9]) for words in lines if words[1].endswith(f":{port:04X}") and words[3] == "0A"]


def _inode(port, peer):
    """The inode of the server's end of a connection; 0 until it is accepted."""
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        words = line.split()
        if words[1].endswith(f":{port:04X}") and words[2].endswith(f":{peer:04X}"):
            return int(words[9])
    return 0


def _open_files(process):
    found = set()
    with contextlib.suppress(OSError):  # the process has ended
        for link in Path(f"/proc/{process}/fd").iterdir():
            with contextlib.suppress(OSError):  # closed meanwhile
                found.add(str(link.readlink()))
    return found


def children(process):
    """The ids of the processes that a process has started, in the order of their start."""
    return [int(each) for each in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


@contextlib.contextmanager
def workers(count, *arguments, **environment):
    """Run a server of several workers; yield it and the places of its workers."""
    with ServerProcess("--workers", str(count), *arguments, **environment) as server:
        server.read_on()
        yield server, [Place(server.port, child) for child in children(server.process.pid)]


@contextlib.contextmanager
def nats_nodes(count, url, *arguments, name="tests", **environment):
    """Run servers that NATS joins; yield them and their places."""
    with contextlib.ExitStack() as stack:
        servers = [
            stack.enter_context(
                ServerProcess(
                    *("--cluster", url, "--cluster-name", name, "--node-name", f"n{number + 1}", *arguments),
                    CLOUDLINK_CLUSTER_SECRET=SECRET,
                    **environment,
                )
            )
            for number in range(count)
        ]
        for server in servers:
            assert server.port, server.lines
            server.read_on()
        yield servers, [Place(server.port) for server in servers]


class OverNodes(OverSocket):
    """Plays a scenario with its clients at different processes, one after the other.

    A probe at each process takes part in a room of its own. Records between two processes keep their order, so when a
    message of each probe has reached the others, so has everything before it.
    """

    def __init__(self, places):
        super().__init__(HOST, 0)
        self._places = places
        self._probes = []
        self._last = ""
        self._sent = 0

    async def start(self):
        """Connect the probes."""
        for number, place in enumerate(self._places):
            probe = await self._client(place, "/", {})
            for packet in (
                '{"cmd":"handshake","val":{"language":"Python","version":"0.2.0"}}',
                f'{{"cmd":"setid","val":"probe {id(self)} {number}"}}',
                f'{{"cmd":"link","val":["probes {id(self)}"],"listener":"linked"}}',
            ):
                probe.send(packet.encode(), binary=False)
            self._probes.append(probe)
        await self._until(lambda: all(self._is_complete(probe) for probe in self._probes))

    def _is_complete(self, probe):
        names = {f"probe {id(self)} {number}" for number in range(len(self._places))}
        text = "".join(probe.frames)
        return '"listener":"linked"' in text and all(name in text for name in names)

    async def connect(self, who, path="/", headers=None):
        await self.settle()
        place = self._places[len(self.clients) % len(self._places)]
        client = await self._client(place, path, headers or {})
        if client.websocket.handshake_exc is not None:
            raise InvalidHandshake(f"{who} could not connect") from client.websocket.handshake_exc
        self.clients[who] = client
        self.present.add(who)

    async def send(self, who, data, *, binary=False):
        if (
            who != self._last
        ):  # what two clients do at two processes has no order unless one waits for the other
            await self.settle()
        self._last = who
        # All scenarios are played at one server, which keeps the variables of projects.
        data = _PROJECT.sub(rb"\g<0>%d " % id(self), data)
        await super().send(who, data, binary=binary)

    async def settle(self):
        for _ in range(2):  # the second time for what others answer
            await super().settle()
            await self._exchange()
        await super().settle()

    async def leave_all(self):
        await super().leave_all()
        for probe in self._probes:
            await probe.leave()

    async def _client(self, place, path, headers):
        async with asyncio.timeout(TIME_LIMIT):
            opened = await place.open()
            uri = f"ws://{HOST}:{place.port}{path}"
            _, client = await asyncio.get_running_loop().create_connection(
                lambda: SocketClient(uri, headers), sock=opened
            )
            await client.opened
        return client

    async def _exchange(self):
        self._sent += 1
        for number, probe in enumerate(self._probes):
            packet = f'{{"cmd":"gmsg","val":"{number} {self._sent}","rooms":["probes {id(self)}"]}}'
            probe.send(packet.encode(), binary=False)
        wanted = [f'"{number} {self._sent}"' for number in range(len(self._probes))]
        await self._until(
            lambda: all(
                any(val in frame for frame in probe.frames) for probe in self._probes for val in wanted
            )
        )
        for probe in self._probes:
            probe.frames.clear()

    async def _until(self, condition):
        async with asyncio.timeout(TIME_LIMIT):
            while not condition():
                for probe in self._probes:
                    probe.arrived.clear()
                waits = [asyncio.ensure_future(probe.arrived.wait()) for probe in self._probes]
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
                for wait in waits:
                    wait.cancel()
