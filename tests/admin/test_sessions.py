"""Tokens, and how long each is good for."""

from __future__ import annotations

import pytest

from cloudlink.admin.sessions import MOST, Sessions
from cloudlink.admin.setupcode import SetupCode
from tests.support.clock import FakeClock


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def sessions(clock):
    return Sessions(lambda: 1000.0, lambda: 100.0, clock)


def test_a_token_finds_its_session_until_it_ends(sessions):
    token, session = sessions.begin("mia", "192.0.2.1")
    assert len(token) >= 43
    assert sessions.resume(token) is session
    assert sessions.resume(token + "x") is sessions.resume("") is sessions.resume("\ud800") is None
    sessions.end(session)
    assert session.is_over
    assert sessions.resume(token) is None


def test_no_token_is_kept(sessions):
    token, session = sessions.begin("mia", "192.0.2.1")
    assert token not in repr(session)
    assert token not in repr(vars(sessions))


def test_idle_sessions_end(sessions, clock):
    token, session = sessions.begin("mia", "")
    clock.now += 99
    sessions.touch(session)
    clock.now += 99
    assert sessions.resume(token) is session
    clock.now += 1
    assert sessions.resume(token) is None
    assert not session.is_over
    sessions.expire()
    assert session.is_over


def test_no_session_lasts_longer_than_the_longest(sessions, clock):
    _, session = sessions.begin("mia", "")
    for _ in range(10):
        clock.now += 99
        sessions.touch(session)
        sessions.expire()
        assert not session.is_over
    clock.now += 10
    sessions.expire()
    assert session.is_over


def test_all_sessions_of_an_account_end_together(sessions):
    own = [sessions.begin("mia", "")[1] for _ in range(3)]
    _, other = sessions.begin("bob", "")
    assert sessions.end_of("mia") == own
    assert sessions.all() == [other]


def test_nobody_can_take_all_places(sessions, clock):
    _, owner = sessions.begin("owner", "")
    for _ in range(MOST + 5):
        clock.now += 1
        _, latest = sessions.begin("rogue", "")
    assert len(sessions) == MOST
    assert not owner.is_over
    assert not latest.is_over


def test_with_one_session_each_the_first_makes_room(sessions):
    all_sessions = [sessions.begin(f"account{number}", "")[1] for number in range(MOST)]
    sessions.begin("newcomer", "")
    assert [session.is_over for session in all_sessions] == [True] + [False] * (MOST - 1)


# The code of the first account.


@pytest.fixture
def code(clock):
    return SetupCode(clock)


def test_a_code_is_right_for_a_quarter_of_an_hour(code, clock):
    made = code.make()
    assert len(made) >= 22
    clock.now += 899
    assert code.is_right(made)
    clock.now += 1
    assert not code.is_right(made)


def test_a_code_is_dead_after_five_wrong_tries(code):
    made = code.make()
    for wrong in ("", "x", "\ud800", made[:-1]):
        assert not code.is_right(wrong)
    assert code.is_right(made)
    assert not code.is_right("x")
    assert not code.is_right(made)


def test_a_new_code_replaces_the_old_one(code):
    old, new = code.make(), code.make()
    assert not code.is_right(old)
    assert code.is_right(new)
    code.drop()
    assert not code.is_right(new)
    assert not code.is_right("")
