"""Lets everything go wrong with the storage file many times, and prints a table: `make faults`.

It is not part of the tests, because it takes minutes and kills processes; `.ci/run` runs the quick form. Every round has a
seed of its own, which is printed when the round fails and repeats it. What the machine lacks is skipped, or fails in CI.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from random import Random

from tests.faults.faults import FAULTS, NotPossible

ROUNDS, QUICK_ROUNDS = 20, 2


@dataclass
class Result:
    """The results of the rounds of one fault."""

    fault: str
    passed: int = 0
    failed: int = 0
    remark: str = ""
    seconds: float = 0.0


def main() -> int:
    """Run the faults that were asked for; return the exit status."""
    arguments = _arguments()
    logging.disable(logging.CRITICAL)
    rounds = QUICK_ROUNDS if arguments.quick else arguments.rounds
    results = [_repeat(fault, rounds, arguments.seed) for fault in arguments.only or FAULTS]
    width = max(map(len, FAULTS))
    print(f"{'fault':{width}}  passed  failed  seconds")
    for result in results:
        print(
            f"{result.fault:{width}}  {result.passed:6}  {result.failed:6}  {result.seconds:7.1f}  {result.remark}".rstrip()
        )
    return 1 if any(result.failed for result in results) else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_ROUNDS} rounds each, under a minute")
    parser.add_argument(
        "--rounds", type=int, default=ROUNDS, help="rounds of each fault (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=1, help="seed of the first round (default: %(default)s)")
    parser.add_argument(
        "--only", action="append", choices=list(FAULTS), help="a fault; may be given several times"
    )
    return parser.parse_args()


def _repeat(fault: str, rounds: int, first_seed: int) -> Result:
    result, started = Result(fault), time.monotonic()
    for seed in range(first_seed, first_seed + rounds):
        with tempfile.TemporaryDirectory(prefix="cloudlink-faults-") as folder:
            try:
                FAULTS[fault](Path(folder), Random(f"{fault} {seed}"))
                result.passed += 1
            except NotPossible as reason:
                if os.environ.get("CI", "").lower() in ("true", "1"):
                    result.failed += 1
                    result.remark = f"not possible here: {reason}"
                else:
                    result.remark = f"skipped: {reason}"
                break
            except Exception:  # noqa: BLE001  # whatever it is, the table shows it
                result.failed += 1
                result.remark = f"--only {fault!r} --rounds 1 --seed {seed}"
                traceback.print_exc()
    result.seconds = time.monotonic() - started
    return result


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main())
