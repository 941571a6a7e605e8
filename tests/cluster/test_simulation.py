"""Random histories of clusters end with nodes that agree, and broken protocols do not.

Each history takes some milliseconds: virtual time passes, and nothing is sent anywhere.
"""

from __future__ import annotations

import logging

import pytest

from cloudlink.cluster.cloud import Cloud
from cloudlink.cluster.links import Incoming
from cloudlink.cluster.node import Node
from cloudlink.cluster.streams import Streams
from tests.support.clustersimulation import Simulation


@pytest.fixture(autouse=True)
def _silent():
    logging.disable(logging.WARNING)
    yield
    logging.disable(logging.NOTSET)


def play(seeds):
    for seed in seeds:
        try:
            Simulation(seed).run()
        except AssertionError as error:
            raise AssertionError(f"the history of the seed {seed}: {error}") from None


@pytest.mark.parametrize("part", range(4))
def test_nodes_agree_at_the_end(part):
    play(range(part * 50, part * 50 + 50))


@pytest.mark.slow
@pytest.mark.parametrize("part", range(20))
def test_nodes_agree_at_the_end_of_many_histories(part):
    play(range(200 + part * 190, 200 + (part + 1) * 190))


# The tests below are about the tests: a protocol without one of its rules must fail.


def admit_everything(self, epoch, seq):
    if epoch != self.epoch:
        self.rows, self.projects, self._parts = {}, [], []
    self.epoch, self.seq = epoch, seq
    return True


def repeat_epochs(self, link):
    """Begin every epoch with the number that the link had before."""
    self._epoch = max(0, link.outgoing.epoch - 1)
    begin_epoch(self, link)


begin_epoch = Streams.begin
NOTHING = lambda *_arguments: None  # noqa: E731

MUTANTS = {
    "no gap detection": [(Incoming, "admit", admit_everything)],
    "epochs that repeat": [(Streams, "begin", repeat_epochs)],
    "no values for nodes that return": [(Cloud, "_answer", NOTHING)],
    "no variables for nodes that return": [(Node, "_send_variables", NOTHING)],
    "no name rule": [(Node, "_check_name", NOTHING)],
    "no new snapshot": [(Streams, "_is_missed", NOTHING)],
    "keepers that never change": [(Cloud, "on_closed", NOTHING)],
}


@pytest.mark.parametrize("changes", MUTANTS.values(), ids=MUTANTS.keys())
def test_a_broken_protocol_fails(changes, monkeypatch):
    for owner, name, replacement in changes:
        monkeypatch.setattr(owner, name, replacement)
    with pytest.raises((AssertionError, LookupError, AttributeError)):
        play(range(400))
