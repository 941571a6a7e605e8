"""The command `python -m bench.compare BASE`: measures two commits in turn, A B A B, and their ratio pair by pair.

Comparing all runs of one commit with all runs of the other says little, because a machine's speed changes within
minutes; it hardly changes between two runs within a few seconds. So every round runs both commits, each in a fresh
process, and only the ratio within a round counts. It compares the headline figures; `python -m bench` compares with other servers.
"""

from __future__ import annotations

import argparse
import signal
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from bench import machine
from bench.commandline import names, say
from bench.load.run import LoadError, allow_many_connections, build
from bench.measures import MODULES, Stage
from bench.measures.base import COPIES, CPU_PER_COPY, P50, P99
from bench.measures.joining import SECONDS
from bench.measures.memory import IDLE, PER_CLIENT
from bench.peers import UnavailableError
from bench.plan import COMPARE, COMPARE_QUICK
from bench.processes import ServerDiedError
from bench.report import DISTURBED, LEGEND, number
from bench.revisions import revision, working_tree

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.measures import Measure, Metric, Run
    from bench.peers import Peer

HEADLINES: dict[str, tuple[Metric, ...]] = {
    "fanout": (COPIES, CPU_PER_COPY),
    "players": (CPU_PER_COPY, P50, P99),
    "pmsg": (COPIES, CPU_PER_COPY),
    "cloud": (CPU_PER_COPY,),
    "joining": (SECONDS,),
    "memory": (IDLE, PER_CLIENT),
}
"""The compared metrics, by the group whose first measure yields them."""


@dataclass
class Figures:
    """The pairs of runs (base, new) of one measure, and why runs failed."""

    measure: Measure
    metrics: tuple[Metric, ...]
    pairs: list[tuple[Run, Run]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def complete(self, metric: Metric) -> list[tuple[Run, Run]]:
        """Return the pairs in which both runs yielded this metric."""
        return [pair for pair in self.pairs if all(run.values.get(metric.key) for run in pair)]

    def ratios(self, metric: Metric) -> list[float]:
        """Return new/base of these pairs."""
        return [new.values[metric.key] / base.values[metric.key] for base, new in self.complete(metric)]


def _arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.compare",
        description="Measure two commits of CloudLink in turn. All traffic stays on 127.0.0.1.",
    )
    parser.add_argument("base", metavar="BASE", help="the old commit: a tag, a branch, a hash")
    parser.add_argument("--new", metavar="REV", help="the new commit (default: the working tree)")
    parser.add_argument(
        "--only", type=names(list(HEADLINES)), default=list(HEADLINES), help=f"figures: {','.join(HEADLINES)}"
    )
    parser.add_argument(
        "--rounds",
        type=int,
        help=f"pairs of runs for each figure (default {COMPARE.rounds}, quick {COMPARE_QUICK.rounds})",
    )
    parser.add_argument("--quick", action="store_true", help="shorter runs and fewer of them")
    parser.add_argument("--pin", action="store_true", help="keep the server on core 0, the load on core 1")
    parser.add_argument(
        "--fail-above",
        type=float,
        metavar="PER_CENT",
        help="exit with status 1 when CPU per copy (or message) rose by more, in the median of the pairs;"
        " such a figure is measured twice as often",
    )
    return parser.parse_args(words)


def _take_pair(stage: Stage, figures: Figures, base: Peer, new: Peer) -> None:
    try:
        figures.pairs.append((figures.measure.run(stage, base), figures.measure.run(stage, new)))
    except (LoadError, ServerDiedError) as error:
        figures.failures.append(str(error))


def take(stage: Stage, taken: Sequence[Figures], base: Peer, new: Peer) -> None:
    """Add the plan's rounds to these figures."""
    rounds = stage.plan.rounds
    for count in range(1, rounds + 1):
        for figures in taken:
            say(f"round {count} of {rounds}: {figures.measure.title}")
            _take_pair(stage, figures, base, new)


def _pair_text(pair: tuple[Run, Run], ratio: float) -> str:
    return f"{ratio:.3f}" + DISTURBED * any(run.disturbed for run in pair)


def _metric_lines(figures: Figures, metric: Metric) -> list[str]:
    titles = {shown.key: shown.title for shown in figures.measure.metrics}
    label = f"{titles[metric.key]}, {metric.unit}" if metric.unit else titles[metric.key]
    ratios = figures.ratios(metric)
    if not ratios:
        return [f"  {label:<36} not measured"]
    pairs = figures.complete(metric)
    old, now = (statistics.median(pair[side].values[metric.key] for pair in pairs) for side in (0, 1))
    summary = (
        f"x {statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f}, n = {len(ratios)};"
        f" {metric.better} is better)"
    )
    return [
        f"  {label:<36}{number(old, metric.digits):>12}{number(now, metric.digits):>12}   {summary}",
        f"    pair by pair: {' '.join(map(_pair_text, pairs, ratios))}",
    ]


def report(base: Peer, new: Peer, taken: Sequence[Figures]) -> str:
    """Return the comparison as text: for each metric both medians, the ratio's median and range, and its pairs."""
    facts = machine.describe()
    lines = [
        f"{new.title} / {base.title}",
        f"{facts['processor']}, {facts['cores']} cores, Python {facts['python']}, {facts['date']}",
        f"{'':<38}{'base':>12}{'new':>12}   new/base: median (min to max)",
    ]
    for figures in taken:
        lines += ["", f"{figures.measure.title}: {figures.measure.how}"]
        for metric in figures.metrics:
            lines += _metric_lines(figures, metric)
        lines += [f"  failed: {failure}" for failure in dict.fromkeys(figures.failures)]
    if any(run.disturbed for figures in taken for pair in figures.pairs for run in pair):
        lines += ["", f"{DISTURBED} {LEGEND[DISTURBED]}"]
    return "\n".join(lines)


def judge(figures: Figures, limit: float | None) -> str:
    """Return why CPU per copy is not good enough: it rose by more than `limit` per cent, or no pair has it.

    Returns an empty string if it is good enough, if there is no limit, and for figures without CPU per copy.
    """
    if CPU_PER_COPY not in figures.metrics or limit is None:
        return ""
    ratios = figures.ratios(CPU_PER_COPY)
    if not ratios:
        return "no pair could be measured"
    rise = (statistics.median(ratios) - 1) * 100
    return f"{rise:.0f} % more CPU per copy, the limit is {limit:g} %" if rise > limit else ""


def _stage(arguments: argparse.Namespace) -> Stage:
    plan = COMPARE_QUICK if arguments.quick else COMPARE
    if arguments.rounds:
        plan = replace(plan, rounds=arguments.rounds)
    generator = build()
    if generator.warning:
        say(generator.warning)
    return Stage(plan, generator, arguments.pin)


def _compare(arguments: argparse.Namespace, base: Peer, new: Peer) -> int:
    """Measure and report; return the exit status."""
    stage = _stage(arguments)
    taken = [Figures(MODULES[group].measures(stage.plan)[0], HEADLINES[group]) for group in arguments.only]
    start = time.monotonic()
    try:
        take(stage, taken, base, new)
        if suspects := [figures for figures in taken if judge(figures, arguments.fail_above)]:
            say("beyond the limit: measured again, because a busy machine can do that to a few pairs")
            take(stage, suspects, base, new)
    except KeyboardInterrupt:
        say("stopped; all servers are ended")
    say(f"measured for {time.monotonic() - start:.0f} s")
    print(report(base, new, taken))
    worse = [
        f"{figures.measure.title}: {why}"
        for figures in taken
        if (why := judge(figures, arguments.fail_above))
    ]
    for sentence in worse:
        print(f"failed: {sentence}")
    return 0 if all(figures.pairs for figures in taken) and not worse else 1


def main(words: Sequence[str] | None = None) -> int:
    """Run the comparison.

    Returns:
        The exit status: 1 if a figure is worse than allowed or missing, 2 if a commit cannot be run.
    """
    arguments = _arguments(words)
    allow_many_connections()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix="cloudlink-bench-") as folder:
        try:
            base = revision("base", arguments.base, Path(folder))
            new = revision("new", arguments.new, Path(folder)) if arguments.new else working_tree("new")
            for peer in (base, new):
                say(f"{peer.name}: {peer.title}, version {peer.prepare()}")
        except UnavailableError as error:
            say(f"cannot compare: {error}")
            return 2
        return _compare(arguments, base, new)


if __name__ == "__main__":
    sys.exit(main())
