"""Cloud variables in JetStream: one key of a key-value bucket for each project.

Only `get` and `update` with the last revision are used: whoever writes a project reads it again if somebody else was
faster, so no value is lost when two nodes save at the same time. The values of a project are one compressed msgpack map.
"""

from __future__ import annotations

import asyncio
import logging
import zlib
from base64 import urlsafe_b64encode
from typing import TYPE_CHECKING, Any

import msgspec

from cloudlink.errors import StartError
from cloudlink.logthrottle import LogThrottle

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

    from .natsbus import NatsBus

logger = logging.getLogger("cloudlink.cluster")

_TIMEOUT = 2.0
_RETRY_EVERY = 0.25
_ATTEMPTS = 5
"""Most attempts to save, each after somebody else has saved."""


class NatsStore:
    """Keeps projects in NATS; see `cloudlink.cluster.cloud.ProjectStore`."""

    def __init__(self, bus: NatsBus, name: str) -> None:
        """Set up the store.

        Args:
            bus: The connection.
            name: The setting `cluster_name`.
        """
        self._bus = bus
        self._bucket = f"cloudlink-{name}-cloud"
        self._revisions: dict[str, tuple[int, dict[str, bytes]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._throttle = LogThrottle()
        self._opened: tuple[object, Any] | None = None

    async def check(self) -> None:
        """Create the bucket if there is none. Raises `StartError` if NATS has no JetStream."""
        try:
            await self._opened_bucket()
        except Exception:  # noqa: BLE001  # whatever the library raises: there is no bucket
            raise StartError(
                f"NATS at {self._bus.shown} has no JetStream, which cloud variables need; "
                'start it with -js, or set cloud = false or storage = "".'
            ) from None

    def load(self, project: str, done: Callable[[Mapping[str, bytes]], None]) -> None:
        """See `ProjectStore`."""
        self._start(self._load(project, done))

    def save(self, project: str, changes: Mapping[str, bytes | None], done: Callable[[bool], None]) -> None:
        """See `ProjectStore`."""
        self._start(self._save(project, dict(changes), done))

    async def finish(self, timeout: float) -> None:
        """Wait up to `timeout` seconds for what is being saved."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=timeout)

    def close(self) -> None:
        """Stop reading and saving."""
        for task in self._tasks:
            task.cancel()

    # How it is done.

    async def _load(self, project: str, done: Callable[[Mapping[str, bytes]], None]) -> None:
        while True:
            try:
                _, values = await self._get(project)
            except Exception as error:  # noqa: BLE001  # the connection broke, or NATS has trouble of its own
                self._tell("read from", error)
                await asyncio.sleep(_RETRY_EVERY)
            else:
                done(values)
                return

    async def _save(
        self, project: str, changes: dict[str, bytes | None], done: Callable[[bool], None]
    ) -> None:
        is_safe = False
        try:
            for _ in range(_ATTEMPTS):
                if await self._update(project, changes):
                    is_safe = True
                    break
        except Exception as error:  # noqa: BLE001  # see `_load`
            self._tell("saved in", error)
        done(is_safe)

    async def _update(self, project: str, changes: dict[str, bytes | None]) -> bool:
        """Write changes; return False if somebody else has written meanwhile."""
        from nats.js.errors import KeyWrongLastSequenceError  # noqa: PLC0415  # optional

        bucket = await self._opened_bucket()
        known = self._revisions.pop(project) if project in self._revisions else None
        revision, values = await self._get(project) if known is None else known
        values |= {name: value for name, value in changes.items() if value is not None}
        for name, value in changes.items():
            if value is None:
                values.pop(name, None)
        try:
            async with asyncio.timeout(_TIMEOUT):
                revision = await bucket.update(_key(project), _packed(values), last=revision)
        except KeyWrongLastSequenceError:
            return False
        self._revisions[project] = revision, values
        return True

    async def _get(self, project: str) -> tuple[int, dict[str, bytes]]:
        """Return the revision and the values of a project; 0 and none if it has none."""
        from nats.js.errors import KeyNotFoundError  # noqa: PLC0415  # optional

        bucket = await self._opened_bucket()
        try:
            async with asyncio.timeout(_TIMEOUT):
                entry = await bucket.get(_key(project))
        except KeyNotFoundError:
            return 0, {}
        try:
            return entry.revision, _unpacked(entry.value)
        except (zlib.error, msgspec.DecodeError, UnicodeDecodeError) as error:
            logger.error(
                "The cloud variables of project %r in NATS are damaged and start empty: %s.", project, error
            )
            return entry.revision, {}

    async def _opened_bucket(self) -> Any:
        """Return the bucket on the present connection."""
        client = self._bus.client
        if client is None:
            raise ConnectionError("there is no connection to NATS")
        if self._opened is None or self._opened[0] is not client:
            self._revisions.clear()
            stream = client.jetstream(timeout=_TIMEOUT)
            async with asyncio.timeout(2 * _TIMEOUT):
                # An existing bucket stays as it is: with this configuration, creating it does nothing.
                self._opened = client, await stream.create_key_value(bucket=self._bucket)
        return self._opened[1]

    def _tell(self, what: str, error: Exception) -> None:
        if self._throttle.should_log(what):
            logger.warning(
                "Cloud variables cannot be %s NATS (%s: %s); this is tried again.",
                what,
                type(error).__name__,
                error,
            )

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _key(project: str) -> str:
    """Return the key of a project; any text is a project id."""
    return urlsafe_b64encode(project.encode("utf-8", "surrogatepass")).decode("ascii")


def _packed(values: dict[str, bytes]) -> bytes:
    # Names may hold halves of surrogate pairs, which msgpack's text cannot.
    return zlib.compress(
        msgspec.msgpack.encode(
            [(name.encode("utf-8", "surrogatepass"), value) for name, value in values.items()]
        )
    )


def _unpacked(packed: bytes) -> dict[str, bytes]:
    pairs = msgspec.msgpack.decode(zlib.decompress(packed), type=list[tuple[bytes, bytes]])
    return {name.decode("utf-8", "surrogatepass"): value for name, value in pairs}
