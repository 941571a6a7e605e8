"""Cloud projects on several nodes: who has which one open, their values, and who saves them.

Each node that has a project open holds all of its values. The later stamp wins. The *keeper*, the node with the
lowest id among those, saves changes after a quarter of a second. A new keeper saves all values that did not come from
the store, because the former one may have ended before it saved them. The keeper closes a project
only when everything is saved.

A node that opens a project asks the others for their values and reads the store; it waits at most two seconds for both,
and not for a node that is silent.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Protocol

from .records import CloudClosed, CloudOpened, CloudValues, Stamp

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from .clock import HybridClock
    from .records import Record

    Values = dict[str, bytes]
    """JSON texts by name."""

_SAVE_AFTER = 0.25
"""Seconds after a change before it is saved; further ones are saved with it."""
_RETRY_AFTER = 1.0
"""Seconds after which a failed save is repeated."""
_PATIENCE = 2.0
"""Seconds for which newcomers wait for a project's values."""
_RECENT = 10.0
"""Seconds for which others may have missed a value of a node that has ended."""
_STORED = Stamp(0, "")
"""The stamp of values from the store: older than every change."""


class ProjectStore(Protocol):
    """Where projects are saved. Both methods return at once, and may call `done` within the call or later."""

    def load(self, project: str, done: Callable[[Mapping[str, bytes]], None]) -> None:
        """Read a project and call `done` with its values, name to JSON text; if it cannot be read now, later."""
        ...

    def save(self, project: str, changes: Mapping[str, bytes | None], done: Callable[[bool], None]) -> None:
        """Save values, None for a deleted variable; call `done` with whether they are safe."""
        ...


class _Value:
    __slots__ = ("at", "stamp", "value")

    def __init__(self, value: bytes | None, stamp: Stamp, at: float) -> None:
        self.value = value
        self.stamp = stamp
        self.at = at  # when it arrived here


class _Project:
    def __init__(self, name: str, waits_for: set[str], now: float) -> None:
        self.name = name
        self.values: dict[str, _Value] = {}
        self.waits_for = waits_for
        self.asked_by: set[str] = set()  # nodes to answer when it is loaded
        self.waiting: list[Callable[[Values], None]] = []
        self.deadline = now + _PATIENCE
        self.is_loaded = False
        self.is_ready = False
        self.is_keeper = False
        self.is_closing = False
        self.dirty: set[str] = set()
        self.save_at = 0.0
        self.is_saving = False


class Cloud:
    """The cloud projects that are open here, and those that others have open."""

    def __init__(
        self,
        clock: HybridClock,
        now: Callable[[], float],
        node: str,
        send: Callable[[Collection[str] | None, Record], None],
    ) -> None:
        """Set up without projects.

        Args:
            clock: Gives stamps.
            now: Returns the time, in seconds.
            node: The id of this node.
            send: Sends a record to nodes, None for all.
        """
        self.store: ProjectStore | None = None
        self._changed: Callable[[str, str, bytes | None], None] = lambda *_: None
        self._clock = clock
        self._now = now
        self._node = node
        self._send = send
        self._projects: dict[str, _Project] = {}
        self._others: dict[str, set[str]] = {}  # by project: who else has it open
        self._quiet: set[str] = set()  # nodes that may have died

    def use(self, store: ProjectStore | None, changed: Callable[[str, str, bytes | None], None]) -> None:
        """Set the store, and what to call with a project, a name and a value that was set elsewhere (None: deleted)."""
        self.store = store
        self._changed = changed

    # Called by this node.

    @property
    def open_projects(self) -> list[str]:
        """The projects that are open here."""
        return list(self._projects)

    @property
    def projects_elsewhere(self) -> list[str]:
        """The projects that are open on other nodes."""
        return [project for project, nodes in self._others.items() if nodes]

    def is_ready(self, project: str) -> bool:
        """Return whether a project is open and its values are known."""
        found = self._projects.get(project)
        return found is not None and found.is_ready and not found.is_closing

    def is_open(self, project: str) -> bool:
        """Return whether a project is open on any node."""
        return project in self._projects or project in self._others

    def pass_on(self, project: str, name: str, value: bytes) -> None:
        """Set a variable of a project that is open on other nodes only."""
        others = self._others.get(project)
        if others:
            self._send(others, CloudValues(project, [(name, value, self._clock.stamp())]))

    def open(self, project: str, ready: Callable[[Values], None]) -> None:
        """Open a project, and call `ready` with its values as soon as they are known, but at the latest after a time.

        Args:
            project: The project id; it may be open.
            ready: Takes the values; it may be called at once.
        """
        found = self._projects.get(project)
        if found is None:
            found = _Project(project, self._others.get(project, set()) - self._quiet, self._now())
            self._projects[project] = found
            found.waiting.append(ready)
            self._send(None, CloudOpened(project))
            self._choose_keeper(found)
            if self.store is None:
                self._loaded(found, {})
            else:
                self.store.load(project, partial(self._loaded, found))
            return
        found.is_closing = False
        if found.is_ready:
            ready(self.values(project))
        else:
            found.waiting.append(ready)

    def values(self, project: str) -> Values:
        """Return the values of an open project."""
        values = self._projects[project].values
        return {name: each.value for name, each in values.items() if each.value is not None}

    def set(self, project: str, name: str, value: bytes | None) -> None:
        """Set a variable of an open project on behalf of a client of this node; None deletes it."""
        found = self._projects.get(project)
        if found is None:
            return
        stamp = self._clock.stamp()
        found.values[name] = _Value(value, stamp, self._now())
        others = self._others.get(project)
        if others:
            self._send(others, CloudValues(project, [(name, value, stamp)]))
        self._mark(found, (name,))

    def take_from_store(self, project: str, name: str, value: bytes | None) -> None:
        """Apply a change that a program made to the store; all but the keeper ignore it.

        The others cannot tell such a change from what the keeper saved.
        """
        found = self._projects.get(project)
        if found is None or not found.is_keeper or name in found.dirty:
            return
        known = found.values.get(name)
        if (known.value if known else None) != value:
            self.set(project, name, value)
            self._changed(project, name, value)

    def close(self, project: str) -> None:
        """Close a project; its keeper does so when everything is saved."""
        found = self._projects.get(project)
        if found is not None:
            found.is_closing = True
            self._finish_closing(found)

    def close_all(self) -> bool:
        """Save at once and close everything, before the process ends; return whether that is done."""
        for found in tuple(self._projects.values()):
            found.save_at = 0.0
            self.close(found.name)
        self.tick()
        return not self._projects

    def tick(self) -> None:
        """Save what is due, and let newcomers wait no longer than promised."""
        now = self._now()
        for found in tuple(self._projects.values()):
            if not found.is_ready and now >= found.deadline:
                self._become_ready(found)
            if found.dirty and found.is_keeper and not found.is_saving and now >= found.save_at:
                self._save(found)

    # From other nodes.

    def on_opened(self, node: str, project: str) -> None:
        """A node has opened a project: send it the values."""
        self._others.setdefault(project, set()).add(node)
        found = self._projects.get(project)
        if found is not None:
            self._answer(node, found)
            self._choose_keeper(found)

    def on_closed(self, node: str, project: str) -> None:
        """A node has closed a project."""
        others = self._others.get(project, set())
        others.discard(node)
        if not others:
            self._others.pop(project, None)
        found = self._projects.get(project)
        if found is not None:
            self._stop_waiting(found, node)
            self._choose_keeper(found)

    def on_values(self, node: str, record: CloudValues) -> None:
        """A node has sent values."""
        found = self._projects.get(record.project)
        if found is None:
            return
        for name, value, stamp in record.values:
            self._clock.see(stamp)
            known = found.values.get(name)
            if known is None or stamp > known.stamp:
                found.values[name] = _Value(value, stamp, self._now())
                if stamp != _STORED:
                    self._mark(found, (name,))
                is_new = value != known.value if known else value is not None
                if is_new or not record.is_state:  # players get every change, also one to the same value
                    self._show(found, name, value)
            elif record.is_state and stamp < known.stamp and value != known.value:
                self._mark(found, (name,))  # cut off from us, it may have saved its older value
        if record.is_state:
            self._stop_waiting(found, node)

    def on_snapshot(self, node: str, projects: Iterable[str]) -> None:
        """A node has said which projects it has open: both sides send each other their values."""
        opened = set(projects)
        for project in [project for project, nodes in self._others.items() if node in nodes]:
            if project not in opened:
                self.on_closed(node, project)
        for project in opened:
            self.on_opened(node, project)

    def send_state(self, node: str) -> None:
        """Send a node, whose stream began anew, the values of the projects that both have open."""
        for project, nodes in self._others.items():
            found = self._projects.get(project)
            if found is not None and node in nodes:
                self._answer(node, found)

    def on_quiet(self, node: str) -> None:
        """Note that a node has been silent for a while: projects that are opened do not wait for its values."""
        self._quiet.add(node)
        for found in tuple(self._projects.values()):
            self._stop_waiting(found, node)

    def on_heard(self, node: str) -> None:
        """Note that a quiet node is heard again."""
        self._quiet.discard(node)

    def on_down(self, node: str) -> None:
        """A node has gone: make up for what it may have sent to some only, and choose other keepers."""
        self._quiet.discard(node)
        since = self._now() - _RECENT
        for project in [project for project, nodes in self._others.items() if node in nodes]:
            self.on_closed(node, project)
            found, others = self._projects.get(project), self._others.get(project)
            if found is not None:
                self._reconcile(found)
            if found is not None and others:
                last = [
                    (name, each.value, each.stamp)
                    for name, each in found.values.items()
                    if each.stamp.node == node and each.at >= since
                ]
                if last:
                    self._send(others, CloudValues(project, last))

    def on_return(self) -> None:
        """A node that was cut off is back; it may have opened, saved and closed projects meanwhile."""
        for found in tuple(self._projects.values()):
            self._reconcile(found)

    # How it is done.

    def _reconcile(self, found: _Project) -> None:
        """Have the keeper compare a project with the store, where somebody else may have saved something."""
        if self.store is not None and found.is_keeper and found.is_loaded:
            self.store.load(found.name, partial(self._compare, found))

    def _compare(self, found: _Project, stored: Mapping[str, bytes]) -> None:
        if self._projects.get(found.name) is not found or not found.is_keeper:
            return
        for name in stored.keys() | found.values.keys():
            known, value = found.values.get(name), stored.get(name)
            if value == (known.value if known else None):
                continue
            if known is not None and known.stamp != _STORED:
                self._mark(found, (name,))
            else:
                self.set(found.name, name, value)
                self._show(found, name, value)

    def _answer(self, node: str, found: _Project) -> None:
        if not found.is_loaded:  # what it does not know yet, the other one may need
            found.asked_by.add(node)
            return
        values = [(name, each.value, each.stamp) for name, each in found.values.items()]
        self._send((node,), CloudValues(found.name, values, is_state=True))

    def _loaded(self, found: _Project, values: Mapping[str, bytes]) -> None:
        found.is_loaded = True
        for name, value in values.items():
            if name not in found.values:
                found.values[name] = _Value(value, _STORED, self._now())
                self._show(found, name, value)
        asked_by, found.asked_by = found.asked_by, set()
        for node in asked_by & self._others.get(found.name, set()):
            self._answer(node, found)
        self._check_ready(found)

    def _show(self, found: _Project, name: str, value: bytes | None) -> None:
        if found.is_ready and not found.is_closing:
            self._changed(found.name, name, value)

    def _stop_waiting(self, found: _Project, node: str) -> None:
        found.waits_for.discard(node)
        self._check_ready(found)

    def _check_ready(self, found: _Project) -> None:
        if found.is_loaded and not found.waits_for and not found.is_ready:
            self._become_ready(found)

    def _become_ready(self, found: _Project) -> None:
        found.is_ready = True
        waiting, found.waiting = found.waiting, []
        for ready in waiting:
            ready(self.values(found.name))

    def _choose_keeper(self, found: _Project) -> None:
        was_keeper = found.is_keeper
        found.is_keeper = self._node < min(self._others.get(found.name, ()), default="~")
        if found.is_keeper and not was_keeper:
            self._mark(found, [name for name, each in found.values.items() if each.stamp != _STORED])
        elif not found.is_keeper:
            found.dirty.clear()
            self._finish_closing(found)

    def _mark(self, found: _Project, names: Iterable[str]) -> None:
        """Have the keeper save variables soon."""
        if found.is_keeper:
            if not found.dirty:
                found.save_at = self._now() + _SAVE_AFTER
            found.dirty.update(names)

    def _save(self, found: _Project) -> None:
        changes = {name: found.values[name].value for name in found.dirty}
        found.dirty.clear()
        if self.store is None:
            self._finish_closing(found)
        else:
            found.is_saving = True
            self.store.save(found.name, changes, partial(self._saved, found, changes))

    def _saved(self, found: _Project, changes: Mapping[str, bytes | None], is_safe: bool) -> None:
        found.is_saving = False
        if not is_safe and found.is_keeper:
            found.dirty.update(changes)
            found.save_at = self._now() + _RETRY_AFTER
        self._finish_closing(found)

    def _finish_closing(self, found: _Project) -> None:
        must_stay = found.is_keeper and (found.dirty or found.is_saving)
        if found.is_closing and not must_stay and self._projects.pop(found.name, None) is not None:
            self._send(None, CloudClosed(found.name))
