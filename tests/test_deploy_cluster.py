"""The files of `deploy/cluster` fit together, and their settings exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from cloudlink.sources import load
from tests.support.natsserver import NatsServer

FOLDER = Path(__file__).parents[1] / "deploy" / "cluster"
NODES = ("node1", "node2", "node3")


def example():
    lines = (FOLDER / "example.env").read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


@pytest.fixture
def compose():
    """The compose file as compose reads it: with the values of the example instead of variables."""
    values = example()
    text = (FOLDER / "compose.yaml").read_text(encoding="utf-8")
    return yaml.safe_load(re.sub(r"\$\{(\w+)[^}]*\}", lambda match: values[match[1]], text))


def test_there_are_three_nodes_nats_and_caddy(compose):
    assert compose["services"].keys() == {*NODES, "nats", "caddy"}


def test_the_settings_of_the_nodes_exist_and_are_valid(compose):
    names = []
    for name in NODES:
        service = compose["services"][name]
        settings = load(toml=None, environ=service["environment"], flags={})
        settings.check()
        assert settings.warnings == []
        assert settings.cluster == f"nats://cloudlink:{example()['NATS_PASSWORD']}@nats:4222"
        assert settings.trusted_proxies
        names.append(settings.node_name)
        assert float(service["stop_grace_period"].removesuffix("s")) > settings.shutdown_timeout
    assert names == list(NODES)


def test_the_files_that_are_mounted_exist(compose):
    for service in compose["services"].values():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert (FOLDER / source).is_file() if source.startswith(".") else source in compose["volumes"]
    assert (FOLDER / compose["x-node"]["build"]["context"] / "pyproject.toml").is_file()


def test_caddy_knows_all_nodes(compose):
    text = (FOLDER / "Caddyfile").read_text(encoding="utf-8")
    assert re.findall(r"\b(node\d+):3000\b", text) == list(NODES)
    assert "{$SITE}" in text
    assert "SITE" in compose["services"]["caddy"]["environment"]


def test_nats_takes_its_configuration(tmp_path, monkeypatch):
    text = (FOLDER / "nats.conf").read_text(encoding="utf-8")
    assert "port: 4222" in text
    file = tmp_path / "nats.conf"
    file.write_text(text.replace("port: 4222", "").replace("/data", str(tmp_path / "data")))
    monkeypatch.setenv("NATS_PASSWORD", example()["NATS_PASSWORD"])
    with NatsServer(tmp_path, "--config", str(file), jetstream=False) as server:
        assert server.port
