"""The wire scenarios once more, with their clients on different servers of a cluster."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.clusters import InMemoryCluster, MemoryCluster
from tests.support.scenario_play import play
from tests.support.scenarios import scenarios

OTHERWISE = {
    "cl4/server_full": "max_clients is counted by the processes of one machine",
    "cl4/server_full_unidentified": "as above",
    "cl4/room_state_bounds": "kept variables arrive right after the list, from the other node",
    "cl4/room_state_default": "as above",
    "cl4/room_state_link": "as above",
    "cl4/room_state_unlink": "as above",
    "legacy/room_state_of_eras": "as above",
    "legacy/cl2_channels": "who joins on another node gets the data of a channel with its next message",
    "legacy/cl3_017_unknown_commands": "which dialect a user of another node speaks is not known",
}
"""Scenarios that go otherwise across nodes, and why."""
FOLDERS = ("cl4", "legacy", "limits")
"""Plugins handle the packets of their own node only."""
ALL = [scenario for folder in FOLDERS for scenario in scenarios(folder) if scenario.only != "socket"]


def test_every_exception_is_a_scenario():
    assert OTHERWISE.keys() <= {scenario.name for scenario in ALL}


@pytest.mark.parametrize(
    "scenario",
    [scenario for scenario in ALL if scenario.name not in OTHERWISE],
    ids=lambda scenario: scenario.name,
)
def test_on_two_servers(scenario):
    async def main():
        cluster = MemoryCluster(scenario.settings, scenario.plugins)
        await play(scenario, InMemoryCluster(cluster))

    asyncio.run(main())
