"""The variables of one project, and when their changes are sent.

A variable's value is the JSON text it came as. Normally a change is sent at once; a host can have changes
collected for a while, and a client that updates too fast has its changes collected too. Of each variable
only the latest value is sent then, to everybody but the client it came from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloudlink import jsontext
from cloudlink.delivery import text_frame, update_frame

if TYPE_CHECKING:
    from cloudlink.delivery import Audience, Delivery, Outbox


class CloudRoom:
    """A project's state while somebody is there, and some time longer.

    Attributes:
        id: The project id.
        variables: Name to value, in the order of their creation.
        members: How many clients are in the project.
        empty_since: When the last one left, in seconds of `time.monotonic()`.
    """

    __slots__ = ("_pending", "empty_since", "id", "members", "variables")

    def __init__(self, project: str, variables: dict[str, bytes]) -> None:
        self.id = project
        self.variables = variables
        self.members = 0
        self.empty_since = 0.0
        self._pending: dict[str, Outbox | None] = {}

    def all_values(self) -> bytes:
        """Return one frame with every variable, objects joined by newlines (decision D8)."""
        return text_frame(b"\n".join(encode_set(name, value) for name, value in self.variables.items()))

    def hold_back(self, name: str, sender: Outbox | None) -> bool:
        """Have a variable's change sent later; True if nothing waited before."""
        is_first = not self._pending
        self._pending[name] = sender
        return is_first

    def is_held_back(self, name: str) -> bool:
        """Tell whether a change of that variable waits."""
        return name in self._pending

    def send_pending(self, delivery: Delivery, audience: Audience | None) -> None:
        """Send the latest values of all that waited."""
        pending, self._pending = self._pending, {}
        for name, sender in pending.items():
            if audience is not None and name in self.variables:
                delivery.broadcast(audience, self.frame(name), sender)

    def frame(self, name: str) -> bytes:
        """Return the frame that tells a variable's value."""
        return update_frame(encode_set(name, self.variables[name]), ("cloud", self.id, name))


def encode_set(name: str, value: bytes) -> bytes:
    """Return the one message that clients act on (protocol, section 3.3)."""
    return b'{"method":"set","name":%b,"value":%b}' % (jsontext.dumps(name), value)
