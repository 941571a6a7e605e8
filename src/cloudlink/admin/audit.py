"""The audit: who did what, by what means, and with what outcome.

Nothing edits or deletes a line, except that old ones are dropped. A line holds no passwords, tokens, codes or messages.
"""

from __future__ import annotations

from collections import Counter, deque
from typing import TYPE_CHECKING, Any

from cloudlink import jsontext
from cloudlink.admin.actors import Actor
from cloudlink.admin.futures import done
from cloudlink.admin.store import AdminStore, AuditRow
from cloudlink.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from cloudlink.admin.database import Database

MOST_IN_A_PAGE = 500
_REMEMBERED = 1000
"""The lines that are kept in memory, for a server without a file."""
_MOST_ONE_BY_ONE = 10
"""Lines a minute that are written one by one, of those that attacks cause in masses; the others are counted."""
_MINUTE = 60.0
_LONGEST = 300
"""Most characters of a text in a line."""
_MOST_ITEMS = 20
_SECRET = frozenset(
    {"password", "old", "new", "token", "code", "text", "message", "hash", "value", "entries"}
)
"""Parameters that are not written down."""

Row = dict[str, Any]
_Repeated = tuple[str, str, str, str]
"""Actor, where it acts, method and outcome of lines that are counted."""


class Audit:
    """The audit of one server.

    Args:
        store: Where the lines are kept.
        wall_clock: Returns the Unix time in seconds.
        shown: Returns an address as it may be written down.

    Attributes:
        actions: How often each method has succeeded.
    """

    def __init__(
        self,
        store: AdminStore,
        wall_clock: Callable[[], float],
        shown: Callable[[str], str] = lambda address: address,
    ) -> None:
        self.actions: Counter[str] = Counter()
        self._store = store
        self._wall_clock = wall_clock
        self._shown = shown
        self._last = 0
        self._recent: deque[Row] = deque(maxlen=_REMEMBERED)
        self._watchers: list[Callable[[Row], None]] = []
        self._repeated: Counter[_Repeated] = Counter()
        self._minute_began = 0.0

    def load(self) -> None:
        """Continue the numbers of the file."""
        self._last = max(self._last, self._store.last_audit_id())

    def watch(self, callback: Callable[[Row], None]) -> None:
        """Call `callback(row)` for each new line."""
        self._watchers.append(callback)

    def record(
        self,
        actor: Actor,
        method: str,
        *,
        target: str = "",
        params: dict[str, Any] | None = None,
        outcome: str = "ok",
        reason: str = "",
    ) -> None:
        """Add a line.

        Args:
            actor: Who acted.
            method: A method of the admin socket, such as `bans.add`, or `login`.
            target: Whom it was for, such as `name:bob`, `client:ID`, `account:mia`.
            params: The other parameters; those that may hold a secret or a message are left out.
            outcome: `ok`, or the code of the error.
            reason: What the actor gave as a reason.
        """
        self._last += 1
        row: Row = {
            "id": self._last,
            "at": int(self._wall_clock()),
            "actor": _plain(actor.name),
            "role": actor.role,
            "via": actor.via,
            "from": _plain(self._shown(actor.from_) if actor.from_ else ""),
            "method": _plain(method),
            "target": _plain(target),
            "params": {
                _plain(key): _cleaned(value) for key, value in (params or {}).items() if key not in _SECRET
            },
            "outcome": _plain(outcome),
            "reason": _plain(reason),
        }
        if outcome == "ok":
            self.actions[method] += 1
        self._recent.append(row)
        self._store.append_audit(AuditRow(self._last, row["at"], row["actor"], jsontext.dumps(row)))
        for watcher in self._watchers:
            watcher(row)

    def record_often(self, actor: Actor, method: str, *, target: str = "", outcome: str) -> None:
        """Add a line of a kind that attacks cause in masses: beyond ten a minute, one line a minute counts them."""
        repeated = (actor.role, actor.via, method, outcome)
        self._repeated[repeated] += 1
        if self._repeated[repeated] <= _MOST_ONE_BY_ONE:
            self.record(actor, method, target=target, outcome=outcome)

    def tick(self) -> None:
        """Write down what was counted in the last minute; to be called once a second."""
        now = self._wall_clock()
        if 0 <= now - self._minute_began < _MINUTE:
            return
        self._minute_began = now
        repeated, self._repeated = self._repeated, Counter()
        for (role, via, method, outcome), count in repeated.items():
            if count > _MOST_ONE_BY_ONE:
                many = Actor("(many)", role, via)  # type: ignore[arg-type]  # they came from an actor
                self.record(many, method, params={"count": count - _MOST_ONE_BY_ONE}, outcome=outcome)

    def list(self, actor: Actor, *, after: int | None = None, limit: int = 200) -> Future[dict[str, Any]]:
        """Return `{items, next}`, the newest line first.

        Args:
            actor: Who asks; those who are not owners see their own lines only.
            after: The `next` of the last answer, None for the first page.
            limit: The most lines, up to 500.
        """
        return self.page(self.whose(actor), after=after, limit=limit)

    @staticmethod
    def whose(actor: Actor) -> str | None:
        """Return whose lines an actor may see, None for everybody's."""
        return None if actor.is_owner else _plain(actor.name)

    @property
    def is_in_file(self) -> bool:
        """Whether the lines are in a file, which the processes of one machine share."""
        return not self._store.is_memory_only

    def page(self, name: str | None, *, after: int | None = None, limit: int) -> Future[dict[str, Any]]:
        """Return `{items, next}` as `list` does, for the lines of one actor, None for all; another thread may complete it."""
        limit = max(1, min(limit, MOST_IN_A_PAGE))

        def read(database: Database) -> dict[str, Any]:
            rows = database.audit(before=after, limit=limit, actor=name)
            # Another process may have taken the number that the line has in itself.
            return _page([{**jsontext.loads(row.row), "id": row.id} for row in rows], limit)

        if not self._store.is_memory_only:
            return self._store.ask(read)
        rows = [
            row
            for row in reversed(self._recent)
            if (after is None or row["id"] < after) and name in (None, row["actor"])
        ]
        return done(_page(rows[:limit], limit))


def _page(rows: list[Row], limit: int) -> dict[str, Any]:
    return {"items": rows, "next": rows[-1]["id"] if len(rows) == limit else None}


def _plain(text: str) -> str:
    return printable(text[:_LONGEST])


def _cleaned(value: Any) -> Any:
    if isinstance(value, str):
        return _plain(value)
    if isinstance(value, dict):
        items = list(value.items())[:_MOST_ITEMS]
        return {_plain(str(key)): _cleaned(item) for key, item in items if key not in _SECRET}
    if isinstance(value, (list, tuple)):
        return [_cleaned(item) for item in value[:_MOST_ITEMS]]
    return value if value is None or isinstance(value, (bool, int, float)) else _plain(str(value))
