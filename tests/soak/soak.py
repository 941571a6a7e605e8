"""Measures servers while players come and go, and judges what was measured."""

from __future__ import annotations

import asyncio
import contextlib
import math
import re
import time
from collections import Counter
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from statistics import median, quantiles

from tests.soak.players import Crowd
from tests.support.certificates import Certificates
from tests.support.lastingserver import LastingServer

_NUMBER = re.compile(r"[0-9]+")
_FAILURE = re.compile(r"^Traceback .*?\n\S[^\n]*|^\S+ \S+ ERROR [^\n]*", re.MULTILINE | re.DOTALL)

_WARM_UP = 0.25
"""The part of the time, after everybody has come for the first time, in which memory may still grow."""
_LONGEST_WARM_UP = 300.0
"""Seconds."""
_EVERY = 2.0
"""Seconds between two looks at the memory."""
_MOST_GROWTH = 1e6
"""Bytes an hour."""
_FULL = 1800.0
"""Seconds after which every cache of bounded size is full, and the memory is judged by its growth alone."""
_WINDOW = 10.0
"""Seconds; p99 is that of each window."""
_MOST_DELAY = 2.0
"""How many times as long messages may take at the end as at the beginning."""
_FIRST_PLAYERS, _FIRST_SECONDS = 20, 10.0
_PATIENCE = 10.0
"""Seconds until the files of connections that have ended must be closed."""


@dataclass(frozen=True)
class Plan:
    """How to soak.

    Attributes:
        seconds: How long.
        players: How many at a time, on all servers together.
        seed: The seed of chance.
        stay: Seconds that a visit lasts, on average.
        latest: The part of the time in which everybody must have come; if the machine is too busy for that, memory
            proves nothing.
        filling: Bytes that caches of bounded size, and arenas of the allocator, may still take in a run that is very short.
        noise: Seconds of delay at the end that do not count.
    """

    seconds: float
    players: int
    seed: int = 1
    stay: float = 40.0
    latest: float = 0.25
    filling: float = 4e6
    noise: float = 0.05

    @property
    def warm_up(self) -> float:
        """Seconds after everybody has come for which memory may grow."""
        return min(_LONGEST_WARM_UP, _WARM_UP * self.seconds)


QUICK = Plan(60.0, 100, stay=5.0, latest=1.0, filling=12e6, noise=1.0)
"""A minute with more coming and going. Its bounds hold on a machine that is busy: they find what is lost or never given back."""


@dataclass
class Result:
    """What one server did.

    Attributes:
        name: Its name.
        visits: How often somebody came.
        messages: How many messages arrived.
        complete: Seconds after which everybody had come, infinite if that was never so.
        memory: Resident bytes at the end.
        growth: Bytes an hour by which they grew after warming up.
        files_before: Its open files after the first few players had come and gone.
        files_after: Its open files after everybody had left.
        first_delay: The p99 of delays at the beginning, in seconds: the median of those of all windows.
        last_delay: The same at the end.
        mistakes: What players should not have been told.
        failures: The errors and tracebacks in its log.
    """

    name: str
    visits: int
    messages: int
    complete: float
    memory: int
    growth: float
    files_before: Counter[str]
    files_after: Counter[str]
    first_delay: float
    last_delay: float
    mistakes: list[str]
    failures: list[str]


async def soak(plan: Plan, folder: str) -> list[Result]:
    """Soak a server with TLS and one without at the same time."""
    certificates = Certificates(Path(folder))
    tls = ("--tls-certificate", str(certificates.certificate), "--tls-key", str(certificates.key))
    parts = (("plain", (), None), ("TLS", tls, certificates.client))
    half = replace(plan, players=plan.players // len(parts))
    return list(await asyncio.gather(*(_soak_one(half, folder, *part) for part in parts)))


async def _soak_one(plan, folder, name, arguments, context):
    place = Path(folder) / name
    place.mkdir()
    server = LastingServer(
        place,
        name,
        ("--storage", "cloudlink.db", "--admin-storage", "", "--room-state", "stored", *arguments),
        {},
    )
    try:
        await server.logged("connect to ws")
        files_before = await _files_of_a_used_server(server, context)
        crowd = Crowd(server.port, context, plan.players, plan.seed, plan.stay)
        samples = []
        complete = math.inf
        started = time.monotonic()
        while time.monotonic() < started + plan.seconds:
            await asyncio.sleep(_EVERY)
            samples.append((time.monotonic() - started, server.memory()))
            if complete == math.inf and crowd.visits >= plan.players:
                complete = samples[-1][0]
        await crowd.go()
        files_after = await _files_left(server.pid, files_before)
        settled = [sample for sample in samples if sample[0] >= complete + plan.warm_up]
        first, last = ends(crowd.delays)
        return Result(
            *(name, crowd.visits, crowd.messages, complete, samples[-1][1], slope(settled) * 3600),
            *(
                files_before,
                files_after,
                first,
                last,
                crowd.mistakes,
                _FAILURE.findall(server.log.read_text(errors="replace")),
            ),
        )
    finally:
        await asyncio.to_thread(server.end)


async def _files_of_a_used_server(server, context):
    """Return how many files are open after a first few players have left: those of the storage stay open from then on."""
    before = _files(server.pid)
    crowd = Crowd(server.port, context, _FIRST_PLAYERS, 0, _FIRST_SECONDS)
    await asyncio.sleep(_FIRST_SECONDS)
    await crowd.go()
    await _files_left(server.pid, before)
    return _files(server.pid)


def _files(pid):
    """Count the open files of a process, by what they are."""
    found = Counter()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):  # it has been closed meanwhile
            found[_NUMBER.sub("", entry.readlink().name)] += 1
    return found


async def _files_left(pid, before):
    deadline = time.monotonic() + _PATIENCE
    while (found := _files(pid)) - before and time.monotonic() < deadline:  # noqa: ASYNC110  # no event tells
        await asyncio.sleep(0.1)
    return found


def slope(samples: list[tuple[float, float]]) -> float:
    """Return how much a value grows in a second: the median of the slopes between all pairs (Theil and Sen)."""
    thinned = samples[:: max(1, len(samples) // 200)]
    slopes = [(late[1] - early[1]) / (late[0] - early[0]) for early, late in combinations(thinned, 2)]
    return median(slopes) if slopes else 0.0


def ends(delays: list[tuple[float, float]]) -> tuple[float, float]:
    """Return the p99 of delays in the first and in the last third of the time, each the median of windows."""
    if not delays:
        return 0.0, 0.0
    windows: dict[int, list[float]] = {}
    for moment, delay in delays:
        windows.setdefault(int((moment - delays[0][0]) / _WINDOW), []).append(delay)
    found = [quantiles(values, n=100)[98] for _, values in sorted(windows.items()) if len(values) > 1]
    third = max(1, len(found) // 3)
    return median(found[:third] or [0.0]), median(found[-third:] or [0.0])


def judge(result: Result, plan: Plan) -> list[str]:
    """Return a sentence for everything that is wrong."""
    wrong = []
    if result.complete > plan.latest * plan.seconds:
        wrong.append("not all players had come in time; is the machine too busy?")
    hours = max(0.0, plan.seconds - result.complete - plan.warm_up) / 3600
    filling = plan.filling * max(0.0, 1 - plan.seconds / _FULL)
    if result.growth * hours > _MOST_GROWTH * hours + filling:
        wrong.append(f"memory grows by {result.growth / 1e6:.1f} MB an hour")
    if more := result.files_after - result.files_before:
        files = ", ".join(f"{count} {name}" for name, count in more.items())
        wrong.append(f"{more.total()} files stay open: {files}")
    if result.last_delay > _MOST_DELAY * result.first_delay + plan.noise:
        wrong.append(f"messages take {result.last_delay * 1e3:.0f} ms at the end")
    if not result.messages:
        wrong.append("no message has arrived")
    if result.mistakes:
        wrong.append(f"{len(result.mistakes)} mistakes, such as: {result.mistakes[0]}")
    if result.failures:
        wrong.append(f"the log has {len(result.failures)} errors, such as:\n{result.failures[0]}")
    return [f"{result.name}: {sentence}" for sentence in wrong]
