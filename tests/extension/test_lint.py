"""The extension keeps the rules of TurboWarp's gallery: ESLint without a warning, and Prettier's form."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.real_clients.environment import node_modules

HERE = Path(__file__).parent
SOURCE = HERE.parents[1] / "extension" / "cloudlink.js"
CONFIG = HERE / "eslint.config.cjs"
PINS = ("eslint@9.39.1", "@eslint/js@9.39.1", "globals@16.5.0", "prettier@3.6.2")

# Each of these breaks one rule; a linter that lets one pass checks nothing.
BAD = {
    "extension/header": ("// License: MIT\n", ""),
    "extension/one-function": ("})(Scratch);", "})(Scratch);\n0;"),
    "extension/check-can-fetch": ("  const ID =", "  new Audio('x');\n  const ID ="),
    "extension/translate-texts": ("  const ID =", "  Scratch.translate('a' + 1);\n  const ID ="),
    "extension/no-translate-alias": ("  const ID =", "  [Scratch.translate].length;\n  const ID ="),
    "no-restricted-globals": ("  const ID =", "  fetch('/');\n  const ID ="),
    "no-restricted-syntax": ("  const ID =", "  Scratch.x ??= 1;\n  const ID ="),
    "no-mixed-operators": ("  const ID =", "  (1 && 2) || 3 || (Scratch && 4 || 5);\n  const ID ="),
    "no-unused-vars": ("  const ID =", "  const unused = 1;\n  const ID ="),
    "require-await": ("  const ID =", "  (async () => 1)();\n  const ID ="),
    "strict": ('  "use strict";\n', ""),
}


@pytest.fixture(scope="module")
def tool():
    """Run one of the npm packages; its exit status and what it printed."""
    modules = node_modules("extension-lint", PINS, "ESLint")

    def run(folder, name, *arguments):
        done = subprocess.run(
            [f"{modules}/.bin/{name}", *arguments],
            env={"PATH": os.environ["PATH"], "NODE_PATH": modules},
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    return run


def eslint(tool, folder, *options):
    return tool(folder, "eslint", "--config", str(CONFIG), "--max-warnings", "0", *options)


def test_eslint_has_nothing_to_say(tool):
    assert eslint(tool, SOURCE.parent, SOURCE.name) == (0, "")


def test_prettier_would_write_it_the_same_way(tool):
    status, text = tool(SOURCE.parent, "prettier", "--trailing-comma=es5", SOURCE.name)
    assert (status, text) == (0, SOURCE.read_text(encoding="utf-8"))


def test_the_linter_sees_what_it_should(tool, tmp_path):
    source = SOURCE.read_text(encoding="utf-8")
    for number, (good, bad) in enumerate(BAD.values()):
        assert good in source
        (tmp_path / f"{number}.js").write_text(source.replace(good, bad, 1), encoding="utf-8")
    status, said = eslint(tool, tmp_path, "--format=json", ".")
    found = {
        int(Path(file["filePath"]).stem): {message["ruleId"] for message in file["messages"]}
        for file in json.loads(said)
    }
    assert status == 1
    assert [rule for number, rule in enumerate(BAD) if rule not in found[number]] == []
