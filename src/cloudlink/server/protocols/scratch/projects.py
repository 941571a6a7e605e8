"""The projects in memory: how many there may be, how much they may hold, and how long they stay.

A project somebody is in stays. One that was left stays for a while, and goes earlier when its place is
needed; whoever opens it again gets its variables from the store.
"""

from __future__ import annotations

import logging
import math
import time
from typing import TYPE_CHECKING

from cloudlink.closecodes import CloseCode
from cloudlink.logthrottle import LogThrottle
from cloudlink.storage import MemoryStore, open_store

from .cloudroom import CloudRoom
from .rules import Violation

if TYPE_CHECKING:
    from collections.abc import Callable

    from cloudlink.settings import Settings
    from cloudlink.storage import VariableStore

logger = logging.getLogger("cloudlink.server")

_NOTE_EVERY = 3600.0
"""Seconds after which the store is told again that a project is in use."""

_FORGOTTEN = (
    "Projects without players are forgotten before their time, because cloud_max_memory or cloud_max_rooms "
    "is reached; with the setting storage they would be kept."
)
_NO_MEMORY = "Cloud variables are refused, because the projects being played need more than cloud_max_memory."
_NO_ROOMS = "Players are turned away, because more than cloud_max_rooms projects would be played at once."


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
        self._empty: dict[str, CloudRoom] = {}  # those nobody is in; the one unused for longest stands first
        self._bytes = 0  # about what all of them take
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
        self.store.watch(changed)
        self.store.start(call_soon)
        self._noted_at = time.monotonic()

    def close(self) -> None:
        """Have everything saved, and forget it."""
        self.store.close()
        self.store = MemoryStore()
        self.rooms.clear()
        self._empty.clear()
        self._bytes = 0

    def enter(self, project: str) -> CloudRoom:
        """Let a player into a project.

        Raises:
            Violation: There are too many projects, or too many players in this one.
        """
        room = self.rooms.get(project) or self._open(project)
        if room.members >= self._bound("cloud_max_clients_per_room"):
            raise Violation(CloseCode.CLOUD_ERROR, "There are too many players in this project")
        if not room.members:
            self._empty.pop(project, None)
            if room.variables:
                self.store.touch(project)
        room.members += 1
        return room

    def leave(self, room: CloudRoom) -> None:
        """Take note that a player has left."""
        room.members -= 1
        if not room.members:
            room.forget_pending()
            if room.variables:
                self._set_aside(room)
            else:
                self._forget(room)

    def variables(self, project: str) -> dict[str, bytes]:
        """Return a project's variables, name to JSON text; empty if there are none."""
        room = self.rooms.get(project)
        return dict(room.variables) if room else self.store.load(project)

    # Changes.

    def keep(self, room: CloudRoom, name: str, value: bytes) -> None:
        """Give a variable a value.

        Raises:
            Violation: The project, or all of them together, would hold too much.
        """
        self._put(room, name, value)
        self.store.save(room.id, name, value)

    def delete(self, room: CloudRoom, name: str) -> None:
        """Delete a variable that exists."""
        self._drop_variable(room, name)
        self.store.delete(room.id, name)

    def rename(self, room: CloudRoom, name: str, new_name: str) -> None:
        """Give a variable that exists another name, which may be that of another one.

        Raises:
            Violation: As `keep`; then the variable is what it was.
        """
        value = room.variables[name]
        self._drop_variable(room, name)
        try:
            self._put(room, new_name, value)
        except Violation:
            self._put(room, name, value)
            raise
        self.store.delete(room.id, name)
        self.store.save(room.id, new_name, value)

    def take_over(self, room: CloudRoom, name: str, value: bytes | None) -> bool:
        """Follow a change that others made in the store; False if it is too much for the project."""
        if value is None:
            if name in room.variables:
                self._drop_variable(room, name)
            return True
        try:
            self._put(room, name, value)
        except Violation as violation:
            self.tell_left_out(room.id, violation)
            return False
        return True

    def _put(self, room: CloudRoom, name: str, value: bytes) -> None:
        if room.id in self._empty:
            self._set_aside(room)  # it is in use all the same
        growth = room.growth(name, value)
        if growth > 0:
            if name not in room.variables and len(room.variables) >= self._bound(
                "cloud_max_variables_per_room"
            ):
                raise Violation(CloseCode.CLOUD_ERROR, "There are too many variables in this project")
            if room.size + growth > self._bound("cloud_max_bytes_per_room"):
                raise Violation(CloseCode.CLOUD_ERROR, "The variables of this project are too long together")
            self._make_space(growth, room)
        cost = room.cost
        room.put(name, value, growth)
        self._bytes += room.cost - cost

    def _drop_variable(self, room: CloudRoom, name: str) -> None:
        cost = room.cost
        room.drop(name)
        self._bytes += room.cost - cost

    # What comes into memory, and what goes.

    def tick(self) -> None:
        """Let go of projects nobody has been in for long; what is stored in a file stays there."""
        now = time.monotonic()
        while self._empty:
            oldest = next(iter(self._empty.values()))
            if oldest.empty_since >= now - self._settings.cloud_room_lifetime:
                break
            self._forget(oldest)
        if now - self._noted_at >= _NOTE_EVERY:
            self._noted_at = now
            for room in self.rooms.values():
                if room.members:
                    self.store.touch(room.id)

    def _open(self, project: str) -> CloudRoom:
        """Take a project into memory."""
        while len(self.rooms) >= self._bound("cloud_max_rooms"):
            if not self._empty:
                self._tell(_NO_ROOMS)
                raise Violation(CloseCode.CLOUD_OVERLOADED, "Too many projects are played on this server")
            self._forget_early(next(iter(self._empty.values())))
        room = CloudRoom(project)
        self._make_space(room.cost, room)
        self._bytes += room.cost
        try:
            for name, value in self.store.load(project).items():
                self._load(room, name, value)
        except Violation:
            self._bytes -= room.cost
            raise
        self.rooms[project] = room
        self._empty[project] = room
        return room

    def _load(self, room: CloudRoom, name: str, value: bytes) -> None:
        try:
            self._put(room, name, value)
        except Violation as violation:
            if violation.code == CloseCode.CLOUD_OVERLOADED:
                raise
            self.tell_left_out(room.id, violation)

    def _set_aside(self, room: CloudRoom) -> None:
        """Keep a project nobody is in, for a while from now on."""
        self._empty.pop(room.id, None)
        self._empty[room.id] = room
        room.empty_since = time.monotonic()

    def _make_space(self, needed: int, room: CloudRoom) -> None:
        """Forget projects nobody is in until so many bytes are free for a room.

        Raises:
            Violation: The projects that are played need it all.
        """
        most = self._bound("cloud_max_memory")
        while self._bytes + needed > most:
            oldest = next(iter(self._empty.values()), room)
            if oldest is room:
                self._tell(_NO_MEMORY)
                raise Violation(CloseCode.CLOUD_OVERLOADED, "There is no memory left for cloud variables")
            self._forget_early(oldest)

    def _forget_early(self, room: CloudRoom) -> None:
        if not self._settings.storage:
            self._tell(_FORGOTTEN)
        self._forget(room)

    def _forget(self, room: CloudRoom) -> None:
        self._bytes -= room.cost
        del self.rooms[room.id]
        self._empty.pop(room.id, None)
        if not self._settings.storage:
            for name in room.variables:
                self.store.delete(room.id, name)

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
