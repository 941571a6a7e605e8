"""Stores that are quick to act, and closed at the end."""

from __future__ import annotations

import pytest

from cloudlink.storage import errors, open_store, sqlite
from tests.storage.stores import Other, Turns


@pytest.fixture
def turns():
    return Turns()


@pytest.fixture
def file(tmp_path):
    return tmp_path / "vars.db"


@pytest.fixture
def other(file):
    return Other(file)


@pytest.fixture
def quick(monkeypatch):
    """Have what takes a second in a server done in a moment."""
    monkeypatch.setattr(sqlite, "_GATHER_FOR", 0.01)
    monkeypatch.setattr(sqlite, "_LOOK_EVERY", 0.02)
    monkeypatch.setattr(sqlite, "_PATIENCE", 0.02)
    monkeypatch.setattr(sqlite, "_PATIENCE_OF_SERVER", 0)
    monkeypatch.setattr(sqlite, "_PATIENCE_AT_END", 0.1)
    monkeypatch.setattr(errors, "_FIRST_PAUSE", 0.02)
    monkeypatch.setattr(errors, "_LONGEST_PAUSE", 0.05)


@pytest.fixture
def opened(quick, file):
    """Opens stores at the file and closes them."""
    stores = []

    def open_one(place=file):
        stores.append(open_store(str(place)))
        return stores[-1]

    yield open_one
    for store in stores:
        store.close()


@pytest.fixture
def store(opened, turns):
    """A store that a server has started."""
    store = opened()
    store.start(turns.call_soon)
    return store
