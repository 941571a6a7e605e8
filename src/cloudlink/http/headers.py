"""The headers of a request: a mapping whose look-ups ignore case, in which a header may occur several times."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, overload

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_USUAL = (
    b"X-Forwarded-Proto:https\nX-Real-IP:\nX-Forwarded-For:\n"
    b"de-DE,de;q=0.9,fr;q=0.8,es;q=0.7,pt-BR;q=0.6,ru;q=0.5\n(KHTML, like Gecko) Version/18.0 Mobile/15E148 Safari/604.1\n"
    b"(iPhone; CPU iPhone OS 18_0 like Mac OS X) (iPad; CPU OS (Linux; Android 10; K) (Macintosh; Intel Mac OS X 10_15_7) "
    b"(Windows NT 10.0; Win64; x64; rv:133.0) Gecko/20100101 Firefox/133.0\n"
    b"Host:localhost:3000\nConnection:Upgrade\nPragma:no-cache\nCache-Control:no-cache\n"
    b"User-Agent:Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36\n"
    b"Upgrade:websocket\nOrigin:https://turbowarp.org\nSec-WebSocket-Version:13\nAccept-Encoding:gzip, deflate, br, zstd\n"
    b"Accept-Language:en-US,en;q=0.9\nSec-WebSocket-Key:==\n"
    b"Sec-WebSocket-Extensions:permessage-deflate; client_max_window_bits\n"
)
"""What the headers of browsers have in common, for packing them: at most 2 KB, the most common last."""
_WINDOW_BITS = -11
"""Compression without a header, within 2 KB: a larger window would take ten times as long to set up."""


class Headers(Mapping[str, str]):
    """Header lines in the order of the request.

    Opening a connection takes some twenty look-ups, so the first one makes an index.
    """

    __slots__ = ("_index", "_lines")

    def __init__(self, lines: Iterable[tuple[str, str]] = ()) -> None:
        """Args: lines: Name and value of each header line."""
        self._lines = tuple(lines)
        self._index: dict[str, list[str]] | None = None

    def __getitem__(self, name: str) -> str:
        """Return the value of the first line with this name."""
        try:
            return self._values()[name.lower()][0]
        except KeyError:
            raise KeyError(name) from None

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._values()

    def __iter__(self) -> Iterator[str]:
        """Yield each name once, as its first line spells it."""
        seen: dict[str, str] = {}
        for name, _ in self.lines():
            seen.setdefault(name.lower(), name)
        return iter(seen.values())

    def __len__(self) -> int:
        return len({name.lower() for name, _ in self.lines()})

    def __repr__(self) -> str:
        return f"Headers({list(self.lines())!r})"

    def lines(self) -> Sequence[tuple[str, str]]:
        """Return name and value of each line."""
        return self._lines

    def _values(self) -> dict[str, list[str]]:
        """Return the values of each header in the order of its lines, by its name in lower case."""
        if self._index is None:
            self._index = _index_of(self._lines)
        return self._index

    @overload
    def getall(self, name: str) -> list[str]: ...

    @overload
    def getall(self, name: str, default: Sequence[str]) -> Sequence[str]: ...

    def getall(self, name: str, default: Sequence[str] | None = None) -> Sequence[str]:
        """Return the values of all lines with this name.

        Args:
            name: The header's name.
            default: Returned if there are none.

        Raises:
            KeyError: There are none and no default was given.
        """
        values = self._values().get(name.lower())
        if values is not None:
            return values.copy()
        if default is None:
            raise KeyError(name)
        return default

    def tokens(self, name: str) -> list[str]:
        """Return the elements of a header that is a comma-separated list (RFC 9110, section 5.6.1), without empty ones."""
        elements = ",".join(self.getall(name, ())).split(",")
        return [token for element in elements if (token := element.strip(" \t"))]

    def replaced(self, name: str, value: str) -> Headers:
        """Return a copy of these headers in which one line replaces all lines of this name."""
        wanted = name.lower()
        return Headers([(name, value), *(line for line in self.lines() if line[0].lower() != wanted)])

    def packed(self) -> bytes:
        """Return the lines for `PackedHeaders`. The headers are those of a request: a line has no line feed."""
        text = "\n".join(f"{name}:{value}" for name, value in self.lines())
        packer = zlib.compressobj(1, zlib.DEFLATED, _WINDOW_BITS, 1, zlib.Z_DEFAULT_STRATEGY, _USUAL)
        return packer.compress(text.encode("ascii", "surrogateescape")) + packer.flush()


class PackedHeaders(Headers):
    """A view of packed headers; each look-up unpacks them, which takes some microseconds.

    Every connection keeps the bytes, and most are never looked up again.
    """

    __slots__ = ("_packed",)

    def __init__(self, packed: bytes) -> None:
        """Args: packed: What `Headers.packed` returned."""
        super().__init__()
        self._packed = packed

    def lines(self) -> Sequence[tuple[str, str]]:
        """Return name and value of each line."""
        text = (
            zlib.decompressobj(_WINDOW_BITS, _USUAL)
            .decompress(self._packed)
            .decode("ascii", "surrogateescape")
        )
        pairs = (line.partition(":") for line in text.split("\n") if line)
        return [(name, value) for name, _, value in pairs]

    def _values(self) -> dict[str, list[str]]:
        return _index_of(self.lines())  # not kept, because each connection has such headers


def _index_of(lines: Sequence[tuple[str, str]]) -> dict[str, list[str]]:
    index: dict[str, list[str]] = {}
    for name, value in lines:
        index.setdefault(name.lower(), []).append(value)
    return index
