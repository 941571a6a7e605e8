"""How much of something finite each holder has, and how much more it may have.

The rule: nobody may hold more than what it leaves for others. So one holder gets half at most, the next one half of the
rest, and so on: something is always left for who comes next, and nothing has to be taken back from anybody. (The
dynamic thresholds of shared-memory switches, Choudhury and Hahne 1998.)
"""

from __future__ import annotations


class Shares:
    """Amounts by holder, such as bytes by address.

    A holder of None is nobody in particular: what it has counts for the total and is bounded by that alone.

    Attributes:
        total: What all of them hold together.
    """

    __slots__ = ("_held", "total")

    def __init__(self) -> None:
        self._held: dict[str, int] = {}
        self.total = 0

    def __len__(self) -> int:
        """Return how many holders have something."""
        return len(self._held)

    def of(self, holder: str | None) -> int:
        """Return what a holder has; 0 for None."""
        return self._held.get(holder, 0) if holder is not None else 0

    def add(self, holder: str | None, amount: int) -> None:
        """Give a holder more, or less with a negative amount."""
        self.total += amount
        if holder is not None:
            held = self._held.get(holder, 0) + amount
            if held:
                self._held[holder] = held
            else:
                self._held.pop(holder, None)

    def admits(self, holder: str | None, amount: float, most: float) -> bool:
        """Tell whether a holder may have so much more.

        Args:
            holder: Who wants it.
            amount: How much more.
            most: What there is for all together.
        """
        left = most - self.total - amount
        held = self.of(holder)
        return left >= (held + amount if held else 0)

    def largest(self) -> tuple[str | None, int]:
        """Return who has most, and how much; None and 0 when nobody has anything. Looks at every holder."""
        return max(self._held.items(), key=lambda item: item[1], default=(None, 0))
