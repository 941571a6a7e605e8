"""The Pythons of this machine that CloudLink supports; as a script, print version and path of each.

Those on the path and those of pyenv, released versions with `venv` only, the first one found of each version.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

OLDEST = (3, 11)
NEWEST_TRIED = 20
PROBE = "import ensurepip, sys, venv; v = sys.version_info; print(v[0], v[1], v[3], sys.executable)"


def _candidates() -> list[Path]:
    names = [f"python3.{minor}" for minor in range(OLDEST[1], NEWEST_TRIED)]
    on_path = [Path(path) for name in names if (path := shutil.which(name))]
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    return on_path + sorted(root.glob("versions/*/bin/python"))


def interpreters() -> dict[tuple[int, int], Path]:
    """Return the path of an interpreter by its version, oldest first."""
    found: dict[tuple[int, int], Path] = {}
    for path in _candidates():
        done = subprocess.run([path, "-c", PROBE], capture_output=True, text=True, check=False)
        if done.returncode:
            continue  # a shim of pyenv for a version that is not selected, or a Python without `venv`
        major, minor, level, executable = done.stdout.rstrip("\n").split(" ", 3)
        version = (int(major), int(minor))
        if level == "final" and version >= OLDEST:
            found.setdefault(version, Path(executable))
    return dict(sorted(found.items()))


if __name__ == "__main__":
    for (major, minor), executable in interpreters().items():
        print(f"{major}.{minor} {executable}")
