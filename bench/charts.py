"""Draws one SVG per group of measures: a column for each measure, a row for each metric. No library, no script.

A chart fits a screen. The colours follow the reader's light or dark mode. Every panel has a scale of its own, linear
from zero, and writes out each bar's number.
"""

from __future__ import annotations

from html import escape
from itertools import zip_longest
from typing import TYPE_CHECKING

from bench.report import REFERENCE, legend, marks, number

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from bench.measures import Metric
    from bench.report import Report
    from bench.rounds import Taken

WIDTH, MARGIN, LABELS, NUMBERS, SPACE = 900, 20, 112, 72, 16
"""Widths in user units: of the chart, its margin, the servers' names, a bar's number, between columns."""

BAR, GAP, HEAD, FOOT, LINE = 13, 3, 22, 6, 16
"""Heights: of a bar, between bars, of a panel's heading, below a panel, of a line of small text."""

TITLES = {
    "fanout": "Fan-out",
    "players": "Players",
    "cloud": "Players on cloud variables",
    "pmsg": "Private messages",
    "joining": "Clients join at once",
    "memory": "Memory",
    "latency": "Latency at low load",
    "workers": "Several workers",
    "cluster": "A cluster",
    "dashboards": "Open dashboards",
}
"""Heading of each group's chart."""

ARROWS = {"higher": "↑", "lower": "↓"}

STYLE = """
text { font: 12px system-ui, sans-serif; fill: #1f2328 }
.title { font-size: 17px; font-weight: 600 } .column { font-size: 13px; font-weight: 600 }
.how { fill: #59636e; font-size: 11.5px } .metric { font-weight: 600 } .axis { stroke: #59636e }
.paper { fill: #ffffff } .bar { fill: #8c959f } .ours { fill: #0969da }
@media (prefers-color-scheme: dark) {
  text { fill: #f0f6fc } .how { fill: #9198a1 } .axis { stroke: #9198a1 }
  .paper { fill: #0d1117 } .bar { fill: #656c76 } .ours { fill: #4493f8 }
}
"""


def _text(x: float, y: float, text: str, kind: str = "", anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}">{escape(text)}</text>'


def _heading(metric: Metric) -> str:
    unit = f", {metric.unit}" if metric.unit else ""
    return f"{metric.title}{unit} {ARROWS[metric.better]}"


def _panel(
    left: float, top: float, width: float, taken: Taken, metric: Metric, names: Sequence[str]
) -> list[str]:
    """Draw the bars of one metric of one measure, one for each of these servers."""
    values = {name: outcome.median(metric.key) for name, outcome in taken.outcomes.items()}
    most = max((value for value in values.values() if value is not None), default=0.0) or 1.0
    parts = []
    for index, name in enumerate(names):
        y, value = top + index * (BAR + GAP), values.get(name)
        if value is None:
            parts.append(_text(left + 5, y + BAR - 3, "-", "how"))
            continue
        length = max(1.0, (width - NUMBERS) * value / most)
        kind = "ours" if name == REFERENCE else "bar"
        parts.append(
            f'<rect x="{left:.1f}" y="{y:.1f}" width="{length:.1f}" height="{BAR}" rx="2" class="{kind}"/>'
        )
        text = number(value, metric.digits) + marks(taken.outcomes[name])
        parts.append(_text(left + length + 5, y + BAR - 2, text))
    bottom = top + len(names) * (BAR + GAP)
    parts.append(f'<path d="M{left:.1f} {top - 2:.1f}V{bottom:.1f}" class="axis"/>')
    return parts


def _row(
    report: Report, top: float, taken: Sequence[Taken], metrics: Sequence[Metric | None], names: Sequence[str]
) -> tuple[list[str], float]:
    """Draw one metric of every measure, with the servers' names; return the elements and the end of the row.

    A heading is written once for all adjacent columns with the same metric.
    """
    pitch = (WIDTH - 2 * MARGIN - LABELS + SPACE) / len(taken)
    first = top + HEAD
    parts = [
        _text(MARGIN + LABELS - 8, first + index * (BAR + GAP) + BAR - 2, report.title(name), anchor="end")
        for index, name in enumerate(names)
    ]
    written = ""
    for column, (one, metric) in enumerate(zip(taken, metrics, strict=True)):
        if metric is None:
            continue
        left = MARGIN + LABELS + column * pitch
        if _heading(metric) != written:
            written = _heading(metric)
            parts.append(_text(left if column else MARGIN, top + 14, written, "metric"))
        parts += _panel(left, first, pitch - SPACE, one, metric, names)
    return parts, first + len(names) * (BAR + GAP) + FOOT


def draw(report: Report, taken: Sequence[Taken]) -> str:
    """Return the SVG of the measures of one group."""
    group = taken[0].measure.group
    parts = [
        _text(MARGIN, 30, TITLES[group], "title"),
        _text(MARGIN, 48, taken[0].measure.how, "how"),
    ]
    top = 56.0
    pitch = (WIDTH - 2 * MARGIN - LABELS + SPACE) / len(taken)
    if any(one.measure.column for one in taken):
        for column, one in enumerate(taken):
            parts.append(_text(MARGIN + LABELS + column * pitch, top + 14, one.measure.column, "column"))
        top += 20
    names = [peer.name for peer in report.peers if any(peer.name in one.outcomes for one in taken)]
    shown = [[metric for metric in one.measure.metrics if metric.compare] for one in taken]
    for metrics in zip_longest(*shown):
        drawn, top = _row(report, top, taken, metrics, names)
        parts += drawn
    machine = report.machine
    about = f"{machine['processor']}, {machine['cores']} cores, Python {machine['python']}, {machine['date']}"
    for line in [f"{about}; ↑ higher is better, ↓ lower is better", *legend(list(taken))]:
        parts.append(_text(MARGIN, top + 12, line, "how"))
        top += LINE
    height = top + 8
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" width="{WIDTH}" height="{height:.0f}"'
        f' role="img" aria-label="{escape(TITLES[group])}"><style>{STYLE}</style>'
        f'<rect width="100%" height="100%" rx="8" class="paper"/>{"".join(parts)}</svg>\n'
    )


def write_charts(report: Report, folder: Path) -> list[Path]:
    """Write one file per group of measures and return them."""
    folder.mkdir(parents=True, exist_ok=True)
    groups: dict[str, list[Taken]] = {}
    for taken in report.taken:
        groups.setdefault(taken.measure.group, []).append(taken)
    files = []
    for group, members in groups.items():
        file = folder / f"{group}.svg"
        file.write_text(draw(report, members), encoding="utf-8")
        files.append(file)
    return files
