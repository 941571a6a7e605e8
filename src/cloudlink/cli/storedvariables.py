"""Listing, reading and deleting stored variables on the command line, of projects and of rooms alike."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cloudlink.cli.storagefile import (
    opened,
    print_rooms,
    print_text,
    print_variables,
    safe,
    shown,
)
from cloudlink.errors import StartError
from cloudlink.text import counted, did_you_mean

if TYPE_CHECKING:
    from pathlib import Path

    from cloudlink.storage.database import Database


@dataclass(frozen=True)
class StoredVariables:
    """One kind of stored variables.

    Attributes:
        place: The name in messages of what has variables, such as "project".
        command: The sub-command that works on them.
        of_rooms: Whether they are those of CloudLink 4 rooms instead of cloud variables.
        prefixes: What may be omitted in front of a name.
    """

    place: str
    command: str
    of_rooms: bool = False
    prefixes: tuple[str, ...] = ()

    def list_all(self, path: Path, place: str | None) -> None:
        """Print the places that have variables, or the variables of one."""
        with opened(path, of_rooms=self.of_rooms) as database:
            if place is not None:
                print_variables(self.load(database, path, place))
                return
            places = database.rooms()
        if not places:
            print_text(f"No {self.place} has variables in {path}.")
        print_rooms(places)

    def get(self, path: Path, place: str, name: str) -> None:
        """Print a value as JSON, and which variable it is if the name was incomplete."""
        with opened(path, of_rooms=self.of_rooms) as database:
            variables = self.load(database, path, place)
        found = self._existing(variables, name, place)
        if found != name:
            print(f"cloudlink: The variable is {shown(found)}.", file=sys.stderr)
        print_text(safe(variables[found]))

    def delete(self, path: Path, place: str, name: str | None) -> None:
        """Delete a variable, or all variables of a place."""
        with opened(path, of_rooms=self.of_rooms) as database:
            variables = self.load(database, path, place)
            if name is None:
                database.write({place: dict.fromkeys(variables)})
                print_text(f"Deleted {counted(len(variables), 'variable')} of {self.place} {shown(place)}.")
                return
            found = self._existing(variables, name, place)
            database.write({place: {found: None}})
        print_text(f"Deleted {shown(found)} of {self.place} {shown(place)}.")

    def load(self, database: Database, path: Path, place: str) -> dict[str, bytes]:
        """Return the variables of a place. Raises `StartError` if it has none."""
        variables = database.load(place)
        if not variables:
            every = f"; `cloudlink {self.command} list` lists all {self.place}s."
            hint = did_you_mean(place, database.rooms()) or every
            raise StartError(f"There is no {self.place} {shown(place)} in {path}{hint}")
        return variables

    def matching(self, variables: dict[str, bytes], name: str) -> str | None:
        """Return the variable that a name can mean, the name itself or with a prefix; None if there is none.

        Raises:
            StartError: It can mean several.
        """
        if name in variables:
            return name
        found = [prefix + name for prefix in self.prefixes if prefix + name in variables]
        if len(found) > 1:
            raise StartError(
                f"There are both {' and '.join(map(shown, found))}; give the whole name, in quotes."
            )
        return found[0] if found else None

    def _existing(self, variables: dict[str, bytes], name: str, place: str) -> str:
        found = self.matching(variables, name)
        if found is None:
            known = {
                bare: bare for full in variables for bare in (full, *map(full.removeprefix, self.prefixes))
            }
            every = f"; `cloudlink {self.command} list {shown(place)}` lists all variables."
            hint = did_you_mean(name, known) or every
            raise StartError(f"{self.place.capitalize()} {shown(place)} has no variable {shown(name)}{hint}")
        return found
