"""`cloudlink vars`: lists, reads, sets, deletes, exports and imports stored cloud variables, and copies their file.

It works on the storage file itself, even while a server runs, which notices changes within about a second.
`cloudlink.cli.storagefile` opens the file, `cloudlink.cli.varsjson` defines the format of an export, and
`cloudlink.storage.backup` makes and restores copies.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import re
import sys
from pathlib import Path

from cloudlink import jsontext
from cloudlink.cli import varsjson
from cloudlink.cli.flags import settings_from
from cloudlink.cli.storagefile import (
    add_places,
    explained,
    opened,
    print_text,
    shown,
    storage_file,
)
from cloudlink.cli.storedvariables import StoredVariables
from cloudlink.cloudvalues import PREFIXES, is_value
from cloudlink.errors import StartError
from cloudlink.text import counted

HELP = "List, change, export, import or back up stored cloud variables."

_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")

_ACTIONS = {
    "list": "list the projects, or the variables of one",
    "get": "print a value as JSON",
    "set": "set a variable",
    "delete": "delete a variable, or all variables of a project",
    "export": "write all projects, or one, as JSON",
    "import": "set all variables of a JSON file that export wrote, or of the database of TurboWarp's cloud-server; or none if it has an error",
    "backup": "copy the storage file, also while a server uses it",
    "restore": "put a copy that backup made in place of the storage file; no server may use it meanwhile",
}
_OF_FILES = ("import", "backup", "restore")
"""Actions on whole files."""
_STORED = StoredVariables("project", "vars", prefixes=PREFIXES)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the actions, each with its arguments and flags."""
    add_places(parser, default=None)
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    for name, meaning in _ACTIONS.items():
        action = actions.add_parser(name, help=meaning, description=f"{meaning[0].upper()}{meaning[1:]}.")
        add_places(action, default=argparse.SUPPRESS)
        if name not in _OF_FILES:
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
    actions["backup"].add_argument(
        "copy", metavar="FILE", help="the file to write; an older copy is replaced"
    )
    actions["restore"].add_argument("copy", metavar="FILE", help="the copy to restore")


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
        "backup": _backup,
        "restore": _restore,
    }[arguments.action](path, arguments)
    return 0


# The actions.


def _list(path: Path, arguments: argparse.Namespace) -> None:
    _STORED.list_all(path, arguments.project)


def _get(path: Path, arguments: argparse.Namespace) -> None:
    _STORED.get(path, arguments.project, arguments.name)


def _delete(path: Path, arguments: argparse.Namespace) -> None:
    _STORED.delete(path, arguments.project, arguments.name)


def _set(path: Path, arguments: argparse.Namespace) -> None:
    value = _value(arguments.value, text=arguments.text)
    with opened(path) as database:
        project = arguments.project
        variables = database.load(project)
        found = _STORED.matching(variables, arguments.name)
        prefix = "" if arguments.name.startswith(PREFIXES) else PREFIXES[0]
        name = found or prefix + arguments.name
        database.write({project: {name: value}})
    new = "" if found is not None else "; the variable is new" if variables else "; the project is new"
    print_text(f"Set {shown(name)} of project {shown(project)} to {value.decode()}{new}.")
    if not _is_of_scratch(value, arguments):
        print(
            "cloudlink: Stored all the same, but Scratch projects themselves can set only numbers, "
            "because the setting cloud_text_values is off.",
            file=sys.stderr,
        )


def _export(path: Path, arguments: argparse.Namespace) -> None:
    with opened(path) as database:
        if arguments.project is not None:
            projects = {arguments.project: _STORED.load(database, path, arguments.project)}
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


def _backup(path: Path, arguments: argparse.Namespace) -> None:
    from cloudlink.storage.backup import back_up  # noqa: PLC0415  # loads SQLite

    copy = Path(arguments.copy)
    with explained(path, copy):
        size = back_up(path, copy)
    print_text(f"Copied {path} to {copy} ({size} bytes).")


def _restore(path: Path, arguments: argparse.Namespace) -> None:
    from cloudlink.storage.backup import restore  # noqa: PLC0415  # loads SQLite

    copy = Path(arguments.copy)
    with explained(path, copy):
        kept = restore(copy, path)
    earlier = f" The earlier file is {kept} now." if kept else ""
    print_text(f"Restored {path} from {copy}.{earlier}")


# Values.


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
