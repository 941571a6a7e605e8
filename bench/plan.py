"""Durations and sizes of the full benchmark and the quick one. Independent of servers; measures nothing."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Plan:
    """Sizes of one benchmark. Times are in seconds, counts in clients."""

    rounds: int = 3
    repeats: int = 2
    """Most repetitions of a run that other processes disturbed; the least disturbed run counts."""
    warmup: float = 1.0
    measure: float = 4.0
    drain: float = 1.0
    crowds: tuple[int, ...] = (50, 1000, 2000)
    """Players at which the rooms of players are measured."""
    spread: tuple[int, ...] = (250, 500, 1000)
    """Players whose rooms are spread over several processes; the second number is measured with a cluster, too."""
    search_steps: int = 6
    search_measure: float = 2.5
    search_all: bool = True
    """Whether to search for the most players of every server, or only of those that speak CloudLink."""
    correspondents: int = 1000
    joining: tuple[int, ...] = (300, 2000)
    """Clients that join at once; upstream is measured with the first number only."""
    joining_times: int = 5
    """How often the first number joins in each round."""
    idle: int = 2000
    idle_upstream: int = 500
    watched: int = 5000
    """Clients of a server that dashboards show."""
    watched_players: int = 100
    """Those of them who play."""
    watched_time: float = 10.0
    settle: float = 1.0
    """Wait before memory is read."""


FULL = Plan()

QUICK = Plan(
    rounds=1,
    repeats=0,
    warmup=0.2,
    measure=0.6,
    drain=0.2,
    crowds=(50, 1000),
    spread=(100, 200),
    search_steps=3,
    search_measure=0.5,
    search_all=False,
    correspondents=100,
    joining=(100, 500),
    joining_times=1,
    idle=300,
    idle_upstream=100,
    watched=500,
    watched_players=50,
    watched_time=2.5,
    settle=0.3,
)

COMPARE = Plan(
    rounds=10,
    repeats=0,
    warmup=0.5,
    measure=2.5,
    drain=0.3,
    crowds=(1000,),
    joining_times=3,
    idle=1000,
    settle=0.5,
)
"""Two commits pair by pair: many short runs, because only runs close in time are comparable."""

COMPARE_QUICK = replace(COMPARE, rounds=3, warmup=0.3, measure=1.2, drain=0.2)
