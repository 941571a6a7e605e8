"""Sends everything that hostile programs could send, for some time, and prints a table: `make fuzz`.

Each target gets an equal share of the time. A failure is made as small as possible and printed with its input, which
is also saved: `--replay FILE` repeats it. Move that file into the corpus when the fault is repaired.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import sys
import tempfile
import time
from pathlib import Path

from tests.fuzz import corpus
from tests.fuzz.search import Failure, Search, attempt
from tests.fuzz.targets import TARGETS

SECONDS = 60.0


def main() -> int:
    """Run the targets that were asked for; return the exit status."""
    arguments = _arguments()
    logging.getLogger().addHandler(logging.NullHandler())  # failures are printed, not logged
    if arguments.replay:
        return _replay(arguments.replay)
    names = arguments.only or list(TARGETS)
    width = max(map(len, TARGETS))
    print(f"{'target':{width}}   inputs  seconds")
    has_failed = False
    for number, name in enumerate(names):
        started = time.monotonic()
        search = Search(TARGETS[name], corpus.read(name), arguments.seed + number)
        failure = search.run(arguments.seconds / len(names))
        print(f"{name:{width}}  {search.count:7}  {time.monotonic() - started:7.1f}", flush=True)
        if failure is not None:
            has_failed = True
            _show(failure, name, arguments.seed)
    return 1 if has_failed else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="in all (default: %(default)g)")
    parser.add_argument("--seed", type=int, default=1, help="the seed of chance (default: %(default)s)")
    parser.add_argument(
        "--only", action="append", choices=list(TARGETS), help="a target; may be given several times"
    )
    parser.add_argument(
        "--replay", action="append", type=Path, metavar="FILE", help="a saved input; nothing else is sent"
    )
    return parser.parse_args()


def _replay(files: list[Path]) -> int:
    status = 0
    for file in files:
        name, messages = corpus.read_file(file)
        error = attempt(TARGETS[name], messages)
        print(f"{name}: {file}: {'fails' if error else 'passes'}")
        if error is not None:
            status = 1
            print(error)
    return status


def _show(failure: Failure, name: str, seed: int) -> None:
    print(failure.text)
    print("    The input:")
    for message in failure.messages:
        print(f"        {message!r}")
    folder = Path(tempfile.mkdtemp(prefix="cloudlink-fuzz-"))
    file = corpus.write(folder, name, failure.messages)
    print(f'    Repeat it: make fuzz ARGS="--replay {file}" (found with --seed {seed} --only {name})')


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main())
