"""`cloudlink vars`: lists, reads, sets, deletes, exports and imports stored cloud variables.

It works on the storage file itself, even while a server runs, which notices changes within about a second.
`cloudlink.cli.storagefile` opens the file, and `cloudlink.cli.varsjson` defines the format of an export.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from cloudlink import jsontext
from cloudlink.cli import varsjson
from cloudlink.cli.flags import settings_from
from cloudlink.cli.storagefile import (
    add_places,
    counted,
    opened,
    print_rooms,
    print_text,
    print_variables,
    safe,
    shown,
    storage_file,
)
from cloudlink.cloudvalues import PREFIXES, is_value
from cloudlink.errors import StartError
from cloudlink.text import did_you_mean

if TYPE_CHECKING:
    from cloudlink.storage.database import Database

HELP = "List, read, set, delete, export or import stored cloud variables."

_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")

_ACTIONS = {
    "list": "list the projects, or the variables of one",
    "get": "print a value as JSON",
    "set": "set a variable",
    "delete": "delete a variable, or all variables of a project",
    "export": "write all projects, or one, as JSON",
    "import": "set all variables of a JSON file that export wrote, or none if it has an error",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the actions, each with its arguments and flags."""
    add_places(parser, default=None)
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    for name, meaning in _ACTIONS.items():
        action = actions.add_parser(name, help=meaning, description=f"{meaning[0].upper()}{meaning[1:]}.")
        add_places(action, default=argparse.SUPPRESS)
        if name != "import":
            optional = "?" if name in ("list", "export") else None
            action.add_argument("project", metavar="PROJECT", nargs=optional, help="the project's id")
        if name in ("get", "set", "delete"):
            optional = "?" if name == "delete" else None
            help_text = "the variable's name; the cloud in front may be omitted"
            action.add_argument("name", metavar="NAME", nargs=optional, help=help_text)
    _add_own(actions.choices)


def _add_own(actions: dict[str, argparse.ArgumentParser]) -> None:
    """Add the arguments that only one action has."""
    actions["set"].add_argument(
        "value", metavar="VALUE", help='a number or text; "10" in double quotes is text too'
    )
    actions["set"].add_argument(
        "--text", action="store_true", help="take VALUE as text, whatever it looks like"
    )
    actions["export"].add_argument(
        "--output", default="-", metavar="FILE", help="the file to write instead of printing"
    )
    actions["import"].add_argument("source", metavar="FILE", help="the file to read; - for standard input")


def run(arguments: argparse.Namespace) -> int:
    """Run an action.

    Raises:
        StartError: The file, project or variable does not exist, or the file cannot be read or written.
    """
    if arguments.action is None:
        raise StartError("Say what to do, such as `cloudlink vars list`; see `cloudlink vars --help`.")
    path = storage_file(arguments)
    {
        "list": _list,
        "get": _get,
        "set": _set,
        "delete": _delete,
        "export": _export,
        "import": _import,
    }[arguments.action](path, arguments)
    return 0


# -------------------------------------------------------------------------------------------- the actions


def _list(path: Path, arguments: argparse.Namespace) -> None:
    with opened(path) as database:
        if arguments.project is not None:
            print_variables(_variables(database, path, arguments.project))
            return
        rooms = database.rooms()
    if not rooms:
        print_text(f"No project has variables in {path}.")
    print_rooms(rooms)


def _get(path: Path, arguments: argparse.Namespace) -> None:
    with opened(path) as database:
        variables = _variables(database, path, arguments.project)
    name = _existing(variables, arguments.name, arguments.project)
    if name != arguments.name:
        print(f"cloudlink: The variable is {shown(name)}.", file=sys.stderr)
    print_text(safe(variables[name]))


def _set(path: Path, arguments: argparse.Namespace) -> None:
    value = _value(arguments.value, text=arguments.text)
    with opened(path) as database:
        project = arguments.project
        variables = database.load(project)
        found = _matching(variables, arguments.name)
        if len(found) > 1:
            raise StartError(_ambiguous(found))
        prefix = "" if arguments.name.startswith(PREFIXES) else PREFIXES[0]
        name = found[0] if found else prefix + arguments.name
        database.write({project: {name: value}})
    new = "" if found else "; the variable is new" if variables else "; the project is new"
    print_text(f"Set {shown(name)} of project {shown(project)} to {value.decode()}{new}.")
    if not _is_of_scratch(value, arguments):
        print(
            "cloudlink: Stored all the same, but Scratch projects themselves can set only numbers, "
            "because the setting cloud_text_values is off.",
            file=sys.stderr,
        )


def _delete(path: Path, arguments: argparse.Namespace) -> None:
    with opened(path) as database:
        project = arguments.project
        variables = _variables(database, path, project)
        if arguments.name is None:
            database.write({project: dict.fromkeys(variables)})
            print_text(f"Deleted {counted(len(variables), 'variable')} of project {shown(project)}.")
            return
        name = _existing(variables, arguments.name, project)
        database.write({project: {name: None}})
    print_text(f"Deleted {shown(name)} of project {shown(project)}.")


def _export(path: Path, arguments: argparse.Namespace) -> None:
    with opened(path) as database:
        if arguments.project is not None:
            projects = {arguments.project: _variables(database, path, arguments.project)}
        else:
            projects = {room: database.load(room) for room in database.rooms()}
    text = varsjson.text_of(projects)
    if arguments.output == "-":
        varsjson.print_text(text)
        return
    varsjson.write_text(text, Path(arguments.output), storage=path)
    count = counted(sum(map(len, projects.values())), "variable")
    print_text(f"Wrote {count} of {counted(len(projects), 'project')} to {arguments.output}.")


def _import(path: Path, arguments: argparse.Namespace) -> None:
    projects = varsjson.read(arguments.source)
    new = not path.exists()
    with opened(path, create=True) as database:
        database.write({project: dict(variables) for project, variables in projects.items()})
    count = counted(sum(map(len, projects.values())), "variable")
    end = ", which is new." if new else "."
    print_text(f"Wrote {count} of {counted(len(projects), 'project')} to {path}{end}")


# --------------------------------------------------------------------------------- projects, names, values


def _variables(database: Database, path: Path, project: str) -> dict[str, bytes]:
    """Return the variables of a project, which must have some."""
    variables = database.load(project)
    if not variables:
        hint = did_you_mean(project, database.rooms()) or "; `cloudlink vars list` lists all projects."
        raise StartError(f"There is no project {shown(project)} in {path}{hint}")
    return variables


def _matching(variables: dict[str, bytes], name: str) -> list[str]:
    """Return the existing variables that a name can mean: the name itself, or with a cloud in front."""
    if name in variables:
        return [name]
    return [prefix + name for prefix in PREFIXES if prefix + name in variables]


def _existing(variables: dict[str, bytes], name: str, project: str) -> str:
    found = _matching(variables, name)
    if len(found) > 1:
        raise StartError(_ambiguous(found))
    if not found:
        known = {bare: bare for full in variables for bare in (full, *map(full.removeprefix, PREFIXES))}
        hint = did_you_mean(name, known) or f"; `cloudlink vars list {shown(project)}` lists all variables."
        raise StartError(f"Project {shown(project)} has no variable {shown(name)}{hint}")
    return found[0]


def _ambiguous(found: list[str]) -> str:
    return f"There are both {' and '.join(map(shown, found))}; give the whole name, in quotes."


def _value(word: str, *, text: bool) -> bytes:
    """Return the value of a command-line word as JSON text."""
    if not text and _NUMBER.fullmatch(word):
        if math.isinf(float(word)):
            raise StartError(f"No variable can hold the number {word}; --text takes it as text.")
        return word.encode()
    if not text and word.startswith('"'):
        with contextlib.suppress(jsontext.JSONTextError, UnicodeEncodeError):
            return jsontext.dumps(jsontext.loads(word.encode()))
    return jsontext.dumps(word)


def _is_of_scratch(value: bytes, arguments: argparse.Namespace) -> bool:
    """Return whether a player could set that value too; values that are not numbers need a setting."""
    if not value.startswith(b'"'):
        return True
    text_allowed = False
    with contextlib.suppress(StartError):  # the variable is set even if the settings file has errors
        text_allowed = settings_from(arguments).cloud_text_values
    return is_value(value, len(value), text_allowed=text_allowed)
