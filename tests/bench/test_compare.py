"""The comparison of two commits: which pairs count, and when it fails. No server is started."""

from __future__ import annotations

import pytest

from bench.compare import HEADLINES, Figures, judge, report
from bench.measures import MODULES, Run
from bench.measures.base import COPIES, CPU_PER_COPY
from bench.peers.cloudlink import CloudLink
from bench.plan import COMPARE
from bench.report import DISTURBED, LEGEND


def figures(*pairs, group="fanout", others=0.0):
    """Return the figures of a group with these pairs of CPU per copy; None is a run that did not give it."""

    def run(cpu):
        values = {} if cpu is None else {CPU_PER_COPY.key: cpu}
        return Run(values, generator_share=0.0, others_share=others)

    runs = [(run(base), run(new)) for base, new in pairs]
    return Figures(MODULES[group].measures(COMPARE)[0], HEADLINES[group], runs)


@pytest.mark.parametrize("group", HEADLINES)
def test_every_headline_figure_is_measured(group):
    measured = {metric.key for metric in MODULES[group].measures(COMPARE)[0].metrics}
    assert {metric.key for metric in HEADLINES[group]} <= measured


def test_a_ratio_is_new_by_base_and_needs_both():
    assert figures((1.0, 2.0), (None, 3.0), (4.0, 2.0), (3.0, None)).ratios(CPU_PER_COPY) == [2.0, 0.5]


def test_the_report_gives_each_pair_the_median_and_the_range():
    text = report(CloudLink(), CloudLink(), [figures((1.0, 1.1), (1.0, 1.3), (2.0, 2.0))])
    assert "x 1.100 (1.000 to 1.300, n = 3; lower is better)" in text
    assert "pair by pair: 1.100 1.300 1.000" in text
    assert f"{COPIES.title:<36} not measured" in text
    assert LEGEND[DISTURBED] not in text


def test_disturbed_pairs_are_marked():
    text = report(CloudLink(), CloudLink(), [figures((1.0, 1.1), others=0.5)])
    assert f"pair by pair: 1.100{DISTURBED}" in text
    assert LEGEND[DISTURBED] in text


@pytest.mark.parametrize(
    ("pairs", "worse"),
    [
        ([(1.0, 1.14)], False),
        ([(1.0, 1.16)], True),
        ([(1.0, 1.0), (1.0, 2.0), (1.0, 1.1)], False),
        ([(1.0, 0.5)], False),
        ([], True),
    ],
    ids=["within", "beyond", "one pair beyond", "better", "nothing measured"],
)
def test_the_median_of_the_pairs_decides(pairs, worse):
    assert worse == bool(judge(figures(*pairs), 15))


def test_figures_without_cpu_per_copy_never_fail():
    assert not judge(figures((1.0, 9.0), group="memory"), 15)


def test_without_a_limit_nothing_fails():
    assert not judge(figures((1.0, 9.0)), None)
