"""`cloudlink rooms`: lists, reads and deletes the variables of CloudLink rooms that are stored (setting `room_state`).

It works on the storage file itself, even while a server runs, which notices a deletion within about a second.
It cannot set variables, because the players in the room would not be notified.
"""

from __future__ import annotations

import argparse

from cloudlink.cli.storagefile import add_places, storage_file
from cloudlink.cli.storedvariables import StoredVariables
from cloudlink.errors import StartError

HELP = "List, read or delete stored variables of rooms."

_ACTIONS = {
    "list": "list the rooms, or the variables of one",
    "get": "print a value as JSON",
    "delete": "delete a variable, or all variables of a room",
}
_STORED = StoredVariables("room", "rooms", of_rooms=True)


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
    path = storage_file(arguments)
    if arguments.action == "list":
        _STORED.list_all(path, arguments.room)
    elif arguments.action == "get":
        _STORED.get(path, arguments.room, arguments.name)
    else:
        _STORED.delete(path, arguments.room, arguments.name)
    return 0
