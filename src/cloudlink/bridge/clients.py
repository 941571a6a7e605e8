"""Bridges that are clients of the other server: one connection for each shared room or project.

`upstream` and `cloudproject` are one connection; this module keeps what outlives it.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

from cloudlink.text import counted

from .base import GONE_AFTER, Bridge
from .cloudproject import CloudProject
from .guests import Guests, Seats
from .lines import CloudLine, UpstreamLine
from .sharing import entries_of
from .upstream import UpstreamRoom

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cloudlink.bridgesections import BridgeSection
    from cloudlink.server.events import Message, Variable

    from .dialer import Line
    from .ledger import Entry
    from .site import Site


class _Core(Protocol):
    relayed: int
    sent: int
    dropped: int

    @property
    def is_up(self) -> bool: ...

    @property
    def has_waiting(self) -> bool: ...


class _Ticking(Protocol):
    def tick(self) -> None: ...

    def close(self, reason: str) -> None: ...


class _Place:
    """One shared room or project, with its connection if there is one."""

    def __init__(self, local: str, remote: str) -> None:
        self.local = local
        self.remote = remote
        self.core: _Core | None = None
        self.line: _Ticking | None = None
        self.lost_at: float | None = None
        self.guests: Guests | None = None


class ClientBridge(Bridge):
    """The base of the kinds `upstream` and `cloud`."""

    word = ""
    """The word in the log for the things that are shared."""

    def __init__(
        self,
        name: str,
        section: BridgeSection,
        site: Site,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(name, section, site, clock)
        names = section.rooms or section.projects
        self._places = {
            local: _Place(local, local if remote is None else remote) for local, remote in entries_of(names)
        }
        self._was_up = False

    @property
    def places(self) -> Sequence[str]:
        """The shared rooms or projects here, each of which needs a dialer."""
        return list(self._places)

    @property
    def is_up(self) -> bool:
        """Whether all connections are up."""
        return all(place.core is not None and place.core.is_up for place in self._places.values())

    @property
    def has_waiting(self) -> bool:
        """Whether something waits for the rate to allow it."""
        return any(place.core is not None and place.core.has_waiting for place in self._places.values())

    @property
    def users(self) -> int:
        """The number of users of the other side that are shown here."""
        return sum(len(place.guests) for place in self._places.values() if place.guests is not None)

    def tick(self) -> None:
        """Let through what had to wait, and remove the users of a connection that stays down."""
        now = self._clock()
        for place in self._places.values():
            if place.line is not None:
                place.line.tick()
            if place.core is not None and place.core.is_up:
                place.lost_at = None
            elif place.lost_at is not None and now - place.lost_at >= GONE_AFTER:
                place.lost_at = None
                if place.guests is not None:
                    place.guests.clear()
        self._changed()

    def close(self, reason: str) -> None:
        """End the connections and remove the users."""
        for place in self._places.values():
            if place.line is not None:
                place.line.close(reason)
            self._lost(place)
            if place.guests is not None:
                place.guests.clear()

    def _changed(self) -> None:
        """Count what has crossed and what was dropped, and log the bridge's state if it has changed."""
        for place in self._places.values():
            core = place.core
            if core is None:
                continue
            self.received += core.relayed
            self.sent += core.sent
            if core.dropped:
                self.count_dropped(core.dropped)
            core.relayed = core.sent = core.dropped = 0
        is_up = self.is_up
        if is_up and not self._was_up:
            details = counted(len(self._places), self.word)
            self._log_up(f"{details}, {counted(self.users, 'user')}" if self.word == "room" else details)
        self._was_up = is_up
        if self.has_waiting:
            self.wake()

    def _lost(self, place: _Place) -> None:
        if place.core is not None and place.core.is_up:
            place.lost_at = self._clock()
            if place.guests is not None:
                place.guests.lose()
        place.core = place.line = None
        self._was_up = False


class UpstreamBridge(ClientBridge):
    """A bridge of the kind `upstream`."""

    word = "room"

    def __init__(
        self,
        name: str,
        section: BridgeSection,
        site: Site,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(name, section, site, clock)
        seats = Seats()
        for place in self._places.values():
            place.guests = Guests(site, name, seats)

    def new_line(self, local: str) -> Line:
        """Return what handles the next connection for a room."""
        place = self._places[local]
        assert place.guests is not None  # noqa: S101  # the constructor made them
        core = UpstreamRoom(
            self.section, local, place.remote, place.guests, self.site, self.name, self._clock
        )
        line = UpstreamLine(core, self._changed, lambda: self._lost(place))
        place.core, place.line = core, line
        return line

    def message(self, room: str, event: Message) -> None:
        """Carry a gmsg."""
        core = self._core(room)
        if core is not None and not self._leaves_out(room, event):
            core.send_message(event)
            self.wake()

    def variable(self, room: str, name: str, entry: Entry, event: Variable) -> None:
        """Carry a gvar."""
        core = self._core(room)
        if core is not None and not self._leaves_out(room, event):
            core.send_variable(name, entry.val)
            self.wake()

    def _core(self, room: str) -> UpstreamRoom | None:
        core = self._places[room].core
        return core if isinstance(core, UpstreamRoom) and core.is_up else None

    def _leaves_out(self, room: str, event: Message | Variable) -> bool:
        """Return whether an event leaves out a user of the other side, which then must get none of it."""
        guests = self._places[room].guests
        if guests is None or not any(guests.key_of(user_id) is not None for user_id in event.left_out):
            return False
        self.count_dropped(theirs=False)
        return True


class CloudBridge(ClientBridge):
    """A bridge of the kind `cloud`."""

    word = "project"

    def new_line(self, local: str) -> Line:
        """Return what handles the next connection for a project."""
        place = self._places[local]
        core = CloudProject(self.section, local, place.remote, self.site, self._clock)
        line = CloudLine(core, self._changed, lambda: self._lost(place))
        place.core, place.line = core, line
        return line

    def cloud_variable(self, project: str, name: str, entry: Entry) -> None:
        """Carry a cloud variable."""
        core = self._places[project].core
        if isinstance(core, CloudProject):
            core.send(name, entry.val)
            self.wake()
