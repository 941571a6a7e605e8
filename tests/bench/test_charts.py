"""The charts: they fit a screen, hold every server's bar, and are drawn from whatever was measured."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from bench.charts import TITLES, write_charts
from bench.measures import MODULES, Run, all_measures
from bench.peers import PEERS
from bench.plan import FULL
from bench.report import Report
from bench.rounds import Outcome, Taken

SVG = "{http://www.w3.org/2000/svg}"
MACHINE = {"processor": "AMD EPYC", "cores": 2, "python": "3.11.2", "date": "2026-01-01 00:00 UTC"}


def outcome(measure, value):
    """Return an outcome with this value in every metric, and with all marks."""
    values = {metric.key: value for metric in measure.metrics}
    return Outcome([Run(values, generator_share=1.0, others_share=1.0)])


def report(servers=tuple(PEERS)):
    """Return a whole benchmark in which each of these servers gave large numbers."""
    taken = [
        Taken(measure, {name: outcome(measure, 4_252_204.0) for name in measure.servers if name in servers})
        for measure in all_measures(FULL, list(MODULES))
    ]
    taken = [one for one in taken if one.outcomes]
    return Report(MACHINE, "bench", "C", 3, {}, {}, taken, [PEERS[name] for name in servers])


def draw(folder, report):
    """Return the drawn charts by group."""
    return {file.stem: ET.parse(file).getroot() for file in write_charts(report, folder)}


def test_every_group_has_a_chart_with_a_title(tmp_path):
    charts = draw(tmp_path, report())
    assert charts.keys() == TITLES.keys()
    for group, chart in charts.items():
        assert chart.get("aria-label") == TITLES[group]


def test_the_chart_of_players_fits_a_screen(tmp_path):
    chart = draw(tmp_path, report())["players"]
    assert int(chart.get("width")) <= 900
    assert int(chart.get("height")) <= 520


@pytest.mark.parametrize("group", TITLES)
def test_each_measured_metric_of_each_server_is_a_bar_within_the_chart(tmp_path, group):
    measures = all_measures(FULL, [group])
    wanted = sum(len(one.servers) * sum(metric.compare for metric in one.metrics) for one in measures)
    chart = draw(tmp_path, report())[group]
    bars = [bar for bar in chart.iter(f"{SVG}rect") if bar.get("class") in {"bar", "ours"}]
    assert len(bars) == wanted
    for bar in bars:
        assert float(bar.get("x")) + float(bar.get("width")) < int(chart.get("width"))
        assert float(bar.get("y")) + float(bar.get("height")) < int(chart.get("height"))


def test_the_cloud_chart_compares_two_servers(tmp_path):
    texts = {text.text for text in draw(tmp_path, report())["cloud"].iter(f"{SVG}text")}
    assert {"CloudLink", "node ws"} <= texts


def test_a_server_that_was_not_measured_has_a_dash(tmp_path):
    whole = report(("cloudlink", "ws"))
    whole.taken[0].outcomes["ws"].runs.clear()
    texts = [text.text for text in draw(tmp_path, whole)["fanout"].iter(f"{SVG}text")]
    assert texts.count("-") == sum(metric.compare for metric in whole.taken[0].measure.metrics)
