"""Players: rooms of 10, each player 10 variable updates a second, at a fixed rate whatever the server does.

Updates are spread evenly over time and over all players. Players are assigned to rooms at random, the same way in every
run, so that updates within a room come at random intervals, as from independent players.
Latency is from the sender to every receiver, including the sender. It also searches the largest number of players that
one server process carries, but not for Colyseus: it sends 20 times a second, so an update waits for up to 50 ms, the
limit of that search.
"""

from __future__ import annotations

import random
import statistics
from typing import TYPE_CHECKING

from bench.clients import in_rooms
from bench.load.job import Job, Result
from bench.load.run import LoadError
from bench.measures.base import (
    CORE_SHARE,
    CPU_PER_COPY,
    DELIVERED,
    GENERATOR_LIMIT,
    P50,
    P99,
    Measure,
    Metric,
    Run,
    Stage,
    numbers,
)

if TYPE_CHECKING:
    from bench.peers import Peer
    from bench.plan import Plan

ROOM_SIZE = 10
UPDATES_PER_SECOND = 10.0
P99_LIMIT = 50.0
"""Limit of a crowd's p99 in the search, in milliseconds."""
DELIVERED_LIMIT = 99.9
"""Per cent of the copies that must arrive in the search."""
LATE_LIMIT = 5000.0
"""Microseconds by which the load generator's own p99 may lag behind its schedule."""
FACTOR = 1.5
UPSTREAM_CROWD = 50
"""Most players with which upstream is measured; it cannot carry more."""
MOST = Metric("players", "players on one core", "", "higher", 0)


def draw_rooms(count: int) -> list[str]:
    """Return each player's room."""
    rooms = [f"room-{number // ROOM_SIZE:05}" for number in range(count)]
    random.Random(count).shuffle(rooms)
    return rooms


def crowd(peer: Peer, count: int, stage: Stage, measure: float) -> Result:
    """Run `count` players for `measure` seconds on a fresh server."""
    rooms = draw_rooms(count)
    clients = in_rooms(peer, count, lambda number: rooms[number], "variable")
    plan = stage.plan
    job = Job(
        clients, "open", count, rate=UPDATES_PER_SECOND, warmup=plan.warmup, measure=measure, drain=plan.drain
    )
    return stage.play(peer, job)


def delivered(result: Result) -> float:
    """Return the percentage of the expected copies that arrived."""
    return result["delivered"] / (result["sent"] * ROOM_SIZE) * 100 if result["sent"] else 0.0


def generator_was_late(result: Result) -> bool:
    """Return whether the load generator fell behind its own schedule."""
    return result["late_p99"] > LATE_LIMIT or result.generator_share > GENERATOR_LIMIT


def _crowd_measure(count: int) -> Measure:
    def run(stage: Stage, peer: Peer) -> Run:
        result = crowd(peer, count, stage, stage.plan.measure)
        values = {**numbers(result), DELIVERED.key: delivered(result)}
        return Run(values, result.generator_share, result.others_share, limited=generator_was_late(result))

    others = ("socketio", "colyseus", "ws", "uws")
    return Measure(
        name=f"players-{count}",
        group="players",
        title=f"{count} players",
        how=f"rooms of {ROOM_SIZE}, each player {UPDATES_PER_SECOND:.0f} variable updates (gvar) a second",
        metrics=(DELIVERED, P50, P99, CPU_PER_COPY, CORE_SHARE),
        servers=("cloudlink", "upstream", *others) if count <= UPSTREAM_CROWD else ("cloudlink", *others),
        run=run,
        column=f"{count} players",
    )


def search_most(stage: Stage, peer: Peer) -> Run:
    """Search for the most players: by factors of 1.5 until a good and a bad number are known, then by bisection."""
    good, bad, late = 0, 0, False
    results, notes = [Result()], []
    count = peer.players_guess
    for _ in range(stage.plan.search_steps):
        try:
            results.append(crowd(peer, count, stage, stage.plan.search_measure))
            passed = results[-1]["all_p99"] / 1000 < P99_LIMIT and delivered(results[-1]) >= DELIVERED_LIMIT
        except LoadError as error:
            notes.append(f"{count} players: {error}")
            passed = False
        if passed:
            good = count
        else:
            bad, late = count, generator_was_late(results[-1])
        step = good * FACTOR if not bad else (good * bad) ** 0.5 if good else bad / FACTOR
        count = round(step / ROOM_SIZE) * ROOM_SIZE
        if count in (good, bad, 0):
            break
    if not good:
        notes.append(f"even {bad} players were too many")
    if not bad:
        notes.append(f"even {good} players were carried")
    share = max(result.generator_share for result in results)
    others = statistics.median(result.others_share for result in results[1:]) if results[1:] else 0.0
    return Run({MOST.key: float(good)}, share, others, tuple(notes), limited=late)


def measures(plan: Plan) -> list[Measure]:
    """Return the crowds of the plan, and the search for the largest."""
    most = Measure(
        name="players-most",
        group="players",
        title=f"Most players with p99 below {P99_LIMIT:.0f} ms",
        how=f"as above, with {DELIVERED_LIMIT} % of the copies delivered; search in {plan.search_steps} steps",
        metrics=(MOST,),
        servers=("cloudlink", "upstream", "socketio", "ws", "uws")
        if plan.search_all
        else ("cloudlink", "upstream"),
        run=search_most,
        column=f"most with p99 < {P99_LIMIT:.0f} ms",
    )
    return [*map(_crowd_measure, plan.crowds), most]
