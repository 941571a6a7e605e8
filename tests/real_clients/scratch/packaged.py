"""Scratch projects as TurboWarp's own packager packages them: its VM and its cloud client in one HTML page."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import tempfile
from pathlib import Path

from tests.real_clients.environment import node_modules
from tests.real_clients.scratch.project import sb3

PINS = ("@turbowarp/packager@3.13.0",)
SCRIPT = Path(__file__).with_name("package.cjs")
TIME_LIMIT = 60  # seconds
STAND_IN_ID = "the project's id"
STAND_IN_HOST = "wss://cloud.host/"


def packager() -> str:
    """The `node_modules` that has the packager; skips the test, or fails it in CI, where it cannot be had."""
    return node_modules("node", PINS, "TurboWarp's packager")


def package(folder: Path, project_id: str, cloud_host: str, project: bytes | None = None) -> str:
    """Put the packaged project (that of project.py unless given) into `folder`, for this project id and cloud host;
    return the page's address.
    """
    text = _packaged(sb3() if project is None else project)
    for stand_in, value in ((STAND_IN_ID, project_id), (STAND_IN_HOST, cloud_host)):
        assert text.count(json.dumps(stand_in)) == 1
        text = text.replace(json.dumps(stand_in), json.dumps(value))
    page = folder / "project.html"
    page.write_text(text, encoding="utf-8")
    return page.as_uri()


@functools.cache
def _packaged(project: bytes) -> str:
    """The page as the packager makes it, once in a test run: that takes more time than most tests here."""
    with tempfile.TemporaryDirectory() as folder:
        source, page = Path(folder, "project.sb3"), Path(folder, "project.html")
        source.write_bytes(project)
        done = subprocess.run(
            ["node", SCRIPT, source, page, STAND_IN_ID, STAND_IN_HOST],
            env={"PATH": os.environ["PATH"], "NODE_PATH": packager()},
            capture_output=True,
            text=True,
            timeout=TIME_LIMIT,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return page.read_text(encoding="utf-8")
