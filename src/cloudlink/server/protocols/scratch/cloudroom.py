"""The variables of one project, and when their changes are sent.

A variable's value is the JSON text it came as. Normally a change is sent at once; a host can have changes
collected for a while, and a client that updates too fast has its changes collected too. Of each variable
only the latest value is sent then, to everybody but the client it came from.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from cloudlink import jsontext
from cloudlink.delivery import text_frame

if TYPE_CHECKING:
    from cloudlink.server.clients import Client

VARIABLE_COST = 300
"""About what Python needs for one variable beside its characters, in bytes."""
_ROOM_COST = 1500
"""The same for a project."""


class CloudRoom:
    """A project's state while somebody is there, and some time longer.

    Attributes:
        id: The project id.
        opener: Address of whoever had it taken into memory, None for nobody in particular.
        variables: Name to value, in the order of their creation; changed by `put` and `drop` alone.
        writers: Name to the address that set the value since the project is in memory, or None.
        seats: The clients in the project that have an address, each with it, in the order of their arrival.
        size: Bytes of `all_values`, each object with its line end.
        members: How many clients are in the project.
        empty_since: When it was last used without clients, in seconds of `time.monotonic()`.
    """

    __slots__ = (
        "_pending",
        "empty_since",
        "id",
        "members",
        "opener",
        "own_cost",
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
        self.seats: dict[Client, str] = {}
        self.size = 0
        self.members = 0
        self.empty_since = 0.0
        self.own_cost = _ROOM_COST + sys.getsizeof(project)
        self._pending: dict[str, Client | None] = {}

    @property
    def cost(self) -> int:
        """About how many bytes of memory the project takes."""
        return self.own_cost + self.size + VARIABLE_COST * len(self.variables)

    def size_of(self, name: str, value: bytes) -> int:
        """Return by how much a variable with a value makes `size` larger."""
        return _SET_SIZE + len(jsontext.dumps(name)) + len(value)

    def cost_of(self, name: str) -> int:
        """Return what a variable that exists adds to `cost`."""
        return VARIABLE_COST + self.size_of(name, self.variables[name])

    def payer(self, name: str) -> str | None:
        """Return the address that a variable's memory is charged to."""
        return self.writers[name] or self.opener

    def growth(self, name: str, value: bytes) -> int:
        """Return by how much a new value would make `size` larger."""
        known = self.variables.get(name)
        return self.size_of(name, value) if known is None else len(value) - len(known)

    def put(self, name: str, value: bytes, growth: int, writer: str | None) -> None:
        """Give a variable a value; `growth` is what the method of that name returns."""
        self.variables[name] = value
        self.writers[name] = writer
        self.size += growth

    def drop(self, name: str) -> None:
        """Forget a variable that exists."""
        self.size -= self.size_of(name, self.variables.pop(name))
        del self.writers[name]

    def all_values(self) -> bytes:
        """Return one frame with every variable, objects joined by newlines (decision D8)."""
        return text_frame(b"\n".join(_set_of(name, value) for name, value in self.variables.items()))

    def hold_back(self, name: str, sender: Client | None) -> bool:
        """Have a variable's change sent later; True if nothing waited before."""
        is_first = not self._pending
        self._pending[name] = sender
        return is_first

    def is_held_back(self, name: str) -> bool:
        """Tell whether a change of that variable waits."""
        return name in self._pending

    def forget_pending(self) -> None:
        """Send nothing of what waited: whoever comes next gets all values."""
        self._pending = {}

    def take_pending(self) -> dict[str, Client | None]:
        """Return the variables whose changes waited, each with the client it came from, and wait no longer."""
        pending, self._pending = self._pending, {}
        return {name: sender for name, sender in pending.items() if name in self.variables}


def encode_set(name: bytes, value: bytes) -> bytes:
    """Return the one message that clients act on, from JSON texts (protocol, section 3.3)."""
    return b'{"method":"set","name":%b,"value":%b}' % (name, value)


_SET_SIZE = len(encode_set(b"", b"")) + 1
"""Bytes of a `set` beside its name and value, with the end of its line."""


def _set_of(name: str, value: bytes) -> bytes:
    return encode_set(jsontext.dumps(name), value)
