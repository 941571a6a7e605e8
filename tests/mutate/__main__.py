"""Plants single faults in a copy of the sources and says which of them the tests notice: `make mutate`.

First all fast tests run without a fault, to learn which lines each of them runs. Then, for each fault, those run
that run its line, first the ones that mirror its module. The working tree is not touched. A survivor is printed with its place
and its difference; one that no test can notice is listed in `harmless.txt`, with the reason, and does not count.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import sys
import tempfile
import time
from collections import Counter
from itertools import islice
from pathlib import Path
from random import Random

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
    noticed: Counter[str] = Counter()
    survived: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(prefix="cloudlink-mutate-") as folder:
        laboratory = Laboratory(Path(folder), arguments.jobs)
        seen = laboratory.observe(["tests"])
        print(f"{len(seen.seconds)} tests watched in {time.monotonic() - started:.0f} seconds", flush=True)
        for fault, is_noticed, runs in laboratory.run(chosen, started + arguments.seconds):
            (noticed if is_noticed else survived)[part_of(fault.file)] += 1
            if not is_noticed:
                print(f"survived ({runs} tests run it): {fault}", flush=True)
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
    parser.add_argument("--jobs", type=int, default=1, help="faults tried at once (default: %(default)s)")
    parser.add_argument(
        "--at-least", type=float, default=90.0, metavar="PERCENT", help="to be noticed (default: %(default)g)"
    )
    return parser.parse_args()


def sample(parts: list[str], count: int, seed: int) -> list[Fault]:
    """Return so many faults of some parts, chosen by a seed."""
    harmless = {line.rpartition(" | ")[0] for line in HARMLESS.read_text().splitlines()}
    found = [
        fault
        for part in parts
        for file in files_of(part)
        for fault in faults_in(file.relative_to(ROOT).as_posix(), file.read_text())
        if fault.key not in harmless
    ]
    Random(seed).shuffle(found)
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
