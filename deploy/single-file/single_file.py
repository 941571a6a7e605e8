"""Make one executable file that runs CloudLink on computers without Python: `make single-file`.

It is for the operating system and the processor of the computer that makes it. It contains Python, CloudLink, its
dependencies and the standard library, because plugins may use any part of that. PyInstaller makes it, in a temporary
environment of its own.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
LEFT_OUT = frozenset(
    {
        "antigravity",
        "ensurepip",
        "idlelib",
        "lib2to3",
        "pydoc_data",
        "this",
        "tkinter",
        "turtle",
        "turtledemo",
        "venv",
    }
)
"""Modules of the standard library with windows, pages or jokes, and those that install packages."""


def run(*command: str | Path) -> None:
    """Run a command; exit with what it printed if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"`{' '.join(map(str, command))}` failed:\n{done.stdout}{done.stderr}")


def build(target: Path) -> Path:
    """Make the file in a folder, and return its path."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        environment = folder / "environment"
        venv.create(environment, with_pip=True)
        python = environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
        pip = (python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
        run(*pip, "--requirement", HERE / "requirements.txt", ROOT)
        modules = sorted(
            module for module in sys.stdlib_module_names - LEFT_OUT if not module.startswith("_")
        )
        run(
            *(python, "-m", "PyInstaller", "--onefile", "--name", "cloudlink", "--log-level", "ERROR"),
            *("--distpath", target, "--workpath", folder / "work", "--specpath", folder),
            *(
                "--collect-all",
                "cloudlink",
                "--copy-metadata",
                "cloudlink-server",
                "--collect-submodules",
                "picows",
            ),
            *(flag for module in modules for flag in ("--hidden-import", module)),
            *(flag for module in sorted(LEFT_OUT) for flag in ("--exclude-module", module)),
            HERE / "program.py",
        )
    return target / ("cloudlink.exe" if os.name == "nt" else "cloudlink")


def main() -> None:
    """Read the command line and make the file."""
    parser = argparse.ArgumentParser(description="Make one file that runs CloudLink without Python.")
    parser.add_argument("--output", type=Path, default=ROOT / "dist", metavar="FOLDER", help="default: dist")
    file = build(parser.parse_args().output.absolute())
    print(f"{file} is {file.stat().st_size / 1e6:.0f} MB; try it with: {file} serve")


if __name__ == "__main__":
    main()
