"""Faults are planted where programs act, and the laboratory tells those that tests notice from others."""

from __future__ import annotations

import subprocess
import sys
from textwrap import dedent

import pytest

from tests.mutate import parts
from tests.mutate.__main__ import HARMLESS, sample
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
            for tests in parts.tests_of(relative):
                assert all((ROOT / test).exists() for test in tests)


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
    for line in HARMLESS.read_text().splitlines():
        key, _, reason = line.rpartition(" | ")
        file = key.partition(" | ")[0]
        assert key in [fault.key for fault in faults_in(file, (ROOT / file).read_text())], line
        assert reason, line


SCRIPT = """
from pathlib import Path
from tests.mutate.planting import faults_in
from tests.mutate.running import Laboratory

root = Path("repository").absolute()
faults = [
    fault
    for fault in faults_in("src/cloudlink/x.py", (root / "src/cloudlink/x.py").read_text())
    if fault.after in ("if a > 6:", "b = a + 1", "return b + a")
]
laboratory = Laboratory(Path("copies").absolute(), 2, root, lambda file: ([], ["tests/test_x.py"], ["tests/test_y.py"]))
for fault, is_noticed in laboratory.run(faults):
    print(is_noticed, fault.after)
assert (root / "src/cloudlink/x.py").read_text() == (Path("copies/0/src/cloudlink/x.py")).read_text()
"""


@pytest.fixture
def repository(tmp_path):
    folder = tmp_path / "repository"
    for name, text in {
        "src/cloudlink/__init__.py": "",
        "src/cloudlink/x.py": "def f(a, b):\n    if a > 5:\n        b = a - 1\n    return b - a\n",
        "tests/test_x.py": "from cloudlink.x import f\ndef test_f(): assert f(1, 3) == 2\n",
        "tests/test_y.py": "from cloudlink.x import f\ndef test_f(): assert f(7, 3) == -1\n",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    subprocess.run(["git", "init", "-q", folder], check=True)
    return folder


def in_laboratory(repository):
    # A process of its own, because it makes copies of itself.
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{SCRIPT}"]
    return subprocess.run(command, cwd=repository.parent, capture_output=True, text=True, check=False)


def test_the_laboratory_tells_noticed_faults_from_survivors(repository):
    done = in_laboratory(repository)
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.splitlines()) == [
        "False if a > 6:",
        "True b = a + 1",
        "True return b + a",
    ]


def test_a_test_that_fails_without_a_fault_is_left_out(repository):
    (repository / "tests/test_y.py").write_text("def test_f(): assert False\ndef test_g(): pass\n")
    done = in_laboratory(repository)
    assert "left out, because it fails without a fault: tests/test_y.py::test_f" in done.stdout
    assert "False return b + a" not in done.stdout
    assert "True return b + a" in done.stdout
    assert "False b = a + 1" in done.stdout


def test_many_tests_that_fail_without_a_fault_are_an_error(repository):
    lines = [f"def test_{number}(): assert False" for number in range(9)]
    (repository / "tests/test_y.py").write_text("\n".join(lines))
    done = in_laboratory(repository)
    assert done.returncode == 1
    assert "Tests fail without any fault" in done.stderr
