"""Whatever is saved, deleted, loaded, restarted and changed by others, in any order: a store is like a dict."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudlink.storage import MemoryStore, open_store
from tests.storage.stores import Other, Turns

ROOM_NAMES = ["1", "2", "\ud800\0"]
ROOMS = st.sampled_from(ROOM_NAMES)
NAMES = st.sampled_from(["☁ a", "☁ b", ""])
VALUES = st.sampled_from([b"1", b'"2"', b"3.0"])
OWN = st.one_of(
    st.tuples(st.just("save"), ROOMS, NAMES, VALUES),
    st.tuples(st.just("delete"), ROOMS, NAMES),
    st.tuples(st.just("load"), ROOMS),
    st.just(("commit",)),
    st.just(("fail",)),
    st.just(("restart",)),
)
OF_OTHERS = st.one_of(
    st.tuples(st.just("save"), ROOMS, NAMES, VALUES),
    st.tuples(st.just("delete"), ROOMS, NAMES),
    st.tuples(st.just("other"), ROOMS, NAMES, st.none() | VALUES),
    st.just(("commit",)),
    st.just(("fail",)),
    st.just(("tell",)),
)


class Server:
    """A store without its thread, and the dict that a server keeps with it."""

    def __init__(self, file):
        self.file = file
        self.variables = {}
        self.open()

    def open(self):
        self.turns = Turns()
        self.store = open_store(self.file)
        self.store._call_soon = self.turns.call_soon
        self.store.watch(self.changed)

    def changed(self, room, name, value):
        self.set(room, name, value)

    def set(self, room, name, value):
        values = self.variables.setdefault(room, {})
        values.pop(name, None)
        if value is not None:
            values[name] = value

    def save(self, room, name, value):
        self.set(room, name, value)
        self.store.save(room, name, value)

    def delete(self, room, name):
        self.set(room, name, None)
        self.store.delete(room, name)

    def load(self, room):
        assert self.store.load(room) == self.variables.get(room, {})

    def commit(self):
        if self.file:
            self.store._round()

    def fail(self):
        """Fail to commit, as on a disk that is full."""
        if self.file:
            self.store._queue.take()
            self.store._queue.put_back()
            self.store._close_writer()

    def restart(self):
        if self.file:
            self.store.close()
            self.open()

    def tell(self):
        self.turns.run()

    def other(self, room, name, value):
        Other(Path(self.file)).write(room, **{name: value})

    def check(self):
        for room in ROOM_NAMES:
            self.load(room)


class Memory(Server):
    """The same with a store in memory."""

    def __init__(self):
        self.file = ""
        self.variables = {}
        self.store = MemoryStore()


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
@settings(max_examples=60)
@given(steps=st.lists(OWN, max_size=25))
def test_a_store_is_like_a_dict(kind, steps):
    with tempfile.TemporaryDirectory() as folder:
        server = Server(f"{folder}/vars.db") if kind == "sqlite" else Memory()
        for name, *arguments in steps:
            getattr(server, name)(*arguments)
        server.check()
        server.restart()
        server.check()
        server.store.close()


@settings(max_examples=100)
@given(steps=st.lists(OF_OTHERS, max_size=25))
def test_server_and_file_agree_in_the_end(steps):
    with tempfile.TemporaryDirectory() as folder:
        server = Server(f"{folder}/vars.db")
        for name, *arguments in steps:
            getattr(server, name)(*arguments)
        server.commit()
        server.tell()
        server.check()
        for room in server.variables:
            assert Other(Path(server.file)).load(room) == server.variables[room]
        server.store.close()
