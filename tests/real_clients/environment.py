"""CloudLink 0.2.0, client and server, in an environment of its own below `tests/.env`.

It is built when a test first needs it, from PyPI with every version pinned, and used again until the pins change.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

PLACE = Path(__file__).parent.parent / ".env" / "upstream"
PINS = (
    "cloudlink==0.2.0.1",
    "websockets==10.4",
    "cerberus==1.3.4",
    "snowflake-id==1.0.2",
    "ujson==6.1.0",
    "setuptools==80.9.0",  # cerberus 1.3.4 asks pkg_resources for its version
)
BUILD_LIMIT = 240  # seconds


def upstream_python() -> str:
    """The path of the Python that has CloudLink 0.2.0; skips the test if PyPI cannot be reached, fails it in CI."""
    python = PLACE / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    problem = _build(python)
    if problem:
        reason = f"CloudLink 0.2.0 could not be installed from PyPI: {problem}"
        if os.environ.get("CI", "").lower() in ("true", "1"):
            pytest.fail(reason)
        pytest.skip(reason)
    return str(python)


@functools.cache
def _build(python: Path) -> str:
    """Build the environment unless it is there; return what went wrong, or nothing. Tried once in a test run."""
    stamp = PLACE / "pins.txt"
    wanted = "\n".join((sys.version, *PINS))
    if stamp.exists() and stamp.read_text(encoding="utf-8") == wanted:
        return ""
    shutil.rmtree(PLACE, ignore_errors=True)
    venv.create(PLACE, with_pip=True)
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *PINS]
    try:
        subprocess.run(pip, check=True, capture_output=True, text=True, timeout=BUILD_LIMIT)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        shutil.rmtree(PLACE, ignore_errors=True)
        return str(error.stderr or error).strip()[-300:]
    stamp.write_text(wanted, encoding="utf-8")
    return ""
