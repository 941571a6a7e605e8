"""Workers: one server in several processes, compared with one process and with other servers.

The rooms of 10 are spread at random over the processes, so most updates cross between them. The CPU of all processes of
a server counts, that of the process that starts the workers included. A copy costs a busy process less, because more copies
share a write. So compare two processes with one process that has half as many players: they are equally busy. uWebSockets
does not join processes by itself: its program hands each message to the others over Unix sockets.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from bench.measures import fanout, players
from bench.measures.base import (
    CORE_SHARE,
    CPU_PER_COPY,
    DELIVERED,
    P50,
    P99,
    Measure,
    Run,
    Stage,
    numbers,
)

if TYPE_CHECKING:
    from bench.peers import Peer
    from bench.plan import Plan

SERVERS = ("cloudlink", "workers-2", "workers-4")
OTHERS = ("uws", "uws-2", "uws-4")


def spread(name: str, group: str, count: int, servers: tuple[str, ...]) -> Measure:
    """Return the measure of a crowd in rooms of 10 that are spread over processes."""

    def run(stage: Stage, peer: Peer) -> Run:
        result = players.crowd(peer, count, stage, stage.plan.measure)
        values = {**numbers(result), DELIVERED.key: players.delivered(result)}
        limited = players.generator_was_late(result)
        return Run(values, result.generator_share, result.others_share, limited=limited)

    return Measure(
        name=f"{name}-{count}",
        group=group,
        title=f"{name.capitalize()}: {count} players",
        how=f"rooms of {players.ROOM_SIZE} spread at random, {players.UPDATES_PER_SECOND:.0f} variable updates a second each",
        metrics=(DELIVERED, P50, P99, CPU_PER_COPY, CORE_SHARE),
        servers=servers,
        run=run,
        column=f"{count} players",
    )


def measures(plan: Plan) -> list[Measure]:
    """Return the measures with workers."""
    (_, wide) = fanout.measures(plan)
    most = next(each for each in players.measures(plan) if each.name == "players-most")
    return [
        *(spread("workers", "workers", count, (*SERVERS, *OTHERS)) for count in plan.spread),
        replace(
            wide,
            name="workers-fanout",
            group="workers",
            title="Workers: fan-out, 2 messages in flight per sender",
            servers=(*SERVERS, "upstream", *OTHERS),
        ),
        replace(
            most,
            name="workers-most",
            group="workers",
            title=f"Workers: {most.title[0].lower()}{most.title[1:]}",
            metrics=(replace(most.metrics[0], title="players"),),
            servers=(*SERVERS, "upstream", *OTHERS),
        ),
    ]
