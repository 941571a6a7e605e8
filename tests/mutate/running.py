"""Runs tests on copies of the repository, each with one fault.

The tests run in processes forked from this one, which has loaded pytest but nothing of `cloudlink`: that saves the second
that Python and pytest take to start. Only tests that run the faulty line do, those that mirror its module first, for at most
a minute.
"""

from __future__ import annotations

import gc
import importlib.util
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
import traceback
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import hypothesis
import pytest

from tests.mutate.covering import Coverage, Observer, Selection
from tests.mutate.parts import ROOT, mirrors_of

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator

    from tests.mutate.planting import Fault
_PLAIN = "not browser and not real_client and not crash and not timing and not release and not slow"
_OPTIONS = ("-W", "ignore::pytest.PytestAssertRewriteWarning", "-p", "no:cacheprovider", "--tb", "line")
_MIRRORED, _OTHERS = 20.0, 40.0
"""Seconds that the tests which mirror a module, and all others, take at most for a fault."""
_LONGEST, _LONGEST_OBSERVED = 120.0, 3600.0
"""Seconds after which tests that a fault has made endless are ended, and those without a fault."""
_LOOK = 0.02
_MOST_LEFT_OUT = 5
_FINE = (0, 5)
"""pytest's exit statuses if all tests pass, and if there are none."""


class Outcome(NamedTuple):
    """The outcome of running tests.

    Attributes:
        status: pytest's exit status.
        failed: The tests that failed.
    """

    status: int
    failed: list[str]


class Finding(NamedTuple):
    """The outcome of planting a fault.

    Attributes:
        fault: The fault.
        is_noticed: Whether a test failed.
        runs: How many tests run the faulty line.
    """

    fault: Fault
    is_noticed: bool
    runs: int


class Laboratory:
    """Some copies of the repository, each of which has one fault at a time."""

    def __init__(
        self, folder: Path, jobs: int, root: Path = ROOT, mirrors_of: Callable[[str], list[str]] = mirrors_of
    ) -> None:
        """Set up the copies.

        Args:
            folder: Where to make them.
            jobs: How many.
            root: The repository.
            mirrors_of: Returns the tests that mirror a file, and should notice its faults.
        """
        self._mirrors_of = mirrors_of
        self._copies = [_Copy(folder / str(number), root) for number in range(jobs)]
        self._coverage = Coverage()
        self._reliable: set[str] = set()
        self._left_out: set[str] = set()

    def observe(self, tests: Iterable[str]) -> Coverage:
        """Run tests without a fault, to see which lines they run, and which of them pass.

        Tests that fail are left out, and printed: those that need more of this machine than it can give, for example.

        Args:
            tests: Files and folders, relative to the repository.

        Raises:
            RuntimeError: More than a few tests fail, so something else is wrong; the message has the end of what pytest says.
        """
        copy = self._copies[0]
        _finish(copy.observe(sorted(set(tests))))
        seen = copy.folder / "seen.json"
        self._coverage = Coverage.load(seen) if seen.exists() else Coverage()
        if not self._coverage.seconds or len(self._coverage.failed) > _MOST_LEFT_OUT:
            raise RuntimeError(f"Tests fail without any fault:\n{copy.output[-2000:]}")
        for test in self._coverage.failed:
            self._leave_out(test)
        return self._coverage

    def run(self, faults: list[Fault], until: float = math.inf) -> Iterator[Finding]:
        """Yield for each fault whether the tests have noticed it.

        Args:
            faults: The faults.
            until: When to plant no other one, by `time.monotonic`.
        """
        waiting = faults[::-1]
        busy: dict[_Copy, Generator[None, None, Finding]] = {}
        while busy or waiting:
            for copy in self._copies:
                if time.monotonic() > until:
                    waiting.clear()
                if copy not in busy and waiting:
                    busy[copy] = self._examine(copy, waiting.pop())
                if copy in busy:
                    try:
                        next(busy[copy])
                    except StopIteration as end:
                        del busy[copy]
                        yield end.value
            time.sleep(_LOOK)

    def _examine(self, copy: _Copy, fault: Fault) -> Generator[None, None, Finding]:
        """Plant a fault and run the tests that could notice it; yields while they run."""
        run_it, stages = self._tests_for(fault)
        outcome = Outcome(0, [])
        copy.plant(fault)
        for tests in filter(None, stages):
            outcome = yield from copy.run(tests)
            if outcome.status not in _FINE:
                break
        copy.heal(fault)
        for test in outcome.failed:
            if test not in self._reliable:
                alone = yield from copy.run([test])
                if alone.status not in _FINE:
                    self._leave_out(test)
                    return (yield from self._examine(copy, fault))
                self._reliable.add(test)
        return Finding(fault, outcome.status not in _FINE, run_it)

    def _tests_for(self, fault: Fault) -> tuple[int, list[list[str]]]:
        """Return how many tests run a fault's line, and those to run: the ones that mirror its module, then others."""
        seen = self._coverage
        covering = seen.tests_of(fault.file, fault.lines) or seen.tests_of(fault.file, fault.around)
        files = set(self._mirrors_of(fault.file))
        mirrored = {test for test in seen.seconds if test.partition("::")[0] in files}
        if covering == seen.tests_of(fault.file, seen.lines.get(fault.file, ())):
            covering |= mirrored  # constants, and attributes of classes, are used in other files too
        first = (covering or mirrored) & mirrored
        stages = [seen.choose(first - self._left_out, _MIRRORED)]
        stages.append(seen.choose(covering - first - self._left_out, _OTHERS))
        return len(covering), stages

    def _leave_out(self, test: str) -> None:
        print(f"left out, because it fails without a fault: {test}", flush=True)
        self._left_out.add(test)


def _finish(steps: Generator[None, None, Outcome]) -> Outcome:
    """Wait for the end of tests."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            outcome: Outcome = end.value
            return outcome
        time.sleep(_LOOK)


class _Copy:
    """A copy of the repository."""

    def __init__(self, folder: Path, root: Path) -> None:
        self.folder = folder
        self._root = root
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=root,
            check=True,
            capture_output=True,
        ).stdout
        for name in filter(None, listed.decode().split("\0")):
            if (root / name).is_file():
                target = folder / name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(root / name, target)

    @property
    def output(self) -> str:
        """What pytest has said last."""
        return (self.folder / "output.txt").read_text(errors="replace")

    def plant(self, fault: Fault) -> None:
        """Change a file."""
        self._write(fault.file, fault.text)

    def heal(self, fault: Fault) -> None:
        """Change the file back."""
        self._write(fault.file, (self._root / fault.file).read_text())

    def _write(self, file: str, text: str) -> None:
        path = self.folder / file
        path.write_text(text)
        # Files that are written within a second of each other and equally long look the same to Python.
        Path(importlib.util.cache_from_source(str(path))).unlink(missing_ok=True)

    def run(self, tests: list[str]) -> Generator[None, None, Outcome]:
        """Run tests until the first one fails; yields while they run."""
        return self._run(partial(_run_chosen, self.folder, tests), _LONGEST)

    def observe(self, tests: list[str]) -> Generator[None, None, Outcome]:
        """Run all tests of files and folders, and write the lines that they run to `seen.json`; yields while they run."""
        return self._run(partial(_run_observed, self.folder, tests), _LONGEST_OBSERVED)

    def _run(self, work: Callable[[], int], longest: float) -> Generator[None, None, Outcome]:
        failed = self.folder / "failed.json"
        failed.unlink(missing_ok=True)
        deadline = time.monotonic() + longest
        gc.freeze()
        pid = os.fork()
        if not pid:
            _run_pytest(self.folder, work)
        status = None
        while status is None:
            yield
            ended, how = os.waitpid(pid, os.WNOHANG)
            if ended:
                status = abs(os.waitstatus_to_exitcode(how))
            elif time.monotonic() > deadline:
                os.killpg(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
                status = 1
        return Outcome(status, json.loads(failed.read_text()) if failed.exists() else [])


def _run_chosen(folder: Path, tests: list[str]) -> int:
    selection = Selection(tests)
    files = dict.fromkeys(test.partition("::")[0] for test in tests)
    try:
        return int(pytest.main([*_OPTIONS, "--timeout", "20", "-x", *files], plugins=[selection]))
    finally:
        (folder / "failed.json").write_text(json.dumps(selection.failed))


def _run_observed(folder: Path, tests: list[str]) -> int:
    observer = Observer(folder)
    status = int(pytest.main([*_OPTIONS, "--timeout", "120", "-m", _PLAIN, *tests], plugins=[observer]))
    observer.result().save(folder / "seen.json")
    return status


def _run_pytest(folder: Path, work: Callable[[], int]) -> None:
    """Run tests in this process, which ends with pytest's exit status."""
    status = 1
    try:
        os.setsid()
        os.chdir(folder)
        with Path("output.txt").open("wb") as output:
            os.dup2(output.fileno(), 1)
            os.dup2(output.fileno(), 2)
        os.environ["PYTHONPATH"] = f"{folder / 'src'}{os.pathsep}{folder}"  # for programs that tests start
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        sys.dont_write_bytecode = False
        for name in [name for name in sys.modules if name.partition(".")[0] in ("cloudlink", "tests")]:
            del sys.modules[name]
        sys.path[:0] = [str(folder / "src"), str(folder)]
        _keep_hypothesis_quick()
        status = work()
    except BaseException:  # noqa: BLE001  # it must not get into the program that this process is a copy of
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _keep_hypothesis_quick() -> None:
    """Have property tests stop at the first failure, which needs no smaller example here, and repeat the same inputs."""
    register = hypothesis.settings.register_profile
    phases = (hypothesis.Phase.explicit, hypothesis.Phase.generate)

    def register_quick(name: str, parent: hypothesis.settings | None = None, **more: object) -> None:
        register(name, parent, **{**more, "phases": phases, "database": None, "derandomize": True})

    # Hypothesis protects its class against assignments.
    type.__setattr__(hypothesis.settings, "register_profile", staticmethod(register_quick))
