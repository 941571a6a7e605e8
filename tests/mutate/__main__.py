"""Plants single faults in a copy of the sources and says which of them the tests notice: `make mutate`.

First, all fast tests run without a fault, to record which lines each of them runs. Then, for each fault, only the tests
run that run its line, first those that mirror its module. The working tree is not touched. A survivor is printed with its place
and its difference; one that no test can notice is listed in `harmless.txt`, with the reason, and does not count.

With `--results FILE` a run can be interrupted and continued: the file gets a line for each fault, and a fault that has one
is not planted again. Delete the lines of survivors to try them with new tests.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import math
import sys
import tempfile
import time
from collections import Counter, defaultdict
from itertools import islice
from pathlib import Path

from tests.mutate.parts import PARTS, ROOT, files_of, part_of
from tests.mutate.planting import Fault, faults_in
from tests.mutate.running import Laboratory

COUNT = 40
HARMLESS = Path(__file__).parent / "harmless.txt"


def main() -> int:
    """Plant the faults that were asked for; return the exit status."""
    arguments = _arguments()
    chosen = sample(arguments.only or list(PARTS), arguments.count, arguments.seed)
    started = time.monotonic()
    results = Results(arguments.results)
    left = [fault for fault in chosen if not results.recall(fault)]
    with tempfile.TemporaryDirectory(prefix="cloudlink-mutate-") as folder:
        laboratory = Laboratory(Path(folder), arguments.jobs)
        seen = laboratory.observe(arguments.tests or ["tests"])
        print(f"{len(seen.seconds)} tests watched in {time.monotonic() - started:.0f} seconds", flush=True)
        for fault, is_noticed, runs in laboratory.run(left, started + arguments.seconds):
            results.add(fault, is_noticed)
            if not is_noticed:
                print(f"survived ({runs} tests run it): {fault}", flush=True)
    noticed, survived = results.noticed, results.survived
    _print_table(noticed, survived, time.monotonic() - started)
    share = noticed.total() / max(1, noticed.total() + survived.total())
    return 1 if share < arguments.at_least / 100 else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.mutate", description=__doc__)
    parser.add_argument("--count", type=int, default=COUNT, help="faults to plant (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="the seed of their choice (default: %(default)s)")
    parser.add_argument(
        "--only", action="append", choices=list(PARTS), help="a part; may be given several times"
    )
    parser.add_argument(
        "--seconds", type=float, default=math.inf, help="seconds after which no other fault is planted"
    )
    parser.add_argument("--results", type=Path, metavar="FILE", help="keep the results, and go on from there")
    parser.add_argument("--tests", action="append", metavar="FILE", help="run only these tests")
    parser.add_argument("--jobs", type=int, default=1, help="faults tried at once (default: %(default)s)")
    parser.add_argument(
        "--at-least", type=float, default=90.0, metavar="PERCENT", help="to be noticed (default: %(default)g)"
    )
    return parser.parse_args()


class Results:
    """The results of planting faults, those of earlier runs included.

    Attributes:
        noticed: The number of faults that were noticed, by part.
        survived: The number of the others.
    """

    def __init__(self, file: Path | None) -> None:
        """Args: file: Where each result is a line; it is made if it does not exist. None keeps nothing."""
        self.noticed: Counter[str] = Counter()
        self.survived: Counter[str] = Counter()
        self._file = file
        self._known: dict[str, list[bool]] = defaultdict(list)
        for line in file.read_text().splitlines() if file and file.exists() else ():
            outcome, _, key = line.partition(" | ")
            self._known[key].append(outcome == "noticed")

    def recall(self, fault: Fault) -> bool:
        """Count a fault if the file has its result; return whether it does."""
        found = self._known[fault.key]  # equal faults in equal lines have a result each
        if found:
            self._count(fault, found.pop(0))
            return True
        return False

    def add(self, fault: Fault, is_noticed: bool) -> None:
        """Count a fault, and write its result to the file."""
        self._count(fault, is_noticed)
        if self._file is not None:
            with self._file.open("a") as file:
                file.write(f"{'noticed' if is_noticed else 'survived'} | {fault.key}\n")

    def _count(self, fault: Fault, is_noticed: bool) -> None:
        (self.noticed if is_noticed else self.survived)[part_of(fault.file)] += 1


def sample(parts: list[str], count: int, seed: int) -> list[Fault]:
    """Return `count` faults of some parts, chosen by a seed.

    Each fault has a place in an order that depends only on the seed and on itself: most of a sample stays the same when the
    sources change.
    """
    harmless = {line.rpartition(" | ")[0] for line in HARMLESS.read_text().splitlines()}
    found = [
        fault
        for part in parts
        for file in files_of(part)
        for fault in faults_in(file.relative_to(ROOT).as_posix(), file.read_text())
        if fault.key not in harmless
    ]
    found.sort(key=lambda fault: hashlib.sha256(f"{seed} {fault.key}".encode()).digest())
    return list(islice((fault for fault in found if fault.is_python), count))


def _print_table(noticed: Counter[str], survived: Counter[str], seconds: float) -> None:
    width = max(map(len, PARTS))
    print(f"{'part':{width}}  noticed  survived  share")
    for part in (*PARTS, "all"):
        here, there = (
            (noticed.total(), survived.total()) if part == "all" else (noticed[part], survived[part])
        )
        if here + there:
            print(f"{part:{width}}  {here:7}  {there:8}  {100 * here / (here + there):4.0f} %")
    print(f"{seconds:.0f} seconds")


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main())
