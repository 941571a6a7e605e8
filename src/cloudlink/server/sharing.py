"""What the protocols of clients share with other nodes of a cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from .clients import Schema

    StateOfRoom = Callable[[str], Iterable[tuple[bytes, bytes]]]
    """Returns the names and values of a room's variables, as JSON texts."""


class Shared:
    """The registry of what is shared; the server fills it, and the cluster reads it.

    Attributes:
        protocols: Schema classes by the name that they have on all nodes.
        names: These names by schema class.
        room_state: Returns the variables that are kept of a room, None if none are.
        topics: Handlers of topics: `f(node, value)`.
    """

    def __init__(self) -> None:
        self.protocols: dict[str, Schema] = {}
        self.names: dict[Schema | None, str] = {}
        self.room_state: StateOfRoom | None = None
        self.topics: dict[str, Callable[[str, bytes], None]] = {}
