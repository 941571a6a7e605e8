"""Memory: resident set of the server alone, and the addition for each idle client.

Clients of CloudLink servers have a name and are in `default`; those of plain broadcasters are bare connections. The
figure includes memory that the allocator keeps from the peak while clients join, as on a real host.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from bench.clients import idlers
from bench.load.job import Job
from bench.load.run import running
from bench.measures.base import Measure, Metric, Run, Stage

if TYPE_CHECKING:
    from bench.peers import Peer
    from bench.plan import Plan

IDLE = Metric("idle_mib", "server alone", "MiB", "lower", 1)
PER_CLIENT = Metric("per_client_kib", "per idle client", "KiB", "lower", 1)
PATIENCE = 60.0


def _run(stage: Stage, peer: Peer) -> Run:
    plan = stage.plan
    count = plan.idle_upstream if peer.name == "upstream" else plan.idle
    job = Job(idlers(peer, count), "hold", opening=16, patience=PATIENCE)
    with stage.server(peer) as server:
        time.sleep(plan.settle)
        alone = server.memory().resident
        job = peer.protocol.admit(job, server.port)
        with running(stage.generator, job, server, pin=stage.pin) as output:
            for name, *_ in output:
                if name == "holding":
                    break
            time.sleep(plan.settle)
            server.check()
            crowded = server.memory().resident
    values = {IDLE.key: alone / 2**20, PER_CLIENT.key: (crowded - alone) / count / 1024}
    return Run(values, generator_share=0.0)


def measures(plan: Plan) -> list[Measure]:
    """Return the measure of memory."""
    return [
        Measure(
            name="memory",
            group="memory",
            title="Memory",
            how=f"resident set, alone and with {plan.idle} idle clients (upstream: {plan.idle_upstream})",
            metrics=(IDLE, PER_CLIENT),
            servers=("cloudlink", "upstream", "ws", "uws"),
            run=_run,
        )
    ]
