"""JSON text: strict where the wire must be, forgiving where real clients need it."""

import json
import re
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudlink import jsontext
from cloudlink.jsontext import JSONTextError

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(values)
def test_encoded_values_decode_to_the_same(value):
    assert jsontext.loads(jsontext.dumps(value)) == value


@pytest.mark.parametrize(
    "text", [b"NaN", b"-Infinity", b"", b"{", b"[1,]", b"01", b'"\xff"', b"{a:1}", b"+1"]
)
def test_invalid_json_is_refused(text):
    with pytest.raises(JSONTextError):
        jsontext.loads(text)


def test_numbers_beyond_a_double_and_big_integers_are_json():
    assert jsontext.loads(b"1e400") == float("inf")
    assert jsontext.loads(str(2**70).encode()) == 2**70


def test_half_a_surrogate_pair_passes_both_ways():
    assert jsontext.loads(b'"\\ud83d"') == "\ud83d"
    assert jsontext.dumps("\ud83d") == b'"\\ud83d"'


INFINITE = float("inf")
odd = st.sampled_from(["\ud83d", "x\ude00", INFINITE, -INFINITE, None, 1.5, "plain", 2**70])
odd_values = st.recursive(
    odd,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["a", "\ud83d"]), inner, max_size=2)
    ),
    max_leaves=12,
)


@given(odd_values)
def test_values_that_the_fast_way_cannot_encode_decode_to_the_same(value):
    text = jsontext.dumps(value)
    assert jsontext.loads(text) == value
    assert json.loads(text, parse_constant=pytest.fail) == value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (["\ud83d", INFINITE], b'["\\ud83d",1e999]'),
        ([{"a"}, "\ud83d"], b'[["a"],"\\ud83d"]'),
        ({"x": frozenset([-INFINITE]), "n": (None,)}, b'{"x":[-1e999],"n":[null]}'),
        ({1: None, "\ud83d": INFINITE}, b'{"1":null,"\\ud83d":1e999}'),
    ],
)
def test_odd_values_stand_beside_each_other(value, text):
    assert jsontext.dumps(value) == text


@pytest.mark.parametrize("value", [object(), ["\ud83d", object()], {"n": None, (1, 2): 3}])
def test_a_value_that_json_cannot_hold_is_a_type_error(value):
    with pytest.raises(TypeError):
        jsontext.dumps(value)


@pytest.mark.parametrize("innermost", [1, None, "\ud83d"])
def test_a_value_nested_too_deeply_is_a_type_error(innermost):
    value = innermost
    for _ in range(100_000):
        value = [value]
    with pytest.raises(TypeError, match="nested too deeply"):
        jsontext.dumps(value)


def test_ready_text_is_utf8_and_half_a_pair_its_escape():
    assert jsontext.text('"é☁😀"') == '"é☁😀"'.encode()
    assert jsontext.text('"\ud83d"') == b'"\\ud83d"'


@pytest.mark.parametrize("text", [b"[" * 100_000, b"[" * 100_000 + b"]" * 100_000, b'{"a":' * 100_000])
def test_deep_nesting_is_refused_not_followed(text):
    with pytest.raises(JSONTextError):
        jsontext.loads(text)


def test_members_keep_the_text_of_their_values():
    text = b' { "a" : 1.0 , "b":{"y": 2,"x":[ ]},"c" : "\\ud83d,}" } '
    assert jsontext.members(text) == {"a": b"1.0", "b": b'{"y": 2,"x":[ ]}', "c": b'"\\ud83d,}"'}
    assert jsontext.members(b"{}") == {}


@given(st.dictionaries(st.text(), values, max_size=5), st.sampled_from([None, 2]))
def test_members_of_any_object_decode_to_its_values(value, indent):
    text = json.dumps(value, indent=indent).encode()
    assert {key: json.loads(raw) for key, raw in jsontext.members(text).items()} == value


@pytest.mark.parametrize("text", [b"[1]", b"5", b'{"a":1', b"", b'{"a":NaN}', b'{"a":' + b"[" * 100_000])
def test_members_of_text_that_is_not_an_object_are_refused(text):
    with pytest.raises(JSONTextError):
        jsontext.members(text)


# Looking at parts of a text only.

BEYOND = "x" * (1 << 16)
"""Padding that makes a text too long for the slow way."""


@given(values)
def test_valid_json_is_accepted_silently(value):
    jsontext.check(jsontext.dumps(value))


@pytest.mark.parametrize("text", [rb'["\ud83d"]', b"1e400", rb'{"\ud83d":[1]}'])
def test_a_check_takes_what_decoding_takes(text):
    jsontext.check(text)


@pytest.mark.parametrize(
    "text",
    [b"NaN", b"", b"{", b"[1,]", b"01", rb'"\ud83', b"[" * 100_000, rb'["\ud83d","%b"]' % BEYOND.encode()],
)
@pytest.mark.parametrize("look", [jsontext.check, jsontext.pick])
def test_looking_at_invalid_json_is_refused(look, text):
    with pytest.raises(JSONTextError):
        look(text)


@given(st.dictionaries(st.sampled_from("abcd"), values))
def test_members_are_picked_as_the_text_they_were(value):
    picked = jsontext.pick(jsontext.dumps(value), "a", "b")
    assert picked is not None
    assert {key: jsontext.loads(raw) for key, raw in picked.items()} == {
        key: value[key] for key in ("a", "b") if key in value
    }


@pytest.mark.parametrize(
    ("text", "picked"),
    [
        (rb'{"\ud83d":1,"a": [1.0] }', {"a": b"[1.0]"}),
        (rb'{"a":"\ud83d"}', {"a": rb'"\ud83d"'}),
        (b'{"a":1e400,"b":1}', {"a": b"1e400"}),
        (b'{"a":1,"a":2}', {"a": b"2"}),
        (b"{}", {}),
        (b"[]", None),
        (rb'["\ud83d"]', None),
        (b"5", None),
    ],
)
def test_odd_texts_to_pick_from(text, picked):
    assert jsontext.pick(text, "a") == picked


items = st.lists(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text() | st.just("\ud83d"),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=5,
    ),
    max_size=12,
)


@given(items, st.integers(0, 12), st.sampled_from([",", " , ", ",\n\t"]))
def test_whether_a_list_has_more_items_than_so_many(values, most, comma):
    text = f"[ {comma.join(json.dumps(value) for value in values)} ]".encode()
    assert jsontext.has_more_items(text, most) == (len(values) > most)


@pytest.mark.parametrize("most", [4096, 4097, 100_000])
def test_long_lists_may_be_allowed(most):
    assert not jsontext.has_more_items(b"[" + b"1," * (most - 1) + b"1]", most)
    assert jsontext.has_more_items(b"[" + b"1," * most + b"1]", most)
    # A comma within an item makes the list look longer than it is.
    assert not jsontext.has_more_items(b"[" + b"1," * (most - 1) + b"[2,3]]", most)
    assert jsontext.has_more_items(b"[" + b"1," * most + b"[2,3]]", most)


def test_nothing_is_made_of_what_is_in_a_list_that_is_only_counted():
    text = b"[[" + b"[]," * 300_000 + b"[]],1]"
    jsontext.has_more_items(text, 1)
    tracemalloc.start()
    try:
        assert not jsontext.has_more_items(text, 2)
        assert tracemalloc.get_traced_memory()[1] < 50_000
    finally:
        tracemalloc.stop()


halves = st.text(st.sampled_from(["\ud83d", "\ude00", "a", "\ue03d", "\\", '"', "\n"]), max_size=8)


@given(st.dictionaries(halves | st.just("cmd"), halves | st.lists(halves, max_size=3), max_size=5), st.data())
def test_members_beside_halves_of_pairs_are_picked_as_the_text_they_were(value, data):
    texts = {key: json.dumps(item) for key, item in value.items()}
    if data.draw(st.booleans()):
        texts = {key: re.sub(r"(?<!\\)\\ud", r"\\uD", text) for key, text in texts.items()}
    whole = "{" + ",".join(f"{json.dumps(key)}:{text}" for key, text in texts.items()) + "}"
    jsontext.check(whole.encode())
    expected = {"cmd": texts["cmd"].encode()} if "cmd" in texts else {}
    assert jsontext.pick(whole.encode(), "cmd") == expected


def test_the_spelling_of_every_half_is_kept():
    for case in ("\\u%04x", "\\u%04X"):
        for first in range(0xD800, 0xE000, 0x55):
            text = f'"{case % first}"'.encode()
            assert jsontext.pick(b'{"a":%b,"b":1}' % text, "a") == {"a": text}


def test_long_text_with_halves_of_pairs_and_private_characters_is_refused():
    text = b'{"a":"\\ud83d \\ue000","b":"%b"}'
    assert jsontext.pick(text % b"x", "a") == {"a": b'"\\ud83d \\ue000"'}
    with pytest.raises(JSONTextError, match="half a surrogate pair"):
        jsontext.pick(text % (b"x" * 5000), "a")
