"""Records with numbers that are never given out twice: bans and mutes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_left
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
        self._is_sorted = True
        self._order: list[int] | None = None  # the numbers of all; None if it has to be made again
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

    def before(self, number: int | None) -> Iterator[T]:
        """Yield the records with smaller numbers, the newest first; all of them for None."""
        if not self._is_sorted:
            self._by_id = dict(sorted(self._by_id.items()))
            self._is_sorted = True
            self._order = None
        if self._order is None:
            self._order = list(self._by_id)
        numbers = self._order
        end = len(numbers) if number is None else bisect_left(numbers, number)
        for place in range(end - 1, -1, -1):
            record = self._by_id.get(numbers[place])
            if record is not None:  # it was not removed meanwhile
                yield record

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
        if record.id < self._last:
            self._is_sorted = False
        self._last = max(self._last, record.id)
        self._by_id[record.id] = record
        self._order = None

    def _forget(self, record: T) -> None:
        """Remove a record from those with numbers, unless another one has its number."""
        if self._by_id.get(record.id) is record:
            del self._by_id[record.id]
            self._order = None
