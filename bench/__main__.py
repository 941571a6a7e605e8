"""The command: `python -m bench`, from the root of the repository. Parses, sets up, measures, reports."""

from __future__ import annotations

import argparse
import json
import shlex
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from bench import machine
from bench.charts import write_charts
from bench.commandline import names, say
from bench.load.run import allow_many_connections, build
from bench.measures import MODULES, Stage, all_measures
from bench.peers import PEERS, UnavailableError
from bench.plan import FULL, QUICK
from bench.report import Report, as_json, table
from bench.rounds import take

if TYPE_CHECKING:
    from collections.abc import Sequence


def _arguments(words: Sequence[str] | None) -> argparse.Namespace:
    measures, servers = list(MODULES), list(PEERS)
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="Compare CloudLink with other servers on this machine. All traffic stays on 127.0.0.1.",
    )
    parser.add_argument(
        "--quick", action="store_true", help="small sizes, one round: about a minute of measuring"
    )
    parser.add_argument(
        "--only", type=names(measures), default=measures, help=f"measures: {','.join(measures)}"
    )
    parser.add_argument(
        "--servers", type=names(servers), default=servers, help=f"servers: {','.join(servers)}"
    )
    parser.add_argument(
        "--rounds", type=int, help=f"rounds of every measure (default {FULL.rounds}, quick {QUICK.rounds})"
    )
    parser.add_argument(
        "--pin", action="store_true", help="keep the server on core 0 and the load generator on core 1"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all results to this file")
    parser.add_argument("--charts", type=Path, metavar="DIR", help="draw SVG charts into this folder")
    return parser.parse_args(words)


def _prepare(servers: Sequence[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Set up the servers; return the versions of those that can run, and why the others cannot."""
    versions: dict[str, str] = {}
    skipped: dict[str, str] = {}
    for name in servers:
        say(f"setting up {PEERS[name].title}")
        try:
            versions[name] = PEERS[name].prepare()
        except UnavailableError as error:
            skipped[name] = str(error)
            say(f"{PEERS[name].title} is skipped: {error}")
    return versions, skipped


def _measure(arguments: argparse.Namespace, command: str) -> Report:
    plan = QUICK if arguments.quick else FULL
    rounds = arguments.rounds or plan.rounds
    facts = machine.describe()
    generator = build()
    if generator.warning:
        say(generator.warning)
    measures = all_measures(plan, arguments.only)
    needed = {name for measure in measures for name in measure.servers}
    versions, skipped = _prepare([name for name in arguments.servers if name in needed])
    stage = Stage(plan, generator, arguments.pin)
    peers = [PEERS[name] for name in versions]
    start = time.monotonic()
    taken = [
        take(stage, measure, peers, rounds, say)
        for measure in measures
        if set(measure.servers) & set(versions)
    ]
    say(f"measured for {time.monotonic() - start:.0f} s")
    named = [PEERS[name] for name in arguments.servers]
    return Report(facts, command, generator.title, rounds, versions, skipped, taken, named)


def main(words: Sequence[str] | None = None) -> int:
    """Run the benchmark; return the exit status, 1 if no server could be measured."""
    arguments = _arguments(words)
    allow_many_connections()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        report = _measure(
            arguments, shlex.join(["python", "-m", "bench", *(sys.argv[1:] if words is None else words)])
        )
    except KeyboardInterrupt:
        say("stopped; all servers are ended")
        return 130
    print(table(report))
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(
            json.dumps(as_json(report), indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
        )
    if arguments.charts:
        for file in write_charts(report, arguments.charts):
            say(f"wrote {file}")
    return 0 if report.versions else 1


if __name__ == "__main__":
    sys.exit(main())
