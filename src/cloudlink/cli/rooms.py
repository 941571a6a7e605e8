"""`cloudlink rooms`: lists, reads and deletes the variables of CloudLink rooms that are stored (setting `room_state`).

It works on the storage file itself, even while a server runs, which notices a deletion within about a second.
It cannot set variables, because the players in the room would not be notified.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

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
from cloudlink.errors import StartError
from cloudlink.text import did_you_mean

if TYPE_CHECKING:
    from pathlib import Path

    from cloudlink.storage.database import Database

HELP = "List, read or delete stored variables of rooms."

_ACTIONS = {
    "list": "list the rooms, or the variables of one",
    "get": "print a value as JSON",
    "delete": "delete a variable, or all variables of a room",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the actions, each with its arguments and flags."""
    add_places(parser, default=None)
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    for name, meaning in _ACTIONS.items():
        action = actions.add_parser(name, help=meaning, description=f"{meaning.capitalize()}.")
        add_places(action, default=argparse.SUPPRESS)
        optional = "?" if name == "list" else None
        action.add_argument("room", metavar="ROOM", nargs=optional, help="the room's name")
        if name != "list":
            optional = "?" if name == "delete" else None
            action.add_argument("name", metavar="NAME", nargs=optional, help="the variable's name")


def run(arguments: argparse.Namespace) -> int:
    """Run an action.

    Raises:
        StartError: The file, room or variable does not exist, or the file cannot be read or written.
    """
    if arguments.action is None:
        raise StartError("Say what to do, such as `cloudlink rooms list`; see `cloudlink rooms --help`.")
    {"list": _list, "get": _get, "delete": _delete}[arguments.action](storage_file(arguments), arguments)
    return 0


def _list(path: Path, arguments: argparse.Namespace) -> None:
    with opened(path, of_rooms=True) as database:
        if arguments.room is not None:
            print_variables(_variables(database, path, arguments.room))
            return
        rooms = database.rooms()
    if not rooms:
        print_text(f"No room has variables in {path}.")
    print_rooms(rooms)


def _get(path: Path, arguments: argparse.Namespace) -> None:
    with opened(path, of_rooms=True) as database:
        variables = _variables(database, path, arguments.room)
    _check_name(variables, arguments)
    print_text(safe(variables[arguments.name]))


def _delete(path: Path, arguments: argparse.Namespace) -> None:
    with opened(path, of_rooms=True) as database:
        room, name = arguments.room, arguments.name
        variables = _variables(database, path, room)
        if name is None:
            database.write({room: dict.fromkeys(variables)})
            print_text(f"Deleted {counted(len(variables), 'variable')} of room {shown(room)}.")
            return
        _check_name(variables, arguments)
        database.write({room: {name: None}})
    print_text(f"Deleted {shown(name)} of room {shown(room)}.")


def _variables(database: Database, path: Path, room: str) -> dict[str, bytes]:
    """Return the variables of a room, which must have some."""
    variables = database.load(room)
    if not variables:
        hint = did_you_mean(room, database.rooms()) or "; `cloudlink rooms list` lists all rooms."
        raise StartError(f"There is no room {shown(room)} in {path}{hint}")
    return variables


def _check_name(variables: dict[str, bytes], arguments: argparse.Namespace) -> None:
    room, name = arguments.room, arguments.name
    if name not in variables:
        known = dict.fromkeys(variables)
        hint = did_you_mean(name, known) or f"; `cloudlink rooms list {shown(room)}` lists all variables."
        raise StartError(f"Room {shown(room)} has no variable {shown(name)}{hint}")
