"""Attacks a server in all ways that are known, and prints a table: `make attack`.

It is not part of the tests, because it takes minutes and measures times.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
import tempfile

from tests.attacks.attacks import ATTACKS, QUICK
from tests.attacks.laboratory import QUICK as QUICK_TIMES
from tests.attacks.laboratory import THOROUGH, judge, measure


def main() -> int:
    """Play the attacks that were asked for; return the exit status."""
    arguments = _arguments()
    names = arguments.only or (QUICK if arguments.quick else ATTACKS)
    times = QUICK_TIMES if arguments.quick else THOROUGH
    width = max(map(len, names))
    print(
        f"{'attack':{width}}  p99 before  during  joining   memory  log lines  what happened to the attackers"
    )
    has_failed = False
    for name in names:
        with tempfile.TemporaryDirectory(prefix="cloudlink-attacks-") as folder:
            measured = asyncio.run(measure(ATTACKS[name], folder, times))
        print(
            f"{name:{width}}  {_ms(measured.before):>10}  {_ms(measured.during):>6}  {_ms(measured.joining):>7}  "
            f"{measured.memory:>4} MB  {measured.lines:>9}  {_shown(measured.tally)}",
            flush=True,
        )
        wrong = judge(ATTACKS[name], measured, times)
        has_failed |= bool(wrong)
        for sentence in wrong:
            print(f"    {sentence}", flush=True)
        for line in measured.log[: arguments.log]:
            print(f"    log: {line}", flush=True)
    return 1 if has_failed else 0


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"


def _shown(tally: dict[str, int]) -> str:
    return ", ".join(f"{what}: {count}" for what, count in sorted(tally.items()) if count)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.attacks", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="the worst attacks, with more delay allowed, in two minutes"
    )
    parser.add_argument(
        "--only", action="append", choices=list(ATTACKS), help="one attack; may be given several times"
    )
    parser.add_argument(
        "--log",
        type=int,
        default=0,
        metavar="N",
        help="also print the first N lines of the server's log during the attack",
    )
    return parser.parse_args()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main())
