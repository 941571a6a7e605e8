"""Turns results into a table for people and JSON for programs. Measures nothing; charts are in `charts`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.measures import Measure, Metric
    from bench.peers import Peer
    from bench.rounds import Outcome, Taken

REFERENCE = "cloudlink"
"""The server that the others are compared with."""

LABEL_WIDTH, COLUMN_WIDTH = 40, 16  # a column is wider where a title needs it
LIMITED, DISTURBED = "*", "!"
LEGEND = {
    LIMITED: "limited by the load generator: the server may do better",
    DISTURBED: "disturbed by other processes of the machine: measure again when it is quiet",
}


@dataclass(frozen=True)
class Report:
    """The results of one benchmark: the facts of the machine, the servers with their versions, and the measures."""

    machine: dict[str, str | int | float]
    command: str
    generator: str
    rounds: int
    versions: dict[str, str]
    skipped: dict[str, str]
    taken: list[Taken]
    peers: list[Peer]

    def title(self, name: str) -> str:
        """Return the name of a server in the report."""
        return next(peer.title for peer in self.peers if peer.name == name)


def ratio(taken: Taken, metric: Metric, name: str) -> float | None:
    """Return how many times better CloudLink is than this server in a metric; None if a value is missing."""
    if name == REFERENCE or REFERENCE not in taken.outcomes or not metric.compare:
        return None
    ours, theirs = taken.outcomes[REFERENCE].median(metric.key), taken.outcomes[name].median(metric.key)
    if not ours or not theirs:
        return None
    return ours / theirs if metric.better == "higher" else theirs / ours


def number(value: float | None, digits: int) -> str:
    """Return a number with thin spaces between thousands, or a dash."""
    return "-" if value is None else f"{value:,.{digits}f}".replace(",", " ")


def marks(outcome: Outcome) -> str:
    """Return the marks for the reservations about an outcome."""
    return LIMITED * outcome.limited_by_generator + DISTURBED * outcome.disturbed


def legend(taken: list[Taken]) -> list[str]:
    """Return a line for each mark that occurs in these measures."""
    used = "".join(marks(outcome) for one in taken for outcome in one.outcomes.values())
    return [f"{mark} {meaning}" for mark, meaning in LEGEND.items() if mark in used]


def _times(value: float | None) -> str:
    if value is None:
        return ""
    return f"x {value:.0f}" if value >= 20 else f"x {value:.2f}"


def _row(label: str, cells: list[str], widths: list[int]) -> str:
    columns = (f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True))
    return f"  {label:<{LABEL_WIDTH}}" + "".join(columns)


def _measure_lines(report: Report, taken: Taken) -> list[str]:
    names = list(taken.outcomes)
    titles = [report.title(name) for name in names]
    widths = [max(COLUMN_WIDTH, len(title) + 2) for title in titles]
    lines = [
        "",
        taken.measure.title,
        f"  {taken.measure.how}",
        _row("", titles, widths),
    ]
    for metric in taken.measure.metrics:
        cells = []
        for name in names:
            outcome = taken.outcomes[name]
            cells.append(number(outcome.median(metric.key), metric.digits) + marks(outcome))
        label = f"{metric.title}, {metric.unit}" if metric.unit else metric.title
        lines.append(_row(label, cells, widths))
        ratios = [_times(ratio(taken, metric, name)) for name in names]
        if any(ratios):
            lines.append(_row("  CloudLink is better by", ratios, widths))
    outcomes = list(taken.outcomes.values())
    for label, shares in (
        ("load generator's share of a core", [one.generator_share for one in outcomes]),
        ("other processes' share of a core", [one.others_share for one in outcomes]),
    ):
        lines.append(_row(label, [f"{share:.2f}" for share in shares], widths))
    lines += [f"  {report.title(name)}: {note}" for name in names for note in taken.outcomes[name].notes]
    return lines


def table(report: Report) -> str:
    """Return the whole report as text."""
    machine = report.machine
    lines = [
        ", ".join(
            [
                f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gib']} GiB",
                f"{machine['system']}, Python {machine['python']}, {machine['date']}",
            ]
        ),
        f"{report.command}; median of {report.rounds} round(s); load generator: {report.generator}",
        *(f"{report.title(name)}: {version}" for name, version in report.versions.items()),
        *(f"{report.title(name)}: skipped, {reason}" for name, reason in report.skipped.items()),
    ]
    for taken in report.taken:
        lines += _measure_lines(report, taken)
    return "\n".join([*lines, "", *legend(report.taken)]).rstrip()


def _outcome_json(measure: Measure, outcome: Outcome) -> dict[str, object]:
    return {
        "median": {metric.key: outcome.median(metric.key) for metric in measure.metrics},
        "rounds": [
            {**run.values, "generator_core_share": run.generator_share, "others_core_share": run.others_share}
            for run in outcome.runs
        ],
        "generator_core_share": outcome.generator_share,
        "others_core_share": outcome.others_share,
        "limited_by_generator": outcome.limited_by_generator,
        "disturbed": outcome.disturbed,
        "notes": outcome.notes,
    }


def _measure_json(taken: Taken) -> dict[str, object]:
    measure = taken.measure
    return {
        "name": measure.name,
        "group": measure.group,
        "title": measure.title,
        "how": measure.how,
        "metrics": [
            {"key": metric.key, "title": metric.title, "unit": metric.unit, "better": metric.better}
            for metric in measure.metrics
        ],
        "servers": {name: _outcome_json(measure, outcome) for name, outcome in taken.outcomes.items()},
        "cloudlink_better_by": {
            name: {metric.key: ratio(taken, metric, name) for metric in measure.metrics}
            for name in taken.outcomes
            if name != REFERENCE
        },
    }


def as_json(report: Report) -> dict[str, object]:
    """Return the whole report as JSON values."""
    return {
        "format": 1,
        "machine": report.machine,
        "command": report.command,
        "generator": report.generator,
        "rounds": report.rounds,
        "servers": {
            peer.name: {
                "title": peer.title,
                "version": report.versions.get(peer.name),
                "skipped": report.skipped.get(peer.name),
            }
            for peer in report.peers
        },
        "measures": [_measure_json(taken) for taken in report.taken],
    }
