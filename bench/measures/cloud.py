"""Players on Scratch cloud variables: projects of 10, each player 10 updates a second, at a fixed rate.

Like the players of rooms, but no one gets its own update back. There are two variants: CloudLink passes updates on at
once; TurboWarp's cloud server collects them and sends 60 times a second. CloudLink checks
every value and stores it on disk; the plain cloud server it is compared with keeps values in memory.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from bench.load.job import TEXT, Client, Job
from bench.measures.base import CORE_SHARE, CPU_PER_COPY, DELIVERED, P50, P99, Measure, Run, Stage, numbers
from bench.measures.players import ROOM_SIZE, UPDATES_PER_SECOND, draw_rooms, generator_was_late

if TYPE_CHECKING:
    from bench.peers import Peer
    from bench.plan import Plan


PROJECTS = 1000
"""Projects that have a variable from the start, more than any crowd fills."""

COLLECTED = 1 / 60
"""Seconds for which TurboWarp's cloud server collects updates."""


def packet(**keys: object) -> str:
    """Return a packet as compact JSON."""
    return json.dumps(keys, separators=(",", ":"))


def player(number: int, project: str) -> Client:
    """Return a client that enters its project and then sets a variable of its own."""
    enter = packet(method="handshake", project_id=project, user=f"player{number:05}")
    return Client("/", (('"ready"', enter),), (packet(method="set", name=f"p{number:05}", value=TEXT),))


def _crowd(count: int, *, collected: bool) -> Measure:
    def run(stage: Stage, peer: Peer) -> Run:
        plan = stage.plan
        clients = tuple(player(number, project) for number, project in enumerate(draw_rooms(count)))
        job = Job(
            clients,
            "open",
            count,
            rate=UPDATES_PER_SECOND,
            warmup=plan.warmup,
            measure=plan.measure,
            drain=plan.drain,
        )
        result = stage.play(peer.with_cloud(PROJECTS, COLLECTED if collected else 0.0), job)
        due = result["sent"] * (ROOM_SIZE - 1)
        values = {**numbers(result), DELIVERED.key: result["delivered"] / due * 100 if due else 0.0}
        return Run(values, result.generator_share, result.others_share, limited=generator_was_late(result))

    return Measure(
        name=f"cloud-{count}-collected" if collected else f"cloud-{count}",
        group="cloud",
        title=f"{count} players on cloud variables{', sent 60 times a second' if collected else ''}",
        how=f"projects of {ROOM_SIZE}, each player {UPDATES_PER_SECOND:.0f} `set` a second; CloudLink stores the values",
        metrics=(DELIVERED, P50, P99, CPU_PER_COPY, CORE_SHARE),
        servers=("cloudlink", "ws"),
        run=run,
        column=f"{count}, 60 times a second" if collected else f"{count} players",
    )


def measures(plan: Plan) -> list[Measure]:
    """Return the larger crowds of the plan."""
    crowds = [count for count in plan.crowds if count >= plan.crowds[-1] // 2]
    return [_crowd(count, collected=collected) for collected in (False, True) for count in crowds]
