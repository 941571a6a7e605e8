"""Plays an attack against a server of its own, with honest players beside it, and judges what is measured.

Server, players and attackers are three processes. The players' addresses and those of the attackers are different ones of
127.0.0.0/8; a proxy that does not exist is trusted, so that none of them is exempt from the limits.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import trustme

from tests.support.certificates import Certificates

_SETTINGS = """\
host = "127.0.0.1"
port = 0
trusted_proxies = ["192.0.2.1"]
real_ip_header = "X-Forwarded-For"
plugins_folder = ""
"""
_ROOT = Path(__file__).parents[2]
_STEP = 0.05
"""Seconds between two looks at the server's memory."""
_MOST_LINES = 2000
"""Lines that an attack may add to the log."""
_SHARE = "asks for more than its share"
"""Part of the line with which the server says whose packets wait."""
_FILES_LEFT = 40
"""Open files that may be left: the players' own connections come and go."""
_JOINING = 2.0
"""Seconds in which a newcomer must be in, of which each needs several round trips."""


@dataclass(frozen=True)
class Times:
    """How long an attack is played, and how much delay is bearable.

    Attributes:
        before: Seconds of playing before the attack.
        attack: Seconds of the attack.
        after: Seconds of playing after it.
        floor: Seconds that the 99th percentile of the updates may always take.
        factor: How many times as long as before the attack it may take.
        leaving: Seconds after an attack of clients that come and go after which none of their connections may be open;
            0 if that is not judged.
    """

    before: float = 2.0
    attack: float = 6.0
    after: float = 1.0
    floor: float = 0.1
    factor: float = 3.0
    leaving: float = 15.0


THOROUGH = Times()
QUICK = Times(before=1.5, attack=4.0, after=0.5, floor=0.5, factor=10.0, leaving=0.0)


@dataclass
class Measured:
    """What was measured.

    Attributes:
        before: The 99th percentile of the updates before the attack, in seconds.
        during: The same during the attack.
        joining: The longest time that a newcomer took during the attack, in seconds.
        memory: By how many MB the server has grown at most.
        files: How many files more than before were still open some seconds after the attack.
        lines: Lines that the attack added to the log.
        problems: What went wrong for the players.
        tally: What happened to the attackers.
        log: The lines of the log since the attack began.
    """

    before: float = 0.0
    during: float = 0.0
    joining: float = 0.0
    memory: int = 0
    files: int = 0
    lines: int = 0
    problems: list[str] = field(default_factory=list)
    tally: dict[str, int] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)


def judge(attack, measured, times):
    """Return what is wrong, as sentences."""
    wrong = list(measured.problems)
    bearable = max(times.floor, times.factor * measured.before)
    if measured.during > bearable:
        wrong.append(f"the updates took {measured.during * 1000:.0f} ms instead of {bearable * 1000:.0f}")
    if measured.joining > max(_JOINING, times.floor * 10):
        wrong.append(f"a newcomer needed {measured.joining:.1f} s")
    if measured.memory > attack.memory:
        wrong.append(f"the server grew by {measured.memory} MB")
    if measured.files > _FILES_LEFT:
        wrong.append(f"{measured.files} files are still open")
    if measured.lines > _MOST_LINES:
        wrong.append(f"{measured.lines} lines in the log")
    if attack.stopped and not any(measured.tally.get(what) for what in attack.stopped):
        wrong.append(f"none of {', '.join(attack.stopped)} happened to the attackers")
    wrong += [
        f"an error in the log: {line}" for line in measured.log if "ERROR" in line and not attack.fails
    ][:1]
    return wrong


def p99(samples):
    """Return the 99th percentile of some times in seconds."""
    return statistics.quantiles(samples, n=100, method="inclusive")[98] if len(samples) > 1 else float("inf")


class ServerUnderAttack:
    """A `cloudlink serve` in a folder of its own, with storage, and what can be seen of it from outside."""

    def __init__(self, folder, attack):
        folder = Path(folder)
        text = _SETTINGS
        if attack.tls:
            certificates = Certificates(folder)
            certificates.issue("localhost", key_type=trustme.KeyType.RSA)  # whose handshakes take longest
            text += f'tls_certificate = "{certificates.certificate}"\ntls_key = "{certificates.key}"\n'
        if attack.plugin:
            (folder / "attacked.py").write_text(attack.plugin)
            text += 'plugins = ["attacked.py"]\n'
        (folder / "cloudlink.toml").write_text(text + attack.settings + "\n")
        self.log = folder / "log"
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "cloudlink", "serve"], cwd=folder, stdout=log, stderr=log
            )

    async def port(self):
        """Wait until the server listens and return its port."""
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            if match := re.search(r"connect to wss?://\S+:(\d+)", self.text()):
                return int(match[1])
            assert self.is_running(), self.text()
            await asyncio.sleep(_STEP)
        raise AssertionError("the server does not start: " + self.text())

    def text(self):
        return self.log.read_text(errors="replace")

    @property
    def pid(self):
        return self._process.pid

    def is_running(self):
        return self._process.poll() is None

    def memory(self):
        """Resident memory in MB."""
        with contextlib.suppress(OSError):
            pages = int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1])
            return pages * 4096 >> 20
        return 0

    def files(self):
        with contextlib.suppress(OSError):
            return len(list(Path(f"/proc/{self._process.pid}/fd").iterdir()))
        return 0

    def stop(self):
        if self.is_running():
            self._process.terminate()
            try:
                self._process.wait(15)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()


async def measure(attack, folder, times):
    """Play an attack and return what was measured."""
    server = ServerUnderAttack(folder, attack)
    processes = []
    try:
        port = await server.port()
        tls = "tls" if attack.tls else "plain"
        players = await _start(processes, "probes", str(port), str(attack.spectators), tls, str(server.pid))
        assert (await players.stdout.readline()).strip() == b"ready", server.text()
        started = time.monotonic()
        await asyncio.sleep(times.before)
        idle, files, lines = server.memory(), server.files(), len(server.text().splitlines())
        attacked = time.monotonic()
        attackers = await _start(processes, "attackers", attack.name, str(port), str(times.attack))
        peak = asyncio.ensure_future(_peak(server))
        tally = json.loads((await attackers.communicate())[0] or "{}")
        ended = time.monotonic()
        await asyncio.sleep(times.after)
        peak.cancel()
        measured = Measured(memory=await peak - idle, tally=tally)
        measured.lines = len(server.text().splitlines()) - lines
        measured.files = await _files_left(server, files, times.leaving if attack.churn else 0.0)
        report = json.loads(
            (await players.communicate(b""))[0] or '{"updates":[],"joins":[],"problems":["no report"]}'
        )
    finally:
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
        is_running = server.is_running()
        server.stop()
    _evaluate(measured, report, started, attacked, ended)
    if not is_running:
        measured.problems.append("the server has ended")
    measured.log = server.text().splitlines()[lines:]
    measured.tally["share"] = sum(_SHARE in line for line in measured.log)
    return measured


async def _start(processes, module, *arguments):
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", f"tests.attacks.{module}", *arguments),
        cwd=_ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        limit=1 << 26,
    )
    processes.append(process)
    return process


async def _peak(server):
    peak = 0
    with contextlib.suppress(asyncio.CancelledError):
        while True:
            peak = max(peak, server.memory())
            await asyncio.sleep(_STEP)
    return peak


async def _files_left(server, before, patience):
    deadline = time.monotonic() + patience
    while (left := server.files() - before) > _FILES_LEFT and time.monotonic() < deadline:  # noqa: ASYNC110  # a process sets no event
        await asyncio.sleep(_STEP)
    return left if patience else 0


def _evaluate(measured, report, started, attacked, ended):
    def between(pairs, since, until):
        return [took for at, took in pairs if since <= at < until]

    measured.before = p99(between(report["updates"], started, attacked))
    measured.during = p99(between(report["updates"], attacked, ended))
    measured.joining = max(between(report["joins"], attacked, ended), default=0.0)
    measured.problems += report["problems"]
