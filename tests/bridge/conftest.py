"""Keys of bridges, computed once for each secret: each one takes 50 ms of work."""

from __future__ import annotations

import functools

import pytest

from cloudlink.bridge import peer, proof

key_of = functools.cache(proof.key_of)


@pytest.fixture(autouse=True)
def _quick_keys(monkeypatch):
    monkeypatch.setattr(peer, "key_of", key_of)
