"""The input and output of the load generator. Starts nothing itself.

A job is a text file of lines `name TAB value`. Options come first, then each client with its steps and frames:

    port 3000           connect to 127.0.0.1:3000
    opening 64          connections being opened or prepared at once
    patience 30         seconds until all clients must be ready
    mode closed         closed | open | hold
    senders 10          the first 10 clients send
    window 4            closed: messages in flight per sender
    credit own          closed: a message has arrived when the sender has it (own) or when anyone has it (any)
    rate 10             open: messages per second and sender, all senders spread evenly over time
    warmup 1            seconds of the same load before the measured interval
    measure 5           seconds measured
    drain 1             seconds after it, in which late copies still count as delivered
    client /path        a connection; the path is the room of a plain broadcaster
    step EXPECTED TEXT  say TEXT; the step is done when EXPECTED is seen (TAB between the two)
    step EXPECTED       say nothing and wait until EXPECTED is seen
    frame TEXT          what this client sends, in turn, in the measured interval; holds MARK once

A TEXT `hex:0a0d` is a binary frame of these bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

MARK = "^^" + "0" * 18
"""Placeholder for the sender's number (6 digits) and the time of sending (12 digits, microseconds)."""

TEXT = MARK + "a line of chat in a g"
"""The value of every measured message: 41 characters."""


def _text(message: str | bytes) -> str:
    return message if isinstance(message, str) else f"hex:{message.hex()}"


@dataclass(frozen=True)
class Client:
    """One connection: its path, the steps (expected answer, message) that make it ready, and what it then sends.

    A message is text, binary, or None to wait for an answer to nothing.
    """

    path: str
    steps: tuple[tuple[str, str | bytes | None], ...] = ()
    frames: tuple[str | bytes, ...] = ()

    def lines(self) -> list[str]:
        """Return the lines of the job file for this client."""
        steps = [
            f"step\t{expected}" if message is None else f"step\t{expected}\t{_text(message)}"
            for expected, message in self.steps
        ]
        return [f"client\t{self.path}", *steps, *(f"frame\t{_text(message)}" for message in self.frames)]


@dataclass(frozen=True)
class Job:
    """One run of the load generator. Times are in seconds, `rate` in messages per second and sender."""

    clients: tuple[Client, ...]
    mode: Literal["closed", "open", "hold"]
    senders: int = 0
    window: int = 1
    credit: Literal["own", "any"] = "own"
    rate: float = 0.0
    warmup: float = 0.0
    measure: float = 0.0
    drain: float = 0.0
    opening: int = 64
    patience: float = 30.0

    def text(self, port: int) -> str:
        """Return the job file for a server on this port."""
        names = (
            "mode",
            "senders",
            "window",
            "credit",
            "rate",
            "warmup",
            "measure",
            "drain",
            "opening",
            "patience",
        )
        options = [f"port\t{port}", *(f"{name}\t{getattr(self, name)}" for name in names)]
        lines = options + [line for client in self.clients for line in client.lines()]
        return "\n".join(lines) + "\n"


@dataclass(frozen=True)
class Result:
    """The result of one run. `numbers` are the generator's own; the others are CPU seconds in the measured interval.

    `machine_cpu` covers all processes together; it includes one core for the load generator, which never sleeps.
    """

    numbers: dict[str, float] = field(default_factory=dict)
    server_cpu: float = 0.0
    machine_cpu: float = 0.0

    def __getitem__(self, name: str) -> float:
        """Return one of the generator's numbers, 0.0 if it was not measured."""
        return self.numbers.get(name, 0.0)

    @property
    def generator_share(self) -> float:
        """CPU of the load generator in the measured interval, 1.0 being one core."""
        return self["busy"] / self["seconds"] if self["seconds"] else 0.0

    @property
    def server_share(self) -> float:
        """CPU of the server in the measured interval, 1.0 being one core."""
        return self.server_cpu / self["seconds"] if self["seconds"] else 0.0

    @property
    def others_share(self) -> float:
        """CPU of all other processes of the machine, which disturbs the run; 1.0 is one core."""
        seconds = self["seconds"]
        return max(0.0, (self.machine_cpu - self.server_cpu) / seconds - 1.0) if seconds else 0.0

    @property
    def cpu_per_copy(self) -> float | None:
        """CPU microseconds of the server for each copy delivered; None if there was none."""
        return self.server_cpu / self["copies"] * 1e6 if self["copies"] else None
