"""Builds the load generator and runs jobs on it. `job` defines a job; the measures define the jobs to run.

The generator is a C program, compiled with `cc` into `bench/.env/`. It must be faster than any server under
test: at 1000 players each copy arrives in its own write, and one read costs Python three times as much as
C. Without a compiler the same jobs run on `generator.py`, with a warning and a lower measurable maximum.
"""

from __future__ import annotations

import contextlib
import hashlib
import resource
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from threading import Timer
from typing import TYPE_CHECKING

from bench.load.job import Job, Result
from bench.machine import busy_seconds
from bench.processes import ENVIRONMENTS, GENERATOR_CORE, end, keep_on_core

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.processes import Server

SOURCES = Path(__file__).parent


class LoadError(Exception):
    """The load generator could not do its job; the text is its own error message."""


@dataclass(frozen=True)
class Generator:
    """How to run the load generator; `warning` says why it is the slow one, and is empty otherwise."""

    command: tuple[str, ...]
    warning: str = ""

    @property
    def title(self) -> str:
        """Name of the program for the report."""
        return "Python (slow)" if self.warning else "C"


def build() -> Generator:
    """Compile the load generator if its sources changed; fall back to Python if that is impossible."""
    ENVIRONMENTS.mkdir(exist_ok=True)
    slow = (sys.executable, str(SOURCES / "generator.py"))
    sources = sorted(SOURCES.glob("*.c"))
    texts = b"".join(file.read_bytes() for file in [*sources, *SOURCES.glob("*.h")])
    program = ENVIRONMENTS / f"generator-{hashlib.sha256(texts).hexdigest()[:12]}"
    if program.exists():
        return Generator((str(program),))
    compiler = shutil.which("cc")
    if compiler is None:
        return Generator(
            slow, "no C compiler (cc) on this machine: the load generator is the slow one, in Python"
        )
    build = subprocess.run(
        [compiler, "-O2", "-o", str(program), *map(str, sources)], capture_output=True, text=True, check=False
    )
    if build.returncode:
        return Generator(
            slow,
            f"cc could not build the load generator, the slow one is used: {build.stderr.strip()[-300:]}",
        )
    return Generator((str(program),))


def allow_many_connections() -> None:
    """Raise this process's limit of open files, which its children inherit, as far as the system allows."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


@contextlib.contextmanager
def running(generator: Generator, job: Job, server: Server, *, pin: bool) -> Iterator[Iterator[list[str]]]:
    """Run a job against a server; yield its output as lists of words, and end it at the end of the block.

    Raises:
        LoadError: the clients were not ready in time, connections were lost, or the generator failed.
    """
    job_file = ENVIRONMENTS / f"job-{server.port}"
    job_file.write_text(job.text(server.port))
    process = subprocess.Popen(
        [*generator.command, str(job_file)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    if pin:
        keep_on_core(process, GENERATOR_CORE)
    alarm = Timer(job.patience + job.warmup + job.measure + job.drain + 10, process.kill)
    alarm.start()

    def words() -> Iterator[list[str]]:
        for line in process.stdout or ():
            if line.startswith("error"):
                server.check()
                raise LoadError(f"load generator: {line[6:].strip()}")
            yield line.split()

    try:
        yield words()
    finally:
        alarm.cancel()
        if process.stdin:
            process.stdin.close()
        end(process)
        job_file.unlink(missing_ok=True)


@contextlib.contextmanager
def held(generator: Generator, job: Job, server: Server, *, pin: bool) -> Iterator[None]:
    """Have the clients of a job, in mode `hold`, connected within the block. Raises as `running`."""
    with running(generator, job, server, pin=pin) as output:
        if not any(name == "holding" for name, *_ in output):
            raise LoadError("the load generator ended without output")
        yield


def play(generator: Generator, job: Job, server: Server, *, pin: bool) -> Result:
    """Run a job to its end (or, in mode `hold`, until all clients are ready) and return its result.

    Raises:
        LoadError: as `running`.
        ServerDiedError: the server ended during the run.
    """
    numbers: dict[str, float] = {}
    before = after = machine_before = machine_after = 0.0
    with running(generator, job, server, pin=pin) as output:
        for name, *value in output:
            if name == "begin":
                before, machine_before = server.cpu(), busy_seconds()
            elif name == "end":
                after, machine_after = server.cpu(), busy_seconds()
            elif name == "holding":
                break
            else:
                numbers[name] = float(value[0])
    server.check()
    if not numbers:
        raise LoadError("the load generator ended without output")
    if numbers.get("dropped"):
        raise LoadError(f"{server.name} closed {numbers['dropped']:.0f} connections during the run")
    return Result(numbers, after - before, machine_after - machine_before)
