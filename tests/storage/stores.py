"""Helpers of the storage tests: a stand-in for the event loop, and the file as another process sees it."""

from __future__ import annotations

import queue
import sqlite3
import time
from contextlib import closing

from cloudlink.storage.database import Database
from cloudlink.storage.timing import Timing

QUICK = Timing(
    gather_for=0.01,
    look_every=0.02,
    patience_of_server=0,
    patience_at_end=0.1,
    first_pause=0.02,
    longest_pause=0.05,
)
"""Has done in a moment what takes a second in a server; only the patience with other programs is a server's."""


class Turns:
    """Has functions called on the test's thread, as an event loop has them called on its own."""

    def __init__(self):
        self._calls = queue.SimpleQueue()

    def call_soon(self, function, *arguments):
        self._calls.put((function, arguments))

    def run(self):
        """Make all calls that wait by now."""
        while not self._calls.empty():
            function, arguments = self._calls.get()
            function(*arguments)

    def run_until(self, condition, seconds=10):
        """Make calls as they come, until a condition holds."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, "it never came to be"
            try:
                function, arguments = self._calls.get(timeout=0.01)
            except queue.Empty:
                continue
            function(*arguments)


class Other:
    """Another process at the file, such as the command line."""

    def __init__(self, file, wall_clock=time.time):
        self.file = file
        self.wall_clock = wall_clock

    def load(self, room):
        with closing(Database(self.file, patience=5, create=False)) as database:
            return database.load(room)

    def write(self, room, **values):
        with closing(Database(self.file, patience=5, wall_clock=self.wall_clock)) as database:
            database.write({room: values})


def edit(file, *statements):
    """Run statements on the file itself; return the rows of each."""
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        return [connection.execute(statement).fetchall() for statement in statements]
