"""How the command line parses its arguments before a sub-command gets them."""

from __future__ import annotations

import collections
import os
import subprocess
import sys

import pytest

from cloudlink import cli
from cloudlink.cli.flags import COMMON
from cloudlink.settings import OPTIONS
from cloudlink.version import __version__


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def failure(capsys, *words):
    """Run the command line, which must fail, and return its sentence."""
    assert cli.main(list(words)) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    return err.strip()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("sevre", "There is no command sevre; did you mean serve?"),
        ("zzz", "There is no command zzz; `cloudlink --help` lists all commands."),
        ("--prot 3", "There is no flag --prot; did you mean --port?"),
        ("config --max-client=3", "There is no flag --max-client; did you mean --max-clients?"),
        ("config --zzz=1", "There is no flag --zzz; `cloudlink config --help-all` lists all flags."),
        (
            "config port",
            "CloudLink cannot tell what port is for; `cloudlink config --help-all` lists all flags.",
        ),
        ("--port", "Argument --port: expected one argument; `cloudlink serve --help-all` lists all flags."),
        ("vars list --flie=x", "There is no flag --flie; did you mean --file?"),
        ("vars list --zzz", "There is no flag --zzz; `cloudlink vars --help` lists all flags."),
        (
            "completion",
            "The following arguments are required: SHELL; `cloudlink completion --help` lists all flags.",
        ),
        ("config --config no.toml", "The settings file no.toml does not exist."),
    ],
)
def test_mistakes(capsys, words, expected):
    assert failure(capsys, *words.split()) == f"cloudlink: {expected}"


def test_version(capsys):
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"cloudlink {__version__}\n"


def test_overview_names_every_command(capsys):
    assert cli.main(["--help"]) == 0
    out = capsys.readouterr().out
    assert "cloudlink serve       Start the server" in out
    assert "cloudlink config      Print the settings" in out


def help_of(capsys, *words):
    """Return what a command line prints that asks for help, white space made single spaces."""
    with pytest.raises(SystemExit) as caught:
        cli.main(list(words))
    assert caught.value.code == 0
    return " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("command", ["serve", "config"])
def test_help_lists_the_flags_that_most_need(capsys, command):
    out = help_of(capsys, command, "--help")

    assert out.startswith(f"usage: cloudlink {command} [FLAG ...]")
    assert "Address and TLS: --host TEXT" in out
    assert "--plugin TEXT, --plugins TEXT" in out or "--plugin, --plugins TEXT" in out  # from Python 3.13
    assert out.count(" --") < 25
    for name in set(OPTIONS) - set(COMMON):
        assert not any(f"{flag} " in out for flag in OPTIONS[name].flags)  # secrets have no flags
    assert out.endswith(f"`cloudlink {command} --help-all` lists all flags.")


@pytest.mark.parametrize(
    ("told", "columns"), [("60", 60), ("200", 200), ("0", 80), ("", 80), ("wide", 80), (None, 80)]
)
def test_help_is_as_wide_as_the_terminal(capsys, monkeypatch, told, columns):
    monkeypatch.delenv("COLUMNS", raising=False)
    if told is not None:
        monkeypatch.setenv("COLUMNS", told)
    monkeypatch.setattr("sys.__stdout__", None)
    with pytest.raises(SystemExit):
        cli.main(["serve", "--help-all"])
    longest = max(map(len, capsys.readouterr().out.splitlines()))
    assert columns - 12 <= longest <= columns - 2


def test_help_all_lists_every_flag_below_its_topic(capsys):
    out = help_of(capsys, "serve", "--help-all")

    assert "--implicit-greeting, --no-implicit-greeting" in out
    assert "The port to listen on; 0 picks a free one (default: 3000)" in out
    assert "--write-delay {auto,MILLISECONDS}" in out
    assert "--plugins TEXT" in out
    topics = list(dict.fromkeys(option.topic for option in OPTIONS.values()))
    places = [out.index(f"{topic}: --") for topic in topics]
    assert places == sorted(places)
    for option in OPTIONS.values():
        assert all(flag in out for flag in option.flags)


def test_flags_of_a_topic_are_few():
    sizes = collections.Counter(option.topic for option in OPTIONS.values())
    assert max(sizes.values()) <= 20
    assert "" not in sizes


@pytest.mark.parametrize("words", [[], ["--port", "1"], ["serve", "--port", "1"]])
def test_serve_is_what_runs_without_a_command(monkeypatch, words):
    seen = []
    monkeypatch.setattr("cloudlink.cli.serve.run", lambda arguments: seen.append(arguments) or 0)

    assert cli.main(words) == 0
    assert getattr(seen[0], "port", None) == (words[-1] if words else None)


def test_words_come_from_the_process_by_default(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["cloudlink", "--version"])

    assert cli.main() == 0
    assert capsys.readouterr().out.startswith("cloudlink ")


def test_interrupt_ends_quietly(monkeypatch, capsys):
    def interrupted(arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("cloudlink.cli.serve.run", interrupted)

    assert cli.main([]) == 130
    assert capsys.readouterr() == ("", "")


def test_python_m_cloudlink_fails_with_a_sentence_and_status_1():
    done = subprocess.run(
        [sys.executable, "-m", "cloudlink", "--port", "99999"], capture_output=True, text=True, check=False
    )

    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == (
        "cloudlink: The setting port given by the flag --port is 99999, "
        "but it must be a whole number from 0 to 65535.\n"
    )


@pytest.mark.parametrize("words", ["config --json", "config --help", "--help"])
def test_nobody_who_reads_on_is_no_error(words):
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "cloudlink", *words.split()]
    ended = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert (ended.returncode, ended.stderr) == (0, "")
