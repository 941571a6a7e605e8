"""Programs that check the recipes: those of the machine, or those that `tests/deploy/install` has unpacked."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from tests.real_clients.environment import unavailable

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
_UNPACKED = ROOT / "tests" / ".env" / "debian" / "usr"


def tool(name: str) -> str:
    """The path of a program; skips the test, or fails it in CI, where it is missing."""
    places = os.pathsep.join(
        [os.environ.get("PATH", ""), "/usr/sbin", f"{_UNPACKED}/sbin", f"{_UNPACKED}/bin"]
    )
    found = shutil.which(name, path=places)
    if not found:
        unavailable(f"{name} is missing; Debian's packages have it (tests/deploy/install, with CI=true)")
    return found
