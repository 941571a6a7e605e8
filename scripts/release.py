"""Make a release: `make release VERSION=1.2.3`, or `DRY=1` for everything but the commit and the tag.

All work happens in a temporary worktree of the current commit, so a release that fails changes nothing here:

1. set the version, and turn the changelog's heading "(unreleased)" into the version and the date;
2. build the source distribution and the wheel, and have twine check them;
3. install each in a fresh environment of every Python here, start the server there and ask it for its health;
4. commit, tag, and move the current branch and the packages (`dist/`) here.

Nothing is uploaded or pushed: the last lines say how.
"""

from __future__ import annotations

import argparse
import datetime as dt
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from interpreters import interpreters

VERSION = re.compile(r"(0|[1-9]\d*)(\.(0|[1-9]\d*)){2}(rc[1-9]\d*)?")
VERSION_FILE = Path("src/cloudlink/version.py")
CHANGELOG = Path("CHANGELOG.md")
UNRELEASED = re.compile(r"^## (\S+) \(unreleased\)$", re.MULTILINE)
SERVE = (
    "-m",
    "cloudlink",
    "serve",
    "--host",
    "127.0.0.1",
    "--port",
    "0",
    "--no-storage",
    "--plugins-folder",
    "",
)
TIME_LIMIT = 600
"""Seconds that one step may take; building and installing fetch packages."""


class ReleaseError(Exception):
    """The release cannot be made; the text says what to do."""


def run(*command: str | Path, cwd: Path) -> str:
    """Run a command and return what it printed; raise ReleaseError with that if it fails."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=TIME_LIMIT)
    if done.returncode:
        raise ReleaseError(f"`{' '.join(map(str, command))}` failed:\n{done.stdout}{done.stderr}")
    return done.stdout.strip()


def check(root: Path, version: str) -> None:
    """Raise ReleaseError unless this checkout can be released under this version."""
    if not VERSION.fullmatch(version):
        raise ReleaseError(
            f"{version!r} is not a version: write VERSION=1.2.3, or 1.2.3rc1 for a release candidate."
        )
    if run("git", "status", "--porcelain", "--untracked-files=no", cwd=root):
        raise ReleaseError("Some files differ from the last commit: commit or stash them first.")
    if run("git", "tag", "--list", f"v{version}", cwd=root):
        raise ReleaseError(f"The tag v{version} exists: choose the next version.")


def prepare(tree: Path, version: str, today: dt.date) -> None:
    """Write the version into its file, and the version and date into the changelog's heading."""
    text = (tree / VERSION_FILE).read_text(encoding="utf-8")
    changed, count = re.subn(r'__version__ = "[^"]*"', f'__version__ = "{version}"', text)
    if count != 1:
        raise ReleaseError(f"{VERSION_FILE} must have one line `__version__ = ...`.")
    (tree / VERSION_FILE).write_text(changed, encoding="utf-8")
    text = (tree / CHANGELOG).read_text(encoding="utf-8")
    changed, count = UNRELEASED.subn(f"## {version} ({today.isoformat()})", text)
    if count != 1:
        raise ReleaseError(
            f"{CHANGELOG} must have one heading `## {version} (unreleased)` above the changes."
        )
    (tree / CHANGELOG).write_text(changed, encoding="utf-8")


def build(tree: Path) -> list[Path]:
    """Build the source distribution and the wheel, check both, and return them."""
    run(sys.executable, "-m", "build", "--outdir", "dist", cwd=tree)
    packages = sorted((tree / "dist").iterdir())
    run(sys.executable, "-m", "twine", "check", "--strict", *packages, cwd=tree)
    return packages


def try_out(package: Path, interpreter: Path, version: str, folder: Path) -> None:
    """Install a package in a fresh environment of a Python, start the server and ask it for its health.

    Args:
        package: The package.
        interpreter: The Python.
        version: The version that the package must have.
        folder: An empty folder for this alone.
    """
    environment = folder / "environment"
    run(interpreter, "-m", "venv", environment, cwd=folder)
    python = environment / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", package, cwd=folder)
    installed = run(python, "-m", "cloudlink", "--version", cwd=folder)
    if installed.split()[-1] != version:
        raise ReleaseError(f"{package.name} installs {installed!r}, not version {version}.")
    with subprocess.Popen((python, *SERVE), cwd=folder, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        log = ""
        for line in server.stderr:
            log += line
            if address := re.search(r"connect to ws://(\S+)/", line):
                with urllib.request.urlopen(f"http://{address[1]}/health", timeout=10) as answer:
                    healthy = answer.status == 200
                server.terminate()
                log += server.stderr.read()
                break
        else:
            healthy = False
    if not healthy or server.returncode:
        raise ReleaseError(
            f"The server of {package.name} did not start and stop as it should on {interpreter}:\n{log}"
        )


def try_out_everywhere(packages: list[Path], pythons: dict[str, Path], version: str, folder: Path) -> None:
    """Try out each package on each Python, two at a time; most of the time goes into waiting for downloads."""
    tries = []
    with ThreadPoolExecutor(2) as pool:
        for package in packages:
            for name, interpreter in pythons.items():
                own = folder / f"{name}-{package.suffix[1:]}"
                own.mkdir()
                print(f"Installing {package.name} on Python {name} and starting its server ...")
                tries.append(pool.submit(try_out, package, interpreter, version, own))
        for one in tries:
            one.result()


def release(root: Path, version: str, pythons: dict[str, Path], *, dry: bool) -> None:
    """Make the release of the current commit of a checkout.

    Args:
        root: The checkout.
        version: The new version.
        pythons: The interpreters to try the packages on, by their names.
        dry: Whether to stop before the commit.
    """
    check(root, version)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tree = folder / "tree"
        run("git", "worktree", "add", "--detach", tree, "HEAD", cwd=root)
        try:
            prepare(tree, version, dt.datetime.now(tz=dt.UTC).date())
            print(f"Building {version} ...")
            packages = build(tree)
            try_out_everywhere(packages, pythons, version, folder)
            if dry:
                print(f"Version {version} can be released. Nothing was changed.")
                return
            run("git", "commit", "--quiet", "--all", "--message", f"Release {version}", cwd=tree)
            run("git", "tag", "--annotate", f"v{version}", "--message", f"CloudLink {version}", cwd=tree)
            run("git", "merge", "--quiet", "--ff-only", f"v{version}", cwd=root)
            (root / "dist").mkdir(exist_ok=True)
            for package in packages:
                shutil.copy(package, root / "dist")
        finally:
            run("git", "worktree", "remove", "--force", tree, cwd=root)
    print(f"Committed and tagged v{version}. Publish it with:")
    print(f"  git push --follow-tags && python -m twine upload dist/cloudlink_server-{version}*")


def main() -> int:
    """Read the command line and make the release; return the exit status."""
    parser = argparse.ArgumentParser(description="Make a release of the current commit.")
    parser.add_argument("version", help="such as 1.2.3, or 1.2.3rc1")
    parser.add_argument("--dry", action="store_true", help="do everything but the commit and the tag")
    parser.add_argument(
        "--this-python",
        action="store_true",
        help="try the packages on this Python only, not on each one here",
    )
    arguments = parser.parse_args()
    if arguments.this_python:
        pythons = {"{}.{}".format(*sys.version_info): Path(sys.executable)}
    else:
        pythons = {f"{major}.{minor}": path for (major, minor), path in interpreters().items()}
    try:
        release(Path(__file__).parents[1], arguments.version, pythons, dry=arguments.dry)
    except ReleaseError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
