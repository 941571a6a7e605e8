"""ESLint finds nothing in the modules of the dashboard."""

import os
import subprocess
from pathlib import Path

import pytest

from cloudlink.admin import pages
from tests.extension.test_lint import PINS
from tests.real_clients.environment import node_modules

CONFIG = Path(__file__).with_name("eslint.config.cjs")
SOURCES = Path(pages.__file__).parent


def eslint(folder):
    modules = node_modules("extension-lint", PINS, "ESLint")
    done = subprocess.run(
        [f"{modules}/.bin/eslint", "--config", str(CONFIG), "--max-warnings", "0", "."],
        env={"PATH": os.environ["PATH"], "NODE_PATH": modules},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_the_modules_are_clean(tmp_path):
    for source in SOURCES.glob("*.js"):
        (tmp_path / source.name).write_bytes(source.read_bytes())
    assert eslint(tmp_path) == (0, "")


@pytest.mark.parametrize("bad", ["let unused = 1;", "document.body.innerHTML = '';", "fetch('/');"])
def test_the_linter_sees_what_it_should(tmp_path, bad):
    (tmp_path / "bad.js").write_text(bad + "\n", encoding="utf-8")
    status, _ = eslint(tmp_path)
    assert status == 1
