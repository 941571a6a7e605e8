"""The registry of what the protocols of clients share with other nodes of a cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from .client import Schema
    from .events import Event

    StateOfRoom = Callable[[str], Iterable[tuple[bytes, bytes]]]
    """Returns the names and values of a room's variables, as JSON texts."""


class BridgesOfNode(Protocol):
    """The bridges to other people's servers, of which one node runs all; see `cloudlink.bridge`."""

    def listener(self, protocol: Schema | None, room: str) -> str:
        """Return the other node that has to hear of a room even without users there, empty for none."""
        ...

    def carry(self, room: str, protocol: Schema, event: Event) -> None:
        """Carry an event of another node over the bridges that run here."""
        ...

    def refusal_for(self, bridge: str, event: Event) -> str:
        """Return why an event cannot be sent over a bridge that another node runs, empty if it can."""
        ...

    def node_arrived(self, node: str) -> None:
        """Note that another node is there, and that its users are known."""
        ...

    def node_departed(self, node: str) -> None:
        """Note that another node is gone; its users have been removed."""
        ...

    def node_fell_silent(self, node: str) -> None:
        """Note that nothing was heard of another node for a while: it may have died, or be back at any moment."""
        ...

    def was_absent(self) -> None:
        """Note that this process did not run for so long that another node may have taken over the bridges."""
        ...


class Shared:
    """The registry of what is shared; the server fills it, and the cluster reads it.

    Attributes:
        protocols: Schema classes by the name that they have on all nodes.
        names: These names by schema class.
        room_state: Returns the variables that are kept of a room, None if none are.
        bridges: The bridges, None for a server without any.
        topics: Handlers of topics: `f(node, value)`.
    """

    def __init__(self) -> None:
        self.protocols: dict[str, Schema] = {}
        self.names: dict[Schema | None, str] = {}
        self.room_state: StateOfRoom | None = None
        self.bridges: BridgesOfNode | None = None
        self.topics: dict[str, Callable[[str, bytes], None]] = {}
