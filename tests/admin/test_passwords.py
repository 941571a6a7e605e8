"""Hashes of passwords, and which passwords may be chosen."""

from __future__ import annotations

import pytest

from cloudlink.admin import passwords
from cloudlink.settings import Settings

CHEAP = "scrypt:2:1:1:c2FsdHNhbHQ=:"
PASSWORD = "caf\u00e9 is one of five words"


@pytest.fixture(scope="module")
def hashed():
    """The hash of the password, computed once: it takes a quarter of a second."""
    return passwords.hash_of(PASSWORD)


def test_a_password_matches_its_own_hash_only(hashed):
    assert hashed.startswith("scrypt:16384:8:5:")
    assert passwords.matches(PASSWORD, hashed)
    assert not passwords.matches(PASSWORD.title(), hashed)
    assert Settings(admin_password_hash=hashed).admin_password_hash == hashed


def test_two_hashes_of_one_password_differ(hashed):
    assert passwords.hash_of(PASSWORD) != hashed


def test_nobody_has_a_password(hashed):
    assert not passwords.matches("", passwords.NOBODY)
    assert passwords.NOBODY.split(":")[1:4] == hashed.split(":")[1:4]


@pytest.mark.parametrize(
    "hashed",
    [
        "",
        "plain",
        "scrypt:0:8:5:AAAA:AAAA",
        "scrypt:3:8:5:AAAA:AAAA",
        "scrypt:99999999:255:1:AAAA:AAAA",
        CHEAP,
    ],
)
def test_what_is_no_hash_matches_nothing(hashed):
    assert not passwords.matches("four words are fine", hashed)


def test_one_letter_typed_in_two_ways_is_the_same(hashed):
    assert passwords.matches(PASSWORD.replace("\u00e9", "e\u0301"), hashed)


@pytest.mark.parametrize(
    ("password", "why"),
    [
        ("", "at least 15 characters; four words"),
        ("fourteen chars", "at least 15"),
        ("x" * 1025, "at most 1024"),
        ("a" * 20, "one character over and over"),
    ],
)
def test_bad_passwords_are_refused_in_words(password, why):
    assert why in passwords.problem(password)


@pytest.mark.parametrize("password", ["fifteen chars!!", "x" * 1023 + "y", "\ud800 half a pair of it"])
def test_good_passwords(password):
    assert passwords.problem(password) == ""
