"""The projects in memory: how many there may be, how much they may hold, and how long they stay.

A project somebody is in stays. One that was left stays for a while, and goes earlier when its place is
needed; whoever opens it again gets its variables from the store.

No address can take all of it from the others. In memory it may hold no more than it leaves for others
(`cloudlink.shares`), in a full project whoever has more than half makes way (`makingway`), and what it may add to
the file in an hour is bounded (`storagebudgets`). What is refused closes the connection of the client that wanted it.
An address of None is nobody in particular, such as a program on this machine, and bounded only together with all others.
"""

from __future__ import annotations

import logging
import math
import time
from typing import TYPE_CHECKING

from cloudlink.closecodes import CloseCode
from cloudlink.logthrottle import LogThrottle
from cloudlink.shares import Shares
from cloudlink.storage import MemoryStore, open_store

from . import makingway
from .cloudroom import VARIABLE_COST, CloudRoom
from .rules import Violation
from .storagebudgets import StorageBudgets
from .unused import UnusedRooms

if TYPE_CHECKING:
    from collections.abc import Callable

    from cloudlink.server.clients import Client
    from cloudlink.settings import Settings
    from cloudlink.storage import VariableStore

logger = logging.getLogger("cloudlink.server")

_NOBODY = ""
"""Compares unequal to every address, None included."""

_NOTE_EVERY = 3600.0
"""Seconds after which the store is told again that a project is in use."""

_FORGOTTEN = (
    "Projects without players are forgotten before their time, because cloud_max_memory or cloud_max_rooms "
    "is reached; with the setting storage they would be kept."
)
_NO_MEMORY = (
    "Cloud variables of project %r are refused, because those of the projects being played, or of one address, "
    "would need more than their part of cloud_max_memory."
)
_NO_ROOMS = (
    "Players of project %r are turned away, because more projects would be played at once than cloud_max_rooms "
    "allows, in all or for one address."
)
_TOO_MUCH_STORED = (
    "Cloud variables of project %r are refused, because their address has had storage_bytes_per_hour stored."
)
_STORE_BEHIND = (
    "Cloud variables of project %r are refused, because too much waits to be written to the storage file."
)


class Projects:
    """All projects that are in memory, and the store behind them.

    Attributes:
        rooms: The projects by id.
        store: Where their variables are kept.
    """

    def __init__(self, settings: Settings) -> None:
        self.rooms: dict[str, CloudRoom] = {}
        self.store: VariableStore = MemoryStore()
        self._settings = settings
        self._unused = UnusedRooms()
        self._memory = Shares()  # about how many bytes all of them take, by address
        self._opened = Shares()  # how many there are, by the address that opened them
        self._budgets = StorageBudgets(math.inf)
        self._throttle = LogThrottle()
        self._noted_at = 0.0

    def start(
        self, call_soon: Callable[..., object], changed: Callable[[str, str, bytes | None], None]
    ) -> None:
        """Open the store; `changed` is told what others change there."""
        settings = self._settings
        self.store = open_store(
            settings.storage, max_size=settings.storage_max_size, keep_days=settings.storage_keep_days
        )
        self._budgets = StorageBudgets(settings.storage_bytes_per_hour)
        self.store.watch(changed)
        self.store.start(call_soon)
        self._noted_at = time.monotonic()

    def close(self) -> None:
        """Have everything saved, and forget it."""
        self.store.close()
        self.store = MemoryStore()
        self.rooms.clear()
        self._unused.clear()
        self._memory = Shares()
        self._opened = Shares()

    def enter(self, project: str, client: Client | None = None, address: str | None = None) -> CloudRoom:
        """Let a player into a project.

        Args:
            project: Its id.
            client: The player, who may have to make way for others if there is an address.
            address: The subscriber's address, None for nobody in particular.

        Raises:
            Violation: There are too many projects, or too many players in this one.
        """
        room = self.rooms.get(project) or self._open(project, address)
        most = self._bound("cloud_max_clients_per_room")
        if room.members >= most:
            self._free_seat(room, address, most)
        if not room.members:
            self._unused.discard(room)
            if room.variables:
                self.store.touch(project)
        room.members += 1
        if client is not None and address is not None:
            room.seats[client] = address
        return room

    def leave(self, room: CloudRoom, client: Client | None = None) -> None:
        """Note that a player has left."""
        room.members -= 1
        if client is not None:
            room.seats.pop(client, None)
        if not room.members:
            room.forget_pending()
            if room.variables:
                self._set_aside(room)
            else:
                self._forget(room)

    def _free_seat(self, room: CloudRoom, address: str | None, most: float) -> None:
        client = makingway.seat(room, address, most)
        if client is None:
            raise Violation(CloseCode.CLOUD_ERROR, "There are too many players in this project")
        reason = "Another address wanted to play, and yours has most places in this project"
        logger.info("%s is disconnected: %s.", client, reason)
        client.session.close(CloseCode.CLOUD_OVERLOADED, reason)

    def variables(self, project: str) -> dict[str, bytes]:
        """Return a project's variables, name to JSON text; empty if there are none."""
        room = self.rooms.get(project)
        return dict(room.variables) if room else self.store.load(project)

    # Changes.

    def keep(self, room: CloudRoom, name: str, value: bytes, writer: str | None = None) -> None:
        """Give a variable a value.

        Args:
            room: The project.
            name: The variable.
            value: JSON text of the value.
            writer: The address it comes from, None for nobody in particular.

        Raises:
            Violation: The project, all of them together, or the address would hold too much.
        """
        if room.writers.get(name, _NOBODY) == writer and len(room.variables[name]) == len(value):
            self._check_place(room, name, value, writer)
            self._replace(room, name, value)
        else:
            self._check_storable(room, name, value, writer)
            former = self._footprint(room, name)
            self._put(room, name, value, writer)
            self._charge_storage(former, self._footprint(room, name))
        self.store.save(room.id, name, value, writer)

    def delete(self, room: CloudRoom, name: str, writer: str | None = None) -> None:
        """Delete a variable that exists.

        Raises:
            Violation: The store has no place for what the address wants.
        """
        self._check_place(room, name, None, writer)
        self._delete(room, name)

    def rename(self, room: CloudRoom, name: str, new_name: str, writer: str | None = None) -> None:
        """Give a variable that exists another name, which may be that of another one.

        Raises:
            Violation: As `keep`; then the variable is what it was.
        """
        value, former_writer = room.variables[name], room.writers[name]
        self._check_place(room, name, None, writer)
        self._check_storable(room, new_name, value, writer)
        former, replaced = self._footprint(room, name), self._footprint(room, new_name)
        self._drop_variable(room, name)
        try:
            self._put(room, new_name, value, writer)
        except Violation:
            self._put(room, name, value, former_writer)
            raise
        self._charge_storage(former, (None, 0))
        if new_name != name:
            self._charge_storage(replaced, (None, 0))
        self._charge_storage((None, 0), self._footprint(room, new_name))
        self.store.delete(room.id, name)
        self.store.save(room.id, new_name, value, writer)

    def take_over(self, room: CloudRoom, name: str, value: bytes | None) -> bool:
        """Follow a change that others made in the store; False if it is too much for the project."""
        if value is None:
            if name in room.variables:
                self._drop_variable(room, name)
            return True
        try:
            self._put(room, name, value, None)
        except Violation as violation:
            self.tell_left_out(room.id, violation)
            return False
        return True

    def _delete(self, room: CloudRoom, name: str) -> None:
        self._charge_storage(self._footprint(room, name), (None, 0))
        self._drop_variable(room, name)
        self.store.delete(room.id, name)

    def _replace(self, room: CloudRoom, name: str, value: bytes) -> None:
        """Give a variable another value that is as long and from the same address: no account changes."""
        if room in self._unused:
            self._set_aside(room)
        room.variables[name] = value

    def _put(self, room: CloudRoom, name: str, value: bytes, writer: str | None) -> None:
        if room in self._unused:
            self._set_aside(room)  # it is in use all the same
        growth = room.growth(name, value)
        is_new = name not in room.variables
        if growth > 0:
            displaced = self._making_way(room, name, writer, growth)
            self._make_memory(growth + (VARIABLE_COST if is_new else 0), room, writer or room.opener)
            self._displace(room, displaced)
        if not is_new:
            self._memory.add(room.payer(name), -room.cost_of(name))
        room.put(name, value, growth, writer)
        self._memory.add(room.payer(name), room.cost_of(name))

    def _drop_variable(self, room: CloudRoom, name: str) -> None:
        self._memory.add(room.payer(name), -room.cost_of(name))
        room.drop(name)

    def _making_way(self, room: CloudRoom, name: str, writer: str | None, growth: int) -> set[str]:
        """Return the variables that are to be deleted so that one can be new or so many bytes longer.

        Raises:
            Violation: There is no place for it in the project.
        """
        displaced: set[str] = set()
        most = self._bound("cloud_max_variables_per_room")
        if name not in room.variables and len(room.variables) >= most:
            displaced.update(makingway.variables(room, name, writer, 1, most, lambda _: 1))
            if not displaced:
                raise Violation(CloseCode.CLOUD_ERROR, "There are too many variables in this project")

        def size(other: str) -> int:
            return room.size_of(other, room.variables[other])

        most = self._bound("cloud_max_bytes_per_room")
        if room.size - sum(map(size, displaced)) + growth > most:
            longest = makingway.variables(room, name, writer, growth, most, size)
            if not longest:
                raise Violation(CloseCode.CLOUD_ERROR, "The variables of this project are too long together")
            displaced.update(longest)
        return displaced

    def _displace(self, room: CloudRoom, names: set[str]) -> None:
        if not names:
            return
        for name in names:
            self._delete(room, name)
        self._tell(
            "Variables of project %r that one address made are deleted for those of others, because it had more than "
            "half of cloud_max_variables_per_room or cloud_max_bytes_per_room.",
            room.id,
        )

    # What is stored.

    def _check_storable(self, room: CloudRoom, name: str, value: bytes, writer: str | None) -> None:
        self._check_place(room, name, value, writer)
        if writer is None or not self._settings.storage or self._budgets.has_left(writer):
            return
        if room.growth(name, value) > 0:
            self._tell(_TOO_MUCH_STORED, room.id)
            raise Violation(CloseCode.CLOUD_OVERLOADED, "Your address has stored too much in the last hour")

    def _check_place(self, room: CloudRoom, name: str, value: bytes | None, writer: str | None) -> None:
        if not self.store.has_place(room.id, name, value, writer):
            self._tell(_STORE_BEHIND, room.id)
            raise Violation(CloseCode.CLOUD_OVERLOADED, "Too much of your address waits to be stored")

    def _footprint(self, room: CloudRoom, name: str) -> tuple[str | None, int]:
        """Return to which address a variable in the file is charged, and how many bytes."""
        if name not in room.variables:
            return None, 0
        return room.writers[name], room.size_of(name, room.variables[name])

    def _charge_storage(self, former: tuple[str | None, int], latter: tuple[str | None, int]) -> None:
        """Count that one footprint in the file took the place of another.

        Whoever overwrites somebody's value takes it over, and that one is given back what it was charged. So nobody
        can use up the budget of others by making their values short again and again.
        """
        if former == latter or not self._settings.storage:
            return
        (before, freed), (after, needed) = former, latter
        if before is not None:
            self._budgets.charge(before, -freed)
        elif after is not None:
            needed = max(0, needed - freed)  # it was in the file before
        if after is not None:
            self._budgets.charge(after, needed)

    # What comes into memory, and what goes.

    def tick(self) -> None:
        """Let go of projects nobody has been in for long; what is stored in a file stays there."""
        now = time.monotonic()
        while oldest := self._unused.oldest():
            if oldest.empty_since >= now - self._settings.cloud_room_lifetime:
                break
            self._forget(oldest)
        self._budgets.tick()
        if now - self._noted_at >= _NOTE_EVERY:
            self._noted_at = now
            for room in self.rooms.values():
                if room.members:
                    self.store.touch(room.id)

    def _open(self, project: str, address: str | None) -> CloudRoom:
        """Take a project into memory."""
        while not self._opened.admits(address, 1, self._bound("cloud_max_rooms")):
            if not self._forget_one_for(address):
                self._tell(_NO_ROOMS, project)
                raise Violation(CloseCode.CLOUD_OVERLOADED, "Too many projects are played on this server")
        room = CloudRoom(project, address)
        self._make_memory(room.own_cost, room, address)
        self._memory.add(address, room.own_cost)
        try:
            for name, value in self.store.load(project).items():
                self._load(room, name, value)
        except Violation:
            self._discharge(room)
            raise
        self.rooms[project] = room
        self._opened.add(address, 1)
        self._unused.add(room)
        return room

    def _load(self, room: CloudRoom, name: str, value: bytes) -> None:
        try:
            self._put(room, name, value, None)
        except Violation as violation:
            if violation.code == CloseCode.CLOUD_OVERLOADED:
                raise
            self.tell_left_out(room.id, violation)

    def _set_aside(self, room: CloudRoom) -> None:
        """Keep a project nobody is in, for a while from now on."""
        self._unused.add(room)
        room.empty_since = time.monotonic()

    def _make_memory(self, needed: int, room: CloudRoom, address: str | None) -> None:
        """Forget projects nobody is in until an address may have so many bytes more for a room.

        Raises:
            Violation: The projects that are played need it all, or the address has its part.
        """
        most = self._bound("cloud_max_memory")
        while not self._memory.admits(address, needed, most):
            if not self._forget_one_for(address, room, needed):
                self._tell(_NO_MEMORY, room.id)
                raise Violation(CloseCode.CLOUD_OVERLOADED, "There is no memory left for cloud variables")

    def _forget_one_for(self, address: str | None, needing: CloudRoom | None = None, needed: int = 0) -> bool:
        """Forget one project nobody is in, because an address needs its place; False if there is none to forget.

        An address gives up its own projects first. Without a file, where what is forgotten is lost, it takes the place
        of those of others only while it has no more memory than one project may have.

        Args:
            address: The address.
            needing: A project to be kept.
            needed: Bytes that the address wants.
        """
        own = self._unused.oldest_of(address) if address is not None else None
        if own is not None and own is not needing:
            self._forget_early(own, address)
            return True
        modest = self._memory.of(address) + needed <= self._bound("cloud_max_bytes_per_room")
        oldest = self._unused.oldest() if self._settings.storage or modest else None
        if oldest is None or oldest is needing:
            return False
        self._forget_early(oldest)
        return True

    def _forget_early(self, room: CloudRoom, address: str | None = None) -> None:
        """Forget a project; without a file, if an address is named, no more of it than what that one has set."""
        if not self._settings.storage:
            self._tell(_FORGOTTEN)
            others = [writer for writer in room.writers.values() if writer != address]
            if address is not None and others:
                self._forget_part(room, address, heir=others[0])
                return
        self._forget(room)

    def _forget_part(self, room: CloudRoom, address: str, heir: str | None) -> None:
        """Delete what an address has set in a project, which somebody else is charged for from now on."""
        for name in [name for name, writer in room.writers.items() if writer == address]:
            self._delete(room, name)
        self._discharge(room)
        self._opened.add(room.opener, -1)
        room.opener = heir
        self._opened.add(heir, 1)
        self._charge(room)
        self._unused.add(room)

    def _forget(self, room: CloudRoom) -> None:
        self._discharge(room)
        self._opened.add(room.opener, -1)
        del self.rooms[room.id]
        self._unused.discard(room)
        if not self._settings.storage:
            for name in room.variables:
                self.store.delete(room.id, name)

    def _charge(self, room: CloudRoom) -> None:
        """Put a project's memory on the account."""
        self._memory.add(room.opener, room.own_cost)
        for name in room.variables:
            self._memory.add(room.payer(name), room.cost_of(name))

    def _discharge(self, room: CloudRoom) -> None:
        """Take a project's memory off the account."""
        for name in room.variables:
            self._memory.add(room.payer(name), -room.cost_of(name))
        self._memory.add(room.opener, -room.own_cost)

    def _bound(self, name: str) -> float:
        return getattr(self._settings, name) if self._settings.limits else math.inf

    def tell_left_out(self, project: str, violation: Violation, where: str = "the storage file") -> None:
        """Say in the log that a project cannot have what comes from elsewhere."""
        self._tell(
            "Project %r has more variables in %s than its players may see: %s.",
            project,
            where,
            violation.reason,
        )

    def _tell(self, text: str, *details: object) -> None:
        if self._throttle.should_log(text):
            logger.warning(text, *details)
