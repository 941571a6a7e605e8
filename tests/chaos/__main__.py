"""Lets everything go wrong with servers of several processes many times, and prints a table: `make chaos`.

It is not part of the tests, because it takes minutes and kills processes.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import sys
import tempfile
import time

from tests.chaos.chaos import CHAOS, rounds

ROUNDS, RETURNING = 5, 2000
QUICK = ("worker killed", "node killed", "NATS killed", "network cut for 1 s")
QUICK_RETURNING = 200


def main() -> int:
    """Let happen what was asked for; return the exit status."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the servers end, too
    arguments = _arguments()
    names = arguments.only or (QUICK if arguments.quick else CHAOS)
    width = max(map(len, CHAOS))
    print(f"{'what happens':{width}}  clean  of  seconds")
    has_failed = False
    for name in names:
        count = 1 if arguments.quick else arguments.rounds
        started = time.monotonic()
        problems = asyncio.run(_problems(name, count, arguments))
        wrong = [problem for problem in problems if problem]
        has_failed |= bool(wrong) or len(problems) < count
        clean = len(problems) - len(wrong)
        print(f"{name:{width}}  {clean:5}  {count:2}  {time.monotonic() - started:7.1f}", flush=True)
        for problem in wrong:
            print(f"    {problem}")
    return 1 if has_failed else 0


async def _problems(name: str, count: int, arguments: argparse.Namespace) -> list[str]:
    returning = QUICK_RETURNING if arguments.quick else RETURNING
    found: list[str] = []
    with tempfile.TemporaryDirectory(prefix="cloudlink-chaos-") as folder:
        try:
            async for problem in rounds(name, folder, count, arguments.seed, returning):
                found.append(problem)  # noqa: PERF401  # those found before an error count
        except AssertionError as error:
            found.append(f"before the first round, or at the end: {error}")
    return found


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the most common things once, in about a minute")
    parser.add_argument(
        "--rounds", type=int, default=ROUNDS, help="rounds of each thing (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=1, help="the seed of chance (default: %(default)s)")
    parser.add_argument(
        "--only", action="append", choices=list(CHAOS), help="one thing; may be given several times"
    )
    return parser.parse_args()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main())
