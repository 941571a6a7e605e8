"""A server that is killed loses at most the last second, and never its file.

Run as a program, this module is such a server: it counts in two variables, and notes each count with its time.
"""

from __future__ import annotations

import random
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

from cloudlink.storage import open_store

SERVERS = 4
LIVES = 5
MOST_LOST = 1.0
"""Seconds of updates."""


def count_until_killed(file: str, busy: bool) -> None:
    store = open_store(file)
    store.start(lambda function, *arguments: function(*arguments))
    count = int(store.load("1").get("☁ first", b"0"))
    while True:
        count += 1
        store.save("1", "☁ first", b"%d" % count)
        store.save("1", "☁ second", b"%d" % count)
        sys.stdout.write(f"{count} {time.monotonic()}\n")
        sys.stdout.flush()
        if not busy:
            time.sleep(0.001)


class Victim:
    """A server and its file, through its lives."""

    def __init__(self, folder, number):
        self.file = folder / f"{number}.db"
        self.notes = folder / f"{number}.txt"
        self.busy = number == 0
        self.count = 0

    def live(self):
        with self.notes.open("wb") as notes:
            arguments = [sys.executable, __file__, str(self.file), "busy" if self.busy else "calm"]
            self.process = subprocess.Popen(arguments, stdout=notes)

    def is_counting(self):
        return self.notes.stat().st_size > 0

    def die(self):
        self.killed = time.monotonic()
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def check(self):
        """Compare what the file has with what was noted."""
        lines = self.notes.read_text().split("\n")[:-1]
        notes = [(int(count), float(when)) for count, when in map(str.split, lines)]
        due = [count for count, when in notes if when < self.killed - MOST_LOST]
        store = open_store(str(self.file))
        values = {name: int(value) for name, value in store.load("1").items()}
        store.close()

        assert values["☁ first"] - values["☁ second"] in (0, 1)
        assert max(due, default=self.count) <= values["☁ first"] <= notes[-1][0] + 1
        assert values["☁ first"] > self.count
        assert due, "it was killed before a loss could show"
        self.count = values["☁ first"]
        with closing(sqlite3.connect(self.file)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def live_and_die(victims, chance):
    """Start all servers at once, and kill one after another after a while."""
    for victim in victims:
        victim.live()
    deadline = time.monotonic() + 20
    while not all(map(Victim.is_counting, victims)):
        assert time.monotonic() < deadline, "a server did not start"
        time.sleep(0.01)
    time.sleep(MOST_LOST)
    for victim in victims:
        time.sleep(chance.uniform(0.02, 0.3))
        victim.die()


def test_killed_servers_lose_at_most_a_second(tmp_path):
    chance = random.Random(4)
    victims = [Victim(tmp_path, number) for number in range(SERVERS)]
    for _ in range(LIVES):
        try:
            live_and_die(victims, chance)
        finally:
            for victim in victims:
                victim.process.kill()
                victim.process.wait()
        for victim in victims:
            victim.check()


if __name__ == "__main__":
    count_until_killed(str(Path(sys.argv[1])), busy=sys.argv[2] == "busy")
