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

_ROOM_COST = 1000
_VARIABLE_COST = 200
"""About what Python needs for one of them beside its characters, in bytes."""


class CloudRoom:
    """A project's state while somebody is there, and some time longer.

    Attributes:
        id: The project id.
        variables: Name to value, in the order of their creation; changed by `put` and `drop` alone.
        size: Bytes of `all_values`, each object with its line end.
        members: How many clients are in the project.
        empty_since: When it was last used without clients, in seconds of `time.monotonic()`.
    """

    __slots__ = ("_own_cost", "_pending", "empty_since", "id", "members", "size", "variables")

    def __init__(self, project: str) -> None:
        self.id = project
        self.variables: dict[str, bytes] = {}
        self.size = 0
        self.members = 0
        self.empty_since = 0.0
        self._own_cost = _ROOM_COST + sys.getsizeof(project)
        self._pending: dict[str, Client | None] = {}

    @property
    def cost(self) -> int:
        """About how many bytes of memory the project takes."""
        return self._own_cost + self.size + _VARIABLE_COST * len(self.variables)

    def growth(self, name: str, value: bytes) -> int:
        """Return by how much a new value would make `size` larger."""
        known = self.variables.get(name)
        return len(_set_of(name, value)) + 1 if known is None else len(value) - len(known)

    def put(self, name: str, value: bytes, growth: int) -> None:
        """Give a variable a value; `growth` is what the method of that name returns."""
        self.variables[name] = value
        self.size += growth

    def drop(self, name: str) -> None:
        """Forget a variable that exists."""
        self.size -= len(_set_of(name, self.variables.pop(name))) + 1

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


def _set_of(name: str, value: bytes) -> bytes:
    return encode_set(jsontext.dumps(name), value)
