"""Lets 500 players play, come and go for half an hour, and prints what the servers take: `make soak`.

One server speaks TLS, the other does not; both store cloud variables and variables of rooms. It fails if memory keeps
growing, file descriptors are not given back, delays grow, a message is lost, players are told something wrong, or
anything failed.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
import tempfile

from tests.soak.soak import QUICK, Plan, judge, soak

MINUTES, PLAYERS = 30.0, 500


def main() -> int:
    """Soak the servers; return the exit status."""
    arguments = _arguments()
    plan = QUICK if arguments.quick else Plan(arguments.minutes * 60, arguments.players, arguments.seed)
    with tempfile.TemporaryDirectory(prefix="cloudlink-soak-") as folder:
        results = asyncio.run(soak(plan, folder))
    print(f"{'server':8}  visits  messages    memory   MB/hour  files  p99 first  last")
    wrong = []
    for result in results:
        print(
            f"{result.name:8}  {result.visits:6}  {result.messages:8}  {result.memory / 1e6:5.0f} MB  "
            f"{result.growth / 1e6:8.2f}  {result.files_before.total():2} {result.files_after.total():2}  "
            f"{result.first_delay * 1e3:6.0f} ms  {result.last_delay * 1e3:.0f} ms"
        )
        wrong += judge(result, plan)
    for sentence in wrong:
        print(f"    {sentence}")
    return 1 if wrong else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument(
        "--quick",
        action="store_true",
        help="a minute with fewer players who stay for seconds; bounds for a busy machine",
    )
    parser.add_argument("--minutes", type=float, default=MINUTES, help="(default: %(default)g)")
    parser.add_argument("--players", type=int, default=PLAYERS, help="at a time (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="the seed of chance (default: %(default)s)")
    return parser.parse_args()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main())
