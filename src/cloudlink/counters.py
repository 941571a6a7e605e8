"""The counts of one server since its start, for its metrics.

Whatever another structure knows already is not counted here: its owner registers a function that returns it, and
`cloudlink.server.metrics` calls that function when somebody asks. So a server that nobody watches pays for additions
only, and for few of them.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class StoreCondition(NamedTuple):
    """The condition of a store, of variables or anything else."""

    is_up: bool = True
    """Whether its last attempt to write succeeded."""
    waiting: int = 0
    """Number of changes that wait to be written."""


class BridgeCondition(NamedTuple):
    """The condition of a bridge to another server."""

    is_up: bool = False
    """Whether it is connected."""
    users: int = 0
    """Number of users of the other side that are shown here."""
    dropped: int = 0
    """Number of records dropped since the start."""


class Counters:
    """The counts of one server, and the functions that know the rest.

    Attributes:
        connections: Connections that became clients.
        refused: Connections that did not, by reason: `full`, `rate`, `addresses`, `origin`, `banned`, `mode`,
            `memory`.
        disconnected: Clients that have left, by cause: `client`, `kicked`, `banned`, `flood`, `slow`, `memory`, `stalled`,
            `timeout`, `protocol`, `shutdown`.
        dropped: Packets that were not handled, by reason: `rate`, `muted`, `frozen`, `slow`, `filtered`.
        limited: How often a limit acted, by what it limits: `memory`, `storage`, `handlers`.
        plugin_errors: Exceptions that handlers and tasks of plugins have raised.
        auto_bans: Bans that the server itself has set.
        logins: Attempts to log in, by result: `ok`, `failed`, `throttled`.
        actions: Actions of administrators, by method.
        kept: Functions that return bytes of memory in use, by what uses it.
        stores: Functions that return the condition of a store, by its name.
        bridges: Returns the condition of each bridge by its name.
        bans: Returns the number of bans by kind.
        mutes: Returns the number of mutes.
        admin_sessions: Returns the number of administrators who are logged in.
    """

    def __init__(self) -> None:
        self.connections = 0
        self.refused: Counter[str] = Counter()
        self.disconnected: Counter[str] = Counter()
        self.dropped: Counter[str] = Counter()
        self.limited: Counter[str] = Counter()
        self.plugin_errors = 0
        self.auto_bans = 0
        self.logins: Counter[str] = Counter()
        self.actions: Counter[str] = Counter()
        self.kept: dict[str, Callable[[], int]] = {}
        self.stores: dict[str, Callable[[], StoreCondition]] = {}
        self.bridges: Callable[[], Mapping[str, BridgeCondition]] = dict
        self.bans: Callable[[], Mapping[str, int]] = dict
        self.mutes: Callable[[], int] = int
        self.admin_sessions: Callable[[], int] = int
