"""Stores that are quick to act, and closed at the end."""

from __future__ import annotations

import pytest

from cloudlink.storage.sqlite import SqliteStore
from tests.storage.stores import QUICK, Other, Turns


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
def timing():
    return QUICK


@pytest.fixture
def opened(file, timing):
    """Opens stores at the file and closes them."""
    stores = []

    def open_one(place=file, **options):
        stores.append(SqliteStore(str(place), **{"timing": timing, **options}))
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
