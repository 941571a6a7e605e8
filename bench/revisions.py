"""CloudLink as it is at a commit: its files in a temporary folder, and the Python that can run them. Measures nothing.

The folder is filled by `git archive`, so that no working tree is touched. A commit with the dependencies of the
working tree runs in the environment of the benchmark; one with others gets an environment of its own.
"""

from __future__ import annotations

import shutil
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

from bench.peers.base import UnavailableError, run_quietly
from bench.peers.cloudlink import CloudLink

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).parents[1]


class Revision(CloudLink):
    """The server of one commit, or of the working tree."""

    def __init__(self, name: str, title: str, sources: Path, python: str = sys.executable) -> None:
        """Args: name: word for its log; title: its heading; sources: its files; python: runs them."""
        super().__init__()
        self.name, self.title, self.python = name, title, python
        self._sources = sources
        self.programs = sources / "bench" / "peers" / "programs"

    def prepare(self) -> str:
        """Compile it, so that no start does, and ask it for its version."""
        package = self._sources / "src" / "cloudlink"
        run_quietly([self.python, "-m", "compileall", "-q", str(package)])
        where = (
            "import sys; import cloudlink, cloudlink.version as v; print(cloudlink.__file__, v.__version__)"
        )
        found, version = run_quietly([self.python, "-c", where], environment=self._paths()).rsplit(" ", 1)
        if not Path(found).is_relative_to(package):
            raise UnavailableError(f"{self.title}: {self.python} runs {found} instead of {package}")
        return version

    def environment(self, port: int) -> Mapping[str, str]:
        """Run these sources instead of the installed ones."""
        return {**super().environment(port), **self._paths()}

    def _paths(self) -> dict[str, str]:
        return {"PYTHONPATH": str(self._sources / "src")}


def working_tree(name: str) -> Revision:
    """Return the server as its files are now."""
    return Revision(name, "working tree", ROOT)


def revision(name: str, commit: str, folder: Path) -> Revision:
    """Return the server of a commit, whose files (and environment, if it needs one) are put into `folder`.

    Raises:
        UnavailableError: git does not know the commit, or its dependencies cannot be installed.
    """
    git = ["git", "-C", str(ROOT)]
    try:
        known = run_quietly([*git, "rev-parse", "--verify", "--short", f"{commit}^{{commit}}"])
    except UnavailableError as error:
        raise UnavailableError(f"git finds no commit {commit!r}; write a tag, a branch or a hash") from error
    sources, archive = folder / known, folder / f"{known}.zip"
    run_quietly([*git, "archive", "--format=zip", "--output", str(archive), known])
    shutil.unpack_archive(archive, sources)
    title = known if commit.startswith(known) else f"{commit} ({known})"
    if _dependencies(sources) == _dependencies(ROOT):
        return Revision(name, title, sources)
    return Revision(name, title, sources, _environment(sources, folder / f"{known}-environment"))


def _dependencies(sources: Path) -> set[str]:
    with (sources / "pyproject.toml").open("rb") as file:
        return set(tomllib.load(file)["project"].get("dependencies", ()))


def _environment(sources: Path, place: Path) -> str:
    """Create an environment with what these sources depend on, and return its Python."""
    python = str(place / "bin" / "python")
    run_quietly([sys.executable, "-m", "venv", str(place)])
    wanted = sorted(_dependencies(sources))
    run_quietly([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *wanted])
    return python
