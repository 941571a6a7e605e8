"""The order in which new connections are served while the server is busy; `cloudlink.server.fairshare` decides it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable


class Worker(Protocol):
    """A connection whose request waits for its turn."""

    def hold(self) -> None:
        """Read nothing more until the request is answered."""
        ...

    def release(self) -> None:
        """Note that the request has been answered."""
        ...


class Turns(Protocol):
    """Shares time among addresses."""

    def do(self, address: str, worker: Worker, work: Callable[[], None], cost: float = 0.0) -> None:
        """Do work now, or when the address has its turn.

        Args:
            address: The address.
            worker: Held meanwhile if the work has to wait.
            work: The function to call.
            cost: Seconds to charge at least, for what happens because of the work, but not within it.
        """
        ...


class InOrder:
    """Does all work at once, in the order in which it comes."""

    def do(self, address: str, worker: Worker, work: Callable[[], None], cost: float = 0.0) -> None:  # noqa: ARG002  # as `Turns` has it
        """Do work now."""
        work()
