"""Lists of words, and the texts in values."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudlink import jsontext
from cloudlink.admin.words import Words, masked, plain_word, replaced, texts

ALPHABET = "abAB _.-!\u200b"


def words(*entries):
    made = Words()
    for entry in entries:
        made.add(entry, entry)
    return made


def found(text, *entries):
    return sorted((text[span.start : span.end], span.found) for span in words(*entries).find(text))


@pytest.mark.parametrize(
    ("text", "entry", "hits"),
    [
        ("a bad day", "bad", ["bad"]),
        ("badly", "bad", []),
        ("BAD!", "bad", ["BAD"]),
        ("b.a.d.", "bad", ["b.a.d"]),
        ("stop.bad", "bad", ["bad"]),
        ("so_bad_so", "bad", ["bad"]),
        ("b\u200bad", "bad", ["b\u200bad"]),
        ("\uff42\uff41\uff44", "bad", ["\uff42\uff41\uff44"]),
        ("badly", "bad*", ["bad"]),
        ("not badly", "*bad", []),
        ("sobad", "*bad", ["bad"]),
        ("so-b-a-d", "*bad", ["b-a-d"]),
        ("xbadx bad", "*bad*", ["bad", "bad"]),
        ("aaaa", "*a*", ["a"] * 4),
        ("bad\U0001f600bad", "bad", ["bad", "bad"]),
        ("\u4f60\u597d\u574f", "*\u574f*", ["\u574f"]),
        ("\ufb01ne", "*i*", ["\ufb01"]),
        ("don't", "t", ["t"]),
    ],
)
def test_what_is_found(text, entry, hits):
    assert [hit for hit, _ in found(text, entry)] == hits


@pytest.mark.parametrize("entry", ["two words", "a,b", "", "*", "**", "._-", "\u200b", "\U0001f600"])
def test_an_entry_is_one_word(entry):
    with pytest.raises(ValueError, match=r"one word|no letter"):
        plain_word(entry)


@given(st.text(ALPHABET, max_size=20), st.lists(st.text("ab", min_size=1, max_size=3), max_size=4), st.data())
def test_words_are_found_as_a_simple_search_finds_them(text, plain, data):
    entries = [data.draw(st.sampled_from([word, f"{word}*", f"*{word}", f"*{word}*"])) for word in plain]
    expected = set()
    for token in re.split(r"[ !]+", text):
        pieces = [token, *re.split(r"[_.\-]+", token)] if re.search(r"[_.\-]", token) else [token]
        for piece in pieces:
            word = re.sub(r"[_.\-\u200b]", "", piece).lower()
            for entry in entries:
                inner = re.escape(entry.strip("*"))
                pattern = f"{'.*' if entry[0] == '*' else ''}{inner}{'.*' if entry[-1] == '*' else ''}"
                if word and re.fullmatch(pattern, word):
                    expected.add(entry)
    assert {entry for _, entry in found(text, *entries)} == expected


@given(st.text(ALPHABET, max_size=30), st.lists(st.sampled_from(["a", "b*", "*ab*", "*b"]), max_size=3))
def test_a_mask_changes_only_what_was_found(text, entries):
    spans = [(span.start, span.end) for span in words(*entries).find(text)]
    hidden = masked(text, spans)
    covered = {place for start, end in spans for place in range(start, end)}
    assert len(hidden) == len(text)
    for place, (before, after) in enumerate(zip(text, hidden, strict=True)):
        assert after == ("*" if place in covered else before)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=12,
)


def strings(value, depth=0):
    if isinstance(value, str):
        return [value] if depth <= 8 else []
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for item in items for text in strings(item, depth + 1)]


@given(JSON, st.booleans())
def test_the_texts_of_a_value_are_found_and_replaced(value, is_ascii):
    raw = json.dumps(value, ensure_ascii=is_ascii).encode(errors="backslashreplace")
    seen = texts(raw)
    assert [one.text for one in seen] == strings(value)
    changed = replaced(raw, [(one, one.text + "!") for one in seen])
    assert strings(jsontext.loads(changed)) == [text + "!" for text in strings(value)]
    assert replaced(raw, [(one, one.text) for one in seen if False]) == raw


def test_texts_are_looked_at_to_depth_8():
    assert len(texts(b"[" * 8 + b'"x"' + b"]" * 8)) == 1
    assert len(texts(b"[" * 9 + b'"x"' + b"]" * 9)) == 0


def test_only_the_first_characters_are_looked_at():
    raw = json.dumps(["x" * 4000, "y" * 4000, "z"]).encode()
    first, second = texts(raw)
    assert (len(first.text), len(second.text)) == (4000, 96)
    changed = jsontext.loads(replaced(raw, [(second, "*" * 96)]))
    assert changed == ["x" * 4000, "*" * 96 + "y" * 3904, "z"]


def test_a_value_of_a_million_brackets_takes_no_time():
    assert texts(b"[" + b"{}," * 300_000 + b'"x"]') == []


def test_keys_and_numbers_are_left_alone():
    raw = b'{"bad" : 1.0, "b":"bad","c":1e400}'
    (only,) = texts(raw)
    assert replaced(raw, [(only, "***")]) == b'{"bad" : 1.0, "b":"***","c":1e400}'
    assert texts(b"1.0") == []
