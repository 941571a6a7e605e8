"""The audit: what a line holds, what it must not hold, and how many there are."""

from __future__ import annotations

import pytest

from cloudlink.admin.actors import Actor
from cloudlink.admin.audit import Audit
from cloudlink.admin.store import AdminStore
from tests.admin.conftest import MODERATOR, NOW, OWNER


@pytest.fixture
def make(tmp_path):
    stores = []

    def make(path="", **options):
        store = AdminStore(tmp_path / path if path else "", patience=0.02, look_every=0.02)
        store.open()
        stores.append(store)
        clock = [NOW]
        audit = Audit(store, lambda: clock[0], **options)
        audit.load()
        return audit, clock

    yield make
    for store in stores:
        store.close()


@pytest.mark.parametrize("path", ["", "admin.db"])
def test_a_line(make, path):
    audit, _ = make(path)
    audit.record(OWNER, "bans.add", target="name:bob", params={"seconds": 60}, reason="spam")
    (row,) = audit.list(OWNER).result(0)["items"]
    assert row == {
        "id": 1,
        "at": int(NOW),
        "actor": "mia",
        "role": "owner",
        "via": "dashboard",
        "from": "203.0.113.9",
        "method": "bans.add",
        "target": "name:bob",
        "params": {"seconds": 60},
        "outcome": "ok",
        "reason": "spam",
    }
    assert audit.actions == {"bans.add": 1}


@pytest.mark.parametrize("path", ["", "admin.db"])
def test_pages_and_own_lines(make, path):
    audit, _ = make(path)
    for number in range(5):
        audit.record(OWNER if number % 2 else MODERATOR, f"m{number}")
    page = audit.list(OWNER, limit=2).result(0)
    assert ([row["id"] for row in page["items"]], page["next"]) == ([5, 4], 4)
    page = audit.list(OWNER, after=4).result(0)
    assert ([row["id"] for row in page["items"]], page["next"]) == ([3, 2, 1], None)
    assert [row["method"] for row in audit.list(MODERATOR).result(0)["items"]] == ["m4", "m2", "m0"]


def test_no_secrets_and_no_control_characters(make):
    audit, _ = make("admin.db")
    params = {
        "password": "correct horse",
        "nested": {"token": "secret", "keep": ["a\nb", None, 1.5, True, object]},
        "text": "a message",
        "long": "x" * 1000,
        "many": list(range(100)),
    }
    audit.record(Actor("m\u202eia\x1b[31m", "owner", "cli"), "x", target="a\r\nb", params=params, reason="\0")
    (row,) = audit.list(OWNER).result(0)["items"]
    text = str(row)
    for secret in ("correct horse", "secret", "a message", "\x1b", "\u202e", "\n", "\0"):
        assert secret not in text
    assert row["target"] == "a\\x0d\\x0ab"
    assert row["params"]["nested"]["keep"][:4] == ["a\\x0ab", None, 1.5, True]
    assert len(row["params"]["long"]) == 300
    assert len(row["params"]["many"]) == 20


def test_an_attack_is_counted(make):
    audit, clock = make()
    attacker = Actor("guess", "viewer", "dashboard", "192.0.2.7")
    audit.tick()
    for _ in range(100):
        audit.record_often(attacker, "login", outcome="wrong_credentials")
    audit.tick()
    assert len(audit.list(OWNER).result(0)["items"]) == 10
    clock[0] += 60
    audit.tick()
    newest = audit.list(OWNER).result(0)["items"][0]
    assert (newest["actor"], newest["params"], newest["outcome"]) == (
        "(many)",
        {"count": 90},
        "wrong_credentials",
    )
    audit.record_often(attacker, "login", outcome="wrong_credentials")
    assert len(audit.list(OWNER).result(0)["items"]) == 12


def test_addresses_are_shown_as_the_setting_says(make):
    audit, _ = make(shown=lambda _address: "hidden")
    audit.record(OWNER, "x")
    audit.record(Actor("server", "owner", "auto"), "x")
    assert [row["from"] for row in audit.list(OWNER).result(0)["items"]] == ["", "hidden"]


def test_numbers_go_on_after_a_restart(make):
    first, _ = make("admin.db")
    first.record(OWNER, "a")
    second, _ = make("admin.db")
    second.record(OWNER, "b")
    first.record(OWNER, "c")  # another process took its number
    rows = second.list(OWNER).result(0)["items"]
    assert [(row["id"], row["method"]) for row in rows] == [(3, "c"), (2, "b"), (1, "a")]
