"""Compares the settings in effect with those that the sources hold now, and applies what may change at once.

Pure: the caller reads the sources, and acts on what has changed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cloudlink.options import HIDDEN
from cloudlink.settings import OPTIONS, TABLES, Settings
from cloudlink.text import quoted

if TYPE_CHECKING:
    from collections.abc import Mapping

_CODE = "code"
"""The origin of values that a program has set; it wins over all sources."""


@dataclass(frozen=True)
class Changes:
    """The differences between two settings.

    Attributes:
        changed: The old and the new value of what acts at once: options by name, and sections such as `plugin.greeter`,
            None for one that does not exist.
        needs_restart: The names of what acts after a restart only, likewise.
    """

    changed: Mapping[str, tuple[Any, Any]]
    needs_restart: tuple[str, ...]

    def shown(self) -> dict[str, Any]:
        """Return `{changed:{name:[old,new]},needs_restart:[…]}` without secrets; nobody knows what is one in a section."""
        return {
            "changed": {name: [_shown(name, value) for value in pair] for name, pair in self.changed.items()},
            "needs_restart": list(self.needs_restart),
        }

    def sections(self, table: str) -> list[str]:
        """Return the names of the changed sections of a table, such as `greeter` of `plugin`."""
        beginning = f"{table}."
        return [name.removeprefix(beginning) for name in self.changed if name.startswith(beginning)]

    def __str__(self) -> str:
        parts = []
        if self.changed:
            pairs = self.shown()["changed"].items()
            parts.append("changed: " + ", ".join(_in_words(name, *pair) for name, pair in pairs))
        if self.needs_restart:
            parts.append("only a restart changes " + ", ".join(self.needs_restart))
        return "; ".join(parts) or "nothing has changed"


def compare(current: Settings, fresh: Settings) -> Changes:
    """Return what differs; values that a program has set count as unchanged.

    Args:
        current: The settings in effect.
        fresh: What the sources hold now.
    """
    changed: dict[str, tuple[Any, Any]] = {}
    needs_restart = []
    for name, option in OPTIONS.items():
        pair = getattr(current, name), getattr(fresh, name)
        if pair[0] == pair[1] or current.origins[name] == _CODE:
            continue
        if option.limits.needs_restart:
            needs_restart.append(name)
        else:
            changed[name] = pair
    for name in TABLES:
        if current.origins[name] == _CODE:
            continue
        old, new = getattr(current, name), getattr(fresh, name)
        sections = [section for section in {**old, **new} if old.get(section) != new.get(section)]
        changed |= {f"{name}.{section}": (old.get(section), new.get(section)) for section in sections}
    return Changes(changed, tuple(needs_restart))


def check(current: Settings, fresh: Settings, changes: Changes) -> None:
    """Check that the settings will agree with each other once `apply` has been called.

    Raises:
        StartError: They contradict each other.
    """
    names = (*OPTIONS, *TABLES)
    sources = {name: fresh if _applies(name, changes) else current for name in names}
    merged = Settings(
        **{name: getattr(source, name) for name, source in sources.items()},
        origins={name: source.origins[name] for name, source in sources.items()},
    )
    merged.check()


def apply(current: Settings, fresh: Settings, changes: Changes) -> None:
    """Set what has changed and does not need a restart; whoever follows the settings acts on it."""
    for name in (*OPTIONS, *TABLES):
        if _applies(name, changes):
            current.set(name, getattr(fresh, name), fresh.origins[name])
        elif current.origins[name] != _CODE and getattr(current, name) == getattr(fresh, name):
            current.origins[name] = fresh.origins[name]


def _applies(name: str, changes: Changes) -> bool:
    return bool(changes.sections(name)) if name in TABLES else name in changes.changed


def _shown(name: str, value: object) -> object:
    if value is None:
        return None
    return OPTIONS[name].for_show(value) if name in OPTIONS else HIDDEN


def _in_words(name: str, old: object, new: object) -> str:
    if HIDDEN in (old, new):
        return name
    return f"{name} ({quoted(old)} → {quoted(new)})"
