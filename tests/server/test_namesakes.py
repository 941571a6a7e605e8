"""Clients by name: like a dict of sets, whatever is added and dropped."""

from ast import literal_eval

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudlink.server.namesakes import Namesakes

NAMES = st.sampled_from("ab")
CLIENTS = st.integers(0, 3)


@given(st.lists(st.tuples(NAMES, CLIENTS)))
def test_it_is_a_mapping_of_sets(steps):
    namesakes, expected = Namesakes(), {}
    for name, client in steps:
        if client in expected.get(name, ()):
            namesakes.drop(name, client)
            expected[name].remove(client)
            if not expected[name]:
                del expected[name]
        else:
            namesakes.add(name, client)
            expected.setdefault(name, set()).add(client)
        assert namesakes == expected
        assert list(namesakes) == list(expected)
        assert len(namesakes) == len(expected)
        assert literal_eval(repr(namesakes)) == expected
        for each in "ab":
            assert (each in namesakes) == (each in expected)
            assert set(namesakes.of(each)) == expected.get(each, set())


def test_what_it_returns_may_be_changed():
    namesakes = Namesakes()
    for client in (1, 2):
        namesakes.add("several", client)
    namesakes.add("one", 3)
    for name in ("several", "one"):
        namesakes[name].clear()
        assert namesakes[name]


def test_a_name_that_nobody_has_is_missing():
    namesakes = Namesakes()
    assert namesakes.get("nobody") is None
    with pytest.raises(KeyError):
        namesakes["nobody"]
    with pytest.raises(KeyError):
        namesakes.drop("nobody", 1)
