"""Dashboards: the delay that players notice while hosts look at a server with very many clients.

Some of the clients are players in rooms of 10, as in the measure of players; the others are silent. The same server carries
them three times: without dashboards; while three dashboards, in a process of their own, do what the page does with another
server that has as many clients; and while they do that with this server. The second time is the control: on few cores,
dashboards take time from the load generator and from the server whichever server they look at. What the third time adds to
the control is the delay that a server's own dashboards cause.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from bench.clients import in_rooms
from bench.load import dashboards
from bench.load.job import Job
from bench.load.run import LoadError, held, play
from bench.measures.base import Measure, Metric, Run, Stage
from bench.measures.players import ROOM_SIZE, UPDATES_PER_SECOND, generator_was_late
from bench.peers.cloudlink import Administered, CloudLink
from bench.processes import end

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.peers import Peer
    from bench.plan import Plan

OPEN = 3
"""Dashboards that are open."""
PATIENCE = 120.0

P50 = Metric("p50_ms", "p50 without dashboards", "ms", "lower", 2, compare=False)
P99 = Metric("p99_ms", "p99 without dashboards", "ms", "lower", 2, compare=False)
CONTROL_P50 = Metric("control_p50_ms", "p50 with three at another server", "ms", "lower", 2, compare=False)
CONTROL_P99 = Metric("control_p99_ms", "p99 with three at another server", "ms", "lower", 2, compare=False)
WATCHED_P50 = Metric("watched_p50_ms", "p50 with three", "ms", "lower", 2)
WATCHED_P99 = Metric("watched_p99_ms", "p99 with three", "ms", "lower", 2)
ADDED_P99 = Metric("added_p99_ms", "added to the p99 of the control", "ms", "lower", 2, compare=False)
ANSWERS = Metric("answers", "answers to dashboards", "", "higher", 0, compare=False)
SLOWEST = Metric("slowest_ms", "slowest answer", "ms", "lower", 1, compare=False)


class Open:
    """The dashboards while they are open.

    Attributes:
        answers: How many answers they had, once they are closed.
        slowest: The longest wait for one, in milliseconds.
    """

    def __init__(self) -> None:
        self.answers = self.slowest = 0.0


@contextlib.contextmanager
def opened(key_file: Path) -> Iterator[Open]:
    """Have the dashboards open within the block. Raises `LoadError` if they fail."""
    process = subprocess.Popen(
        [sys.executable, dashboards.__file__, str(key_file), str(OPEN)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    found = Open()
    try:
        if process.stdout is None or process.stdout.readline() != "ready\n":
            raise LoadError("the dashboards could not be opened")
        yield found
        words = process.communicate("")[0].split()
        if process.returncode or len(words) != 2:
            raise LoadError("a dashboard did not get an answer")
        found.answers, found.slowest = map(float, words)
    finally:
        end(process)


def _run(stage: Stage, peer: Peer) -> Run:
    plan = stage.plan
    if not isinstance(peer, CloudLink):
        raise LoadError(f"{peer.title} has no dashboard")
    clients = in_rooms(peer, plan.watched, lambda number: f"room-{number // ROOM_SIZE:05}", "variable")
    job = Job(
        clients,
        "open",
        plan.watched_players,
        rate=UPDATES_PER_SECOND,
        warmup=plan.warmup,
        measure=plan.watched_time,
        drain=plan.drain,
        patience=PATIENCE,
    )
    idle = replace(job, mode="hold")
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        here, elsewhere = (Administered(peer, _folder(folder, name)) for name in ("here", "elsewhere"))
        server, other = (stack.enter_context(stage.server(one)) for one in (here, elsewhere))
        job = peer.protocol.admit(job, server.port)
        alone = play(stage.generator, job, server, pin=stage.pin)
        with (
            held(stage.generator, peer.protocol.admit(idle, other.port), other, pin=stage.pin),
            opened(elsewhere.key_file),
        ):
            control = play(stage.generator, job, server, pin=stage.pin)
        with opened(here.key_file) as open_ones:
            watched = play(stage.generator, job, server, pin=stage.pin)
    values = {
        P50.key: alone["all_p50"] / 1000,
        P99.key: alone["all_p99"] / 1000,
        CONTROL_P50.key: control["all_p50"] / 1000,
        CONTROL_P99.key: control["all_p99"] / 1000,
        WATCHED_P50.key: watched["all_p50"] / 1000,
        WATCHED_P99.key: watched["all_p99"] / 1000,
        ADDED_P99.key: (watched["all_p99"] - control["all_p99"]) / 1000,
        ANSWERS.key: open_ones.answers,
        SLOWEST.key: open_ones.slowest,
    }
    results = (alone, control, watched)
    share = max(result.generator_share for result in results)
    limited = any(map(generator_was_late, results))
    return Run(values, share, alone.others_share, limited=limited)


def _folder(parent: str, name: str) -> Path:
    folder = Path(parent, name)
    folder.mkdir()
    return folder


def measures(plan: Plan) -> list[Measure]:
    """Return the measure with and without dashboards."""
    return [
        Measure(
            name="dashboards",
            group="dashboards",
            title=f"{OPEN} dashboards over {plan.watched} clients",
            how=f"{plan.watched_players} of the clients play: rooms of {ROOM_SIZE}, {UPDATES_PER_SECOND:.0f} variable updates "
            "a second each; each dashboard asks for players, rooms and history every 2 s, in the control from another server",
            metrics=(
                P50,
                P99,
                CONTROL_P50,
                CONTROL_P99,
                WATCHED_P50,
                WATCHED_P99,
                ADDED_P99,
                ANSWERS,
                SLOWEST,
            ),
            servers=("cloudlink",),
            run=_run,
            column=f"{plan.watched} clients",
        )
    ]
