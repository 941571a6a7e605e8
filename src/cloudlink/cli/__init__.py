"""The command `cloudlink`: selects and runs a sub-command, and reports an error in one sentence.

Each sub-command is a module of this package with `HELP`, `add_arguments` and `run`, imported when it is needed: a server
does not load the other commands. Nothing here depends on settings or the server.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Protocol, cast

from cloudlink import later  # noqa: F401  # before what others import
from cloudlink.cli.parser import Parser
from cloudlink.errors import StartError
from cloudlink.installation import conflict
from cloudlink.text import did_you_mean, printable
from cloudlink.version import __version__

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence


class _Command(Protocol):
    """The interface of a sub-command's module."""

    HELP: str

    def add_arguments(self, parser: Parser, /) -> None: ...

    def run(self, arguments: argparse.Namespace, /) -> int: ...


_COMMANDS = (
    "serve",
    "config",
    "vars",
    "rooms",
    "admin",
    "client",
    "doctor",
    "bridge",
    "migrate",
    "completion",
)
"""The sub-commands, which are the names of their modules too."""
_INTERRUPTED = 130
"""The exit status that shells report for a program ended by Ctrl-C."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status: 0, or 1 when CloudLink could not start.

    Args:
        argv: The arguments after `cloudlink`; None for those of this process.
    """
    try:
        return _run_to_the_end(list(sys.argv[1:] if argv is None else argv))
    except BrokenPipeError:
        # The reader has closed the pipe, as `| head` does; Python must not try to write the rest at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except StartError as error:
        # The sentence may repeat variable names that strangers chose.
        print(f"cloudlink: {printable(str(error))}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return _INTERRUPTED


def _run_to_the_end(words: list[str]) -> int:
    """Run, and flush the output, so that an error in writing it occurs here and not when Python exits."""
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
    if name != "doctor" and (mixture := conflict()):
        raise StartError(mixture)
    parser = _parser(name)
    arguments, unknown = parser.parse_known_args(words)
    if unknown:
        raise StartError(_unknown_word(parser, unknown[0]))
    return _command(name).run(arguments)


def _command(name: str) -> _Command:
    return cast("_Command", import_module(f"cloudlink.cli.{name}"))


def _parser(name: str) -> Parser:
    command = _command(name)
    parser = Parser(prog=f"cloudlink {name}", description=command.HELP)
    command.add_arguments(parser)
    return parser


def all_parsers() -> dict[str, Parser]:
    """Return the parser of every command, by its name."""
    return {name: _parser(name) for name in _COMMANDS}


def _unknown_word(parser: Parser, word: str) -> str:
    if not word.startswith("-"):
        return f"CloudLink cannot tell what {word} is for; `{parser.full_help}` lists all flags."
    flag = word.partition("=")[0]
    known = did_you_mean(flag, parser.flag_names, prefix="--")
    return f"There is no flag {flag}{known or f'; `{parser.full_help}` lists all flags.'}"


def _overview() -> str:
    commands = "\n".join(f"  cloudlink {name:<12}{_command(name).HELP}" for name in _COMMANDS)
    return (
        f"CloudLink, the realtime server of the Scratch world\n\n{commands}\n\n"
        f"`cloudlink` alone means `cloudlink serve`; `cloudlink COMMAND --help` lists the flags of a command,\n"
        f"`cloudlink serve --help-all` those of all settings, `cloudlink --version` prints the version."
    )
