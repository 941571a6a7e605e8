"""The corpus still passes, and the laboratory finds, shrinks and repeats what is wrong."""

from __future__ import annotations

import logging

import pytest
from hypothesis import strategies as st

from tests.fuzz import corpus
from tests.fuzz.search import Search, Target, attempt
from tests.fuzz.targets import TARGETS

FILES = sorted(corpus.FOLDER.glob("*/*.json"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}-{file.stem}")
def test_the_corpus(file):
    name, messages = corpus.read_file(file)
    assert attempt(TARGETS[name], messages) is None


def test_each_target_has_a_corpus_and_each_corpus_a_target():
    assert {file.parent.name for file in FILES} == {*TARGETS}


def test_a_saved_input_is_read_again(tmp_path):
    messages = [b"", bytes(range(256))]
    assert corpus.read_file(corpus.write(tmp_path, "first", messages)) == ("first", messages)


def fails_with_x(messages):
    assert b"x" not in b"".join(messages)


def test_a_failure_is_found_and_made_small():
    target = Target(st.lists(st.binary(max_size=5), max_size=3), fails_with_x)
    failure = Search(target, [[b"axe", b"b"]], 1).run(0)
    assert failure.messages == [b"axe", b"b"], "the corpus comes first"

    failure = Search(target, [], 1).run(60)
    assert failure.messages == [b"x"]
    assert "fails_with_x" in failure.text


def test_what_is_changed_comes_from_the_corpus():
    def fails(messages):
        assert messages != [b"needle", b"needle"]

    failure = Search(Target(st.just([]), fails), [[b"needle"]], 1).run(60)
    assert failure.messages == [b"needle", b"needle"]


def log_an_error(_messages):
    logging.getLogger("cloudlink.server").error("It broke.")


class Broken:
    """Something whose end fails where nobody can catch it."""

    def __del__(self):
        raise ValueError("lost")


def lose_an_exception(_messages):
    Broken()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [(log_an_error, "cloudlink.server: It broke."), (lose_an_exception, "ValueError('lost')")],
)
def test_errors_that_nobody_raises_count(wrong, said):
    assert said in attempt(Target(st.just([]), wrong), [])


def test_what_takes_seconds_is_stopped(monkeypatch):
    monkeypatch.setattr("tests.fuzz.search._MOST_TIME", 0.05)

    def spin(_messages):
        while True:
            pass

    assert "processor time" in attempt(Target(st.just([]), spin), [])
