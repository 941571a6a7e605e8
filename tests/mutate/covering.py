"""Records which tests run a line, and how long they take, so that only those run that could notice a fault in it.

`observe` runs tests under coverage. Programs that tests start are not seen: a line that only they run counts as run by nobody.
"""

from __future__ import annotations

import json
import time
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import coverage
import pytest

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator
    from pathlib import Path

_ROUND = 0.01
"""Seconds that each test takes besides its own time."""


@dataclass
class Coverage:
    """The lines that tests run.

    Attributes:
        seconds: How long each test takes, in the order in which they run.
        failed: The tests that failed.
        lines: By file, relative to the repository, and line: the tests that run it. Those of a line that runs when its module is
            imported are the tests that run anything else in the file.
    """

    seconds: dict[str, float] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)
    lines: dict[str, dict[int, set[str]]] = field(default_factory=dict)

    def tests_of(self, file: str, lines: Iterable[int]) -> set[str]:
        """Return the tests that run at least one of the lines of a file."""
        run = self.lines.get(file, {})
        return {test for line in lines for test in run.get(line, ())}

    def choose(self, tests: Collection[str], seconds: float, first: Collection[str] = ()) -> list[str]:
        """Return some of the tests, in the order in which they run: short ones, from all files, within a time.

        Args:
            tests: The tests to choose from.
            seconds: How long they may take together.
            first: Those of them that are chosen first.
        """
        chosen = set()
        for test in (
            *_in_turn(sorted(set(tests) & set(first), key=self._time_of)),
            *_in_turn(sorted(set(tests) - set(first), key=self._time_of)),
        ):
            seconds -= self._time_of(test) + _ROUND
            if seconds < 0:
                break
            chosen.add(test)
        return [test for test in self.seconds if test in chosen]

    def _time_of(self, test: str) -> float:
        return self.seconds.get(test, 0.0)

    def save(self, path: Path) -> None:
        """Write everything to a file."""
        names = {test: number for number, test in enumerate(self.seconds)}
        lines = {
            file: {line: sorted(map(names.__getitem__, tests)) for line, tests in run.items()}
            for file, run in self.lines.items()
        }
        path.write_text(json.dumps([self.seconds, self.failed, lines]))

    @classmethod
    def load(cls, path: Path) -> Coverage:
        """Read what `save` has written."""
        seconds, failed, lines = json.loads(path.read_text())
        names = list(seconds)
        return cls(
            seconds,
            failed,
            {
                file: {int(line): {names[number] for number in tests} for line, tests in run.items()}
                for file, run in lines.items()
            },
        )


def _in_turn(tests: Iterable[str]) -> Iterator[str]:
    """Yield one test of each file, then the next one of each, and so on."""
    waiting: dict[str, list[str]] = {}
    for test in tests:
        waiting.setdefault(test.partition("::")[0], []).append(test)
    while waiting:
        for file, left in tuple(waiting.items()):
            yield left.pop(0)
            if not left:
                del waiting[file]


class Observer:
    """A plugin of pytest that records which tests run which lines."""

    def __init__(self, root: Path) -> None:
        """Begin to watch. Args: root: The repository; modules below its `src/cloudlink` are watched."""
        self._root = root
        self._coverage = coverage.Coverage(
            data_file=None, config_file=False, source=[str(root / "src/cloudlink")], concurrency=["thread"]
        )
        self._found = Coverage()
        self._coverage.start()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        """Run one test."""
        self._coverage.switch_context(item.nodeid)
        started = time.monotonic()
        try:
            return (yield)
        finally:
            self._found.seconds[item.nodeid] = time.monotonic() - started
            self._coverage.switch_context("")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note a test that fails."""
        if report.failed and report.nodeid not in self._found.failed:
            self._found.failed.append(report.nodeid)

    def result(self) -> Coverage:
        """End, and return what was seen."""
        self._coverage.stop()
        data = self._coverage.get_data()
        for measured in data.measured_files():
            contexts = data.contexts_by_lineno(measured)
            everybody = {test for tests in contexts.values() for test in tests if test}
            run: dict[int, set[str]] = defaultdict(set)
            for line, tests in contexts.items():
                run[line] = everybody if "" in tests else set(tests)
            self._found.lines[measured.removeprefix(f"{self._root}/")] = dict(run)
        return self._found


class Selection:
    """A plugin of pytest that runs chosen tests only, in their order.

    A fault may change the name of a test, if that has a parameter which the faulty code makes. All tests of the same function
    run then.

    Attributes:
        failed: Those that have failed.
    """

    def __init__(self, tests: Iterable[str]) -> None:
        """Args: tests: The tests."""
        self.failed: list[str] = []
        self._places = {test: place for place, test in enumerate(tests)}

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Leave out all other tests."""
        renamed = {_function(test) for test in self._places.keys() - {item.nodeid for item in items}}
        items[:] = [
            item for item in items if item.nodeid in self._places or _function(item.nodeid) in renamed
        ]
        items.sort(key=lambda item: self._places.get(item.nodeid, 0))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note a test that fails."""
        if report.failed:
            self.failed.append(report.nodeid)


def _function(test: str) -> str:
    return test.partition("[")[0]
