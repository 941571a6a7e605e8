"""Faults of the storage file, each as a function that causes it once and checks the result.

A fault is given an empty folder and a source of chance. It raises `AssertionError` when the storage does not keep what
it promises, and `NotPossible` where this machine does not let it happen.
"""

from __future__ import annotations

import os
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from random import Random

from cloudlink.errors import StartError
from cloudlink.server.protocols.scratch.projects import Projects
from cloudlink.server.protocols.scratch.rules import Violation
from cloudlink.settings import Settings
from cloudlink.storage.database import Database
from cloudlink.storage.sqlite import SqliteStore
from tests.storage.stores import QUICK, edit
from tests.storage.test_crash import MOST_LOST, Victim
from tests.support.clock import FakeClock

Fault = Callable[[Path, Random], None]

_PATIENCE = 10.0
"""Seconds after which what was to be written should be in the file."""
_DAY = 86_400.0


class NotPossible(Exception):  # noqa: N818  # nothing has failed
    """This machine, or this user, cannot make the fault happen."""


# The faults.


def killed(folder: Path, chance: Random) -> None:
    """Kill -9 in a storm of writes: the file is whole, and at most a second is lost."""
    victim = Victim(folder, chance.randrange(2))
    victim.live()
    try:
        _until(victim.is_counting)
        time.sleep(MOST_LOST + chance.uniform(0.0, 0.3))
    finally:
        victim.die()
    victim.check()


def disk_full(folder: Path, chance: Random) -> None:
    """A disk without space: values wait, and are written once there is space."""
    with _small_disk(folder) as disk:
        filler = disk / "filler"
        with _running(disk / "vars.db") as store:
            store.save("1", "before", b"1")
            _until(lambda: _stored(disk / "vars.db", "1"))
            _fill(filler)
            values = {f"{number}": b"1" * chance.randrange(1, 40_000) for number in range(8)}
            values["big"] = b"1" * 100_000
            for name, value in values.items():
                store.save("2", name, value)
            _until(lambda: store._trouble.pause)
            assert store.load("2") == values
            filler.unlink()
            _until(lambda: _stored(disk / "vars.db", "2") == values)
        _is_whole(disk / "vars.db")


def read_only(folder: Path, chance: Random) -> None:
    """A disk that cannot be written at the start: the server starts, and writes once it can."""
    with _small_disk(folder) as disk:
        file = disk / "vars.db"
        _made(file, {"1": {"a": b"1"}})
        _mount("-o", "remount,ro", str(disk))
        try:
            with _running(file) as store:
                value = b"%d" % chance.randrange(1 << 30)
                store.save("1", "b", value)
                _until(lambda: store._trouble.pause)
                _mount("-o", "remount,rw", str(disk))
                _until(lambda: _stored(file, "1") == {"a": b"1", "b": value})
        finally:
            _mount("-o", "remount,rw", str(disk))
        _is_whole(file)


def locked(folder: Path, chance: Random) -> None:
    """Another program that keeps the file locked: values wait, and are written once it ends."""
    file = folder / "vars.db"
    with _running(file) as store, closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE" if chance.random() < 0.5 else "BEGIN IMMEDIATE")
        values = {
            f"{number}": b"%d" % chance.randrange(1 << 30) for number in range(chance.randrange(1, 2000))
        }
        for name, value in values.items():
            store.save("1", name, value)
        _until(lambda: store._trouble.pause)
        assert store.load("1") == values
        other.execute("ROLLBACK")
        _until(lambda: _stored(file, "1") == values)
    _is_whole(file)


def truncated(folder: Path, chance: Random) -> None:
    """A file that was cut: it is refused in one sentence, or it is whole. While it is open, the server goes on."""
    file = folder / "vars.db"
    rooms = {f"{room}": {"a": b"1" * chance.randrange(20_000)} for room in range(30)}
    _made(file, rooms)
    size = chance.randrange(1, file.stat().st_size)
    if chance.random() < 0.5:
        with _running(file) as store:
            os.truncate(file, size)
            for room in rooms:
                store.save(room, "b", b"2")
                assert store.load(room)["b"] == b"2"
            store._wake.set()
            time.sleep(0.1)
            assert store._thread is not None
            assert store._thread.is_alive()
    else:
        os.truncate(file, size)
    _is_refused_or_whole(file)


def foreign(folder: Path, chance: Random) -> None:
    """A file that is not CloudLink's: it is refused in one sentence, and not touched."""
    file = folder / "vars.db"
    if chance.random() < 0.3:
        edit(file, "CREATE TABLE theirs (a)", "INSERT INTO theirs VALUES (1)")
    else:
        header = b"SQLite format 3\0" if chance.random() < 0.5 else b""
        file.write_bytes(header + chance.randbytes(chance.randrange(1, 20_000)))
    before = file.read_bytes()
    assert _refusal(file), "the server would have started"
    assert file.read_bytes() == before


def clock_jump(folder: Path, chance: Random) -> None:
    """A clock that is moved by years: no project goes that was used within `storage_keep_days`."""
    file = folder / "vars.db"
    wall, uptime = FakeClock(1.8e9 + chance.uniform(-1, 1) * 3e8), FakeClock(0.0)
    used_at: dict[str, float] = {}
    life = 0
    store = SqliteStore(str(file), timing=QUICK, keep_days=30, wall_clock=wall, clock=uptime)
    for step in range(40):
        room = f"{life} {step}"
        store.save(room, "a", b"1")
        store._round()
        used_at[room] = uptime.now
        if chance.random() < 0.2:
            wall.now += chance.choice((-1, 1)) * chance.uniform(1, 20) * 365 * _DAY
        for _ in range(chance.randrange(1, 48)):
            wall.now += 3600
            uptime.now += 3600
            store._round()
        for known, at in used_at.items():
            assert uptime.now - at > 30 * _DAY or store.load(known), f"{known} went too early"
    store.close()
    _is_whole(file)


def flood(folder: Path, chance: Random) -> None:
    """An address that writes all it can on a slow disk: what others set is in the file at the end."""
    file = folder / "vars.db"
    each = Projects(Settings(storage=str(file), storage_bytes_per_hour=1 << 40))
    each.start(lambda *_: None, lambda *_: None)
    honest = {}
    with closing(sqlite3.connect(file, isolation_level=None)) as slow:
        for number in range(60):
            slow.execute("BEGIN IMMEDIATE")
            _flood_a_project(each, f"flood {number}")
            room = each.enter(f"honest {number}", address="203.0.113.2")
            honest[room.id] = b"%d" % chance.randrange(1 << 30)
            each.keep(room, "a", honest[room.id], "203.0.113.2")
            each.leave(room)
            slow.execute("ROLLBACK")
    each.close()
    assert {room: _stored(file, room).get("a") for room in honest} == honest
    _is_whole(file)


FAULTS: dict[str, Fault] = {
    "kill -9 in a write storm": killed,
    "disk full": disk_full,
    "read-only at the start": read_only,
    "locked by another program": locked,
    "truncated": truncated,
    "foreign file": foreign,
    "clock jump": clock_jump,
    "flood from one address": flood,
}


# What they share.


@contextmanager
def _running(file: Path) -> Iterator[SqliteStore]:
    store = SqliteStore(str(file), timing=QUICK)
    store.start(lambda *_: None)
    try:
        yield store
    finally:
        store.close()


@contextmanager
def _small_disk(folder: Path) -> Iterator[Path]:
    """A file system of a megabyte."""
    disk = folder / "disk"
    disk.mkdir()
    _mount("-t", "tmpfs", "-o", "size=1m", "none", str(disk))
    try:
        yield disk
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def _mount(*arguments: str) -> None:
    try:
        subprocess.run(["mount", *arguments], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        raise NotPossible("needs the right to mount a file system") from None


def _fill(file: Path) -> None:
    with file.open("wb", buffering=0) as filler:
        try:
            while True:
                filler.write(b"\0" * 4096)
        except OSError:
            pass


def _made(file: Path, rooms: dict[str, dict[str, bytes]]) -> None:
    with closing(Database(file, patience=5)) as database:
        database.write(rooms)


def _stored(file: Path, room: str) -> dict[str, bytes]:
    with closing(Database(file, patience=5)) as database:
        return database.load(room)


def _flood_a_project(each: Projects, project: str) -> None:
    try:
        room = each.enter(project, address="203.0.113.1")
    except Violation:
        return
    try:
        for name in range(10):
            each.keep(room, f"{name}", b"1" * 100_000, "203.0.113.1")
    except Violation:
        pass
    each.leave(room)


def _is_whole(file: Path) -> None:
    assert edit(file, "PRAGMA integrity_check") == [[("ok",)]]


def _is_refused_or_whole(file: Path) -> None:
    if not _refusal(file):
        _is_whole(file)


def _refusal(file: Path) -> str:
    """Return the sentence with which a server would not start on a file, empty where it would."""
    try:
        SqliteStore(str(file), timing=QUICK).close()
    except StartError as error:
        return str(error)
    return ""


def _until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it never came to be"
        time.sleep(0.005)
