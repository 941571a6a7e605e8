"""Hypothesis strategies for what faulty clients send: JSON values, and JSON texts that are damaged or cut."""

from __future__ import annotations

from hypothesis import strategies as st

_PLACES = st.integers(0, 200)


def damaged(texts: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    """Texts with up to three bytes of anything put in somewhere."""
    return st.builds(
        lambda data, at, junk: data[: at % (len(data) + 1)] + junk + data[at % (len(data) + 1) :],
        texts,
        _PLACES,
        st.binary(max_size=3),
    )


def cut(texts: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    """Texts that end somewhere in their midst."""
    return st.builds(lambda data, at: data[: at % (len(data) + 1)], texts, _PLACES)


def values(scalars: st.SearchStrategy, size: int = 3) -> st.SearchStrategy:
    """Anything that JSON can hold: null, booleans, numbers, these scalars, and lists and objects of `size` items."""
    return st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | scalars,
        lambda inner: (
            st.lists(inner, max_size=size) | st.dictionaries(st.text(max_size=4), inner, max_size=size)
        ),
        max_leaves=2 * size,
    )
