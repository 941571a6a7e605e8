"""What docs/operating.md says about files, exit codes, copies and several servers is so."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from cloudlink.cli import main
from cloudlink.sources import load
from cloudlink.storage.database import Database
from tests.support.process import ServerProcess

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "operating.md"
TEXT = PAGE.read_text(encoding="utf-8")
READ_ONLY = "## Read-only disks"
TWO_SERVERS = "## Two servers on one machine"


def block(heading, language):
    """The first block of a language in the section with a heading."""
    return re.search(rf"^{heading}$.*?^```{language}\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)[1]


def get(server, path):
    with urllib.request.urlopen(f"http://127.0.0.1:{server.port}{path}", timeout=10) as answer:
        return answer.status, json.load(answer)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_server_without_storage_leaves_nothing_behind(folder):
    (folder / "cloudlink.toml").write_text(block(READ_ONLY, "toml"), encoding="utf-8")
    with ServerProcess() as server:
        assert get(server, "/health")[0] == get(server, "/ready")[0] == 200
        while_running = {path.name for path in folder.iterdir()}
        assert server.stop() == 0
    assert while_running <= {"cloudlink.toml", "cloudlink-admin.key"}
    assert [path.name for path in folder.iterdir()] == ["cloudlink.toml"]


def test_two_servers_share_a_folder_with_other_files(folder):
    (folder / "second.toml").write_text(block(TWO_SERVERS, "toml"), encoding="utf-8")
    first, second = (
        load(toml=None, environ={}, flags={}),
        load(toml=folder / "second.toml", environ={}, flags={}),
    )
    for name in ("port", "storage", "admin_storage", "plugins_folder"):
        assert getattr(first, name) != getattr(second, name)
    with ServerProcess() as one, ServerProcess("--config", "second.toml") as two:
        assert one.port != two.port
        assert get(one, "/ready")[0] == get(two, "/ready")[0] == 200


def test_the_exit_codes(folder):
    with ServerProcess() as server:
        done = subprocess.run(
            [sys.executable, "-m", "cloudlink", "serve", "--port", str(server.port), "--no-storage"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 1
        assert "is already in use" in done.stderr.splitlines()[-1]
        assert server.stop(signal.SIGINT) == 0
    with ServerProcess() as server:
        assert server.stop(signal.SIGTERM) == 0


def test_the_commands_for_copies_work(folder):
    store = Database(Path("cloudlink.db"), patience=5)
    store.write({"104": {"☁ score": b"10"}})
    store.close()
    commands = re.findall(r"cloudlink (vars (?:backup|restore)) (\S+)", TEXT)
    assert {words for words, _ in commands} == {"vars backup", "vars restore"}
    for words, file in commands:
        name = re.sub(r"\W+", "-", file).strip("-")
        if words == "vars restore":
            assert main(["vars", "backup", name]) == 0
        assert main([*words.split(), name]) == 0


def test_every_file_of_a_recipe_that_is_named_exists():
    named = re.findall(r"deploy[/\\][\w/\\.-]+\w", TEXT)
    assert len(named) > 8
    assert [name for name in named if not (ROOT / name.replace("\\", "/")).exists()] == []
