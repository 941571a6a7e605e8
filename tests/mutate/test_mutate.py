"""Faults are planted where programs act, and the same ones for a seed."""

from __future__ import annotations

from textwrap import dedent

import pytest

from tests.mutate import parts
from tests.mutate.__main__ import HARMLESS, Results, sample
from tests.mutate.parts import PARTS, ROOT, files_of, part_of
from tests.mutate.planting import faults_in

SAMPLE = dedent('''
    """A module of 3 lines."""

    import os
    from typing import TYPE_CHECKING

    if TYPE_CHECKING:
        from x import Y

    __all__ = ["f"]


    def f(a: int, b: Literal[1, 2] = 3) -> int | None:
        """Return 4."""
        logger.info("5 %d", 6)
        while a < b and not a:
            a += 7
            if a == b:
                break
        try:
            a.b = c(d, "ä")
        except ValueError:
            return -a
        return a - b
''')


def afters(source=SAMPLE):
    return [fault.after for fault in faults_in("x.py", source)]


@pytest.mark.parametrize(
    "after",
    [
        "def f(a: int, b: Literal[1, 2] = 4) -> int | None:",
        "while a < b or not a:",
        "while a <= b and not a:",
        "while a < b and a:",
        "while not a:",
        "while a < b:",
        "a -= 7",
        "a += 8",
        "pass",
        "if a != b:",
        "continue",
        "return None",
        "return a + b",
    ],
)
def test_what_is_planted(after):
    assert after in afters()


def test_an_exception_may_not_be_caught():
    assert "except ZeroDivisionError:" in afters()


def test_what_only_describes_is_left_alone():
    changed = "\n".join(afters())
    for word in (
        "module of",
        "import",
        "TYPE_CHECKING",
        "__all__",
        "Return 4",
        "logger",
        "Literal[2",
        "Literal[1, 3",
    ):
        assert word not in changed


def test_each_fault_is_python_and_changes_one_place():
    for fault in faults_in("x.py", SAMPLE):
        assert fault.is_python
        assert fault.text != SAMPLE
        assert SAMPLE.splitlines()[fault.line - 1].strip() in fault.before
        assert "ä" in fault.text or "ä" in fault.before


def test_places_are_right_behind_other_characters():
    (fault,) = faults_in("x.py", 'assert f("äöü", "€") < 2 ** g\n'.replace("2 ** g", "g"))
    assert fault.text == "assert f('äöü', '€') <= g\n"


def test_each_part_has_files_and_tests():
    for name in PARTS:
        assert files_of(name)
        for file in files_of(name):
            relative = file.relative_to(ROOT).as_posix()
            assert part_of(relative) == name


def test_tests_that_mirror_a_file():
    assert parts.mirrors_of("src/cloudlink/transport/limiter.py") == ["tests/transport/test_limiter.py"]
    assert parts.mirrors_of("src/cloudlink/server/limits.py") == [
        "tests/server/test_limits.py",
        "tests/server/test_limits_log.py",
    ]
    assert "tests/client/test_session.py" in parts.mirrors_of("src/cloudlink/client/receiver.py")
    assert parts.mirrors_of("src/cloudlink/nothing/x.py") == []


def test_the_lines_of_a_fault_and_of_its_statement():
    found = {fault.after: (fault.lines, fault.around) for fault in faults_in("x.py", SAMPLE)}
    lines = SAMPLE.splitlines()
    loop = 1 + lines.index("    while a < b and not a:")
    assert found["while a <= b and not a:"] == (range(loop, loop + 1), range(loop, loop + 1))
    assert found["a += 8"] == (range(loop + 1, loop + 2), range(loop + 1, loop + 2))
    caught = found["except ZeroDivisionError:"]
    assert [lines[line - 1] for line in caught[1]] == ["    except ValueError:"]


def test_a_sample_is_repeatable_and_leaves_out_what_is_harmless(monkeypatch, tmp_path):
    chosen = sample(["rooms"], 5, 3)
    assert [fault.key for fault in sample(["rooms"], 5, 3)] == [fault.key for fault in chosen]
    assert [fault.key for fault in sample(["rooms"], 5, 4)] != [fault.key for fault in chosen]

    known = tmp_path / "harmless.txt"
    known.write_text(f"{chosen[0].key} | it changes nothing\n")
    monkeypatch.setattr("tests.mutate.__main__.HARMLESS", known)
    everything = sample(["rooms"], 20, 3)
    assert chosen[0].key not in [fault.key for fault in everything]
    assert chosen[1].key in [fault.key for fault in everything]


def test_what_is_listed_as_harmless_exists_and_has_a_reason():
    found = {}
    for line in HARMLESS.read_text().splitlines():
        key, _, reason = line.rpartition(" | ")
        file = key.partition(" | ")[0]
        if file not in found:
            found[file] = {fault.key for fault in faults_in(file, (ROOT / file).read_text())}
        assert key in found[file], line
        assert reason, line


def test_results_are_kept_in_a_file_each_for_one_fault(tmp_path):
    faults = sample(["limits"], 3, 1)
    results = Results(tmp_path / "results.txt")
    assert [results.recall(fault) for fault in faults] == [False] * 3
    for fault, is_noticed in zip((*faults[:2], faults[0]), (True, False, False), strict=True):
        results.add(fault, is_noticed)
    again = Results(tmp_path / "results.txt")
    assert (again.noticed.total(), again.survived.total()) == (0, 0)
    # Two equal faults in equal lines have a result each.
    recalled = [again.recall(fault) for fault in (faults[0], faults[0], faults[0], *faults[1:])]
    assert recalled == [True, True, False, True, False]
    assert again.noticed == results.noticed == {"limits": 1}
    assert again.survived == results.survived == {"limits": 2}


def test_without_a_file_results_are_only_counted():
    (fault,) = sample(["limits"], 1, 1)
    results = Results(None)
    results.add(fault, is_noticed=True)
    assert (results.noticed, results.survived) == ({"limits": 1}, {})
    assert not results.recall(fault)


def test_most_of_a_sample_stays_when_the_sources_change(monkeypatch, tmp_path):
    before = [fault.key for fault in sample(["limits"], 20, 1)]
    listed = tmp_path / "harmless.txt"
    listed.write_text(HARMLESS.read_text() + f"{before[3]} | why\n")
    monkeypatch.setattr("tests.mutate.__main__.HARMLESS", listed)
    after = [fault.key for fault in sample(["limits"], 20, 1)]
    assert after[:19] == before[:3] + before[4:]
