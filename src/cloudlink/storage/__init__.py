"""Stores, which keep variables across restarts: their interface, and the choice of a server's store.

Nothing here depends on a protocol, the settings or the event loop. SQLite is imported only if a file is
named, so that a server without storage does not pay for it.
"""

from __future__ import annotations

from cloudlink.storage.interface import VariableStore
from cloudlink.storage.memory import MemoryStore

__all__ = ["MemoryStore", "VariableStore", "open_store"]


def open_store(
    file: str, *, max_size: int | None = None, keep_days: float = 0, of_rooms: bool = False
) -> VariableStore:
    """Return the store that keeps variables in a file, or in memory if the name is empty.

    Args:
        file: The file's name.
        max_size: Most bytes of the file; None for no limit.
        keep_days: Days after which an unused room is deleted from the file; 0 for never.
        of_rooms: Whether it keeps the variables of CloudLink 4 rooms, which have their own tables, instead of cloud variables.

    Raises:
        StartError: The file is damaged or belongs to something else, or its folder does not exist.
    """
    if not file:
        return MemoryStore()
    from cloudlink.storage.database import CLOUD, ROOMS  # noqa: PLC0415  # see the module docstring
    from cloudlink.storage.sqlite import SqliteStore  # noqa: PLC0415  # likewise

    tables = ROOMS if of_rooms else CLOUD
    return SqliteStore(file, max_size=max_size, keep_days=keep_days, tables=tables)
