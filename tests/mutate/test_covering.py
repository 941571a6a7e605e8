"""Which tests are chosen, from what they run and how long they take."""

from __future__ import annotations

from tests.mutate.covering import Coverage

SEEN = Coverage(
    {"a.py::one": 1.0, "a.py::two": 3.0, "b.py::one": 2.0, "b.py::two": 0.5},
    ["b.py::two"],
    {"x.py": {1: {"a.py::one", "a.py::two"}, 2: {"b.py::one"}}},
)


def test_tests_that_run_a_line():
    assert SEEN.tests_of("x.py", [1]) == {"a.py::one", "a.py::two"}
    assert SEEN.tests_of("x.py", range(1, 4)) == {"a.py::one", "a.py::two", "b.py::one"}
    assert SEEN.tests_of("x.py", [3]) == SEEN.tests_of("y.py", [1]) == set()


def test_short_tests_of_all_files_are_chosen_and_keep_their_order():
    everything = set(SEEN.seconds)
    assert SEEN.choose(everything, 10) == list(SEEN.seconds)
    assert SEEN.choose(everything, 1.6) == ["a.py::one", "b.py::two"]
    assert SEEN.choose(everything, 1.4) == ["b.py::two"]
    assert SEEN.choose(everything, 3.6, first={"a.py::two"}) == ["a.py::two", "b.py::two"]
    assert SEEN.choose(everything, 0) == []


def test_what_was_seen_can_be_saved(tmp_path):
    SEEN.save(tmp_path / "seen.json")
    assert Coverage.load(tmp_path / "seen.json") == SEEN
