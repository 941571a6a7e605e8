"""The projects in memory: limits their number and size, and unloads unused ones.

A project with clients stays in memory. An empty one stays for some time, and is unloaded earlier if its space
is needed; when it is opened again, its variables are read from the store.

No address can exhaust the resources of all. In memory, it may hold no more than it leaves for others
(`cloudlink.shares`); in a full project, an address that holds more than half loses clients or variables
(`eviction`); and the bytes that it may add to the file per hour are limited (`storagebudgets`). A refused
request closes the connection of its client. The address None means no particular one, such as a program on
this machine, to which only the limits for all addresses together apply.
"""

from __future__ import annotations

import logging
import math
import time
from typing import TYPE_CHECKING, NoReturn

from cloudlink.closecodes import CloseCode
from cloudlink.counters import Counters
from cloudlink.logthrottle import LogThrottle
from cloudlink.shares import Shares
from cloudlink.storage import MemoryStore, open_store

from .cloudroom import VARIABLE_COST, CloudRoom
from .emptyprojects import EmptyProjects
from .eviction import client_to_evict, variables_to_evict
from .rules import Violation
from .sharedstore import SharedStore
from .storagebudgets import StorageBudgets

if TYPE_CHECKING:
    from collections.abc import Callable

    from cloudlink.cluster.cloud import Cloud, ProjectStore
    from cloudlink.server.client import Client
    from cloudlink.settings import Settings
    from cloudlink.storage import VariableStore

logger = logging.getLogger("cloudlink.server")

_NOBODY = ""
"""Compares unequal to every address, None included."""

_NOTE_EVERY = 3600.0
"""Seconds after which a project in use is marked again as used in the store."""

_FORGOTTEN = (
    "Projects without players are unloaded early and lose their variables, because cloud_max_memory or cloud_max_rooms "
    "is reached; set storage to keep the variables in a file."
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
_STORE_BEHIND = "Cloud variables of project %r are refused, because too much is waiting to be written to the storage file."


class Projects:
    """All projects that are in memory, and the store behind them.

    Attributes:
        rooms: The projects by id.
        store: Stores their variables.
    """

    def __init__(self, settings: Settings, counters: Counters | None = None) -> None:
        """Set up an empty collection.

        Args:
            settings: The server's settings.
            counters: Counts what the limits refuse, None for nobody.
        """
        counters = counters or Counters()
        counters.kept["cloud"] = lambda: self._memory.total
        counters.stores["cloud"] = lambda: self.store.condition
        self._limited = counters.limited
        self.rooms: dict[str, CloudRoom] = {}
        self.store: VariableStore = MemoryStore()
        self._settings = settings
        self._empty = EmptyProjects()
        self._memory = Shares()  # approximate bytes of memory, by address
        self._opened = Shares()  # number of projects, by the address that opened them
        self._budgets = StorageBudgets(math.inf)
        self._throttle = LogThrottle()
        self._noted_at = 0.0

    def start(
        self,
        call_soon: Callable[..., object],
        changed: Callable[[str, str, bytes | None], None],
        cloud: Cloud | None = None,
        saver: ProjectStore | None = None,
    ) -> None:
        """Open the store.

        Args:
            call_soon: Calls a function on the server's thread; see `VariableStore.start`.
            changed: Called for external changes.
            cloud: The projects of the whole cluster, None for those of this process alone.
            saver: Saves the projects of the cluster, None for the file, which all nodes then share.
        """
        settings = self._settings
        file = settings.storage if saver is None else ""
        self.store = open_store(
            file, max_size=settings.storage_max_size, keep_days=settings.storage_keep_days
        )
        if cloud is not None:
            self.store = SharedStore(cloud, saver, self.store if file else None)
        self._budgets = StorageBudgets(settings.storage_bytes_per_hour)
        self.store.watch(changed)
        self.store.start(call_soon)
        self._noted_at = time.monotonic()

    def apply_storage_limits(self) -> None:
        """Apply the current limits of the storage file; what addresses have used of their budgets stays used."""
        settings = self._settings
        self.store.limit(settings.storage_max_size, settings.storage_keep_days)
        self._budgets.change(settings.storage_bytes_per_hour)

    def close(self) -> None:
        """Save everything, and unload all projects."""
        self.store.close()
        self.store = MemoryStore()
        self.rooms.clear()
        self._empty.clear()
        self._memory = Shares()
        self._opened = Shares()

    def enter(self, project: str, client: Client | None = None, address: str | None = None) -> CloudRoom:
        """Add a player to a project.

        Args:
            project: The project id.
            client: The player; if `address` is given, it may later be disconnected to make space for others.
            address: The subscriber's address, None for no particular one.

        Raises:
            Violation: There are too many projects, or too many players in this one.
        """
        room = self.rooms.get(project) or self._open(project, address)
        most = self._bound("cloud_max_clients_per_room")
        if room.members >= most:
            self._free_seat(room, address, most)
        if not room.members:
            self._empty.discard(room)
            if room.variables:
                self.store.touch(project)
        room.members += 1
        if client is not None and address is not None:
            room.seats[client] = address
        return room

    def leave(self, room: CloudRoom, client: Client | None = None) -> None:
        """Record that a player has left."""
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
        client = client_to_evict(room, address, most)
        if client is None:
            raise Violation(CloseCode.CLOUD_ERROR, "There are too many players in this project")
        reason = "Another address wanted to play, and yours has most places in this project"
        if client.session.should_log_refusal():
            logger.info("%s is disconnected: %s.", client, reason)
        client.session.close(CloseCode.CLOUD_OVERLOADED, reason)

    def variables(self, project: str) -> dict[str, bytes]:
        """Return a project's variables, name to JSON text; empty if it has none."""
        room = self.rooms.get(project)
        return dict(room.variables) if room else self.store.load(project)

    # Changes.

    def keep(self, room: CloudRoom, name: str, value: bytes, writer: str | None = None) -> None:
        """Set a variable.

        Args:
            room: The project.
            name: The variable.
            value: JSON text of the value.
            writer: The address that sets it, None for no particular one.

        Raises:
            Violation: The project, all projects together, or the address would hold too much.
        """
        if room.writers.get(name, _NOBODY) == writer and len(room.variables[name]) == len(value):
            # It changes no account.
            if not self.store.offer(room.id, name, value, writer):
                self._refuse_for_store(room)
            if not room.members and room in self._empty:
                self._set_aside(room)
            room.variables[name] = value
            return
        self._check_storable(room, name, value, writer)
        former = self._footprint(room, name)
        self._put(room, name, value, writer)
        self._charge_storage(former, self._footprint(room, name))
        self.store.save(room.id, name, value, writer)

    def delete(self, room: CloudRoom, name: str, writer: str | None = None) -> None:
        """Delete an existing variable.

        Raises:
            Violation: The address has too much waiting to be stored.
        """
        self._check_place(room, name, None, writer)
        self._delete(room, name)

    def rename(self, room: CloudRoom, name: str, new_name: str, writer: str | None = None) -> None:
        """Rename an existing variable; the new name may be that of another variable.

        Raises:
            Violation: As in `keep`; the variable is then unchanged.
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
        """Apply an external change of the store; return False if it exceeds the limits of the project."""
        if value is None:
            if name in room.variables:
                self._drop_variable(room, name)
            return True
        try:
            self._put(room, name, value, None)
        except Violation as violation:
            self.log_left_out(room.id, violation)
            return False
        return True

    def _delete(self, room: CloudRoom, name: str) -> None:
        self._charge_storage(self._footprint(room, name), (None, 0))
        self._drop_variable(room, name)
        self.store.delete(room.id, name)

    def _put(self, room: CloudRoom, name: str, value: bytes, writer: str | None) -> None:
        if room in self._empty:
            self._set_aside(room)  # the change counts as use
        growth = room.growth(name, value)
        is_new = name not in room.variables
        if growth > 0:
            evicted = self._to_evict(room, name, writer, growth)
            self._make_memory(growth + (VARIABLE_COST if is_new else 0), room, writer or room.opener)
            self._evict(room, evicted)
        if not is_new:
            self._memory.add(room.payer(name), -room.cost_of(name))
        room.put(name, value, growth, writer)
        self._memory.add(room.payer(name), room.cost_of(name))

    def _drop_variable(self, room: CloudRoom, name: str) -> None:
        self._memory.add(room.payer(name), -room.cost_of(name))
        room.drop(name)

    def _to_evict(self, room: CloudRoom, name: str, writer: str | None, growth: int) -> set[str]:
        """Return the variables to delete so that another one can be created, or grow by `growth` bytes.

        Raises:
            Violation: The project has no space for it.
        """
        evicted: set[str] = set()
        most = self._bound("cloud_max_variables_per_room")
        if name not in room.variables and len(room.variables) >= most:
            evicted.update(variables_to_evict(room, name, writer, 1, most, lambda _: 1))
            if not evicted:
                raise Violation(CloseCode.CLOUD_ERROR, "There are too many variables in this project")

        def size(other: str) -> int:
            return room.size_of(other, room.variables[other])

        most = self._bound("cloud_max_bytes_per_room")
        if room.size - sum(map(size, evicted)) + growth > most:
            longest = variables_to_evict(room, name, writer, growth, most, size)
            if not longest:
                raise Violation(CloseCode.CLOUD_ERROR, "The variables of this project are too long together")
            evicted.update(longest)
        return evicted

    def _evict(self, room: CloudRoom, names: set[str]) -> None:
        if not names:
            return
        for name in names:
            self._delete(room, name)
        self._log(
            "Variables of project %r that one address made are deleted for those of others, because it had more than "
            "half of cloud_max_variables_per_room or cloud_max_bytes_per_room.",
            room.id,
        )

    # Storage.

    def _check_storable(self, room: CloudRoom, name: str, value: bytes, writer: str | None) -> None:
        self._check_place(room, name, value, writer)
        if writer is None or not self._settings.storage or self._budgets.has_left(writer):
            return
        if room.growth(name, value) > 0:
            self._limited["storage"] += 1
            self._log(_TOO_MUCH_STORED, room.id)
            raise Violation(CloseCode.CLOUD_OVERLOADED, "Your address has stored too much in the last hour")

    def _check_place(self, room: CloudRoom, name: str, value: bytes | None, writer: str | None) -> None:
        if not self.store.has_place(room.id, name, value, writer):
            self._refuse_for_store(room)

    def _refuse_for_store(self, room: CloudRoom) -> NoReturn:
        self._limited["storage"] += 1
        self._log(_STORE_BEHIND, room.id)
        raise Violation(CloseCode.CLOUD_OVERLOADED, "Too much of your address waits to be stored")

    def _footprint(self, room: CloudRoom, name: str) -> tuple[str | None, int]:
        """Return the address that a variable in the file is charged to, and its bytes."""
        if name not in room.variables:
            return None, 0
        return room.writers[name], room.size_of(name, room.variables[name])

    def _charge_storage(self, former: tuple[str | None, int], latter: tuple[str | None, int]) -> None:
        """Charge the replacement of one footprint in the file by another.

        An address that overwrites another's value is charged for it, and the other one gets its charge back.
        An address therefore cannot exhaust the budget of others by repeatedly shortening their values.
        """
        if former == latter or not self._settings.storage:
            return
        (before, freed), (after, needed) = former, latter
        if before is not None:
            self._budgets.charge(before, -freed)
        elif after is not None:
            needed = max(0, needed - freed)  # the freed bytes were in the file before
        if after is not None:
            self._budgets.charge(after, needed)

    # Loading and unloading.

    def tick(self) -> None:
        """Unload projects that have been empty for long; stored values stay in the file."""
        now = time.monotonic()
        while oldest := self._empty.oldest():
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
        """Load a project."""
        while not self._opened.admits(address, 1, self._bound("cloud_max_rooms")):
            if not self._forget_one_for(address):
                self._limited["memory"] += 1
                self._log(_NO_ROOMS, project)
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
        self._empty.add(room)
        return room

    def _load(self, room: CloudRoom, name: str, value: bytes) -> None:
        try:
            self._put(room, name, value, None)
        except Violation as violation:
            if violation.code == CloseCode.CLOUD_OVERLOADED:
                raise
            self.log_left_out(room.id, violation)

    def _set_aside(self, room: CloudRoom) -> None:
        """Keep an empty project for a limited time from now on."""
        self._empty.add(room)
        room.empty_since = time.monotonic()

    def _make_memory(self, needed: int, room: CloudRoom, address: str | None) -> None:
        """Unload empty projects until an address may use `needed` more bytes for a room.

        Raises:
            Violation: The projects in use need all of the memory, or the address has used its share.
        """
        most = self._bound("cloud_max_memory")
        while not self._memory.admits(address, needed, most):
            if not self._forget_one_for(address, room, needed):
                self._limited["memory"] += 1
                self._log(_NO_MEMORY, room.id)
                raise Violation(CloseCode.CLOUD_OVERLOADED, "There is no memory left for cloud variables")

    def _forget_one_for(self, address: str | None, needing: CloudRoom | None = None, needed: int = 0) -> bool:
        """Unload one empty project to make space for an address; return False if there is none to unload.

        An address loses its own projects first. Without a storage file, unloaded values are lost; the
        projects of other addresses are then unloaded only while the address uses no more memory than one
        project may have.

        Args:
            address: The address.
            needing: A project that must stay loaded.
            needed: Bytes that the address needs.
        """
        own = self._empty.oldest_of(address) if address is not None else None
        if own is not None and own is not needing:
            self._forget_early(own, address)
            return True
        modest = self._memory.of(address) + needed <= self._bound("cloud_max_bytes_per_room")
        oldest = self._empty.oldest() if self._settings.storage or modest else None
        if oldest is None or oldest is needing:
            return False
        self._forget_early(oldest)
        return True

    def _forget_early(self, room: CloudRoom, address: str | None = None) -> None:
        """Unload a project; without a storage file, unload only the values that `address` has set, if one is given."""
        self._limited["memory"] += 1
        if not self._settings.storage:
            self._log(_FORGOTTEN)
            others = [writer for writer in room.writers.values() if writer != address]
            if address is not None and others:
                self._forget_part(room, address, heir=others[0])
                return
        self._forget(room)

    def _forget_part(self, room: CloudRoom, address: str, heir: str | None) -> None:
        """Delete the values that an address has set in a project; from now on, `heir` is charged for the project."""
        for name in [name for name, writer in room.writers.items() if writer == address]:
            self._delete(room, name)
        self._discharge(room)
        self._opened.add(room.opener, -1)
        room.opener = heir
        self._opened.add(heir, 1)
        self._charge(room)
        self._empty.add(room)

    def _forget(self, room: CloudRoom) -> None:
        self._discharge(room)
        self._opened.add(room.opener, -1)
        del self.rooms[room.id]
        self._empty.discard(room)
        self.store.unload(room.id)

    def _charge(self, room: CloudRoom) -> None:
        """Charge a project's memory to its addresses."""
        self._memory.add(room.opener, room.own_cost)
        for name in room.variables:
            self._memory.add(room.payer(name), room.cost_of(name))

    def _discharge(self, room: CloudRoom) -> None:
        """Reverse the charge for a project's memory."""
        for name in room.variables:
            self._memory.add(room.payer(name), -room.cost_of(name))
        self._memory.add(room.opener, -room.own_cost)

    def _bound(self, name: str) -> float:
        return getattr(self._settings, name) if self._settings.limits else math.inf

    def log_left_out(self, project: str, violation: Violation, where: str = "the storage file") -> None:
        """Log that a project cannot take variables that come from outside, such as the storage file."""
        self._log(
            "Project %r has more variables in %s than its players may see: %s.",
            project,
            where,
            violation.reason,
        )

    def _log(self, text: str, *details: object) -> None:
        if self._throttle.should_log(text):
            logger.warning(text, *details)
