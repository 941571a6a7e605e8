"""One thread hashes passwords, and few wait for it."""

from __future__ import annotations

import threading

import pytest

from cloudlink.admin import passwords
from cloudlink.admin.actors import AdminError
from cloudlink.admin.hashing import MOST_WAITING, HashingHere, HashingThread


@pytest.fixture
def gate(monkeypatch):
    """Holds up every check until it is opened."""
    gate = threading.Event()
    monkeypatch.setattr(passwords, "matches", lambda password, hashed: gate.wait(10) and password == hashed)
    return gate


@pytest.fixture
def hasher():
    made = HashingThread()
    yield made
    made.stop()


def test_nine_are_taken_and_further_ones_are_told_to_come_back(gate, hasher):
    checks = [hasher.check("x", "x") for _ in range(MOST_WAITING + 1)]
    with pytest.raises(AdminError) as refused:
        hasher.check("x", "x")
    assert refused.value.code == "busy"
    gate.set()
    assert all(check.result(10) for check in checks)
    assert not hasher.check("x", "y").result(10)


def test_it_computes_one_after_the_other(hasher, monkeypatch):
    threads = []
    monkeypatch.setattr(
        passwords, "hash_of", lambda password: threads.append(threading.get_ident()) or password
    )
    assert [hasher.hash(word).result(10) for word in "abc"] == ["a", "b", "c"]
    assert len(set(threads)) == 1
    assert threads[0] != threading.get_ident()


def test_what_waits_at_the_end_is_not_looked_at(gate, hasher):
    first, second = hasher.check("x", "x"), hasher.check("x", "x")
    hasher.stop()
    gate.set()
    assert first.result(10)
    assert second.cancelled()
    hasher.stop()


def test_a_program_that_has_nothing_else_to_do_hashes_at_once():
    here = HashingHere()
    hashed = here.hash("four words are fine").result(0)
    assert here.check("four words are fine", hashed).result(0)
    assert not here.check("other", hashed).result(0)
