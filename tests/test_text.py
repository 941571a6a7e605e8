"""Parts of messages: texts of strangers, and numbers with their nouns."""

from __future__ import annotations

import pytest

from cloudlink.text import counted, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\nb\x1b[31m\x1f ~", "a\\x0ab\\x1b[31m\\x1f ~"),
        ("\x7f\x80\x9f\xa0é", "\\x7f\\x80\\x9f\xa0é"),
        ("\u2027\u2028\u202e\u202f", "\u2027\\u2028\\u202e\u202f"),
        ("\u2065\u2066\u2069\u206a", "\u2065\\u2066\\u2069\u206a"),
    ],
)
def test_only_characters_that_control_a_terminal_are_escaped(text, shown):
    assert printable(text) == shown


def test_a_noun_agrees_with_its_number():
    assert [counted(number, "room") for number in (0, 1, 2, 1_234_567)] == [
        "0 rooms",
        "1 room",
        "2 rooms",
        "1234567 rooms",
    ]
