"""The store of a server of several processes: every node that has a project open has its values, and one of them saves them.

`cloudlink.cluster.cloud` keeps the values of the nodes equal. This module stands between it and the store behind it:
a file that all workers share, or none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloudlink.counters import StoreCondition

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cloudlink.cluster.cloud import Cloud, ProjectStore
    from cloudlink.storage import VariableStore
    from cloudlink.storage.interface import Watcher


class SharedStore:
    """A `VariableStore` whose values other nodes change, too."""

    def __init__(self, cloud: Cloud, saver: ProjectStore | None, file: VariableStore | None) -> None:
        """Set up the store.

        Args:
            cloud: The projects of all nodes.
            saver: Saves them, None for the file.
            file: The store of the file that all nodes share; None for none.
        """
        self._cloud = cloud
        self._saver = saver
        self._file = file
        self._watchers: list[Watcher] = []

    @property
    def condition(self) -> StoreCondition:
        """The condition of the file."""
        return StoreCondition() if self._file is None else self._file.condition

    def start(self, call_soon: Callable[..., object]) -> None:
        """Start to work in the background."""
        saver = self._saver
        if self._file is not None:
            self._file.watch(self._cloud.take_from_store)
            self._file.start(call_soon)
            saver = _FileOfWorkers(self._file)
        self._cloud.use(saver, self._changed)

    def load(self, room: str) -> dict[str, bytes]:
        """Return the variables of a project. One that is not open is opened, and the watchers get its values later."""
        if self._cloud.is_ready(room):
            return self._cloud.values(room)
        self._cloud.open(room, lambda values: self._came_late(room, values))
        return self._cloud.values(room) if self._cloud.is_ready(room) else {}

    def has_place(self, room: str, name: str, value: bytes | None, writer: str | None) -> bool:
        """Return whether the file can accept a value."""
        return self._file is None or self._file.has_place(room, name, value, writer)

    def save(self, room: str, name: str, value: bytes, writer: str | None = None) -> None:  # noqa: ARG002  # the interface
        """Set a value on all nodes."""
        self._cloud.set(room, name, value)

    def offer(self, room: str, name: str, value: bytes, writer: str | None) -> bool:
        """Set a value on all nodes if the file can accept it; return whether it can."""
        if not self.has_place(room, name, value, writer):
            return False
        self.save(room, name, value, writer)
        return True

    def delete(self, room: str, name: str) -> None:
        """Delete a variable on all nodes."""
        self._cloud.set(room, name, None)

    def touch(self, room: str) -> None:
        """Note that a project is in use."""
        if self._file is not None:
            self._file.touch(room)

    def limit(self, max_size: int | None, keep_days: float) -> None:
        """Change the limits of the file."""
        if self._file is not None:
            self._file.limit(max_size, keep_days)

    def unload(self, room: str) -> None:
        """Close a project on this node."""
        self._cloud.close(room)

    def watch(self, changed: Watcher) -> None:
        """Register a function to call with changes of other nodes and programs."""
        self._watchers.append(changed)

    def close(self) -> None:
        """Close all projects, and the file."""
        self._cloud.close_all()
        if self._file is not None:
            self._file.close()

    def _came_late(self, room: str, values: Mapping[str, bytes]) -> None:
        for name, value in values.items():
            self._changed(room, name, value)

    def _changed(self, room: str, name: str, value: bytes | None) -> None:
        for watcher in self._watchers:
            watcher(room, name, value)


class _FileOfWorkers:
    """The `ProjectStore` that a file is: a worker reads it, and the keeper of a project writes it."""

    def __init__(self, file: VariableStore) -> None:
        self._file = file

    def load(self, project: str, done: Callable[[Mapping[str, bytes]], None]) -> None:
        done(self._file.load(project))

    def save(self, project: str, changes: Mapping[str, bytes | None], done: Callable[[bool], None]) -> None:
        for name, value in changes.items():
            if value is None:
                self._file.delete(project, name)
            else:
                self._file.save(project, name, value)
        done(True)
