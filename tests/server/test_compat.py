"""The attributes of the server that plugins of CloudLink 0.2.0 use."""

from __future__ import annotations

import asyncio
import io
import logging

import pytest

from tests.support.servers import build


@pytest.fixture(scope="module")
def server():
    return build()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"a": [1, 2.5, None, True], "b": {"c": "d"}}, '{"a":[1,2.5,null,true],"b":{"c":"d"}}'),
        ("☁", '"☁"'),
        ("\ud83d", '"\\ud83d"'),
        (2**70, str(2**70)),
        ([], "[]"),
    ],
)
def test_ujson_encodes_and_decodes(server, value, text):
    ujson = server.ujson
    assert ujson.dumps(value) == ujson.encode(value) == text
    assert ujson.loads(text) == ujson.decode(text) == value
    assert ujson.loads(text.encode()) == value


def test_ujson_takes_formatting_options_and_ignores_them(server):
    assert server.ujson.dumps({"b": 1, "a": "/"}, indent=4, escape_forward_slashes=False) == '{"b":1,"a":"/"}'
    assert server.ujson.loads("[1.5]", precise_float=True) == [1.5]


def test_ujson_writes_and_reads_files(server, tmp_path):
    path = tmp_path / "scores.json"
    with path.open("w", encoding="utf-8") as file:
        server.ujson.dump({"alice": 5}, file, indent=2)
    with path.open(encoding="utf-8") as file:
        assert server.ujson.load(file) == {"alice": 5}
    assert server.ujson.load(io.StringIO("[1]")) == [1]


@pytest.mark.parametrize("text", ["", "{", "hello", "{'a':1}", "NaN", b"\xff"])
def test_ujson_refuses_what_is_not_json(server, text):
    with pytest.raises(server.ujson.JSONDecodeError):
        server.ujson.loads(text)
    with pytest.raises(ValueError):
        server.ujson.loads(text)


def test_ujson_refuses_what_json_cannot_hold(server):
    with pytest.raises(TypeError):
        server.ujson.dumps({"a": object()})


def test_validator_is_cerberus(server):
    check = server.validator({"a": {"type": "integer"}}, allow_unknown=False)
    assert check({"a": 1})
    assert not check({"a": "1", "b": 2})
    assert check.errors == {"a": ["must be of integer type"], "b": ["unknown field"]}


def test_ws_is_a_library_with_a_server_and_a_client(server):
    assert callable(server.ws.connect)
    assert callable(server.ws.serve)


def test_an_unknown_attribute_of_the_server_raises_the_usual_error(server):
    with pytest.raises(AttributeError, match="'Server' object has no attribute 'websocket'"):
        _ = server.websocket
    assert not hasattr(server, "nothing")


def test_copy_is_copy_copy(server):
    packet = {"val": [1]}
    copied = server.copy(packet)
    assert copied == packet
    assert copied is not packet
    assert copied["val"] is packet["val"]


def test_gen_makes_snowflakes(server):
    first, second = next(server.gen), next(server.gen)
    assert isinstance(first, int)
    assert first < second


def test_async_iterable_makes_anything_usable_in_async_for(server):
    async def collect(iterable):
        return [item async for item in server.async_iterable(iterable)]

    assert asyncio.run(collect([1, 2])) == [1, 2]
    assert asyncio.run(collect({"a": 1, "b": 2})) == ["a", "b"]
    assert asyncio.run(collect(number * 2 for number in range(3))) == [0, 2, 4]
    assert asyncio.run(collect(())) == []


def test_async_iterable_takes_only_what_can_be_iterated(server):
    with pytest.raises(TypeError):
        server.async_iterable(5)


def test_the_standard_modules_are_at_hand(server):
    assert server.asyncio is asyncio
    assert server.logging is logging
    assert server.logger.name == "cloudlink.server"
    server.suppress_websocket_logs = False
