"""The process of the honest players: they play all the time, and note how long everything takes.

    python -m tests.attacks.probes PORT SPECTATORS TLS PID

Times do not include those in which the server, the process PID, or this process could run but other programs had the
processor: attackers usually have a machine of their own, and tests share one.

It prints `ready` when all are in. When its standard input ends, it looks whether everything has arrived and prints, as
JSON, `updates` and `joins`, pairs of a time and how long it took, both in seconds of `time.monotonic`, and `problems`.

Players of CloudLink 4 send messages to each other, and players of a Scratch project set a variable, each 10 times a
second. Newcomers join the room, and new projects, which are read again at the end. They come from 127.0.0.101 on.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
import sys
import time
from pathlib import Path

from tests.support.rawclients import CLOSE, PING, PONG, UPGRADE, frame, request

_HOST = "127.0.0.1"
_INTERVAL = 0.1
"""Seconds between two updates of a player."""
_JOIN_INTERVAL = 0.5
"""Seconds between two newcomers."""
_PATIENCE = 10.0
"""Seconds after which something is lost."""
_NETWORK = 1_250_000
"""Bytes a second that spectators read: 10 Mbit/s."""


class Stopwatch:
    """Measures times without those in which the server or this process waited for a processor (Linux)."""

    def __init__(self, server):
        files = (Path("/proc/thread-self/schedstat"), Path(f"/proc/{server}/task/{server}/schedstat"))
        self._files = [file for file in files if file.exists()]

    def now(self):
        waited = 0
        for file in self._files:
            with contextlib.suppress(OSError):  # the server has ended
                waited += int(file.read_text().split()[1])
        return time.monotonic() - waited / 1e9


class Gone(Exception):  # noqa: N818  # an event, not an error of the program
    """The server has closed the connection of an honest client."""


class Probe:
    """An honest client; waits for one frame at a time."""

    def __init__(self, reader, writer):
        self._reader = reader
        self._writer = writer

    def send(self, **packet):
        self._writer.write(frame(json.dumps(packet).encode()))

    async def receive(self):
        """The next message; pings are answered. Raises `Gone`."""
        while True:
            first, payload = await self._receive_frame()
            if first == CLOSE:
                raise Gone(f"{int.from_bytes(payload[:2], 'big')} {payload[2:].decode()}")
            if first != PING:
                return payload
            self._writer.write(frame(payload, PONG))

    async def _receive_frame(self):
        try:
            first, size = await self._reader.readexactly(2)
            if size >= 126:
                size = int.from_bytes(await self._reader.readexactly(2 if size == 126 else 8), "big")
            return first, await self._reader.readexactly(size)
        except (OSError, asyncio.IncompleteReadError) as error:
            raise Gone(f"without a close frame ({type(error).__name__})") from None

    async def receive_until(self, wanted):
        while wanted not in await self.receive():
            pass

    async def read_slowly(self):
        """Read 10 Mbit/s for ever."""
        while True:
            data = await self._reader.read(_NETWORK // 20)
            if not data:
                raise Gone("a spectator was disconnected")
            await asyncio.sleep(len(data) / _NETWORK)

    def leave(self):
        self._writer.transport.abort()


class Players:
    """All honest clients, and what they note."""

    def __init__(self, port, watch, *, is_tls):
        self._watch = watch
        self.updates = []
        self.joins = []
        self.problems = []
        self._port = port
        self._context = None
        if is_tls:
            self._context = ssl.create_default_context()
            self._context.check_hostname, self._context.verify_mode = False, ssl.CERT_NONE
        self._waiting = {}  # when an update was sent, in both kinds of time, by what it is
        self._projects = {}  # the value of each newcomer's project
        self._is_ending = self._is_welcoming = False

    async def start(self, spectators):
        self._cl4 = [await self._player(f"player {number}", 101 + number) for number in range(2)]
        self._cloud = [await self._cloud_player("4711", 103 + number) for number in range(2)]
        watching = [
            await self._player(f"spectator {number}", 110 + number, "") for number in range(spectators)
        ]
        return [
            self._play("message", lambda number: self._cl4[0].send(cmd="gmsg", val=[number], rooms="game")),
            self._play(
                "variable",
                lambda number: self._cloud[0].send(
                    method="set", name="☁ x", value=number, user="p", project_id="4711"
                ),
            ),
            self._hear("message", self._cl4[1], lambda packet: packet.get("cmd") == "gmsg" and packet["val"]),
            self._hear(
                "variable", self._cloud[1], lambda packet: packet.get("name") == "☁ x" and [packet["value"]]
            ),
            self._drain(self._cl4[0], "a player"),
            self._drain(self._cloud[0], "a cloud player"),
            self._welcome_newcomers(),
            *(self._stay(spectator) for spectator in watching),
        ]

    async def finish(self):
        """Wait for what is under way; note what is missing."""
        self._is_ending = True
        deadline = time.monotonic() + _PATIENCE
        while (self._waiting or self._is_welcoming) and time.monotonic() < deadline:  # noqa: ASYNC110  # there are three reasons
            await asyncio.sleep(0.05)
        if self._waiting:
            self.problems.append(
                f"{len(self._waiting)} updates were lost, such as {next(iter(self._waiting))}"
            )
        for project, value in tuple(self._projects.items()):
            await self._check_project(project, value)

    # Connections.

    async def _connect(self, address):
        reader, writer = await asyncio.open_connection(
            _HOST, self._port, ssl=self._context, local_addr=(f"127.0.0.{address}", 0), limit=1 << 18
        )
        writer.write(request(UPGRADE))
        head = await reader.readuntil(b"\r\n\r\n")
        if b" 101 " not in head:
            writer.transport.abort()
            raise Gone(head.split(b"\r\n")[0].decode())
        return Probe(reader, writer)

    async def _player(self, name, address, room="game"):
        probe = await self._connect(address)
        probe.send(cmd="handshake", listener="in")
        probe.send(cmd="setid", val=name)
        if room:
            probe.send(cmd="link", val=[room], listener="linked")
            await probe.receive_until(b'"listener":"linked"')
        return probe

    async def _cloud_player(self, project, address):
        probe = await self._connect(address)
        probe.send(method="handshake", project_id=project, user="player")
        return probe

    # Playing.

    async def _play(self, kind, send):
        number, due = 0, time.monotonic()
        while not self._is_ending:
            self._waiting[kind, number] = time.monotonic(), self._watch.now()
            send(number)
            number += 1
            due += _INTERVAL
            await asyncio.sleep(max(0.0, due - time.monotonic()))

    async def _hear(self, kind, probe, number_of):
        expected = 0
        while True:
            for line in (await probe.receive()).splitlines():
                heard = number_of(json.loads(line))
                if not heard or not isinstance(heard, list) or heard[0] == "spam":
                    continue
                number = heard[0]
                if number != expected:
                    self.problems.append(f"{kind} {number} came instead of {expected}")
                expected = number + 1
                at, started = self._waiting.pop((kind, number), (None, 0.0))
                if at is not None:
                    self.updates.append((at, self._watch.now() - started))

    async def _drain(self, probe, what):
        try:
            while True:
                await probe.receive()
        except Gone as gone:
            raise Gone(f"{what}: {gone}") from None

    async def _stay(self, probe):
        await probe.read_slowly()

    async def _welcome_newcomers(self):
        number = 0
        while not self._is_ending:
            self._is_welcoming = True
            at, started = time.monotonic(), self._watch.now()
            try:
                async with asyncio.timeout(_PATIENCE):
                    await (self._join(number) if number % 2 else self._join_cloud(number))
            except (Gone, OSError, asyncio.IncompleteReadError, TimeoutError) as error:
                self.problems.append(f"a newcomer was not let in: {error or 'in time'}")
            took = self._watch.now() - started
            self.joins.append((at, took))
            number += 1
            self._is_welcoming = False
            await asyncio.sleep(max(0.0, _JOIN_INTERVAL - took))

    async def _join(self, number):
        probe = await self._player(f"newcomer {number}", 105)
        probe.leave()

    async def _join_cloud(self, number):
        project = f"honest {number}"
        first = await self._cloud_player(project, 106)
        first.send(method="set", name="☁ x", value=number, user="p", project_id=project)
        # What the first player has set reaches another one, who joined before or after.
        second = await self._cloud_player(project, 107)
        await second.receive_until(f'"value":{number}'.encode())
        self._projects[project] = number
        first.leave()
        second.leave()

    async def _check_project(self, project, value):
        try:
            probe = await self._cloud_player(project, 108)
            async with asyncio.timeout(2):
                await probe.receive_until(f'"value":{value}'.encode())
            probe.leave()
        except (Gone, OSError, asyncio.IncompleteReadError, TimeoutError) as error:
            self.problems.append(f"a variable of {project} was lost: {error or 'it has none'}")


async def _input_ended():
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    await reader.read()


async def run(port, spectators, server, *, is_tls):
    players = Players(port, Stopwatch(server), is_tls=is_tls)

    async def noting(work):
        try:
            await work
        except Gone as gone:
            players.problems.append(f"an honest client was disconnected: {gone}")

    tasks = [asyncio.ensure_future(noting(work)) for work in await players.start(spectators)]
    print("ready", flush=True)
    await _input_ended()
    await players.finish()
    for task in tasks:
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    players.problems += [repr(error) for error in results if isinstance(error, Exception)]
    print(json.dumps({"updates": players.updates, "joins": players.joins, "problems": players.problems}))


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        port, spectators, tls, server = sys.argv[1:]
        asyncio.run(run(int(port), int(spectators), int(server), is_tls=tls == "tls"))
