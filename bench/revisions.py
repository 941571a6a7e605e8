"""CloudLink at a commit: its files in a temporary folder, and the Python that can run them. Measures nothing.

`git archive` fills the folder, so that the working tree is not touched. A commit with the same dependencies as the
working tree runs in the environment of the benchmark; any other gets its own environment.
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
        """Args: name: Word for its log. title: Its heading. sources: Its files. python: The interpreter for them."""
        super().__init__()
        self.name, self.title, self.python = name, title, python
        self._sources = sources
        self.programs = sources / "bench" / "peers" / "programs"

    def prepare(self) -> str:
        """Compile it in advance, and return its version."""
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
    """Return the server with the current files of the working tree."""
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
    """Create an environment with the dependencies of these sources, and return its Python."""
    python = str(place / "bin" / "python")
    run_quietly([sys.executable, "-m", "venv", str(place)])
    wanted = sorted(_dependencies(sources))
    run_quietly([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *wanted])
    return python
