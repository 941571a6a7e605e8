"""The load generator in Python, for machines without a C compiler. Same job file, same output, same method.

It is slower than most servers under test, so its results are lower bounds. generator.c explains the method.
Run it as `python generator.py JOBFILE`; it imports nothing from this project.
"""

from __future__ import annotations

import re
import select
import socket
import sys
import time
from pathlib import Path
from typing import Final

MARKER: Final = re.compile(rb"\^\^(\d{6})(\d{12})")
MARKER_SIZE: Final = 20
CHUNK: Final = 1 << 18


def microseconds() -> int:
    """Return a monotonic time."""
    return time.monotonic_ns() // 1000


def make_frame(text: str) -> bytearray:
    """Return a text frame, or a binary frame for `hex:` and digits, masked with a zero key."""
    binary = text.startswith("hex:")
    body = bytes.fromhex(text[4:]) if binary else text.encode()
    size = bytes([0x80 | len(body)]) if len(body) < 126 else b"\xfe" + len(body).to_bytes(2, "big")
    return bytearray((b"\x82" if binary else b"\x81") + size + bytes(4) + body)


class Client:
    """One connection: the remaining steps until it is ready, and the messages it then sends."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.steps: list[tuple[bytes, bytearray]] = []  # an empty frame: only wait
        self.frames: list[tuple[bytearray, int]] = []
        self.socket = socket.socket()
        self.stage = -2  # -2: connecting, -1: upgrading, then the step, and as many as there are steps: ready
        self.carry = b""
        self.sent = 0

    @property
    def ready(self) -> bool:
        """Whether all steps are done."""
        return self.stage == len(self.steps)


class Play:
    """One job and its counts."""

    def __init__(self, job_file: str) -> None:
        self.options: dict[str, str] = {}
        self.clients: list[Client] = []
        self._read(job_file)
        self.senders = int(self.options["senders"])
        self.rate = float(self.options["rate"])
        self.mode = self.options["mode"]
        self.poller = select.epoll()
        self.poller.register(0, select.EPOLLIN)
        self.by_socket: dict[int, Client] = {}
        self.opening = self.ready = self.slot = self.idle = self.start = 0
        self.turned = microseconds()
        self.copies = self.sent = self.delivered = self.dropped = self.blocked = 0
        self.sending = self.stopped = False
        self.begin = self.end = 1 << 62
        self.echo: list[int] = []
        self.all: list[int] = []
        self.late: list[int] = []

    def _read(self, job_file: str) -> None:
        for line in Path(job_file).read_text().splitlines():
            name, value, *rest = line.split("\t")
            if name == "client":
                self.clients.append(Client(value))
            elif name == "step":
                self.clients[-1].steps.append((value.encode(), make_frame(rest[0]) if rest else bytearray()))
            elif name == "frame":
                frame = make_frame(value)
                self.clients[-1].frames.append((frame, frame.index(b"^^") + 2))
            else:
                self.options[name] = value

    def seconds(self, name: str) -> int:
        """Return an option given in seconds, in microseconds."""
        return int(float(self.options[name]) * 1e6)

    def open(self, client: Client) -> None:
        """Begin to connect."""
        client.socket.setblocking(False)
        client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.socket.connect_ex(("127.0.0.1", int(self.options["port"])))
        self.by_socket[client.socket.fileno()] = client
        self.poller.register(client.socket, select.EPOLLIN | select.EPOLLOUT)
        self.opening += 1

    def drop(self, client: Client) -> None:
        """Remove a connection that the server closed."""
        self.dropped += 1
        self.poller.unregister(client.socket)
        client.socket.close()

    def say(self, client: Client, data: bytes | bytearray) -> None:
        """Send data, or count the bytes that the socket does not accept."""
        try:
            taken = client.socket.send(data)
        except OSError:
            taken = 0
        self.blocked += taken < len(data)

    def send_next(self, number: int, now: int) -> None:
        """Send the next message of a client."""
        client = self.clients[number]
        frame, at = client.frames[client.sent % len(client.frames)]
        client.sent += 1
        frame[at : at + 18] = b"%06d%012d" % (number, now)
        self.sent += self.begin <= now < self.end
        self.say(client, frame)

    def count(self, client: Client, data: bytes, now: int) -> None:
        """Count the copies in the received data, and send the messages that they make room for."""
        data = client.carry + data
        cut = data.find(b"^^", max(0, len(data) - MARKER_SIZE + 1))  # a marker that is not yet whole
        if cut < 0:
            cut = len(data) - data.endswith(b"^")
        client.carry = data[cut:]
        for sender, sent in MARKER.findall(data[:cut]):
            self.count_copy(client, int(sender), int(sent), now)

    def count_copy(self, client: Client, sender: int, sent: int, now: int) -> None:
        """Count one received copy."""
        own = self.clients[sender] is client
        self.copies += self.begin <= now < self.end
        if self.begin <= sent < self.end:
            self.delivered += 1
            self.all.append(now - sent)
            if own:
                self.echo.append(now - sent)
        if self.sending and self.mode == "closed" and (own or self.options["credit"] == "any"):
            self.send_next(sender, microseconds())

    def prepare(self, client: Client, data: bytes) -> None:
        """Perform the next steps of a client that is not ready, as far as the answers have arrived."""
        client.carry += data
        while not client.ready:
            wanted = b"\r\n\r\n" if client.stage < 0 else client.steps[client.stage][0]
            before, found, after = client.carry.partition(wanted)
            if not found:
                client.carry = before[1 - len(wanted) :]
                return
            client.carry = after
            client.stage += 1
            if not client.ready:
                self.say(client, client.steps[client.stage][1])
        client.carry = b""
        self.opening -= 1
        self.ready += 1

    def on_event(self, client: Client, event: int) -> None:
        """Handle one event of one socket."""
        if event & select.EPOLLOUT and client.stage == -2:
            client.stage = -1
            self.poller.modify(client.socket, select.EPOLLIN)
            request = (
                f"GET {client.path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: Y2xvdWRsaW5rIGJlbmNoIQ==\r\n\r\n"
            )
            self.say(client, request.encode())
            return
        try:
            data = client.socket.recv(CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.drop(client)
        elif client.ready:
            self.count(client, data, microseconds())
        else:
            self.prepare(client, data)

    def send_due(self) -> None:
        """Send the messages of an open loop that are due."""
        gap = 1e6 / (self.rate * self.senders)
        while (due := self.start + int(self.slot * gap)) <= (now := microseconds()):
            if self.begin <= now < self.end:
                self.late.append(now - due)
            self.send_next(self.slot % self.senders, now)
            self.slot += 1

    def turn(self, wait: float = 0.0) -> None:
        """Run one turn of the loop; `wait` is in seconds."""
        if self.sending and self.mode == "open":
            self.send_due()
        events = self.poller.poll(wait)
        for descriptor, event in events:
            if descriptor == 0:
                self.stopped = True
            else:
                self.on_event(self.by_socket[descriptor], event)
        now = microseconds()
        if not events:
            self.idle += now - self.turned
        self.turned = now

    def turn_until(self, limit: int, wait: float = 0.0) -> None:
        """Run turns until a time, in microseconds."""
        while not self.stopped and microseconds() < limit:
            self.turn(wait)

    def open_all(self) -> None:
        """Make all clients ready."""
        start, waiting = microseconds(), iter(self.clients)
        limit = start + self.seconds("patience")
        while (
            self.ready < len(self.clients)
            and not self.dropped
            and not self.stopped
            and microseconds() < limit
        ):
            while self.opening < int(self.options["opening"]) and (client := next(waiting, None)):
                self.open(client)
            self.turn()
        taken = microseconds() - start
        if self.ready < len(self.clients):
            report(f"error {self.ready} of {len(self.clients)} clients ready after {taken / 1e6:.1f} s")
            sys.exit(1)
        report_numbers({"seconds": taken / 1e6, "busy": (taken - self.idle) / 1e6})

    def measure(self) -> None:
        """Send, and count over the measured interval."""
        self.sending, self.start = True, microseconds()
        if self.mode == "closed":
            for number in range(self.senders * int(self.options["window"])):
                self.send_next(number % self.senders, microseconds())
        self.begin = microseconds() + self.seconds("warmup")
        self.end = self.begin + self.seconds("measure")
        self.turn_until(self.begin)
        report("begin")
        start, self.idle = microseconds(), 0
        self.turn_until(self.end)
        report("end")
        taken = microseconds() - start
        self.sending = False
        report_numbers({"busy": (taken - self.idle) / 1e6, "seconds": taken / 1e6})
        self.turn_until(self.end + self.seconds("drain"), 0.001)


def report(word: str) -> None:
    """Print one line at once."""
    print(word, flush=True)


def report_numbers(numbers: dict[str, float]) -> None:
    """Print numbers by name."""
    for name, value in numbers.items():
        report(f"{name} {value}")


def main() -> None:
    """Play the job named on the command line."""
    play = Play(sys.argv[1])
    if play.mode == "hold":
        report("begin")
    play.open_all()
    if play.mode == "hold":
        report("end")
        report("holding")
        play.turn_until(1 << 62, 1.0)
        return
    play.measure()
    counts = ("copies", "sent", "delivered", "blocked", "dropped")
    report_numbers({name: getattr(play, name) for name in counts})
    for name, samples in (("echo", play.echo), ("all", play.all), ("late", play.late)):
        ranked = sorted(samples) or [0]
        report_numbers({f"{name}_p{share}": ranked[len(ranked) * share // 100] for share in (25, 50, 75, 99)})
        report_numbers({f"{name}_max": ranked[-1]})


if __name__ == "__main__":
    main()
