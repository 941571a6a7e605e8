"""The programs that the real clients need, each with an environment of its own below `tests/.env`.

It is built when a test first needs it, from PyPI or npm with every version pinned, and used again until the pins
change. Where it cannot be built the test is skipped and says why; in CI, which is to run everything, it fails.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path
from typing import NoReturn

import pytest
from filelock import FileLock

ENVIRONMENTS = Path(__file__).parent.parent / ".env"
UPSTREAM = (
    "cloudlink==0.2.0.1",
    "websockets==10.4",
    "cerberus==1.3.4",
    "snowflake-id==1.0.2",
    "ujson==6.1.0",
    "setuptools==80.9.0",  # cerberus 1.3.4 asks pkg_resources for its version
)
BUILD_LIMIT = 240  # seconds


def upstream_python() -> str:
    """The path of the Python that has CloudLink 0.2.0, client and server."""
    return python_with("upstream", UPSTREAM, "CloudLink 0.2.0")


def python_with(folder: str, pins: tuple[str, ...], title: str) -> str:
    """The path of a Python in `tests/.env/<folder>` that has these packages of PyPI and no others."""
    place = ENVIRONMENTS / folder
    python = place / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    pip = (sys.executable, "-m", "pip", "--python", str(python))
    problem = _build(place, pins, (*pip, "install", "--quiet", "--disable-pip-version-check"))
    if problem:
        unavailable(f"{title} could not be installed from PyPI: {problem}")
    return str(python)


def node_modules(folder: str, pins: tuple[str, ...], title: str) -> str:
    """The path of a `node_modules` in `tests/.env/<folder>` that has these packages of npm; nothing of theirs is run."""
    place = ENVIRONMENTS / folder
    if not (shutil.which("npm") and shutil.which("node")):
        unavailable(f"{title} needs node and npm, which are not installed")
    options = ("--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error", "--prefix", str(place))
    problem = _build(place, pins, ("npm", "install", *options))
    if problem:
        unavailable(f"{title} could not be installed from npm: {problem}")
    return str(place / "node_modules")


def unavailable(reason: str) -> NoReturn:
    """Skip the test that runs, or fail it in CI."""
    if os.environ.get("CI", "").lower() in ("true", "1"):
        pytest.fail(reason)
    pytest.skip(reason)


@functools.cache
def _build(place: Path, pins: tuple[str, ...], install: tuple[str, ...]) -> str:
    """Build the environment unless it exists; return the problem, or an empty text. Tried once in a test process."""
    place.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{place}.lock"):  # test processes share the environments
        return _build_alone(place, pins, install)


def _build_alone(place: Path, pins: tuple[str, ...], install: tuple[str, ...]) -> str:
    stamp = place / "pins.txt"
    wanted = "\n".join((sys.version, *pins))
    if stamp.exists() and stamp.read_text(encoding="utf-8") == wanted:
        return ""
    shutil.rmtree(place, ignore_errors=True)
    try:
        if "pip" in install:
            venv.create(place)
        place.mkdir(parents=True, exist_ok=True)
        subprocess.run([*install, *pins], check=True, capture_output=True, text=True, timeout=BUILD_LIMIT)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        shutil.rmtree(place, ignore_errors=True)
        return _shortened(" ".join(str(error.stderr or error).split()))
    stamp.write_text(wanted, encoding="utf-8")
    return ""


def _shortened(problem: str) -> str:
    """The beginning, where npm says what it is about, and the end, where pip does."""
    return problem if len(problem) <= 400 else f"{problem[:200]} … {problem[-200:]}"
