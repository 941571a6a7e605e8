"""The storage file on the command line: finding it, opening it, and printing its contents safely.

Used by the sub-commands that work on the file itself. `cloudlink.storage.database` defines its tables.
"""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import TYPE_CHECKING

from cloudlink.cli import varsjson
from cloudlink.cli.flags import DEFAULT_FILE, settings_from
from cloudlink.errors import StartError
from cloudlink.text import counted

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from cloudlink.storage.database import Database

_PATIENCE = 5.0
"""Seconds to wait while a server writes, which takes milliseconds."""
_WIDEST_VALUE = 60
"""Most characters of a value in a list."""
_WIDEST_NAME = 40
"""Width to which room names are padded in a list."""


def add_places(parser: argparse.ArgumentParser, default: str | None) -> None:
    """Add the flags that locate the variables.

    Args:
        parser: The parser of a sub-command, or of one of its actions.
        default: The value of a flag that is not given; `argparse.SUPPRESS` keeps the value from before the action.
    """
    parser.add_argument(
        "--file", default=default, metavar="PATH", help="the storage file (default: the setting storage)"
    )
    parser.add_argument(
        "--config", default=default, metavar="FILE", help=f"the settings file instead of {DEFAULT_FILE}"
    )


def storage_file(arguments: argparse.Namespace) -> Path:
    """Return the file that the flags or the settings name. Raises `StartError` if they name none."""
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
def opened(path: Path, *, create: bool = False, of_rooms: bool = False) -> Iterator[Database]:
    """Open the storage file, and raise its errors as a `StartError`.

    SQLite is imported here, so that the other commands do not load it.

    Args:
        path: The file.
        create: Whether to create it if it does not exist.
        of_rooms: Whether the variables are those of CloudLink 4 rooms instead of cloud variables.

    Raises:
        StartError: The file does not exist, or cannot be read or written.
    """
    from cloudlink.storage.database import CLOUD, ROOMS, Database  # noqa: PLC0415

    if not create and not path.exists():
        raise StartError(f"There is no file {path}; name the storage file of your server with --file.")
    tables = ROOMS if of_rooms else CLOUD
    with (
        explained(path),
        contextlib.closing(Database(path, patience=_PATIENCE, create=create, tables=tables)) as database,
    ):
        yield database


@contextlib.contextmanager
def explained(path: Path, *others: Path) -> Iterator[None]:
    """Raise the errors of SQLite and of `cloudlink.storage` about files as a `StartError`."""
    import sqlite3  # noqa: PLC0415

    from cloudlink.storage.errors import StorageError, sentence  # noqa: PLC0415

    try:
        yield
    except (sqlite3.Error, StorageError) as error:
        raise StartError(sentence(error, path, *others)) from None


def print_rooms(rooms: dict[str, tuple[int, int]]) -> None:
    """Print a line for each room that `Database.rooms` returned."""
    width = min(max((len(shown(room)) for room in rooms), default=0), _WIDEST_NAME)
    for room, (count, changed_at) in rooms.items():
        changed = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(changed_at))
        print_text(f"{shown(room):<{width}}  {counted(count, 'variable'):<13} last changed {changed}")


def print_variables(variables: dict[str, bytes]) -> None:
    """Print a line for each variable, with the beginning of its value."""
    for name, value in variables.items():
        text = safe(value)
        print_text(f"{shown(name)} = {text[:_WIDEST_VALUE]}{'…' * (len(text) > _WIDEST_VALUE)}")


def shown(name: str) -> str:
    """Return a name with its control characters escaped, because strangers may have chosen it."""
    return name if name.isprintable() else varsjson.ascii_text(varsjson.quoted(name))


def safe(value: bytes) -> str:
    """Return JSON text with its control characters escaped, likewise."""
    text = value.decode()
    return text if text.isprintable() else varsjson.ascii_text(text)


def print_text(text: str) -> None:
    """Print a line, even on a Windows terminal that lacks the cloud character."""
    try:
        print(text)
    except UnicodeEncodeError:
        print(varsjson.ascii_text(text))
