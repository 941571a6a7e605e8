"""Joining: clients connect, handshake and name themselves into `default` as fast as they can, 64 at a time.

The time ends when the last client has the answer to its setid. Every one of them gets the user list as it stands and
a notice of each client that comes later, so the work grows with the square of the number.
"""

from __future__ import annotations

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


def _measure(count: int, servers: tuple[str, ...]) -> Measure:
    def run(stage: Stage, peer: Peer) -> Run:
        result = stage.play(peer, Job(idlers(peer, count), "hold", patience=PATIENCE))
        values = {SECONDS.key: result["seconds"], CPU.key: result.server_cpu / count * 1000}
        return Run(values, result.generator_share, result.others_share)

    return Measure(
        name=f"joining-{count}",
        group="joining",
        title=f"{count} clients join at once",
        how="connect, handshake, setid into `default`; up to 64 at a time",
        metrics=(SECONDS, CPU),
        servers=servers,
        run=run,
    )


def measures(plan: Plan) -> list[Measure]:
    """Return one measure beside upstream and one of CloudLink alone."""
    beside, alone = plan.joining
    return [_measure(beside, ("cloudlink", "upstream")), _measure(alone, ("cloudlink",))]
