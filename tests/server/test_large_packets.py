"""A packet with very many parts costs no more than its bytes: nothing is made of what nobody asks for.

Decoding a megabyte of little objects takes hundreds of milliseconds, in which nobody else is served.
"""

from __future__ import annotations

import json

import pytest

from cloudlink import jsontext
from cloudlink.server.protocols.scratch import Scratch
from tests.support.memoryclients import MemoryClient, named
from tests.support.servers import build

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
    visitor = MemoryClient(build())
    assert visitor.ask(message) or visitor.closed
    assert max(decoded, default=0) <= LONGEST


@pytest.mark.parametrize("message", LATER, ids=lambda message: message[:40])
@pytest.mark.parametrize("listener", ["username_cfg", "setusername"])
def test_a_later_packet_of_many_parts_is_not_decoded(decoded, message, listener):
    visitor = MemoryClient(build(), {"cmd": "setid", "val": "alice", "listener": listener})
    assert visitor.ask(message)
    assert max(decoded, default=0) <= LONGEST


FEWER_KEYS = KEYS[: KEYS.rindex(",", 0, 60_000)]
HALVES = '{"x":"\\ud83d",' + FEWER_KEYS + "}"


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ('{"cmd":"gmsg","val":"\\ud83d",' + FEWER_KEYS + "}", None),
        ('{"cmd":"pmsg","val":1,"id":' + HALVES + "}", 103),
        ('{"cmd":"pmsg","val":1,"id":' + json.dumps(HALVES) + "}", 103),
    ],
    ids=["a packet", "a user object", "the text of one"],
)
def test_halves_of_surrogate_pairs_do_not_have_the_rest_decoded(decoded, message, code):
    visitor = MemoryClient(build(), {"cmd": "setid", "val": "alice"})
    (answer,) = visitor.ask(message)
    assert answer.get("code_id") == code
    assert max(decoded, default=0) <= LONGEST


@pytest.mark.parametrize(
    ("text", "is_heard"),
    [
        ("x" * 20_000, True),
        ("line\n" * 4000, True),
        ("\n" * 20_000, False),
        ("\x01" * 20_000, False),
        ("\x01", True),
    ],
)
def test_a_message_of_cloudlink_2_does_not_become_several_times_as_long(text, is_heard):
    server = build()
    neighbour = named(server, "bob")
    MemoryClient(server, "<%sn>\nalice").say("<%gs>\nalice\n" + text)
    heard = [packet["val"] for packet in neighbour.heard() if packet["cmd"] == "gmsg"]
    assert heard == [text] * is_heard


def test_of_many_lines_to_the_cloud_those_behind_a_bad_one_are_not_looked_at(monkeypatch):
    seen = []
    monkeypatch.setattr(Scratch, "_receive_object", counting_calls(Scratch._receive_object, seen))
    visitor = MemoryClient(build(), '{"method":"handshake","project_id":1,"user":"bob"}')
    visitor.say('{"method":"set","name":"x","value":1}\n' + " \n" * 10_000 + "a\n" * 10_000)
    assert visitor.closed == (4000, "A message must be a JSON object with a method")
    assert len(seen) == 3


def counting_calls(function, calls):
    def count(self, client, line):
        calls.append(line)
        return function(self, client, line)

    return count
