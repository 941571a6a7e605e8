"""Wire scenarios with their clients at different processes: at two workers, and at two nodes that NATS joins.

One server plays all of them, one after the other. `test_scenarios` plays more of them, in memory.
"""

from __future__ import annotations

import asyncio
import sys

import pytest

from tests.support.natsserver import NatsServer
from tests.support.nodes import OverNodes, nats_nodes, workers
from tests.support.scenario_play import play
from tests.support.scenarios import scenarios

if sys.platform != "linux":
    pytest.skip("several processes need Linux", allow_module_level=True)

PLAYED = [
    scenario
    for scenario in scenarios(".")
    if not scenario.settings and not scenario.plugins and scenario.only != "memory"
    if scenario.name.startswith(
        ("cl4/gmsg", "cl4/gvar", "cl4/pmsg", "cl4/direct", "cl4/link", "cl4/disc", "cloud/s")
    )
    or scenario.name
    in ("legacy/all_eras", "cloud/half_pairs", "cl4/half_emoji", "cloud/disconnect", "cloud/room_kept")
]
AT_NODES = [scenario for scenario in PLAYED if not scenario.name.startswith(("cl4/pmsg_", "cl4/link_"))]


@pytest.fixture(scope="module")
def two_workers():
    with workers(2, "--no-limits") as (_, places):
        yield places


@pytest.fixture(scope="module")
def two_nodes(tmp_path_factory):
    with (
        NatsServer(tmp_path_factory.mktemp("jetstream")) as nats,
        nats_nodes(2, nats.url, "--no-limits") as (_, places),
    ):
        yield places


def perform(scenario, places):
    async def main():
        driver = OverNodes(places)
        try:
            await driver.start()
            await play(scenario, driver)
        finally:
            await driver.leave_all()

    asyncio.run(main())


@pytest.mark.parametrize("scenario", PLAYED, ids=lambda scenario: scenario.name)
def test_at_two_workers(scenario, two_workers):
    perform(scenario, two_workers)


@pytest.mark.parametrize("scenario", AT_NODES, ids=lambda scenario: scenario.name)
def test_at_two_nodes(scenario, two_nodes):
    perform(scenario, two_nodes)
