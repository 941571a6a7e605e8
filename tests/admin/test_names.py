"""Names and words as they are compared."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudlink.admin.names import fold, folded_with_map

TRICKY = st.text(
    st.one_of(
        st.characters(),
        st.sampled_from(
            "aB_-. \u200b\u200d\u0301\u030a\u212b\u00b4\u1100\u1161\u11a8\u3131\uff8a\uff9e\uff42ßİǅ\u00ad"
        ),
    ),
    max_size=12,
)


@pytest.mark.parametrize(
    "name",
    [
        "bob",
        "BOB",
        "b_o-b.",
        " b\to b ",
        "b\u200bo\u200db",
        "\uff42\uff4f\uff42",
        "\u24d1ob",
        "bo\ufe0fb",
        "b\u2800ob",
        "\u202ebob\u202c",
        "bo\u00adb",
    ],
)
def test_names_that_are_the_same(name):
    assert fold(name) == "bob"


@pytest.mark.parametrize(("one", "other"), [("bob", "bobby"), ("Straße", "strase"), ("é", "e"), ("l", "1")])
def test_names_that_differ(one, other):
    assert fold(one) != fold(other)


def test_accents_and_sharp_s():
    assert fold("Stra\u00dfe") == fold("STRASSE")
    assert fold("e\u0301") == fold("\u00e9") == fold("E\u200d\u0301")


def test_names_without_a_letter_are_not_all_the_same():
    assert fold("___") != fold("...") != ""


@given(TRICKY)
def test_folding_twice_changes_nothing(name):
    assert fold(fold(name)) == fold(name)


@given(TRICKY)
def test_case_width_and_what_is_not_seen_make_no_difference(name):
    if any(character.isalnum() for character in fold(name)):
        assert fold(f"_{name}\u200b.") == fold(name)


@given(TRICKY)
def test_the_map_covers_the_word_in_order(word):
    folded, places = folded_with_map(word)
    assert len(places) == len(folded)
    assert all(0 <= start < end <= len(word) for start, end in places)
    assert places == sorted(places)


@given(st.text(st.characters(categories=["L", "Mn", "Nd", "Cf"]), max_size=8))
def test_a_word_is_folded_as_a_name_is(word):
    folded, _ = folded_with_map(word)
    if folded:
        assert fold(folded) == fold(word)


def test_a_map():
    assert folded_with_map("B.a-D") == ("bad", [(0, 1), (2, 3), (4, 5)])
    assert folded_with_map("be\u0301\u200bd") == ("b\u00e9d", [(0, 1), (1, 3), (4, 5)])
    assert folded_with_map("\ufb01x") == ("fix", [(0, 1), (0, 1), (1, 2)])
    assert folded_with_map("") == ("", [])


def test_a_thousand_accents_take_no_time():
    folded, places = folded_with_map("a" + "\u0301" * 4000)
    assert folded.startswith("\u00e1")
    assert places[0] == (0, 4001)
