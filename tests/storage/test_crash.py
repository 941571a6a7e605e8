"""A server that is killed loses at most the last second, and never the file."""

import random
import signal
import sqlite3
import subprocess
import sys
import time

from cloudlink.storage import open_store

ROUNDS = 20
WRITER = """
import sys, time
from cloudlink.storage import open_store
store = open_store(sys.argv[1])
store.start(lambda function, *arguments: function(*arguments))
number = int(sys.argv[2])
while True:
    number += 1
    store.save("project", "counter", b"%d" % number)
    store.save("project", f"variable {number % 100}", b"%d" % number)
    print(number, time.time(), flush=True)
    time.sleep(0.002)
"""


def last_lines(process, seconds):
    """Let the writer write for a while, kill it, and return what it had saved when."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    killed_at = time.time()
    rest = process.stdout.read().splitlines()
    process.wait()
    process.stdout.close()
    return killed_at, [(int(number), float(at)) for number, at in (line.split() for line in rest[-1000:])]


def test_kill_minus_9_twenty_times(tmp_path):
    file = tmp_path / "vars.db"
    chance = random.Random(1)
    start = 0
    for _ in range(ROUNDS):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(file), str(start)], stdout=subprocess.PIPE, text=True
        )
        process.stdout.readline()
        first = start
        killed_at, saved = last_lines(process, 0.4 + chance.random())
        connection = sqlite3.connect(file)
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        connection.close()
        store = open_store(str(file))
        kept = int(store.load("project").get("counter", b"0"))
        others = store.load("project")
        store.close()
        must_be_kept = [number for number, at in saved if at < killed_at - 1.0]
        assert kept >= max(must_be_kept, default=first), (kept, must_be_kept[-1:])
        assert all(int(value) <= kept for value in others.values())
        start = kept + 1000
    assert start > 1000 * ROUNDS  # something was kept, every time
