"""Runs the rounds: every measure several times, the servers in turn within each round, then the median."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bench.load.run import LoadError
from bench.processes import ServerDiedError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bench.measures import Measure, Run, Stage
    from bench.peers import Peer


@dataclass
class Outcome:
    """The results of all rounds of one measure for one server."""

    runs: list[Run] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def median(self, key: str) -> float | None:
        """Return the median over the rounds; None if no round yielded this value."""
        values = [run.values[key] for run in self.runs if key in run.values]
        return statistics.median(values) if values else None

    @property
    def generator_share(self) -> float:
        """Return the median share of a core that the load generator used."""
        return statistics.median(run.generator_share for run in self.runs) if self.runs else 0.0

    @property
    def others_share(self) -> float:
        """Return the median share of a core that processes outside the benchmark used."""
        return statistics.median(run.others_share for run in self.runs) if self.runs else 0.0

    @property
    def limited_by_generator(self) -> bool:
        """Whether the load generator limited at least half of the rounds."""
        return bool(self.runs) and sum(run.limited_by_generator for run in self.runs) * 2 >= len(self.runs)

    @property
    def disturbed(self) -> bool:
        """Whether other processes disturbed at least half of the rounds."""
        return bool(self.runs) and sum(run.disturbed for run in self.runs) * 2 >= len(self.runs)

    @property
    def notes(self) -> list[str]:
        """Return the notes of the runs and the reasons for failures, without duplicates."""
        return list(dict.fromkeys([note for run in self.runs for note in run.notes] + self.failures))


@dataclass(frozen=True)
class Taken:
    """One measure with the outcome for each server that took part, by its name."""

    measure: Measure
    outcomes: dict[str, Outcome]


def _quietest(stage: Stage, measure: Measure, peer: Peer, say: Callable[[str], None]) -> Run:
    """Run a measure once, and again as often as the plan allows while others disturb it."""
    run = measure.run(stage, peer)
    for _ in range(stage.plan.repeats):
        if not run.disturbed:
            break
        say(f"{measure.title}: {peer.title}, again: other processes took {run.others_share:.2f} of a core")
        run = min(run, measure.run(stage, peer), key=lambda one: one.others_share)
    return run


def take(
    stage: Stage, measure: Measure, peers: Sequence[Peer], rounds: int, say: Callable[[str], None]
) -> Taken:
    """Run all rounds of one measure; a failed run is noted, and the others continue."""
    taking_part = [peer for peer in peers if peer.name in measure.servers]
    outcomes = {peer.name: Outcome() for peer in taking_part}
    for number in range(1, rounds + 1):
        for peer in taking_part:
            say(f"{measure.title}: {peer.title}, round {number} of {rounds}")
            try:
                outcomes[peer.name].runs.append(_quietest(stage, measure, peer, say))
            except (LoadError, ServerDiedError) as error:
                outcomes[peer.name].failures.append(str(error))
    return Taken(measure, outcomes)
