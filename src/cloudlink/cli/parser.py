"""The argument parser of every command: errors as sentences, a short and a full help, and its flags as data.

It does not depend on any command or setting.
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING, Any, NoReturn

from cloudlink.errors import StartError
from cloudlink.text import one_line

if TYPE_CHECKING:
    from collections.abc import Collection

_MARGIN = 2
_USUAL_COLUMNS = 80


class Help(argparse.HelpFormatter):
    """Help as wide as the terminal. argparse would measure it with `shutil`, which would stay in a server's memory."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=_columns() - _MARGIN)


class Parser(argparse.ArgumentParser):
    """A parser that raises a `StartError` instead of printing its usage and exiting."""

    def __init__(self, **keywords: Any) -> None:
        super().__init__(allow_abbrev=False, **{"formatter_class": Help, **keywords})

    def error(self, message: str) -> NoReturn:
        """Raise a `StartError` that says what is wrong."""
        raise StartError(f"{message[:1].upper()}{one_line(message[1:])}; `{self.full_help}` lists all flags.")

    @property
    def full_help(self) -> str:
        """The command that prints the help with all flags."""
        return f"{self.prog} {'--help-all' if '--help-all' in self.flag_names else '--help'}"

    def abridge(self, rare: Collection[str]) -> None:
        """Omit flags from `--help`, and add `--help-all`, which lists them too.

        Args:
            rare: The destinations of these flags.
        """
        parser = self

        class ShortHelp(Help):
            """Omits the rare flags."""

            def add_argument(self, action: argparse.Action) -> None:
                if action.dest not in rare:
                    super().add_argument(action)

        class FullHelp(argparse.Action):
            """Prints the help with all flags."""

            def __call__(self, *_: object) -> NoReturn:
                parser.formatter_class = Help
                parser.epilog = None
                parser.print_help()
                raise SystemExit(0)

        self.usage = f"{self.prog} [FLAG ...]"
        self.epilog = f"`{self.prog} --help-all` lists all flags."
        self.formatter_class = ShortHelp
        self.add_argument(
            "--help-all",
            action=FullHelp,
            nargs=0,
            default=argparse.SUPPRESS,
            help="list all flags by topic, and exit",
        )

    @property
    def actions(self) -> list[argparse.Action]:
        """The flags and positional arguments."""
        return list(self._actions)

    @property
    def subparsers(self) -> dict[str, Parser]:
        """The parsers of the sub-commands, such as `list` of `cloudlink vars`."""
        return {
            name: parser
            for action in self._actions
            if isinstance(action.choices, dict)
            for name, parser in action.choices.items()
        }

    @property
    def flag_names(self) -> list[str]:
        """The names of all flags, including those of sub-commands."""
        own = [name for action in self._actions for name in action.option_strings]
        return own + [name for parser in self.subparsers.values() for name in parser.flag_names]


def _columns() -> int:
    """Return the width of the terminal, as the environment or else the terminal says."""
    told = os.environ.get("COLUMNS", "")
    if told.isdecimal() and int(told) > 0:
        return int(told)
    try:
        columns = os.get_terminal_size(sys.__stdout__.fileno()).columns if sys.__stdout__ else 0
    except (OSError, ValueError):  # the output is not a terminal, or is closed
        columns = 0
    return columns or _USUAL_COLUMNS
