"""Fair shares of a finite amount: how much each holder has, and how much more it may have.

The rule: no holder may have more than it leaves for others. So one holder gets at most half, the next one at most half
of the rest, and so on: something is always left for the next holder, and nothing has to be taken back. (These are the
dynamic thresholds of shared-memory switches, Choudhury and Hahne 1998.)
"""

from __future__ import annotations


class Shares:
    """Amounts by holder, such as bytes by address.

    The holder None means no one in particular: its amount counts towards the total and is bounded only by that.

    Attributes:
        total: The sum of all amounts.
    """

    __slots__ = ("_held", "total")

    def __init__(self) -> None:
        self._held: dict[str, int] = {}
        self.total = 0

    def __len__(self) -> int:
        """Return the number of holders with an amount."""
        return len(self._held)

    def of(self, holder: str | None) -> int:
        """Return the amount of a holder; 0 for None."""
        return self._held.get(holder, 0) if holder is not None else 0

    def add(self, holder: str | None, amount: int) -> None:
        """Change the amount of a holder; a negative amount reduces it."""
        self.total += amount
        if holder is not None:
            held = self._held.get(holder, 0) + amount
            if held:
                self._held[holder] = held
            else:
                self._held.pop(holder, None)

    def admits(self, holder: str | None, amount: float, most: float) -> bool:
        """Return whether a holder may have `amount` more.

        Args:
            holder: The holder.
            amount: The additional amount.
            most: The limit for all holders together.
        """
        left = most - self.total - amount
        held = self.of(holder)
        return left >= (held + amount if held else 0)

    def largest(self) -> tuple[str | None, int]:
        """Return the holder with the largest amount, and the amount; None and 0 if there are none. Checks every holder."""
        return max(self._held.items(), key=lambda item: item[1], default=(None, 0))
