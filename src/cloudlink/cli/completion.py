"""`cloudlink completion`: prints a script that completes the arguments of `cloudlink` in a shell.

The scripts are generated from the parsers, so a new command, flag or choice needs no change here.
`cloudlink.cli.shells` holds the format of each shell.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from cloudlink.settings import OPTIONS

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from cloudlink.cli.parser import Parser

HELP = "Print a script that completes commands and flags in a shell."

SHELLS = ("bash", "zsh", "fish", "powershell")
DEFAULT_COMMAND = "serve"
"""The command whose flags may follow `cloudlink` directly."""

_NAMES_OF_FILES = ("FILE", "PATH", "PAGE", "TEXT")
"""Placeholders of values that are completed with file names."""


@dataclass(frozen=True)
class Flag:
    """One flag, as shell completion needs it."""

    names: tuple[str, ...]
    help: str
    takes_value: bool
    choices: tuple[str, ...]
    takes_file: bool


@dataclass(frozen=True)
class Command:
    """One command: the words that lead to it after `cloudlink`, and what may follow them."""

    words: tuple[str, ...]
    flags: tuple[Flag, ...]
    next_words: tuple[tuple[str, str], ...]
    """Words that may follow, each with its help."""
    takes_file: bool
    """Whether a positional argument is the name of a file."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the shell."""
    parser.add_argument("shell", choices=SHELLS, metavar="SHELL", help=f"one of {', '.join(SHELLS)}")


def run(arguments: argparse.Namespace) -> int:
    """Print the script."""
    from cloudlink.cli import all_parsers, shells  # noqa: PLC0415  # that module imports this one

    print(shells.SCRIPTS[arguments.shell](commands(all_parsers())), end="")
    return 0


def commands(parsers: Mapping[str, Parser]) -> list[Command]:
    """Return all commands, including their sub-commands; the first is `cloudlink` alone.

    Args:
        parsers: The parser of each command.
    """
    found = [command for name, parser in parsers.items() for command in _commands((name,), parser)]
    default = next(command for command in found if command.words == (DEFAULT_COMMAND,))
    names = tuple((name, parser.description or "") for name, parser in parsers.items())
    return [replace(default, words=(), next_words=names), *found]


def _commands(words: tuple[str, ...], parser: Parser) -> list[Command]:
    flags, next_words, takes_file = [], [], False
    for action in parser.actions:
        if action.option_strings:
            flags.append(_flag(action))
        elif action.choices and not parser.subparsers:
            next_words += [(choice, "") for choice in action.choices]
        takes_file |= not action.option_strings and action.metavar in _NAMES_OF_FILES
    next_words += [(name, other.description or "") for name, other in parser.subparsers.items()]
    found = [Command(words, tuple(flags), tuple(next_words), takes_file)]
    for name, other in parser.subparsers.items():
        found += _commands((*words, name), other)
    return found


def _flag(action: argparse.Action) -> Flag:
    choices = OPTIONS[action.dest].choices if action.dest in OPTIONS else tuple(action.choices or ())
    takes_value = action.nargs != 0
    return Flag(
        names=tuple(action.option_strings),
        help=(action.help or "").replace("%%", "%"),
        takes_value=takes_value,
        choices=choices if takes_value else (),
        takes_file=takes_value and not choices and action.metavar in _NAMES_OF_FILES,
    )
