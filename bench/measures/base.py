"""Shared by all measures: the classes of a measure, of its metrics, and of the stage on which it runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from bench.load.run import Generator, play
from bench.processes import Server, free_port

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.load.job import Job, Result
    from bench.peers import Peer
    from bench.plan import Plan

GENERATOR_LIMIT = 0.9
"""Share of a core above which the load generator, not the server, may have set the result."""

DISTURBED = 0.2
"""Share of a core taken by other processes of the machine above which a run is disturbed."""


@dataclass(frozen=True)
class Metric:
    """One number of a measure: its key in the JSON, how it is shown, and which way is better."""

    key: str
    title: str
    unit: str
    better: Literal["higher", "lower"]
    digits: int = 1
    compare: bool = True
    """Whether it is worth a ratio and a chart."""


@dataclass(frozen=True)
class Run:
    """The result of one run of a measure: values by the keys of its metrics, and the shares of a core of other processes.

    `generator_share` is the share of the load generator, `others_share` that of all other processes of the machine.
    """

    values: dict[str, float]
    generator_share: float
    others_share: float = 0.0
    notes: tuple[str, ...] = ()
    limited: bool = False
    """Whether the load generator limited the run although its share, an average, does not show it."""

    @property
    def limited_by_generator(self) -> bool:
        """Whether the run shows the load generator's limit rather than the server's."""
        return self.limited or self.generator_share > GENERATOR_LIMIT

    @property
    def disturbed(self) -> bool:
        """Whether other processes of the machine took too much CPU for the values to be reliable."""
        return self.others_share > DISTURBED


@dataclass(frozen=True)
class Measure:
    """One measure of the benchmark; `run` measures one server once."""

    name: str
    group: str
    title: str
    how: str
    metrics: tuple[Metric, ...]
    servers: tuple[str, ...]
    run: Callable[[Stage, Peer], Run] = field(repr=False)
    column: str = ""
    """Its heading in the chart of its group; empty when it is the only one there."""


@dataclass(frozen=True)
class Stage:
    """The environment of runs: the plan's sizes, the load generator, and whether to pin processes to cores."""

    plan: Plan
    generator: Generator
    pin: bool = False

    def server(self, peer: Peer) -> Server:
        """Start a server; use the result as a context manager."""
        port = free_port()
        return Server(
            peer.name,
            peer.command(port),
            port,
            peer.environment(port),
            pin=self.pin,
            listeners=peer.processes,
        )

    def play(self, peer: Peer, job: Job) -> Result:
        """Start a fresh server, run a job on it and end it.

        Raises:
            LoadError: the job could not be done.
            ServerDiedError: the server did not start, or ended.
        """
        with self.server(peer) as server:
            return play(self.generator, peer.protocol.admit(job, server.port), server, pin=self.pin)


COPIES = Metric("copies_per_second", "copies delivered per second", "", "higher", 0)
ECHO_P50 = Metric("echo_p50_ms", "p50 until the sender has its own copy", "ms", "lower", 2)
ECHO_P99 = Metric("echo_p99_ms", "p99 until the sender has its own copy", "ms", "lower", 2)
P25 = Metric("p25_ms", "p25 from sender to receiver", "ms", "lower", 2, compare=False)
P75 = Metric("p75_ms", "p75 from sender to receiver", "ms", "lower", 2, compare=False)
P50 = Metric("p50_ms", "p50 from sender to receiver", "ms", "lower", 2)
P99 = Metric("p99_ms", "p99 from sender to receiver", "ms", "lower", 2)
CPU_PER_COPY = Metric("cpu_us_per_copy", "server CPU per copy", "µs", "lower", 2)
CORE_SHARE = Metric("server_core_share", "server's share of a core", "", "lower", 2, compare=False)
DELIVERED = Metric("delivered_percent", "copies delivered", "%", "higher", 2, compare=False)


def numbers(result: Result) -> dict[str, float]:
    """Return the values of the metrics above, except for the share delivered."""
    values = {
        COPIES.key: result["copies"] / result["seconds"],
        ECHO_P50.key: result["echo_p50"] / 1000,
        ECHO_P99.key: result["echo_p99"] / 1000,
        P50.key: result["all_p50"] / 1000,
        P99.key: result["all_p99"] / 1000,
        P25.key: result["all_p25"] / 1000,
        P75.key: result["all_p75"] / 1000,
        CORE_SHARE.key: result.server_share,
    }
    if result.cpu_per_copy is not None:
        values[CPU_PER_COPY.key] = result.cpu_per_copy
    return values


def simple_run(stage: Stage, peer: Peer, job: Job) -> Run:
    """Measure one job on one server."""
    result = stage.play(peer, job)
    return Run(numbers(result), result.generator_share, result.others_share)
