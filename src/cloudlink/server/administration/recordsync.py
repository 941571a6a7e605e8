"""Keeps the records of this node and those that are kept for the whole cluster equal.

Nodes tell each other at once what is changed; this is for those that were away, and for what must outlive all of them. What
this node has changed is written at once. What others have changed is checked a second later, in case they were killed
before they wrote it. Everything is compared after the start, after a new connection, and whenever somebody has written.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Protocol

from cloudlink.admin.replica import SHARDS, Stamped
from cloudlink.logthrottle import LogThrottle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from cloudlink.admin.replica import Replica
    from cloudlink.cluster.records import Stamp

    Row = tuple[str, str, bytes | None, Stamp]

logger = logging.getLogger("cloudlink.cluster")

_EVERY = 0.25
"""Seconds between two looks at what is to be written."""
_OTHERS_EVERY = 1.0
"""Seconds between two looks at what others have written, or should have."""
_ATTEMPTS = 5
_LAST_PATIENCE = 2.0
"""Seconds to write what is left when the server stops."""


class RecordStore(Protocol):
    """Where the records of all nodes are kept; see `cloudlink.carriers.natsrecords`."""

    async def version(self) -> tuple[int, int]:
        """Return numbers that change with every change."""
        ...

    async def get(self, shard: int) -> tuple[int, list[Row]]:
        """Return the revision and the rows of a shard."""
        ...

    async def update(self, shard: int, rows: Iterable[Row], revision: int) -> bool:
        """Write a shard; return False if somebody else has written it since that revision."""
        ...


class RecordSync:
    """Writes and reads the shards."""

    def __init__(self, replica: Replica, store: RecordStore, take: Callable[[list[Stamped]], object]) -> None:
        """Set up; `start` begins.

        Args:
            replica: The records of this node.
            store: Where those of all nodes are.
            take: Puts records into effect and saves them that were changed elsewhere.
        """
        self._replica = replica
        self._store = store
        self._take = take
        self._own: set[int] = set()
        self._others: set[int] = set()
        self._version: tuple[int, int] | None = None
        self._task: asyncio.Task[None] | None = None
        self._throttle = LogThrottle()
        replica.on_change = self._note

    def start(self) -> None:
        """Begin with a comparison of everything."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def finish(self) -> None:
        """Write what is left, for some seconds at most."""
        if self._task is not None:
            self._task.cancel()
            self._task = None
            try:
                async with asyncio.timeout(_LAST_PATIENCE):
                    await self._equalize(self._own | self._others)
            except Exception as error:  # noqa: BLE001  # whatever the library raises; it is in this node's file
                self._log_trouble(error)

    def _note(self, shard: int, is_own: bool) -> None:
        (self._own if is_own else self._others).add(shard)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        looked_at = -_OTHERS_EVERY
        while True:
            try:
                await self._equalize(self._own)
                if loop.time() - looked_at >= _OTHERS_EVERY:
                    looked_at = loop.time()
                    await self._look()
            except Exception as error:  # noqa: BLE001  # the connection broke, or NATS has trouble of its own
                self._log_trouble(error)
            await asyncio.sleep(_EVERY)

    async def _look(self) -> None:
        """Compare everything if somebody has written, else what others should have written."""
        version = await self._store.version()
        if version != self._version:
            await self._equalize(set(range(SHARDS)))
            self._version = version  # what was written meanwhile makes another look
        await self._equalize(self._others)

    async def _equalize(self, shards: set[int]) -> None:
        """Make some shards equal to those of this node; each is left out of the set when it is done."""
        while shards:
            shard = shards.pop()
            try:
                await self._equalize_one(shard)
            except BaseException:
                self._own.add(shard)
                raise

    async def _equalize_one(self, shard: int) -> None:
        for _ in range(_ATTEMPTS):
            revision, rows = await self._store.get(shard)
            theirs = {row[:2]: row[3] for row in rows}
            newer = self._replica.accept(Stamped(*row) for row in rows)
            if newer:
                self._take(newer)
            self._others.discard(shard)
            ours = self._replica.shard(shard)
            if all(theirs.get((one.kind, one.key)) == one.stamp for one in ours):
                return
            if await self._store.update(shard, ours, revision):
                return
        self._own.add(shard)

    def _log_trouble(self, error: Exception) -> None:
        if self._throttle.should_log("trouble"):
            logger.warning(
                "Bans, accounts and rules cannot be kept in NATS (%s: %s); this is tried again. Until then, a node that is away "
                "misses changes.",
                type(error).__name__,
                error,
            )
