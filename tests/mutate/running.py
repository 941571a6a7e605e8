"""Runs tests on copies of the repository, each with one fault.

The tests run in processes forked from this one, which has loaded pytest but nothing of `cloudlink`: that saves the second
that Python and pytest take to start.
"""

from __future__ import annotations

import gc
import importlib.util
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

from tests.mutate.parts import ROOT, tests_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tests.mutate.planting import Fault

    Stages = Sequence[list[str]]

_PLAIN = "not browser and not real_client and not crash and not timing and not release and not slow"
_LONGEST = 240.0
"""Seconds after which tests that a fault has made endless are ended."""
_LOOK = 0.05
_MOST_LEFT_OUT = 5
_FAILED = re.compile(r"^(?:FAILED|ERROR) (\S.*?)(?: - .*)?$", re.MULTILINE)
_FINE = (0, 5)
"""pytest's exit statuses if all tests pass, and if there are none."""


class Laboratory:
    """Some copies of the repository, each of which has one fault at a time."""

    def __init__(
        self, folder: Path, jobs: int, root: Path = ROOT, stages_of: Callable[[str], Stages] = tests_of
    ) -> None:
        """Set up the copies.

        Args:
            folder: Where to make them.
            jobs: How many.
            root: The repository.
            stages_of: Returns the tests for a file, in the order in which they run.
        """
        self._stages_of = stages_of
        self._checked: set[tuple[str, ...]] = set()
        self._left_out: list[str] = []
        self._copies = [_Copy(folder / str(number), root, self._left_out) for number in range(jobs)]

    def run(self, faults: list[Fault], until: float = math.inf) -> Iterator[tuple[Fault, bool]]:
        """Yield each fault and whether the tests have noticed it.

        Args:
            faults: The faults.
            until: When to plant no other one, by `time.monotonic`.

        Raises:
            RuntimeError: Tests fail without a fault; the message has the end of what pytest says.
        """
        waiting = faults[::-1]
        while waiting or any(copy.is_busy for copy in self._copies):
            for copy in self._copies:
                if time.monotonic() > until:
                    waiting.clear()
                if not copy.is_busy and waiting:
                    fault = waiting.pop()
                    stages = [tests for tests in self._stages_of(fault.file) if tests]
                    for tests in stages:
                        self._check(copy, tests)
                    copy.begin(fault, stages)
                elif copy.is_busy and (result := copy.result()) is not None:
                    yield result
            time.sleep(_LOOK)

    def _check(self, copy: _Copy, tests: list[str]) -> None:
        """See that tests pass without a fault, before they are used for the first time.

        Tests that fail twice are left out, and printed: those that need more of this machine than it can give, for
        example. If that is more than a few, something else is wrong.
        """
        if tuple(tests) in self._checked:
            return
        self._checked.add(tuple(tests))
        if copy.wait_for(tests) in _FINE:
            return
        failed = copy.failed
        if failed and len(failed) <= _MOST_LEFT_OUT and copy.wait_for(failed) in _FINE:
            return
        if not failed or len(failed) > _MOST_LEFT_OUT:
            raise RuntimeError(f"Tests fail without any fault:\n{copy.output[-2000:]}")
        for test in copy.failed:
            print(f"left out, because it fails without a fault: {test}", flush=True)
        self._left_out += copy.failed


@dataclass
class _Copy:
    """A copy of the repository."""

    folder: Path
    root: Path
    left_out: list[str]
    _fault: Fault | None = None
    _stages: list[list[str]] = field(default_factory=list)
    _pid: int = 0
    _deadline: float = 0.0

    def __post_init__(self) -> None:
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=self.root,
            check=True,
            capture_output=True,
        ).stdout
        for name in filter(None, listed.decode().split("\0")):
            if (self.root / name).is_file():
                target = self.folder / name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(self.root / name, target)

    @property
    def is_busy(self) -> bool:
        return self._fault is not None

    @property
    def output(self) -> str:
        """What pytest has said last."""
        return (self.folder / "output.txt").read_text(errors="replace")

    @property
    def failed(self) -> list[str]:
        """The tests that have failed last."""
        return _FAILED.findall(self.output)

    def begin(self, fault: Fault, stages: Stages) -> None:
        """Plant a fault and run the first tests."""
        self._fault = fault
        self._write(fault.file, fault.text)
        self._stages = list(stages)
        self._start("-x", *self._stages.pop(0))

    def result(self) -> tuple[Fault, bool] | None:
        """Return the fault and whether it was noticed; None while tests run."""
        assert self._fault is not None
        status = self._status()
        if status is None:
            return None
        if status in _FINE and self._stages:
            self._start("-x", *self._stages.pop(0))
            return None
        fault, self._fault = self._fault, None
        self._write(fault.file, (self.root / fault.file).read_text())
        return fault, status not in _FINE

    def wait_for(self, tests: list[str]) -> int:
        """Run tests and return pytest's exit status."""
        self._start(*tests)
        while (status := self._status()) is None:
            time.sleep(_LOOK)
        return status

    def _write(self, file: str, text: str) -> None:
        path = self.folder / file
        path.write_text(text)
        # Files that are written within a second of each other and equally long look the same to Python.
        Path(importlib.util.cache_from_source(str(path))).unlink(missing_ok=True)

    def _start(self, *arguments: str) -> None:
        self._deadline = time.monotonic() + _LONGEST
        gc.freeze()
        self._pid = os.fork()
        if not self._pid:
            _run_pytest(self.folder, [*arguments, *(f"--deselect={test}" for test in self.left_out)])

    def _status(self) -> int | None:
        pid, status = os.waitpid(self._pid, os.WNOHANG)
        if pid:
            return abs(os.waitstatus_to_exitcode(status))
        if time.monotonic() > self._deadline:
            os.killpg(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
            return 1
        return None


def _run_pytest(folder: Path, arguments: list[str]) -> None:
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
        options = [
            "-W",
            "ignore::pytest.PytestAssertRewriteWarning",
            "-p",
            "no:cacheprovider",
            "--timeout",
            "30",
            "--tb",
            "line",
            "-m",
            _PLAIN,
        ]
        status = int(pytest.main([*options, *arguments]))
    except BaseException:  # noqa: BLE001  # it must not get into the program that this process is a copy of
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _keep_hypothesis_quick() -> None:
    """Let property tests stop at the first failure: nobody reads a small one here."""
    register = hypothesis.settings.register_profile
    phases = (hypothesis.Phase.explicit, hypothesis.Phase.generate)

    def register_quick(name: str, parent: hypothesis.settings | None = None, **more: object) -> None:
        register(name, parent, **{**more, "phases": phases, "database": None})

    # Hypothesis protects its class against assignments.
    type.__setattr__(hypothesis.settings, "register_profile", staticmethod(register_quick))
