"""The laboratory, on a small repository: what it notices, and tests that fail by themselves."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.mutate.parts import ROOT

SCRIPT = """
from pathlib import Path
from tests.mutate.planting import faults_in
from tests.mutate import running
from tests.mutate.running import Laboratory

root = Path("repository").absolute()
faults = [
    fault
    for fault in faults_in("src/cloudlink/x.py", (root / "src/cloudlink/x.py").read_text())
    if fault.after in FAULTS
]
running._LONGEST = LONGEST
laboratory = Laboratory(Path("copies").absolute(), 2, root, lambda file: ["tests/test_x.py"])
laboratory.observe(["tests"])
for fault, is_noticed, runs in laboratory.run(faults, UNTIL):
    print(is_noticed, runs, fault.after)
assert (root / "src/cloudlink/x.py").read_text() == (Path("copies/0/src/cloudlink/x.py")).read_text()
"""

FAULTS = ("if a > 6:", "b = a + 1", "return b + a")


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


def in_laboratory(repository, until="float('inf')", faults=FAULTS, longest=120.0):
    # A process of its own, because it makes copies of itself.
    names = f"UNTIL, FAULTS, LONGEST = {until}, {faults!r}, {longest}"
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{names}\n{SCRIPT}"]
    return subprocess.run(command, cwd=repository.parent, capture_output=True, text=True, check=False)


def test_the_laboratory_tells_noticed_faults_from_survivors(repository):
    done = in_laboratory(repository)
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.splitlines()) == [
        "False 2 if a > 6:",
        "True 1 b = a + 1",
        "True 2 return b + a",
    ]


def test_a_test_that_fails_without_a_fault_is_left_out(repository):
    (repository / "tests/test_y.py").write_text(
        "from cloudlink.x import f\ndef test_f(): assert f(7, 3) == 0\ndef test_g(): pass\n"
    )
    done = in_laboratory(repository)
    assert "left out, because it fails without a fault: tests/test_y.py::test_f" in done.stdout
    assert "True 2 return b + a" in done.stdout
    assert "False 1 b = a + 1" in done.stdout


def test_a_test_that_fails_alone_is_left_out(repository):
    (repository / "tests/test_y.py").write_text(
        "from cloudlink.x import f\nmade = []\n"
        "def test_e(): made.append(f(1, 3))\n"
        "def test_f(): assert made and f(7, 3) == -1\n"
    )
    done = in_laboratory(repository)
    assert "left out, because it fails without a fault: tests/test_y.py::test_f" in done.stdout
    assert "False 1 b = a + 1" in done.stdout


def test_a_test_that_a_fault_renames_runs_all_the_same(repository):
    (repository / "tests/test_y.py").write_text(
        "import pytest\nfrom cloudlink.x import f\n"
        "@pytest.mark.parametrize('a', [f(7, 3)])\ndef test_f(a): assert a == f(7, 3) == -1\n"
    )
    done = in_laboratory(repository)
    assert "True 2 b = a + 1" in done.stdout


def test_a_constant_is_tried_with_all_tests_that_mirror_its_module(repository):
    for name, text in {
        "src/cloudlink/x.py": "K = 1\ndef f(a): return a\n",
        "src/cloudlink/z.py": "from cloudlink import x\ndef g(): return x.K\n",
        "tests/test_x.py": "from cloudlink import x, z\ndef test_f(): x.f(1)\ndef test_g(): assert z.g() == 1\n",
        "tests/test_y.py": "def test_nothing(): pass\n",
    }.items():
        (repository / name).write_text(text)
    assert in_laboratory(repository, faults=("K = 2",)).stdout == "True 2 K = 2\n"


def test_what_a_fault_makes_endless_is_ended(repository):
    (repository / "src/cloudlink/x.py").write_text(
        "def f(a, b):\n    while a > 4:\n        a = a - 1\n    return b - a\n"
    )
    done = in_laboratory(repository, faults=("a = a + 1",), longest=3.0)
    assert done.stdout == "True 1 a = a + 1\n"


def test_many_tests_that_fail_without_a_fault_are_an_error(repository):
    lines = [f"def test_{number}(): assert False" for number in range(9)]
    (repository / "tests/test_y.py").write_text("\n".join(lines))
    done = in_laboratory(repository)
    assert done.returncode == 1
    assert "Tests fail without any fault" in done.stderr


def test_no_fault_is_planted_when_the_time_is_over(repository):
    done = in_laboratory(repository, "0.0")
    assert (done.returncode, done.stdout) == (0, "")
