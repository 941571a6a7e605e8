"""The one rule of what a cloud variable holds, applied to JSON texts and to Python values."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudlink.cloudvalues import MAX_LENGTH, check, is_value

NUMBERS = ["0", "5", "-5", "1.5", "-0.0", "1.0", "1e5", "1E-7", "1e308", "123456789012345678901234567890"]
NUMERIC_TEXTS = ["", "0", "10", "-1", "007", "5.", ".5", "-.5", "-5.", "-.", "3.14", "9" * 100]
OTHER_TEXTS = [
    "abc",
    "-",
    ".",
    "1e5",
    " 1",
    "1 ",
    "+1",
    "--1",
    "1-",
    "1.2.3",
    "1,5",
    "0x1",
    "NaN",
    "٣",
    "1\n",
    "\0",
]
NO_VALUES = ["", "true", "false", "null", "{}", '{"a":1}', "[]", "[1]", "1e309", "-1e400", "1" * 400]


def _is_value(raw, longest=1000, **options):
    return is_value(raw.encode(), longest, **{"text_allowed": False} | options)


def accepts(value, **options):
    try:
        check(value, **options)
    except (TypeError, ValueError):
        return False
    return True


@pytest.mark.parametrize("raw", NUMBERS)
def test_finite_numbers_are_values(raw):
    assert _is_value(raw)
    assert _is_value(raw, text_allowed=True)
    assert accepts(json.loads(raw))


@pytest.mark.parametrize("text", NUMERIC_TEXTS)
def test_texts_of_digits_are_values(text):
    assert _is_value(json.dumps(text))
    assert _is_value(json.dumps(text), text_allowed=True)
    assert accepts(text)


def test_the_length_counts_characters_and_not_bytes_of_json():
    for text_allowed in (False, True):
        assert _is_value('"12345"', longest=5, text_allowed=text_allowed)
        assert _is_value('"\\u0031\\u0032345"', longest=5, text_allowed=text_allowed)
        assert not _is_value('"123456"', longest=5, text_allowed=text_allowed)


@pytest.mark.parametrize("text", OTHER_TEXTS)
def test_other_texts_are_values_only_where_text_is_allowed(text):
    assert not _is_value(json.dumps(text))
    assert _is_value(json.dumps(text), text_allowed=True)
    assert _is_value(json.dumps(text, ensure_ascii=False), text_allowed=True)
    assert not accepts(text)
    assert accepts(text, text_allowed=True)


@pytest.mark.parametrize("raw", NO_VALUES)
def test_other_json_is_not_a_value(raw):
    assert not _is_value(raw)
    assert not _is_value(raw, text_allowed=True)


def test_length_of_a_text_counts_characters():
    for text in ("1" * 5, "☁" * 5, "😀" * 5, '"' * 5):
        for ascii_only in (False, True):
            raw = json.dumps(text, ensure_ascii=ascii_only)
            assert _is_value(raw, 5, text_allowed=True)
            assert not _is_value(raw, 4, text_allowed=True)


def test_length_of_a_number_counts_its_digits():
    assert _is_value("-1.25", 5)
    assert not _is_value("-1.25", 4)


@pytest.mark.parametrize("end", ["x", ".1.", "-"])
def test_a_long_text_that_is_almost_a_number_is_looked_at_once(end):
    # A hundredth of a second; going back for every digit would take half a minute.
    began = time.process_time()
    assert not is_value(f'"{"1" * 99_000}{end}"'.encode(), 100_000, text_allowed=False)
    assert time.process_time() - began < 1


@pytest.mark.parametrize(
    ("value", "error", "words"),
    [
        (True, TypeError, "holds a number or text of digits, not True"),
        (None, TypeError, "not None"),
        ([1], TypeError, "not \\[1\\]"),
        (b"1", TypeError, "not b'1'"),
        (float("nan"), ValueError, "finite"),
        (float("-inf"), ValueError, "finite"),
        (10**400, ValueError, "finite"),
        ("ten", ValueError, "text of digits, not 'ten'"),
        ("x" * 100, ValueError, f"not '{'x' * 60}'$"),
        ("1" * (MAX_LENGTH + 1), ValueError, "at most 100000 digits"),
    ],
)
def test_a_refusal_says_what_a_variable_holds(value, error, words):
    with pytest.raises(error, match=words):
        check(value)


def test_the_longest_texts_are_values():
    check("1" * MAX_LENGTH)
    check("x" * MAX_LENGTH, text_allowed=True)
    with pytest.raises(ValueError, match="100000"):
        check("x" * (MAX_LENGTH + 1), text_allowed=True)


VALUES = st.one_of(
    st.integers(),
    st.floats(),
    st.booleans(),
    st.none(),
    st.text(alphabet="0123456789.-e +", max_size=8),
    st.text(),
)


@given(VALUES, st.booleans())
def test_a_program_may_set_exactly_what_a_server_accepts(value, text_allowed):
    assert accepts(value, text_allowed=text_allowed) == server_accepts(value, text_allowed=text_allowed)


def server_accepts(value, **options):
    """The result of the server's side of the rule for the JSON text of a value."""
    try:
        text = json.dumps(value, allow_nan=False).encode()
    except ValueError:
        return False
    return is_value(text, MAX_LENGTH, **options)
