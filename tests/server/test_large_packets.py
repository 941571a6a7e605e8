"""A packet with very many parts costs no more than its bytes: nothing is made of what nobody asks for.

Decoding a megabyte of little objects takes hundreds of milliseconds, in which nobody else is served.
"""

from __future__ import annotations

import pytest

from cloudlink import jsontext
from hosting import build
from server.visitor import Visitor

PARTS = 20_000
LONGEST = 1000
"""Characters that may be decoded at a time."""

LISTS = "[" + ",".join(["[]"] * PARTS) + "]"
KEYS = ",".join(f'"k{number}":1' for number in range(PARTS))
OBJECT = "{" + KEYS + "}"
TEXT = '"' + LISTS + '"'

FIRST = [
    LISTS,
    OBJECT,
    '{"cmd":"direct","val":' + OBJECT + "}",
    '{"cmd":"handshake","val":' + OBJECT + "}",
    '{"method":"handshake","project_id":' + LISTS + ',"user":"bob"}',
    '{"method":"handshake","project_id":1,"user":' + LISTS + "}",
    '{"cmd":"setid","val":"eve","listener":' + OBJECT + "}",
]
LATER = [
    LISTS,
    OBJECT,
    '{"cmd":5,' + KEYS + "}",
    '{"cmd":null,"val":' + LISTS + "}",
    '{"cmd":"gmsg","val":' + OBJECT + "}",
    '{"cmd":"gmsg","rooms":' + OBJECT + ',"val":1}',
    '{"cmd":"pmsg","id":' + OBJECT + ',"val":1}',
    '{"cmd":"pmsg","id":{"username":' + LISTS + '},"val":1}',
    '{"cmd":"pmsg","id":' + TEXT + ',"val":1}',
    '{"cmd":"direct","id":"[' + LISTS + ']","val":1}',
]


@pytest.fixture
def decoded(monkeypatch):
    """Collect the lengths of the texts of lists and objects that are decoded."""
    lengths: list[int] = []

    def counting(function):
        def count(data):
            if data.lstrip()[:1] in (b"{", b"["):
                lengths.append(len(data))
            return function(data)

        return count

    monkeypatch.setattr(jsontext, "loads", counting(jsontext.loads))
    monkeypatch.setattr(jsontext, "members", counting(jsontext.members))
    return lengths


@pytest.mark.parametrize("message", FIRST, ids=lambda message: message[:40])
def test_a_first_message_of_many_parts_is_not_decoded(decoded, message):
    visitor = Visitor(build())
    assert visitor.ask(message) or visitor.closed
    assert max(decoded, default=0) <= LONGEST


@pytest.mark.parametrize("message", LATER, ids=lambda message: message[:40])
@pytest.mark.parametrize("listener", ["username_cfg", "setusername"])
def test_a_later_packet_of_many_parts_is_not_decoded(decoded, message, listener):
    visitor = Visitor(build(), {"cmd": "setid", "val": "alice", "listener": listener})
    assert visitor.ask(message)
    assert max(decoded, default=0) <= LONGEST
