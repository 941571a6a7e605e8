"""What stops people before anything runs is said in one sentence: an old Python, and no internet at the first start."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TOO_OLD = "CloudLink needs Python 3.11 or newer; install it, and start this with it.\n"
AS_OLD_PYTHON = "import runpy, sys; sys.version_info = (3, 10, 13); sys.argv = sys.argv[1:]; "
FILE = "runpy.run_path(sys.argv[0], run_name='__main__')"
MODULE = "runpy.run_module('cloudlink', run_name='__main__')"


@pytest.mark.parametrize(
    ("run", "word"),
    [(FILE, "examples/build.py"), (FILE, "examples/bot.py"), (MODULE, "cloudlink")],
)
def test_an_old_python_is_told(run, word, tmp_path):
    # Everything that an old Python has not got is imported later than the sentence is said.
    path = ROOT / word
    script = f"{AS_OLD_PYTHON}sys.modules['tomllib'] = sys.modules['picows'] = None; {run}"
    ended = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (1, "", TOO_OLD)


@pytest.mark.parametrize(
    ("file", "version"),
    [
        ("examples/build.py", (3, 7)),
        ("examples/bot.py", (3, 10)),
        ("src/cloudlink/__init__.py", (3, 7)),
        ("src/cloudlink/__main__.py", (3, 7)),
        ("src/cloudlink/version.py", (3, 7)),
    ],
)
def test_an_old_python_gets_as_far_as_that_sentence(file, version):
    ast.parse((ROOT / file).read_text(encoding="utf-8"), feature_version=version)


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")
@pytest.mark.parametrize("target", ["serve", "test"])
def test_a_first_start_without_internet_is_told_below_what_pip_says(tmp_path, target):
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\necho 'ERROR: No matching distribution found' >&2\nexit 1\n")
    python.chmod(0o755)
    # The tests may have been started by make itself, with variables that are not meant for this one.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    ended = subprocess.run(
        ["make", target], capture_output=True, text=True, check=False, cwd=tmp_path, env=environment
    )
    assert ended.returncode != 0
    pip, sentence, *_ = ended.stderr.splitlines()
    assert pip == "ERROR: No matching distribution found"
    assert sentence.startswith("CloudLink could not be installed: the first start needs the internet, ")
    assert "echo" not in ended.stdout
