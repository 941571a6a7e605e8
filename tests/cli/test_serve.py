"""The parts of `cloudlink serve` around the server."""

from __future__ import annotations

import logging
from importlib import import_module
from types import SimpleNamespace

import pytest

from cloudlink.cli import logs, main
from cloudlink.errors import StartError


class Recorder:
    """Stands for the server and the protocol, and notes what happens to them."""

    def __init__(self):
        self.events = []
        self.error = None
        self.hooks = SimpleNamespace(protocol_start=[])
        self.ssl_context = None
        self.reloader = SimpleNamespace(source=None, done=[])

    def server(self, settings, part):
        assert part is None
        self.settings = settings
        self.events.append("server")
        return self

    def protocol(self, server):
        assert server is self
        self.events.append("protocol")
        return "the protocol"

    def scratch(self, server):
        assert server is self
        self.events.append("scratch")
        return "the cloud"

    def bridge(self, protocol, cloud):
        self.events.append(("bridge", protocol, cloud))

    def serve(self):
        for start in self.hooks.protocol_start:
            start(None)
        self.events.append("serve")
        if self.error:
            raise self.error


@pytest.fixture
def recorder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    recorder = Recorder()
    # The packages export classes of these names, which hide the modules.
    monkeypatch.setattr(import_module("cloudlink.server.app"), "Server", recorder.server)
    protocols = import_module("cloudlink.server.protocols")
    monkeypatch.setattr(protocols, "Clpv4", recorder.protocol)
    monkeypatch.setattr(protocols, "Scratch", recorder.scratch)
    monkeypatch.setattr(protocols, "Bridge", recorder.bridge)
    monkeypatch.setattr(logs, "set_up", lambda settings: recorder.events.append("logs"))
    return recorder


def test_the_order_of_things(recorder, tmp_path):
    (tmp_path / "greet.py").write_text(
        "def greet(server, protocol):\n    server.events.append(('plugin', protocol))\n"
    )

    assert main(["--port", "0", "--plugin", "greet.py"]) == 0

    assert recorder.events == ["logs", "server", "protocol", "scratch", ("plugin", "the protocol"), "serve"]
    assert recorder.settings.port == 0


def test_the_log_says_what_is_used(recorder, tmp_path, caplog):
    (tmp_path / "cloudlink.toml").write_text("port = 0\n")
    (tmp_path / "greet.py").write_text("def greet(server, protocol): pass\n")
    caplog.set_level(logging.INFO)

    assert main(["--plugin", "greet.py"]) == 0

    assert caplog.messages[-1] == (
        f"Settings file: {tmp_path}/cloudlink.toml; cloud variables: {tmp_path}/cloudlink.db; "
        f"plugins: 1, no folder {tmp_path}/plugins"
    )


def test_cloud_variables_can_be_left_out_and_bridged(recorder):
    assert main(["--no-cloud"]) == 0
    assert recorder.events == ["logs", "server", "protocol", "serve"]
    recorder.events.clear()
    assert main(["--cloud-bridge"]) == 0
    assert ("bridge", "the protocol", "the cloud") in recorder.events


def test_a_server_that_cannot_start(recorder, capsys):
    recorder.error = StartError("Port 3000 is in use.")

    assert main([]) == 1
    assert capsys.readouterr().err == "cloudlink: Port 3000 is in use.\n"


def test_a_wrong_setting_stops_before_anything_else(recorder, capsys):
    assert main(["--max-clients", "0"]) == 1
    assert recorder.events == []
    assert capsys.readouterr().err.startswith("cloudlink: The setting max_clients given by the flag")


def test_a_plugin_that_fails_stops_the_start(recorder, tmp_path, capsys):
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "bad.py").write_text("x = 1\nfoo()\n")

    assert main(["serve"]) == 1

    assert "serve" not in recorder.events
    assert capsys.readouterr().err == (
        "cloudlink: Plugin plugins/bad.py failed to load at line 2: NameError: name 'foo' is not defined.\n"
    )


def test_a_plugin_that_fails_can_be_skipped(recorder, tmp_path, caplog):
    (tmp_path / "bad.py").write_text("foo()\n")

    assert main(["--plugin", "bad.py", "--plugin-errors", "skip"]) == 0

    assert recorder.events[-1] == "serve"
    assert caplog.record_tuples == [
        (
            "cloudlink.server",
            logging.ERROR,
            (
                "Plugin bad.py failed to load at line 1: NameError: name 'foo' is not defined. "
                "The server starts without this plugin."
            ),
        )
    ]
