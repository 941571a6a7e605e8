"""What hosts see of a server of several processes: errors at the start, the log, the health check, the metrics."""

from __future__ import annotations

import asyncio
import os
import re
import select
import signal
import subprocess
import sys
import urllib.request

import pytest

from cloudlink.cli import main
from cloudlink.settings import Settings
from tests.support.natsserver import NatsServer
from tests.support.nodes import SECRET, children
from tests.support.pairs import PASSWORD, Nodes, Workers, started
from tests.support.process import CLOUDLINK, ServerProcess
from tests.support.visitors import Visitor, exchanged, fresh, until

if sys.platform != "linux":
    pytest.skip("several processes need Linux", allow_module_level=True)

WITHOUT_NATS_PY = """
import sys
sys.modules["nats"] = None
from cloudlink.cli import main
sys.exit(main(["serve", "--no-storage", "--plugins-folder", "", "--port", "0", "--cluster", "nats://127.0.0.1:1"]))
"""


@pytest.fixture(autouse=True)
def _secret(monkeypatch):
    monkeypatch.setenv("CLOUDLINK_CLUSTER_SECRET", SECRET)


def failure(*arguments):
    """What a server prints that cannot start, as one program run from a terminal."""
    done = subprocess.run(
        [*CLOUDLINK, "--port", "0", *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    return done.stderr


# Errors at the start.


def test_no_nats(monkeypatch, capfd):
    monkeypatch.setattr("cloudlink.carriers.natsbus._FIRST_PATIENCE", 0.2)
    words = ("--plugins-folder", "", "--admin-storage", "", "--port", "0")
    assert main(["serve", *words, "--cluster", f"nats://u:{PASSWORD}@127.0.0.1:1"]) == 1
    assert capfd.readouterr().err.splitlines()[-1] == (
        "cloudlink: No NATS server answers at nats://127.0.0.1:1; start one with: nats-server -js"
    )


def test_no_nats_client():
    with ServerProcess(script=WITHOUT_NATS_PY) as server:
        assert server.stop(None) == 1
        assert server.lines[-1] == (
            "cloudlink: The setting cluster needs nats-py; install it with: "
            "pip install 'cloudlink-server[cluster]'\n"
        )


@pytest.mark.parametrize("secret", ["", "fifteen letters"])
def test_no_secret(secret, monkeypatch):
    monkeypatch.setenv("CLOUDLINK_CLUSTER_SECRET", secret)
    assert failure("--cluster", "nats://127.0.0.1:1").splitlines()[-1] == (
        "cloudlink: The setting cluster needs a cluster_secret of at least 16 characters, the same on every node."
    )


def test_nats_without_jetstream(tmp_path):
    with NatsServer(tmp_path, jetstream=False) as nats:
        error = failure("--cluster", nats.url, "--storage", str(tmp_path / "cloud.db")).splitlines()[-1]
        assert error == (
            f"cloudlink: NATS at {nats.url} has no JetStream, which cloud variables need; start it with -js, "
            'or set cloud = false or storage = "".'
        )
        with ServerProcess("--cluster", nats.url, "--no-cloud") as server:
            assert server.port
            assert server.stop() == 0


def test_the_error_of_one_worker_is_that_of_the_server(tmp_path):
    with NatsServer(tmp_path, jetstream=False) as nats:
        error = failure("--workers", "2", "--cluster", nats.url, "--storage", str(tmp_path / "cloud.db"))
        assert error.splitlines()[-1].startswith(f"cloudlink: NATS at {nats.url} has no JetStream")
        assert "Traceback" not in error


# Two nodes.


@pytest.fixture(scope="module")
def nodes(tmp_path_factory):
    with started(Nodes(tmp_path_factory.mktemp("nodes"), "--no-limits", "--log-level", "debug")) as pair:
        yield pair


def metrics(server):
    with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    return dict(re.findall(r"^(cloudlink_cluster_\S+) (\S+)$", text, re.MULTILINE))


def test_the_health_check_and_the_metrics(nodes):
    async def main():
        room = fresh("arena")
        alice = await Visitor.named(nodes.places[0], fresh("alice"), room)
        bob = await Visitor.named(nodes.places[1], fresh("bob"), room)
        await until(1.0, lambda: alice.lists(room, "add"))
        await exchanged(alice, bob, room=room)
        await until(
            2.0, lambda: [server.health()["clients"] for server in nodes.servers] == [2, 2], "clients"
        )
        for number, server in enumerate(nodes.servers):
            health = server.health()
            assert health["status"] == "ok"
            assert health["cluster"] == {
                "name": "pair",
                "node": f"n{number + 1}",
                "nodes": 2,
                "clients_here": 1,
                "bus": "up",
                "dropped": 0,
            }
            found = metrics(server)
            assert found["cloudlink_cluster_nodes"] == "2.0"
            assert found["cloudlink_cluster_up"] == "1.0"
            assert (
                found["cloudlink_cluster_dropped_total"] == found["cloudlink_cluster_invalid_total"] == "0.0"
            )
            for direction in ("sent", "received"):
                name = f'cloudlink_cluster_records_total{{direction="{direction}"}}'
                assert float(found[name]) >= 3  # a snapshot, a user, a message
        await alice.leave()
        await bob.leave()

    asyncio.run(main())


def test_the_log_of_nodes_that_come_and_go(nodes):
    async def main():
        first, second = nodes.servers
        bob = await Visitor.named(nodes.places[1], fresh("bob"))
        await until(2.0, lambda: first.health()["clients"] == 1)
        second.kill()
        gone = (
            "WARNING cloudlink.cluster: Node n2 is gone: nothing heard for 3 s; its 1 clients are taken out."
        )
        await until(4.0, lambda: gone in first.log.read_text(), "the line")
        await nodes.whole()
        await bob.leave()

    asyncio.run(main())
    first, second = (server.log.read_text() for server in nodes.servers)
    assert first.count("INFO cloudlink.cluster: Node n2 is there: 0 clients.") == 2
    assert "INFO cloudlink.cluster: Node n1 is there: 0 clients." in second
    assert re.search(
        r"INFO cloudlink.cluster: This is node n1 of the cluster pair; it sees [01] others\.", first
    )
    assert "INFO cloudlink.cluster: This is node n2 of the cluster pair; it sees 1 others." in second


def test_a_node_that_stops_is_no_warning(nodes):
    async def main():
        await nodes.servers[1].terminate()
        gone = "INFO cloudlink.cluster: Node n2 is gone: it has stopped; its 0 clients are taken out."
        await until(1.0, lambda: gone in nodes.servers[0].log.read_text(), "the line")
        await nodes.whole()

    asyncio.run(main())


def test_secrets_are_never_shown(nodes):
    for server in nodes.servers:
        health, log = str(server.health()), server.log.read_text()
        for secret in (SECRET, PASSWORD):
            assert secret not in health
            assert secret not in log
    environment = {**os.environ, "CLOUDLINK_CLUSTER_SECRET": SECRET, "CLOUDLINK_CLUSTER": nodes.url}
    done = subprocess.run(
        [sys.executable, "-m", "cloudlink", "config"],
        capture_output=True,
        text=True,
        env=environment,
        timeout=60,
        check=True,
    )
    assert f"(hidden)@127.0.0.1:{nodes.nats.port}" in done.stdout
    assert SECRET not in done.stdout + done.stderr
    assert PASSWORD not in done.stdout + done.stderr


# Workers.


def test_workers_without_nats_have_no_key_of_a_cluster(tmp_path):
    pair = Workers(tmp_path)

    async def main():
        await pair.start()
        alice = await Visitor.named(pair.places[0], "alice")
        bob = await Visitor.named(pair.places[1], "bob")
        await until(2.0, lambda: pair.health()["clients"] == 2, "clients")
        assert {"cluster", "bridges"} & pair.health().keys() == set()
        assert metrics(pair.server)["cloudlink_cluster_nodes"] == "2.0"
        await alice.leave()
        await bob.leave()
        pair.signal(1, signal.SIGKILL)
        await pair.whole()

    try:
        asyncio.run(main())
        assert re.search(
            r"INFO cloudlink\.server: CloudLink is running: connect to ws://127\.0\.0\.1:\d+/ \(2 workers\)\n",
            pair.log(),
        )
        assert "WARNING cloudlink.cluster: Worker 2 ended with signal 9 and is started again." in pair.log()
    finally:
        pair.end()


def test_a_worker_that_is_started_again_does_not_need_nats(tmp_path):
    """Only the first start waits for NATS; then each worker goes on alone."""
    (tmp_path / "js").mkdir()
    with NatsServer(tmp_path / "js") as nats:
        pair = Workers(tmp_path, "--cluster", nats.url, "--node-name", "n")

        async def main():
            await pair.start()
            await until(2.0, lambda: pair.health()["cluster"]["nodes"] == 2)
            nats.kill()
            pair.signal(1, signal.SIGKILL)
            await pair.whole()
            alone = await Visitor.named(pair.places[1], "alone")
            await exchanged(alone, room="default")
            cloud = await Visitor.of_project(pair.places[1], "5", "ann")
            await asyncio.to_thread(nats.start)
            await until(3.0, lambda: pair.health()["cluster"]["nodes"] == 2, "NATS is back")
            other = await Visitor.of_project(pair.places[0], "5", "ben")
            other.say({"method": "set", "name": "☁ score", "value": 1})
            await until(3.0, lambda: cloud.sets() == [("☁ score", 1)], "a cloud variable")
            for each in (alone, cloud, other):
                await each.leave()

        try:
            asyncio.run(main())
            assert "No NATS server answers" not in pair.log()
            assert "Traceback" not in pair.log()
        finally:
            pair.end()


def test_workers_of_a_cluster_end_with_the_process_that_started_them(tmp_path):
    with NatsServer(tmp_path) as nats, ServerProcess("--workers", "2", "--cluster", nats.url) as server:
        descriptors = [os.pidfd_open(each) for each in children(server.process.pid)]
        server.process.kill()
        for descriptor in descriptors:
            assert select.select([descriptor], [], [], 20)[0]
            os.close(descriptor)


def test_the_settings_have_their_defaults():
    settings = Settings()
    assert (settings.workers, settings.cluster, settings.cluster_secret) == (1, "", "")
    assert (settings.cluster_name, settings.node_name) == ("cloudlink", "")
