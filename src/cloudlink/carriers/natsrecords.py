"""Records of the administration in JetStream: a key of a key-value bucket for each shard.

A shard is read whole and written with its last revision, so that nobody overwrites what somebody else has just written. It
begins with its HMAC: who can reach NATS but does not know the secret of the cluster can neither make a ban nor an account.
"""

from __future__ import annotations

import asyncio
import hmac
import zlib
from typing import TYPE_CHECKING, Any

import msgspec

from cloudlink.cluster.records import Stamp

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .natsbus import NatsBus

_TIMEOUT = 2.0
_MAC_BYTES = 32

Row = tuple[str, str, bytes | None, Stamp]
"""Kind and key of a record, its value as JSON text or None if it was removed, and its stamp."""
_decode = msgspec.msgpack.Decoder(list[tuple[bytes, bytes, bytes | None, int, str]]).decode


class NatsRecords:
    """The shards; every method raises whatever the library raises if NATS cannot be used."""

    def __init__(self, bus: NatsBus, name: str, secret: bytes) -> None:
        """Set up.

        Args:
            bus: The connection.
            name: The setting `cluster_name`.
            secret: The setting `cluster_secret`.
        """
        self._bus = bus
        self._bucket = f"cloudlink-{name}-admin"
        self._secret = secret
        self._opened: tuple[object, Any] | None = None

    async def version(self) -> tuple[int, int]:
        """Return numbers that change with every change of any shard, and with the connection."""
        bucket = await self._opened_bucket()
        async with asyncio.timeout(_TIMEOUT):
            status = await bucket.status()
        return id(self._bus.client), int(status.stream_info.state.last_seq)

    async def get(self, shard: int) -> tuple[int, list[Row]]:
        """Return the revision and the rows of a shard; 0 and none if there is none. Strangers' content counts as none."""
        from nats.js.errors import KeyNotFoundError  # noqa: PLC0415  # optional

        bucket = await self._opened_bucket()
        try:
            async with asyncio.timeout(_TIMEOUT):
                entry = await bucket.get(str(shard))
        except KeyNotFoundError:
            return 0, []
        return entry.revision, self._unsealed(shard, entry.value)

    async def update(self, shard: int, rows: Iterable[Row], revision: int) -> bool:
        """Write a shard; return False if somebody else has written it since that revision."""
        from nats.js.errors import KeyWrongLastSequenceError  # noqa: PLC0415  # optional

        bucket = await self._opened_bucket()
        try:
            async with asyncio.timeout(_TIMEOUT):
                await bucket.update(str(shard), self._sealed(shard, rows), last=revision)
        except KeyWrongLastSequenceError:
            return False
        return True

    async def _opened_bucket(self) -> Any:
        client = self._bus.client
        if client is None:
            raise ConnectionError("there is no connection to NATS")
        if self._opened is None or self._opened[0] is not client:
            stream = client.jetstream(timeout=_TIMEOUT)
            async with asyncio.timeout(2 * _TIMEOUT):
                # An existing bucket stays as it is: with this configuration, creating it does nothing.
                self._opened = client, await stream.create_key_value(bucket=self._bucket)
        return self._opened[1]

    def _sealed(self, shard: int, rows: Iterable[Row]) -> bytes:
        # Keys may hold halves of surrogate pairs, which msgpack's text cannot.
        content = zlib.compress(
            msgspec.msgpack.encode(
                [(_bytes(kind), _bytes(key), value, at.time, at.node) for kind, key, value, at in rows]
            )
        )
        return self._mac(shard, content) + content

    def _unsealed(self, shard: int, sealed: bytes) -> list[Row]:
        mac, content = sealed[:_MAC_BYTES], sealed[_MAC_BYTES:]
        if not hmac.compare_digest(mac, self._mac(shard, content)):
            return []
        try:
            rows = _decode(zlib.decompress(content))
            return [(_text(kind), _text(key), value, Stamp(at, node)) for kind, key, value, at, node in rows]
        except (zlib.error, msgspec.MsgspecError, UnicodeDecodeError):
            return []

    def _mac(self, shard: int, content: bytes) -> bytes:
        return hmac.digest(self._secret, b"admin %d " % shard + content, "sha256")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _text(stored: bytes) -> str:
    return stored.decode("utf-8", "surrogatepass")
