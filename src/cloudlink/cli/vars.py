"""`cloudlink vars`: lists, reads, sets, deletes, exports and imports stored cloud variables.

It works on the storage file itself, also while a server runs, which notices changes within about a second.
How the file is made is known to `cloudlink.storage.database`, how an export looks to `cloudlink.cli.varsjson`.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import re
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from cloudlink import jsontext
from cloudlink.cli import varsjson
from cloudlink.cli.flags import DEFAULT_FILE, settings_from
from cloudlink.cloudvalues import PREFIXES, is_value
from cloudlink.errors import StartError
from cloudlink.text import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cloudlink.storage.database import Database

HELP = "List, read, set, delete, export or import stored cloud variables."

_PATIENCE = 5.0
"""Seconds to wait for a server that is writing; it writes for milliseconds."""
_WIDEST_VALUE = 60
"""Characters of a value in a list."""
_WIDEST_NAME = 40
"""Characters to which the ids of projects are filled up in a list."""
_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")

_ACTIONS = {
    "list": "list the projects, or the variables of one",
    "get": "print a value as JSON",
    "set": "set a variable",
    "delete": "delete a variable, or all variables of a project",
    "export": "write all projects, or one, as JSON",
    "import": "set all variables of a JSON file that export wrote, or none if it has a mistake",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the actions, each with its words and flags."""
    _add_places(parser, default=None)
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    for name, meaning in _ACTIONS.items():
        action = actions.add_parser(name, help=meaning, description=f"{meaning[0].upper()}{meaning[1:]}.")
        _add_places(action, default=argparse.SUPPRESS)
        if name != "import":
            optional = "?" if name in ("list", "export") else None
            action.add_argument("project", metavar="PROJECT", nargs=optional, help="the project's id")
        if name in ("get", "set", "delete"):
            optional = "?" if name == "delete" else None
            help_text = "the variable's name; the cloud in front may be left out"
            action.add_argument("name", metavar="NAME", nargs=optional, help=help_text)
    _add_own(actions.choices)


def _add_places(parser: argparse.ArgumentParser, default: str | None) -> None:
    """Add the flags that say where the variables are, before and after the action."""
    parser.add_argument(
        "--file", default=default, metavar="PATH", help="the storage file (default: the setting storage)"
    )
    parser.add_argument(
        "--config", default=default, metavar="FILE", help=f"the settings file instead of {DEFAULT_FILE}"
    )


def _add_own(actions: dict[str, argparse.ArgumentParser]) -> None:
    """Add what only one action has."""
    actions["set"].add_argument(
        "value", metavar="VALUE", help='a number, or a text; "10" in double quotes is text as well'
    )
    actions["set"].add_argument(
        "--text", action="store_true", help="take VALUE as text, whatever it looks like"
    )
    actions["export"].add_argument(
        "--output", default="-", metavar="FILE", help="the file to write instead of printing"
    )
    actions["import"].add_argument("source", metavar="FILE", help="the file to read; - for standard input")


def run(arguments: argparse.Namespace) -> int:
    """Do what was asked for.

    Raises:
        StartError: There is no such file, project or variable, or the file cannot be read or written.
    """
    if arguments.action is None:
        raise StartError("Say what to do, such as `cloudlink vars list`; `cloudlink vars --help` tells more.")
    path = _storage_file(arguments)
    {
        "list": _list,
        "get": _get,
        "set": _set,
        "delete": _delete,
        "export": _export,
        "import": _import,
    }[arguments.action](path, arguments)
    return 0


def _storage_file(arguments: argparse.Namespace) -> Path:
    if arguments.file is not None:
        return Path(arguments.file)
    settings = settings_from(arguments)
    if not settings.storage:
        raise StartError(
            f"The setting storage is empty ({settings.origins['storage']}), so variables are kept in memory only; "
            f"name a file with --file."
        )
    return Path(settings.storage)


@contextlib.contextmanager
def _opened(path: Path, *, create: bool = False) -> Iterator[Database]:
    """Open the storage file, and say in a sentence what goes wrong with it.

    SQLite is imported here, so that the other commands do without it.
    """
    import sqlite3  # noqa: PLC0415

    from cloudlink.storage.database import Database  # noqa: PLC0415
    from cloudlink.storage.errors import StorageError, sentence  # noqa: PLC0415

    if not create and not path.exists():
        raise StartError(f"There is no file {path}; name the storage file of your server with --file.")
    try:
        with contextlib.closing(Database(path, patience=_PATIENCE, create=create)) as database:
            yield database
    except (sqlite3.Error, StorageError) as error:
        raise StartError(sentence(error, path)) from None


# -------------------------------------------------------------------------------------------- the actions


def _list(path: Path, arguments: argparse.Namespace) -> None:
    with _opened(path) as database:
        if arguments.project is not None:
            variables = _variables(database, path, arguments.project)
            for name, value in variables.items():
                text = _safe(value)
                _print(f"{_shown(name)} = {text[:_WIDEST_VALUE]}{'…' * (len(text) > _WIDEST_VALUE)}")
            return
        rooms = database.rooms()
    if not rooms:
        _print(f"No project has variables in {path}.")
    width = min(max((len(_shown(room)) for room in rooms), default=0), _WIDEST_NAME)
    for room, (count, changed_at) in rooms.items():
        changed = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(changed_at))
        _print(f"{_shown(room):<{width}}  {_counted(count, 'variable'):<13} last changed {changed}")


def _get(path: Path, arguments: argparse.Namespace) -> None:
    with _opened(path) as database:
        variables = _variables(database, path, arguments.project)
    name = _existing(variables, arguments.name, arguments.project)
    if name != arguments.name:
        print(f"cloudlink: The variable is {_shown(name)}.", file=sys.stderr)
    _print(_safe(variables[name]))


def _set(path: Path, arguments: argparse.Namespace) -> None:
    value = _value(arguments.value, text=arguments.text)
    with _opened(path) as database:
        project = arguments.project
        variables = database.load(project)
        found = _matching(variables, arguments.name)
        if len(found) > 1:
            raise StartError(_ambiguous(found))
        prefix = "" if arguments.name.startswith(PREFIXES) else PREFIXES[0]
        name = found[0] if found else prefix + arguments.name
        database.write({project: {name: value}})
    new = "" if found else "; the variable is new" if variables else "; the project is new"
    _print(f"Set {_shown(name)} of project {_shown(project)} to {value.decode()}{new}.")
    if not _is_of_scratch(value, arguments):
        print(
            "cloudlink: Stored all the same, but Scratch projects themselves can set only numbers, "
            "because the setting cloud_text_values is off.",
            file=sys.stderr,
        )


def _delete(path: Path, arguments: argparse.Namespace) -> None:
    with _opened(path) as database:
        project = arguments.project
        variables = _variables(database, path, project)
        if arguments.name is None:
            database.write({project: dict.fromkeys(variables)})
            _print(f"Deleted {_counted(len(variables), 'variable')} of project {_shown(project)}.")
            return
        name = _existing(variables, arguments.name, project)
        database.write({project: {name: None}})
    _print(f"Deleted {_shown(name)} of project {_shown(project)}.")


def _export(path: Path, arguments: argparse.Namespace) -> None:
    with _opened(path) as database:
        if arguments.project is not None:
            projects = {arguments.project: _variables(database, path, arguments.project)}
        else:
            projects = {room: database.load(room) for room in database.rooms()}
    text = varsjson.text_of(projects)
    if arguments.output == "-":
        varsjson.print_text(text)
        return
    varsjson.write_text(text, Path(arguments.output), storage=path)
    count = _counted(sum(map(len, projects.values())), "variable")
    _print(f"Wrote {count} of {_counted(len(projects), 'project')} to {arguments.output}.")


def _import(path: Path, arguments: argparse.Namespace) -> None:
    projects = varsjson.read(arguments.source)
    new = not path.exists()
    with _opened(path, create=True) as database:
        database.write({project: dict(variables) for project, variables in projects.items()})
    count = _counted(sum(map(len, projects.values())), "variable")
    end = ", which is new." if new else "."
    _print(f"Wrote {count} of {_counted(len(projects), 'project')} to {path}{end}")


# --------------------------------------------------------------------------------- projects, names, values


def _variables(database: Database, path: Path, project: str) -> dict[str, bytes]:
    """Return the variables of a project, which must have some."""
    variables = database.load(project)
    if not variables:
        hint = did_you_mean(project, database.rooms()) or "; `cloudlink vars list` lists all projects."
        raise StartError(f"There is no project {_shown(project)} in {path}{hint}")
    return variables


def _matching(variables: dict[str, bytes], name: str) -> list[str]:
    """Return the variables that a name can mean: itself, or with a cloud in front."""
    if name in variables:
        return [name]
    return [prefix + name for prefix in PREFIXES if prefix + name in variables]


def _existing(variables: dict[str, bytes], name: str, project: str) -> str:
    found = _matching(variables, name)
    if len(found) > 1:
        raise StartError(_ambiguous(found))
    if not found:
        known = {bare: bare for full in variables for bare in (full, *map(full.removeprefix, PREFIXES))}
        hint = did_you_mean(name, known) or f"; `cloudlink vars list {_shown(project)}` lists all variables."
        raise StartError(f"Project {_shown(project)} has no variable {_shown(name)}{hint}")
    return found[0]


def _ambiguous(found: list[str]) -> str:
    return f"There are both {' and '.join(map(_shown, found))}; give the whole name, in quotes."


def _value(word: str, *, text: bool) -> bytes:
    """Return the JSON text that a word of the command line means."""
    if not text and _NUMBER.fullmatch(word):
        if math.isinf(float(word)):
            raise StartError(f"No variable can hold the number {word}; --text takes it as text.")
        return word.encode()
    if not text and word.startswith('"'):
        with contextlib.suppress(jsontext.JSONTextError, UnicodeEncodeError):
            return jsontext.dumps(jsontext.loads(word.encode()))
    return jsontext.dumps(word)


def _is_of_scratch(value: bytes, arguments: argparse.Namespace) -> bool:
    """Return whether a player could set that value too; what is no number takes a setting."""
    if not value.startswith(b'"'):
        return True
    text_allowed = False
    with contextlib.suppress(StartError):  # the variable is set, whatever the settings file is like
        text_allowed = settings_from(arguments).cloud_text_values
    return is_value(value, len(value), text_allowed=text_allowed)


# ----------------------------------------------------------------------------------------------- printing


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'s' * (count != 1)}"


def _shown(name: str) -> str:
    """Return a name that strangers chose so that it cannot steer the terminal."""
    return name if name.isprintable() else varsjson.ascii_text(varsjson.quoted(name))


def _safe(value: bytes) -> str:
    """Return JSON text of strangers the same way."""
    text = value.decode()
    return text if text.isprintable() else varsjson.ascii_text(text)


def _print(text: str) -> None:
    try:
        print(text)
    except UnicodeEncodeError:
        # A terminal of Windows that has no cloud.
        print(varsjson.ascii_text(text))
