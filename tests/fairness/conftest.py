"""Fixtures for measuring in the process of other tests."""

import gc

import pytest


@pytest.fixture(autouse=True)
def calm():
    """Keep what other tests left behind from the garbage collector, as a server does that serves."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()
