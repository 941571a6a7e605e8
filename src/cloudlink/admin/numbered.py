"""Records with numbers that are never given out twice: bans and mutes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .targets import Target


class _Numbered(Protocol):
    id: int

    @property
    def target(self) -> Target: ...


T = TypeVar("T", bound=_Numbered)


class NumberedRecords(ABC, Generic[T]):
    """Records by number; subclasses find them by target too."""

    def __init__(self) -> None:
        self._by_id: dict[int, T] = {}
        self._last = 0

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[T]:
        return iter(self._by_id.values())

    def next_id(self) -> int:
        """Return a number that no record has had."""
        self._last += 1
        return self._last

    def get(self, number: int) -> T | None:
        """Return the record of a number, None if there is none."""
        return self._by_id.get(number)

    @abstractmethod
    def put(self, record: T) -> None:
        """Add a record in place of one of the same target."""

    def take_over(self, record: T) -> T | None:
        """Put a record that another process has saved.

        Returns:
            Of two records of different targets with the same number, because two processes gave it out at the same time, the
            one that has a new number now, and has to be saved. None if there was none.
        """
        rival = self.get(record.id)
        if rival is None or rival.target.key == record.target.key:
            self.put(record)
            return None
        # All processes choose the same one, so that they agree.
        keeper, other = sorted((rival, record), key=lambda one: one.target.key)
        self.drop(rival.target)
        self.put(keeper)
        other.id = self.next_id()
        self.put(other)
        return other

    @abstractmethod
    def drop(self, target: Target) -> T | None:
        """Remove and return the record of a target, None if there is none."""

    def _number(self, record: T) -> None:
        """Add a record to those with numbers."""
        self._last = max(self._last, record.id)
        self._by_id[record.id] = record

    def _forget(self, record: T) -> None:
        """Remove a record from those with numbers, unless another one has its number."""
        if self._by_id.get(record.id) is record:
            del self._by_id[record.id]
