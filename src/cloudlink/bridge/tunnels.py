"""Connections of calling servers that arrive at another node than the one that runs the bridges.

The node where a connection arrives checks the proof of the secret and passes messages on in both directions; the other
one has the link, with a `TunnelWire` instead of a socket. Neither side waits for the other: bytes that the
calling server has not taken yet count as congestion, and beyond a bound nothing more is sent. Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloudlink.closecodes import CloseCode

from .notices import Closed, Data, Dropped, Held, Opened, Taken

if TYPE_CHECKING:
    from collections.abc import Callable

    from .calls import Call
    from .link import PeerLink
    from .notices import Notice
    from .peer import PeerBridge

    Send = Callable[[str, Notice], None]
    """Sends a record to a node."""

WINDOW = 1 << 18
"""Bytes under way to a calling server, beyond which it counts as congested."""

MOVING = "The bridge is moving to another node; please connect again"
"""Close reason of connections that another server will soon be able to make again."""
LOST = "A message between two nodes was lost"

Key = tuple[str, int]
"""The node where a connection has arrived, and the number of its tunnel there."""


class Entrance:
    """A connection that arrived at this node; the link is on another one."""

    def __init__(self, tunnels: Tunnels, number: int, runner: str, call: Call) -> None:
        self.runner = runner
        self.close_reason = ""
        self._tunnels = tunnels
        self._number = number
        self._call = call
        self._wire = call.wire
        self._sent = self._received = 0
        self._untaken = 0

    def received(self, data: bytes) -> None:
        """Pass a message of the calling server on."""
        if not self.close_reason:
            self._sent += 1
            self._tell(Data(self._number, True, self._sent, data))

    def dropped(self) -> None:
        """Report that a message of the calling server exceeded the limits of a client."""
        self._tell(Dropped(self._number))

    def ended(self) -> None:
        """Report that the connection has ended."""
        self._tunnels.forget(self._number)
        if not self.close_reason:
            self._tell(Closed(self._number, True, 0, ""))

    def on_data(self, notice: Data) -> None:
        """Send a message to the calling server."""
        self._received += 1
        if notice.number != self._received:
            self._tell(Closed(self._number, True, 0, ""))
            self.close(CloseCode.TRY_AGAIN_LATER, LOST)
            return
        self._untaken += len(notice.data)
        self._call.answer()
        self._wire.send(notice.data)
        self.tick()

    def on_held(self, notice: Held) -> None:
        """Read nothing more from the calling server, or read again."""
        if notice.is_held:
            self._wire.hold()
        else:
            self._wire.release()

    def tick(self) -> None:
        """Tell how much the calling server has taken; called often."""
        if self._untaken and not self._wire.is_congested:
            self._tell(Taken(self._number, self._untaken))
            self._untaken = 0

    def close(self, code: int, reason: str) -> None:
        """End the connection; a call that was not answered yet is left for another node."""
        self.close_reason = reason or "the connection broke"
        self._tunnels.forget(self._number)
        if self._call.is_answered:
            self._call.close(code, reason)
        else:
            self._call.entrance = None

    def leave(self) -> None:
        """End the tunnel, but not the connection, which this node takes itself."""
        self._tell(Closed(self._number, True, 0, ""))
        self._tunnels.forget(self._number)
        self._call.entrance = None

    def _tell(self, notice: Notice) -> None:
        self._tunnels.send(self.runner, notice)


class TunnelWire:
    """A connection that has arrived at another node, as the `Wire` of a link here."""

    def __init__(self, tunnels: Tunnels, key: Key, bridge: PeerBridge) -> None:
        self.bridge = bridge
        self.link: PeerLink | None = None
        self.received = 0
        self._tunnels = tunnels
        self._node, self._number = key
        self._sent = 0
        self._untaken = 0

    @property
    def is_congested(self) -> bool:
        """Whether the other side reads too slowly to be sent more now."""
        return self._untaken > WINDOW

    def taken(self, size: int) -> None:
        """Note that the other side has taken some bytes."""
        self._untaken -= min(size, self._untaken)

    def send(self, text: bytes) -> None:
        """Send a message."""
        self._sent += 1
        self._untaken += len(text)
        self._tell(Data(self._number, False, self._sent, text))

    def close(self, code: int, reason: str) -> None:
        """Close the connection."""
        self._tell(Closed(self._number, False, code, reason))

    def hold(self) -> None:
        """Read nothing more until `release`."""
        self._tell(Held(self._number, True))

    def release(self) -> None:
        """Read again."""
        self._tell(Held(self._number, False))

    def _tell(self, notice: Notice) -> None:
        self._tunnels.send(self._node, notice)


class Tunnels:
    """The tunnels of one node, in both roles."""

    def __init__(self, send: Send) -> None:
        """Args: send: Sends a record to a node."""
        self.send = send
        self._entrances: dict[int, Entrance] = {}
        self._exits: dict[Key, TunnelWire] = {}
        self._last = 0

    def __len__(self) -> int:
        return len(self._entrances) + len(self._exits)

    # Where a connection arrives.

    def open(self, runner: str, call: Call) -> None:
        """Pass a call on to the node that runs the bridges."""
        self._last += 1
        call.entrance = self._entrances[self._last] = Entrance(self, self._last, runner, call)
        self.send(runner, Opened(self._last, call.bridge.name))

    def forget(self, number: int) -> None:
        """Forget a tunnel whose connection has ended."""
        self._entrances.pop(number, None)

    def leave(self, runner: str) -> None:
        """Close the connections that were passed on to others than the node that runs the bridges now.

        Calls that were not answered yet are left for that node.
        """
        for entrance in tuple(self._entrances.values()):
            if entrance.runner != runner:
                entrance.close(CloseCode.TRY_AGAIN_LATER, MOVING)

    def tick(self) -> None:
        """Tell how much calling servers have taken; called often."""
        for entrance in tuple(self._entrances.values()):
            entrance.tick()

    # Where the bridges run.

    def accept(self, node: str, notice: Opened, bridge: PeerBridge | None) -> None:
        """Begin to use a connection that has arrived at another node; without a bridge it is refused."""
        if bridge is None:
            self.send(node, Closed(notice.tunnel, False, CloseCode.TRY_AGAIN_LATER, MOVING))
            return
        key = node, notice.tunnel
        wire = self._exits[key] = TunnelWire(self, key, bridge)
        wire.link = bridge.connected(wire)
        if wire.link is None:
            del self._exits[key]

    def on_notice(self, node: str, notice: Data | Closed | Held | Taken | Dropped) -> None:
        """Handle a record of a tunnel."""
        if isinstance(notice, Held) or (isinstance(notice, (Data, Closed)) and not notice.is_inward):
            entrance = self._entrances.get(notice.tunnel)
            if entrance is not None and entrance.runner == node:
                self._to_caller(entrance, notice)
            return
        key = node, notice.tunnel
        wire = self._exits.get(key)
        if wire is not None and wire.link is not None:
            self._from_caller(key, wire, wire.link, notice)
        elif isinstance(notice, Data):
            self.send(node, Closed(notice.tunnel, False, CloseCode.TRY_AGAIN_LATER, MOVING))

    def lost(self, node: str) -> None:
        """Note that a node is gone, and with it the connections that had arrived there."""
        for key in [key for key in self._exits if key[0] == node]:
            self._end(key)

    def drop_ended(self) -> None:
        """Forget the connections whose link this side has closed; called once a second."""
        for key, wire in tuple(self._exits.items()):
            if wire.link is not None and wire.link.close_reason:
                self._end(key)

    def _to_caller(self, entrance: Entrance, notice: Held | Data | Closed) -> None:
        if isinstance(notice, Data):
            entrance.on_data(notice)
        elif isinstance(notice, Held):
            entrance.on_held(notice)
        else:
            entrance.close(notice.code, notice.reason)

    def _from_caller(self, key: Key, wire: TunnelWire, link: PeerLink, notice: Notice) -> None:
        if isinstance(notice, Data):
            wire.received += 1
            if notice.number == wire.received:
                link.received(notice.data)
            else:
                link.close(CloseCode.TRY_AGAIN_LATER, LOST)
        elif isinstance(notice, Taken):
            wire.taken(notice.size)
            wire.bridge.wake()
        elif isinstance(notice, Dropped):
            wire.bridge.count_dropped()
        elif isinstance(notice, Closed):
            self._end(key)

    def _end(self, key: Key) -> None:
        wire = self._exits.pop(key)
        if wire.link is not None:
            wire.bridge.ended(wire.link)
