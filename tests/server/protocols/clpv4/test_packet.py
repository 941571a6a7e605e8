"""CloudLink 4 packets: what is taken, what is refused, and what plugins get to see."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest

from cloudlink import jsontext
from cloudlink.jsontext import JSONTextError
from cloudlink.server.protocols.clpv4.packet import (
    Packet,
    SyntaxProblem,
    TooMany,
    as_name,
    decode_scalar,
    names,
    parse,
    split_list,
)

HALF_PAIR = rb'"\ud83d"'
MANY = 100
BEYOND = b"x" * (1 << 16)
"""Padding that makes a text too long for the slow way."""


def fields(packet: Packet) -> dict[str, bytes]:
    keys = ("val", "name", "id", "rooms", "listener")
    return {key: getattr(packet, key) for key in keys if getattr(packet, key)}


# What is taken.


def test_values_stay_the_text_that_they_were():
    packet = parse(
        b'{ "cmd":"pvar", "val" : [1.0, -0.0,1e2] ,"name":"n","id": ["a"],"rooms":1.0,"listener":2e1 }'
    )
    assert packet.cmd == "pvar"
    assert fields(packet) == {
        "val": b"[1.0, -0.0,1e2]",
        "name": b'"n"',
        "id": b'["a"]',
        "rooms": b"1.0",
        "listener": b"2e1",
    }


def test_keys_that_are_unknown_or_missing_are_fine():
    assert fields(parse(b'{"cmd":"x","color":"red"}')) == {}


@pytest.mark.parametrize("key", ["val", "name", "id", "rooms"])
def test_null_is_taken_as_text(key):
    assert fields(parse(b'{"cmd":"x","%b":null}' % key.encode())) == {key: b'"null"'}


@pytest.mark.parametrize("name", ["5", "1.50", "true", "-0"])
def test_a_variable_named_by_a_number_is_named_by_its_spelling(name):
    assert parse(f'{{"cmd":"gvar","name":{name}}}'.encode()).name == f'"{name}"'.encode()


def test_half_a_surrogate_pair_is_taken_the_slow_way_and_changes_nothing():
    data = rb'{"cmd":"gvar","val": [1.0,"\ud83d"],"name":"\ude00","listener":1.50,"rooms":null}'
    packet = parse(data)
    assert fields(packet) == {
        "val": rb'[1.0,"\ud83d"]',
        "name": rb'"\ude00"',
        "rooms": b'"null"',
        "listener": b"1.50",
    }
    assert packet.message()["val"] == [1.0, "\ud83d"]


# What is refused.

SCALAR = "must be of ['string', 'integer', 'float', 'boolean', 'number'] type"
ROOMS = "must be of ['string', 'integer', 'float', 'boolean', 'number', 'list', 'set'] type"


@pytest.mark.parametrize("val", [b"1", HALF_PAIR], ids=["plain", "with half a pair"])
@pytest.mark.parametrize(
    ("members", "details", "listener"),
    [
        (b'"listener":null', {"listener": ["null value not allowed"]}, b""),
        (b'"listener":[1]', {"listener": [SCALAR]}, b""),
        (b'"listener":{}', {"listener": [SCALAR]}, b""),
        (b'"name":[],"listener":"L"', {"name": ["must be of string type"]}, b'"L"'),
        (b'"name":{}', {"name": ["must be of string type"]}, b""),
        (b'"rooms":{"a":1},"listener":5', {"rooms": [ROOMS]}, b"5"),
        (b'"rooms":{},"name":[]', {"rooms": [ROOMS], "name": ["must be of string type"]}, b""),
        (b'"rooms":{},"listener":[]', {"rooms": [ROOMS], "listener": [SCALAR]}, b""),
    ],
)
def test_a_root_key_of_the_wrong_type(val, members, details, listener):
    with pytest.raises(SyntaxProblem) as caught:
        parse(b'{"cmd":"x","val":%b,%b}' % (val, members))
    assert caught.value.details == details
    assert caught.value.listener == listener


@pytest.mark.parametrize("val", [b"1", HALF_PAIR], ids=["plain", "with half a pair"])
@pytest.mark.parametrize(
    ("members", "complaint", "listener"),
    [
        (b'"listener":"L"', "required field", b'"L"'),
        (b'"cmd":null,"listener":5', "null value not allowed", b"5"),
        (b'"cmd":5,"listener":true', "must be of string type", b"true"),
        (b'"cmd":["x"],"listener":["L"]', "must be of string type", b""),
        (b'"cmd":{},"listener":{}', "must be of string type", b""),
        (b'"cmd":1,"listener":null', "must be of string type", b""),
    ],
)
def test_a_command_must_be_text(val, members, complaint, listener):
    with pytest.raises(SyntaxProblem) as caught:
        parse(b'{"val":%b,%b}' % (val, members))
    assert caught.value.details == {"cmd": [complaint]}
    assert caught.value.listener == listener


@pytest.mark.parametrize("data", [b"[]", b"5", b'"x"', b"null", b"true", b'["\\ud83d"]'])
def test_a_packet_must_be_an_object(data):
    with pytest.raises(SyntaxProblem) as caught:
        parse(data)
    assert caught.value.details == {"cmd": ["required field"]}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"hello",
        b'{"cmd":"x"',
        b'{"cmd":"x"}}',
        b'{"cmd":"x","val":01}',
        b'{"cmd":"x","val":"\x01"}',
        b'{"cmd":"\xff"}',
        b'{"cmd":"x","val":NaN,"name":"\\ud83d"}',
        b'{"cmd":"x","val":' + b"[" * 20_000 + b"]" * 20_000 + b"}",
        b'{"cmd":"x","name":"\\ud83d","val":' + b"[" * 20_000 + b"]" * 20_000 + b"}",
        b'{"cmd":"\\ud83d","val":"' + BEYOND + b'"}',
    ],
    ids=lambda data: repr(data[:40]),
)
def test_text_that_is_not_json(data):
    with pytest.raises(JSONTextError):
        parse(data)


def test_required_keys():
    packet = parse(b'{"cmd":"pvar","name":"n","listener":"L"}')
    packet.require("name")
    with pytest.raises(SyntaxProblem) as caught:
        packet.require("id", "name", "val")
    assert caught.value.details == {"id": ["required field"], "val": ["required field"]}
    assert caught.value.listener == b'"L"'


@pytest.mark.parametrize("val", ["false", '""', "0", "[]", "{}", "null"])
def test_a_key_is_there_whatever_it_holds(val):
    parse(f'{{"cmd":"gmsg","val":{val}}}'.encode()).require("val")


# What plugins get to see.


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"cmd":"gmsg","val":null}', {"cmd": "gmsg", "val": "null"}),
        ('{"cmd":"gmsg","val":5}', {"cmd": "gmsg", "val": 5}),
        ('{"cmd":"setid","val":5.0}', {"cmd": "setid", "val": "5.0"}),
        ('{"cmd":"setid","val":true}', {"cmd": "setid", "val": "true"}),
        ('{"cmd":"gvar","name":1.50,"val":1.50}', {"cmd": "gvar", "name": "1.50", "val": 1.5}),
        (
            '{"cmd":"pmsg","id":123,"rooms":null,"val":1}',
            {"cmd": "pmsg", "id": "123", "rooms": "null", "val": 1},
        ),
        ('{"cmd":"pmsg","id":["a",5],"val":1}', {"cmd": "pmsg", "id": ["a", 5], "val": 1}),
        ('{"cmd":"x","color":null}', {"cmd": "x", "color": None}),
    ],
)
def test_a_plugin_gets_the_packet_decoded(text, message):
    decoded = parse(text.encode()).message()
    assert decoded == message
    assert json.dumps(decoded) == json.dumps(message)  # 5 is not 5.0


@pytest.mark.parametrize(
    "data", [b'{"cmd":"gmsg","val":1e400}', b'{"cmd":"gmsg","val":-1e400,"id":"\\ud83d"}']
)
def test_a_plugin_gets_a_number_beyond_a_double_as_infinite(data):
    assert abs(parse(data).message()["val"]) == float("inf")


# Names.


def test_names_are_given_once_each_in_order():
    assert names(b'["b",1.0,"a","b",true,null,1.0,""]', "rooms", b"", MANY) == [
        "b",
        "1.0",
        "a",
        "true",
        "null",
        "",
    ]
    assert names(b'"one"', "rooms", b"", MANY) == ["one"]
    assert names(b"2.50", "rooms", b"", MANY) == ["2.50"]
    assert names(b"[]", "rooms", b"", MANY) == []


def test_names_with_half_a_pair_are_names():
    assert split_list(rb'["\ud83d",1,["a"]]', MANY) == [rb'"\ud83d"', b"1", b'["a"]']
    assert names(rb'["\ud83d","a"]', "rooms", b"", MANY) == ["\ud83d", "a"]


@pytest.mark.parametrize("raw", [b"{}", b'["a",["b"]]', b'["a",{}]'])
def test_lists_and_objects_are_no_names(raw):
    with pytest.raises(SyntaxProblem) as caught:
        names(raw, "val", b'"L"', MANY)
    assert caught.value.details == {"val": [ROOMS]}
    assert caught.value.listener == b'"L"'


@pytest.mark.parametrize(
    "raw",
    [b"[]", b"[1]", b'["a,b,c","d"]', b'[ "a" , "\\u002c" , 3 ]', rb'["a","\\\"",{"a":[1,2],"b":{}}]'],
    ids=lambda raw: raw.decode(),
)
def test_items_are_counted_not_commas(raw):
    count = len(json.loads(raw))
    assert len(split_list(raw, count)) == count
    if count:
        with pytest.raises(TooMany):
            split_list(raw, count - 1)


@pytest.mark.parametrize(
    "raw",
    [
        b"[" * 990 + b"]" * 990,
        b"[1," + b"[" * 990 + b"]" * 990 + b"]",
        b"[" + b"9" * 5000 + b",1,1]",
        b'["\\ud83d","' + BEYOND + b'"]',
    ],
    ids=["deep", "deep within", "digits", "half a pair in a long text"],
)
@pytest.mark.parametrize("most", [1, 2, MANY])
def test_lists_that_cannot_be_split_are_json_errors_if_anything(raw, most):
    with suppress(JSONTextError, SyntaxProblem, TooMany):
        names(raw, "val", b"", most)


def test_a_name_is_text_or_the_spelling_of_something_else():
    assert [as_name(value) for value in ("x", 5, 1.5, True, None, [1], {"a": 1})] == [
        "x",
        "5",
        "1.5",
        "true",
        "null",
        "[1]",
        '{"a":1}',
    ]
    assert [decode_scalar(raw) for raw in (rb'"\u2601"', b"1.50", b"true")] == ["☁", "1.50", "true"]


# JSON text that packets are made of, where it is long, deep or beyond numbers.


def test_half_a_pair_in_a_long_text_is_refused():
    with pytest.raises(JSONTextError):
        jsontext.loads(b'["\\ud83d","%b"]' % BEYOND)


def test_half_a_pair_before_deep_nesting_is_refused():
    with pytest.raises(JSONTextError, match="nested too deeply"):
        jsontext.loads(b'["\\ud83d",' + b"[" * 20_000 + b"]" * 20_000 + b"]")


def test_infinite_numbers_are_spelt_as_numbers_wherever_they_are():
    value = {"a": [float("inf"), None, {"b": -float("inf")}], "c": (1.5, float("inf")), "d": "null"}
    text = jsontext.dumps(value)
    assert text == b'{"a":[1e999,null,{"b":-1e999}],"c":[1.5,1e999],"d":"null"}'
    assert jsontext.loads(text)["a"] == [float("inf"), None, {"b": -float("inf")}]


def test_several_amendments_are_all_seen_by_plugins():
    packet = parse(b'{"cmd":"pmsg","val":1,"id":"bob","rooms":"a","listener":"l"}')
    packet.amend(val=b'"one"')
    packet.amend(rooms=b"", listener=b"")
    assert (packet.val, packet.rooms, packet.listener) == (b'"one"', b"", b"")
    assert packet.message() == {"cmd": "pmsg", "val": "one", "id": "bob"}
