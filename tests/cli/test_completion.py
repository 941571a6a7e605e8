"""Completion scripts: what bash offers for a line, and that every shell that is installed takes its script."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess

import pytest

from cloudlink.cli import all_parsers, main
from cloudlink.cli.completion import SHELLS, commands
from cloudlink.settings import OPTIONS

pytestmark = pytest.mark.usefixtures("empty_folder")


def script(capsys, shell):
    assert main(["completion", shell]) == 0
    return capsys.readouterr().out


@pytest.fixture
def offers(capsys, tmp_path):
    """The completions that bash offers for the last word of a line."""
    file = tmp_path / "completion.bash"
    file.write_text(script(capsys, "bash"), encoding="utf-8")

    def complete(line):
        words = line.split(" ")
        program = (
            f"source {file}; COMP_WORDS=({shlex.join(words)}); COMP_CWORD={len(words) - 1}; "
            "COMP_LINE=; _cloudlink; printf '%s\\n' \"${COMPREPLY[@]}\""
        )
        done = subprocess.run(["bash", "-uc", program], capture_output=True, text=True, check=True)
        assert done.stderr == ""
        return done.stdout.split()

    return complete


needs_bash = pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")


@needs_bash
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("cloudlink s", ["serve"]),
        (
            "cloudlink ",
            list(all_parsers()),
        ),
        ("cloudlink --hos", ["--host"]),
        ("cloudlink serve --hos", ["--host"]),
        ("cloudlink serve --log-l", ["--log-level"]),
        ("cloudlink serve --log-level ", ["debug", "info", "warning", "error"]),
        ("cloudlink serve --log-level = w", ["warning"]),
        ("cloudlink serve --log-level =", ["debug", "info", "warning", "error"]),
        ("cloudlink --log-level i", ["info"]),
        ("cloudlink config --write-delay a", ["auto"]),
        ("cloudlink serve --port ", []),
        ("cloudlink serve --port 3 --no-cloud-b", ["--no-cloud-bridge"]),
        ("cloudlink serve x", []),
        ("cloudlink vars ", ["list", "get", "set", "delete", "export", "import", "backup", "restore"]),
        ("cloudlink vars list --f", ["--file"]),
        ("cloudlink vars export --out", ["--output"]),
        ("cloudlink vars --fi", ["--file"]),
        ("cloudlink completion p", ["powershell"]),
        ("cloudlink doctor --or", ["--origin"]),
    ],
)
def test_bash_offers(offers, line, expected):
    assert offers(line) == expected


@needs_bash
@pytest.mark.parametrize(
    "line",
    [
        "cloudlink --config gam",
        "cloudlink serve --plugin gam",
        "cloudlink serve --storage = gam",
        "cloudlink vars import gam",
        "cloudlink vars --file gam",
    ],
)
def test_bash_offers_files(offers, tmp_path, line):
    (tmp_path / "game.toml").touch()

    assert offers(line) == ["game.toml"]


@needs_bash
def test_bash_offers_every_flag_of_every_setting(offers):
    offered = offers("cloudlink serve -")

    for option in OPTIONS.values():
        assert set(option.flags) < set(offered)


@needs_bash
def test_bash_registers_the_function(capsys):
    program = script(capsys, "bash") + "complete -p cloudlink"
    done = subprocess.run(["bash", "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "complete -F _cloudlink cloudlink\n"


PARSE = (
    "$e = $null; [void][System.Management.Automation.Language.Parser]::ParseFile($env:SCRIPT, [ref]$null, [ref]$e); "
    "exit $e.Count"
)


@pytest.mark.parametrize(
    ("shell", "check"),
    [
        ("bash", ["bash", "-c", "bash -n $SCRIPT"]),
        ("zsh", ["zsh", "-c", "zsh -n $SCRIPT"]),
        ("fish", ["fish", "-c", "fish --no-execute $SCRIPT"]),
        ("powershell", ["pwsh", "-NoProfile", "-Command", PARSE]),
    ],
)
def test_the_shell_takes_the_script(capsys, tmp_path, shell, check):
    if shutil.which(check[0]) is None:
        pytest.skip(f"{check[0]} is not installed")
    file = tmp_path / "script.ps1"
    file.write_text(script(capsys, shell), encoding="utf-8")

    done = subprocess.run(
        check, capture_output=True, text=True, check=False, env=os.environ | {"SCRIPT": str(file)}
    )

    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("shell", SHELLS)
def test_scripts_name_every_command_flag_and_choice(capsys, shell):
    text = script(capsys, shell)

    for command in commands(all_parsers()):
        for word, _ in command.next_words:
            assert word in text
        for flag in command.flags:
            assert all((name.lstrip("-") if shell == "fish" else name) in text for name in flag.names)
            assert all(choice in text for choice in flag.choices)
    assert re.search("@[A-Z]+@", text) is None  # every placeholder is replaced
