"""The headers of a request: a mapping whose look-ups ignore case, in which a header may occur several times."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, overload

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence


class Headers(Mapping[str, str]):
    """Header lines in the order of the request.

    A request has about twenty lines and few are looked up, so look-ups search them one by one.
    """

    __slots__ = ("_lines",)

    def __init__(self, lines: Iterable[tuple[str, str]] = ()) -> None:
        """Args: lines: Name and value of each header line."""
        self._lines = tuple(lines)

    def __getitem__(self, name: str) -> str:
        """Return the value of the first line with this name."""
        wanted = name.lower()
        for known, value in self.lines():
            if known.lower() == wanted:
                return value
        raise KeyError(name)

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
        wanted = name.lower()
        values = [value for known, value in self.lines() if known.lower() == wanted]
        if values:
            return values
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
        return text.encode("ascii", "surrogateescape")


class PackedHeaders(Headers):
    """A view of packed headers; each look-up takes them apart, which takes some microseconds.

    Every connection keeps the bytes, and most are never looked up again.
    """

    __slots__ = ("_packed",)

    def __init__(self, packed: bytes) -> None:
        """Args: packed: What `Headers.packed` returned."""
        super().__init__()
        self._packed = packed

    def lines(self) -> Sequence[tuple[str, str]]:
        """Return name and value of each line."""
        text = self._packed.decode("ascii", "surrogateescape")
        pairs = (line.partition(":") for line in text.split("\n") if line)
        return [(name, value) for name, _, value in pairs]
