"""Private messages: pmsg by name to clients chosen at random, all of them in one room.

A closed loop: a sender writes again when its last message has arrived. Only servers with usernames take part.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from bench.clients import correspondents
from bench.load.job import Job
from bench.measures.base import COPIES, CPU_PER_COPY, P50, P99, Measure, Run, Stage, simple_run

if TYPE_CHECKING:
    from bench.peers import Peer
    from bench.plan import Plan

SENDERS = 50


def measures(plan: Plan) -> list[Measure]:
    """Return the measure of private messages."""
    count = plan.correspondents
    clients = correspondents(count, SENDERS)

    def run(stage: Stage, peer: Peer) -> Run:
        job = Job(
            clients,
            "closed",
            SENDERS,
            credit="any",
            warmup=plan.warmup,
            measure=plan.measure,
            drain=plan.drain,
        )
        return simple_run(stage, peer, job)

    return [
        Measure(
            name="pmsg",
            group="pmsg",
            title=f"Private messages in a room of {count}",
            how=f"{SENDERS} senders (pmsg by name to random others), 1 message in flight each",
            metrics=(
                replace(COPIES, title="messages delivered per second"),
                P50,
                P99,
                replace(CPU_PER_COPY, title="server CPU per message"),
            ),
            servers=("cloudlink", "upstream"),
            run=run,
        )
    ]
