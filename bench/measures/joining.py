"""Joining: clients connect, send a handshake and set a name in `default` as fast as they can, 64 at a time.

The time ends when the last client has the answer to its setid. Every client gets the current user list and
a notice of each client that joins later, so the work grows with the square of their number.

A few hundred clients join within a twentieth of a second, during which a virtual machine may be interrupted. So they
join several times a round, each time on a fresh server, and the median counts.
"""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from bench.clients import idlers
from bench.load.job import Job
from bench.measures.base import Measure, Metric, Run, Stage

if TYPE_CHECKING:
    from bench.peers import Peer
    from bench.plan import Plan

SECONDS = Metric("seconds", "until all are named", "s", "lower", 3)
CPU = Metric("cpu_ms_per_client", "server CPU per client", "ms", "lower", 2)
PATIENCE = 60.0


def _measure(count: int, servers: tuple[str, ...], times: int = 1) -> Measure:
    def run(stage: Stage, peer: Peer) -> Run:
        job = Job(idlers(peer, count), "hold", patience=PATIENCE)
        results = [stage.play(peer, job) for _ in range(times)]
        values = {
            SECONDS.key: statistics.median(result["seconds"] for result in results),
            # A mean: the system counts a process's time in hundredths of a second.
            CPU.key: statistics.mean(result.server_cpu for result in results) / count * 1000,
        }
        return Run(
            values,
            statistics.median(result.generator_share for result in results),
            statistics.median(result.others_share for result in results),
        )

    how = "connect, handshake, setid into `default`; up to 64 at a time"
    return Measure(
        name=f"joining-{count}",
        group="joining",
        title=f"{count} clients join at once",
        how=how if times == 1 else f"{how}; each round the median of {times}",
        metrics=(SECONDS, CPU),
        servers=servers,
        run=run,
        column=f"{count} clients",
    )


def measures(plan: Plan) -> list[Measure]:
    """Return one measure with upstream and one of CloudLink alone."""
    beside, alone = plan.joining
    return [
        _measure(beside, ("cloudlink", "upstream"), plan.joining_times),
        _measure(alone, ("cloudlink",)),
    ]
