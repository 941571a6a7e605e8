"""Draws one SVG per group of measures: a panel for each metric, a bar for each server. No library, no script.

The colours follow the reader's light or dark mode. Scales are linear from zero; a bar's number is always written out.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from bench.report import REFERENCE, legend, marks, number

if TYPE_CHECKING:
    from pathlib import Path

    from bench.measures import Metric
    from bench.report import Report
    from bench.rounds import Taken

WIDTH, MARGIN, LABELS, NUMBERS = 760, 24, 130, 110
BAR, GAP, HEAD, FOOT = 18, 8, 34, 30
"""Lengths in user units: a bar's height, the gap between bars, a panel's heading and its axis."""

STYLE = """
text { font: 13px system-ui, sans-serif; fill: #1f2328 }
.title { font-size: 17px; font-weight: 600 } .how, .tick { fill: #59636e; font-size: 11.5px }
.panel { font-weight: 600 } .axis { stroke: #59636e } .grid { stroke: #d1d9e0 }
.paper { fill: #ffffff } .bar { fill: #8c959f } .ours { fill: #0969da }
@media (prefers-color-scheme: dark) {
  text { fill: #f0f6fc } .how, .tick { fill: #9198a1 } .axis { stroke: #9198a1 } .grid { stroke: #3d444d }
  .paper { fill: #0d1117 } .bar { fill: #656c76 } .ours { fill: #4493f8 }
}
"""


@dataclass(frozen=True)
class Bar:
    """One server in a panel."""

    label: str
    value: float
    text: str
    ours: bool


def _text(x: float, y: float, text: str, kind: str = "", anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}">{escape(text)}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{kind}"/>'


def _ticks(most: float) -> list[float]:
    """Return round values from zero that cover `most` in three to six steps."""
    step = 10.0 ** len(str(int(most))) if most >= 1 else 1.0
    while most / step < 3:
        for part in (2.0, 2.5, 2.0):
            step /= part
            if most / step >= 3:
                break
    return [step * count for count in range(int(most / step) + 1)]


def _bars(report: Report, taken: Taken, metric: Metric) -> list[Bar]:
    bars = []
    for name, outcome in taken.outcomes.items():
        value = outcome.median(metric.key)
        if value is not None:
            text = f"{number(value, metric.digits)} {metric.unit}".strip() + marks(outcome)
            bars.append(Bar(report.title(name), value, text, name == REFERENCE))
    return bars


def _panel(top: float, metric: Metric, bars: list[Bar]) -> tuple[list[str], float]:
    """Draw one panel from `top` on; returns its elements and where it ends."""
    most = max(bar.value for bar in bars) or 1.0
    left, right = MARGIN + LABELS, WIDTH - MARGIN - NUMBERS
    first = top + HEAD
    bottom = first + len(bars) * (BAR + GAP)
    parts = [_text(MARGIN, top + 18, f"{metric.title} ({metric.better} is better)", "panel")]
    for tick in _ticks(most):
        x = left + (right - left) * tick / most
        parts.append(_line(x, first - 4, x, bottom, "grid"))
        parts.append(_text(x, bottom + 14, f"{tick:,.10g}".replace(",", " "), "tick", "middle"))
    for index, bar in enumerate(bars):
        y = first + index * (BAR + GAP)
        width = max(1.0, (right - left) * bar.value / most)
        kind = "ours" if bar.ours else "bar"
        parts.append(_text(left - 8, y + BAR - 5, bar.label, "", "end"))
        parts.append(
            f'<rect x="{left}" y="{y:.1f}" width="{width:.1f}" height="{BAR}" rx="2" class="{kind}"/>'
        )
        parts.append(_text(left + width + 6, y + BAR - 5, bar.text))
    parts.append(_line(left, first - 4, left, bottom, "axis"))
    return parts, bottom + FOOT


def draw(report: Report, taken: list[Taken]) -> str:
    """Return the SVG of the measures of one group."""
    parts: list[str] = []
    top = 8.0
    for one in taken:
        parts.append(_text(MARGIN, top + 24, one.measure.title, "title"))
        parts.append(_text(MARGIN, top + 42, one.measure.how, "how"))
        top += 52
        for metric in one.measure.metrics:
            bars = _bars(report, one, metric) if metric.compare else []
            if bars:
                drawn, top = _panel(top, metric, bars)
                parts += drawn
        top += 10
    machine = report.machine
    about = f"{machine['processor']}, {machine['cores']} cores, Python {machine['python']}, {machine['date']}"
    for line in [about, *legend(taken)]:
        parts.append(_text(MARGIN, top + 10, line, "how"))
        top += 16
    height = top + 8
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" width="{WIDTH}" height="{height:.0f}"'
        f' role="img" aria-label="{escape(taken[0].measure.group)}"><style>{STYLE}</style>'
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
