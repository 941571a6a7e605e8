"""The extension's logic in Node.js: a fake clock, fake WebSockets, no browser (`vm/world.cjs`)."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.real_clients.environment import unavailable

HERE = Path(__file__).parent / "vm"
OLDEST_NODE = (18, 15)  # the first whose test runner writes TAP when asked to


@pytest.fixture(scope="module")
def node():
    """The path of Node.js. Skip the tests if it is missing or too old; fail them in CI."""
    program = shutil.which("node")
    if not program:
        unavailable("The extension's logic is tested in Node.js, which is not installed")
    told = subprocess.run(
        [program, "--version"], capture_output=True, text=True, timeout=30, check=True
    ).stdout
    version = tuple(int(part) for part in re.findall(r"\d+", told)[:2])
    if version < OLDEST_NODE:
        unavailable(
            f"The extension's logic is tested in Node.js {'.'.join(map(str, OLDEST_NODE))} or newer, not {told}"
        )
    return program


def run(node, file):
    """Run a file of tests; its exit status, its report (TAP), and how many tests it ran."""
    command = [node, "--test-reporter=tap", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, encoding="utf-8")
    count = re.search(r"^# tests (\d+)$", done.stdout, re.MULTILINE)
    return done.returncode, done.stdout + done.stderr, int(count[1]) if count else 0


@pytest.mark.parametrize(
    "file", sorted(HERE.glob("*.test.cjs")), ids=lambda file: file.name.partition(".")[0]
)
def test_in_node(node, file):
    status, report, count = run(node, file)
    assert status == 0, (
        "\n".join(re.findall(r"^not ok .*?^  \.\.\.$", report, re.MULTILINE | re.DOTALL)) or report
    )
    assert count >= len(re.findall(r"^ *test\(", file.read_text(encoding="utf-8"), re.MULTILINE)) > 0


def test_a_failing_test_is_noticed(node, tmp_path):
    file = tmp_path / "bad.test.cjs"
    file.write_text(
        "require('node:test').test('bad', () => { throw new Error('on purpose'); });", encoding="utf-8"
    )
    status, report, count = run(node, file)
    assert (status, count) == (1, 1)
    assert "on purpose" in report
