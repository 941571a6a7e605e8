"""The scenarios describe CloudLink 0.2.0 correctly: they are played against its server.

Those marked `upstream: same` must go as they are written, and those about cloud variables that are marked
`upstream: differs` must not.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import subprocess
from pathlib import Path

import pytest

from tests.real_clients.environment import upstream_python
from tests.support.scenario_drivers import OverSocket
from tests.support.scenario_play import ConversationError, play
from tests.support.scenarios import scenarios
from tests.support.servers import HOST, TESTS

SERVER = Path(__file__).with_name("upstream_server.py")
SAME = [scenario for scenario in scenarios(".") if scenario.upstream == "same"]
DIFFERENT = [
    scenario
    for scenario in scenarios("cloud")
    if scenario.upstream.startswith("differs") and not scenario.settings
]
ROUNDS = 30  # it sends in tasks of tasks, and pongs overtake them: each round gives those a turn

pytestmark = pytest.mark.timeout(300)  # the environment may have to be built first


@pytest.fixture(scope="module")
def upstream_port():
    """A function that says where the server with a scenario's settings and plugins listens."""
    python = upstream_python()
    running: dict[tuple[str, ...], tuple[subprocess.Popen, int]] = {}

    def port_for(scenario):
        key = (json.dumps(scenario.settings), scenario.name if scenario.plugins else "")
        if key not in running:
            running[key] = _start(python, scenario)
        return running[key][1]

    yield port_for
    for process, _ in running.values():
        process.kill()
        process.wait()


def _start(python, scenario):
    plugins = [str(TESTS / plugin) for plugin in scenario.plugins]
    command = [python, SERVER, "0", json.dumps(scenario.settings), *plugins]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    with process.stdout:
        port = process.stdout.readline()
    assert port, "CloudLink 0.2.0 did not start"
    return process, int(port)


@pytest.mark.parametrize("scenario", SAME, ids=lambda scenario: scenario.name)
def test_upstream_agrees(scenario, upstream_port):
    _play(scenario, upstream_port(scenario))


@pytest.mark.parametrize("scenario", DIFFERENT, ids=lambda scenario: scenario.name)
def test_upstream_differs(scenario, upstream_port):
    with_cloud = dataclasses.replace(scenario, settings={"cloud": True})
    with pytest.raises(ConversationError):
        _play(scenario, upstream_port(with_cloud), WithProject)


class WithProject(OverSocket):
    """Repeats the handshake's project in each change, without which CloudLink 0.2.0 takes none at all."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.projects = {}

    async def send(self, who, data, *, binary=False):
        with contextlib.suppress(ValueError):
            packet = json.loads(data)
            if isinstance(packet, dict) and packet.get("method") == "handshake":
                self.projects[who] = packet.get("project_id")
            elif isinstance(packet, dict) and "method" in packet and who in self.projects:
                data = json.dumps({"project_id": self.projects[who], **packet}).encode()
        await super().send(who, data, binary=binary)


def _play(scenario, port, driver_class=OverSocket):
    async def main():
        driver = driver_class(HOST, port, rounds=ROUNDS)
        try:
            await play(scenario, driver, loose=True)
        finally:
            await driver.leave_all()

    asyncio.run(main())
