"""The variables of one project, and their changes that are not sent yet.

A variable's value is the JSON text as received. Normally, a change is sent immediately. A setting can make
the server collect changes for a short time, and the changes of a client that updates too fast are collected,
too. Of each variable, only the latest value is then sent, to all clients except the one that it came from.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from cloudlink import jsontext
from cloudlink.delivery import text_frame

if TYPE_CHECKING:
    from cloudlink.server.client import Client

VARIABLE_COST = 300
"""Approximate memory of a variable in addition to its characters, in bytes."""
_ROOM_COST = 1500
"""Approximate memory of a project in addition to its variables, in bytes."""


class CloudRoom:
    """A project's state while it has clients, and for some time afterwards.

    Attributes:
        id: The project id.
        opener: Address that caused the project to be loaded, None for no particular one.
        variables: Name to value, in the order of creation; only `put` and `drop` add and remove variables.
        writers: Name to the address that set the value since the project was loaded, or None.
        json_names: Name to its JSON text.
        pending: Names of the variables with changes to be sent later, each with the client that its change came from.
        seats: The clients in the project that have an address, and their addresses, in the order of arrival.
        size: Bytes of `all_values`, each object with its line end.
        members: Number of clients in the project.
        empty_since: When it was last used without clients, in seconds of `time.monotonic()`.
    """

    __slots__ = (
        "empty_since",
        "id",
        "json_names",
        "members",
        "opener",
        "own_cost",
        "pending",
        "seats",
        "size",
        "variables",
        "writers",
    )

    def __init__(self, project: str, opener: str | None = None) -> None:
        self.id = project
        self.opener = opener
        self.variables: dict[str, bytes] = {}
        self.writers: dict[str, str | None] = {}
        self.json_names: dict[str, bytes] = {}
        self.seats: dict[Client, str] = {}
        self.size = 0
        self.members = 0
        self.empty_since = 0.0
        self.own_cost = _ROOM_COST + sys.getsizeof(project)
        self.pending: dict[str, Client | None] = {}

    @property
    def cost(self) -> int:
        """Approximate memory of the project, in bytes."""
        return self.own_cost + self.size + VARIABLE_COST * len(self.variables)

    def size_of(self, name: str, value: bytes) -> int:
        """Return the bytes that a variable with a value adds to `size`."""
        return _SET_SIZE + len(jsontext.dumps(name)) + len(value)

    def cost_of(self, name: str) -> int:
        """Return the bytes that an existing variable adds to `cost`."""
        return VARIABLE_COST + self.size_of(name, self.variables[name])

    def payer(self, name: str) -> str | None:
        """Return the address that a variable's memory is charged to."""
        return self.writers[name] or self.opener

    def growth(self, name: str, value: bytes) -> int:
        """Return the bytes that a new value would add to `size`."""
        known = self.variables.get(name)
        return self.size_of(name, value) if known is None else len(value) - len(known)

    def put(self, name: str, value: bytes, growth: int, writer: str | None) -> None:
        """Set a variable; `growth` is the result of the method of that name."""
        if name not in self.json_names:
            self.json_names[name] = jsontext.dumps(name)
        self.variables[name] = value
        self.writers[name] = writer
        self.size += growth

    def drop(self, name: str) -> None:
        """Remove an existing variable."""
        self.size -= self.size_of(name, self.variables.pop(name))
        del self.writers[name], self.json_names[name]

    def all_values(self) -> bytes:
        """Return one frame with all variables, as objects joined by newlines (decision D8)."""
        return text_frame(b"\n".join(_set_of(name, value) for name, value in self.variables.items()))

    def hold_back(self, name: str, sender: Client | None) -> bool:
        """Queue a variable's change to be sent later; return whether it is the first in the queue."""
        is_first = not self.pending
        self.pending[name] = sender
        return is_first

    def forget_pending(self) -> None:
        """Discard the queued changes: the next client gets all values."""
        self.pending = {}

    def take_pending(self) -> dict[str, Client | None]:
        """Return and clear the queued variables, each with the client that its change came from."""
        pending, self.pending = self.pending, {}
        return {name: sender for name, sender in pending.items() if name in self.variables}


SET = b'{"method":"set","name":%b,"value":%b}'
"""A `set` message, the only one that clients act on; its name and value are JSON texts (protocol, section 3.3)."""

_SET_SIZE = len(SET % (b"", b"")) + 1
"""Bytes of a `set` in addition to its name and value, including its line end."""


def _set_of(name: str, value: bytes) -> bytes:
    return SET % (jsontext.dumps(name), value)
