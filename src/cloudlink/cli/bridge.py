"""`cloudlink bridge test NAME`: tries a bridge of the settings, and says what is wrong and how to fix it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloudlink.cli import examination
from cloudlink.cli.flags import DEFAULT_FILE, settings_from
from cloudlink.errors import StartError
from cloudlink.text import did_you_mean, one_line

if TYPE_CHECKING:
    import argparse

HELP = "Find out why a bridge to another server does not work."

_TEST = "try a bridge of the settings file, step by step"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the action and its arguments."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    action = actions.add_parser("test", help=_TEST, description=f"{_TEST.capitalize()}.")
    action.add_argument("name", metavar="NAME", help="the bridge, as in [bridges.NAME]")
    action.add_argument(
        "--config", metavar="FILE", help=f"the settings file to read instead of {DEFAULT_FILE}"
    )


def run(arguments: argparse.Namespace) -> int:
    """Try all steps, print the results, and return 0 if all is well, 1 if not.

    Raises:
        StartError: There is no such bridge, or the settings are wrong.
    """
    if arguments.action is None:
        raise StartError("Say what to do, such as `cloudlink bridge test b`; see `cloudlink bridge --help`.")
    settings = settings_from(arguments)
    section = settings.bridges.get(arguments.name)
    if section is None:
        hint = did_you_mean(arguments.name, settings.bridges)
        name = one_line(arguments.name)
        raise StartError(f"There is no section [bridges.{name}]{hint or ' in the settings file.'}")
    from cloudlink.bridge.trial import try_bridge  # noqa: PLC0415  # the other commands do without it

    status, has_notes = examination.run(lambda succeeded: try_bridge(arguments.name, section, succeeded))
    if status == 0:
        print("Nothing is wrong, but see the notes." if has_notes else "All is well.")
    return status
