"""The command `cloudlink`: picks the sub-command, runs it, and says in one sentence what went wrong.

Each sub-command is a module of this package with `HELP`, `add_arguments` and `run`. What a sub-command
does stands there; nothing here knows settings or the server.
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING, NoReturn, Protocol

from cloudlink.cli import client, config, doctor, rooms, serve
from cloudlink.cli import vars as variables
from cloudlink.errors import StartError
from cloudlink.text import did_you_mean, one_line
from cloudlink.version import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence


class _Command(Protocol):
    """What a module of a sub-command offers."""

    HELP: str

    def add_arguments(self, parser: argparse.ArgumentParser, /) -> None: ...

    def run(self, arguments: argparse.Namespace, /) -> int: ...


_COMMANDS: dict[str, _Command] = {
    "serve": serve,
    "config": config,
    "vars": variables,
    "rooms": rooms,
    "client": client,
    "doctor": doctor,
}
_INTERRUPTED = 130
"""The exit status of a program that Ctrl-C ended, as shells count it."""


class _Parser(argparse.ArgumentParser):
    """A parser that reports a mistake as a `StartError` instead of printing its usage and exiting."""

    def error(self, message: str) -> NoReturn:
        raise StartError(
            f"{message[:1].upper()}{one_line(message[1:])}; `{self.prog} --help` lists all flags."
        )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status: 0, or 1 when CloudLink could not start.

    Args:
        argv: The words after `cloudlink`; None takes those of this process.
    """
    try:
        return _run_to_the_end(list(sys.argv[1:] if argv is None else argv))
    except BrokenPipeError:
        # Nobody reads on, as after `| head`; Python must not try to write the rest at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except StartError as error:
        print(f"cloudlink: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return _INTERRUPTED


def _run_to_the_end(words: list[str]) -> int:
    """Run, and write what is printed, so that an error in that is met here and not when Python ends."""
    try:
        return _run(words)
    finally:
        if sys.stdout is not None:  # pythonw on Windows has none
            sys.stdout.flush()


def _run(words: list[str]) -> int:
    if words and words[0] in ("-h", "--help", "help"):
        print(_overview())
        return 0
    if words and words[0] == "--version":
        print(f"cloudlink {__version__}")
        return 0
    name = words.pop(0) if words and not words[0].startswith("-") else "serve"
    if name not in _COMMANDS:
        hint = did_you_mean(name, _COMMANDS) or "; `cloudlink --help` lists all commands."
        raise StartError(f"There is no command {name}{hint}")
    command = _COMMANDS[name]
    parser = _Parser(prog=f"cloudlink {name}", description=command.HELP, allow_abbrev=False)
    command.add_arguments(parser)
    arguments, unknown = parser.parse_known_args(words)
    if unknown:
        raise StartError(_unknown_word(parser, unknown[0]))
    return command.run(arguments)


def _unknown_word(parser: argparse.ArgumentParser, word: str) -> str:
    if not word.startswith("-"):
        return f"CloudLink cannot tell what {word} is for; `{parser.prog} --help` lists all flags."
    flag = word.partition("=")[0]
    names = parser.format_usage().replace("[", " ").replace("]", " ").split()
    known = did_you_mean(flag, [name for name in names if name.startswith("-")], prefix="--")
    return f"There is no flag {flag}{known or f'; `{parser.prog} --help` lists all flags.'}"


def _overview() -> str:
    commands = "\n".join(f"  cloudlink {name:<8}{command.HELP}" for name, command in _COMMANDS.items())
    return (
        f"CloudLink, the realtime server of the Scratch world\n\n{commands}\n\n"
        f"`cloudlink` alone means `cloudlink serve`; `cloudlink COMMAND --help` lists the flags of a command,\n"
        f"`cloudlink --version` prints the version."
    )
