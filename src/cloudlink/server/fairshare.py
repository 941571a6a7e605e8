"""Shares the server's time among addresses, so that nobody waits for somebody else's work.

The time that each packet takes is charged to the address it came from. While a turn of the event loop has time left,
packets are processed as they come and nobody is held back. Once the packets of one turn have taken their 10 ms, further
ones wait, nothing more is read from their connections, and the addresses take turns by the time they have used (deficit
round robin): a flood waits for itself, and a classroom behind one address has the whole server while nobody else wants
it. A client's packets keep their order.

Pure: the clock and the way to be called back are handed in.
"""

from __future__ import annotations

import logging
import time
from collections import Counter, deque
from typing import TYPE_CHECKING, Protocol

from cloudlink import addresses
from cloudlink.logthrottle import LogThrottle

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger("cloudlink.server")

TURN = 0.010
"""Seconds that packets may take in one turn of the event loop; the last one may take longer."""
_QUANTUM = 0.002
"""Seconds an address may use before the next one has its turn."""
_LONG = 1.0
"""Seconds of waiting after which the log says that an address uses more than its share."""


class Worker(Protocol):
    """A session with packets to be processed."""

    def hold(self) -> None:
        """Read nothing more from the connection until `release`."""
        ...

    def release(self) -> None:
        """Go on reading."""
        ...


class Account:
    """What one address asks of the server.

    Attributes:
        address: The address, as limits and logs go by.
        queue: What waits to be done for it: the session, and a function that does it.
        deficit: Seconds it may still use in this round; below 0 after a packet that took longer.
        sessions: Connections of that address.
        waiting_since: When something began to wait, in seconds of the clock.
    """

    __slots__ = ("address", "deficit", "queue", "sessions", "waiting_since")

    def __init__(self, address: str) -> None:
        self.address = address
        self.queue: deque[tuple[Worker, Callable[[], None]]] = deque()
        self.deficit = 0.0
        self.sessions = 0
        self.waiting_since = 0.0


class FairShare:
    """Decides which waiting packet is next.

    A session processes a packet at once while `spent` is below `TURN` and the account's queue is empty, and adds the
    time it took to `spent`; it hands the packet to `put` otherwise.

    Attributes:
        clock: Returns the time, in seconds.
        spent: Seconds that packets have taken in this turn of the event loop.
        is_turn_open: Whether `open_turn` has been called since `spent` was last forgotten.
    """

    def __init__(
        self,
        call_soon: Callable[[Callable[[], None]], bool],
        clock: Callable[[], float] = time.perf_counter,
        shown: Callable[[str], str] = str,
    ) -> None:
        """Set up the shares of one server.

        Args:
            call_soon: Calls a function in the next turn of the event loop; returns False where no loop runs, and
                then nothing ever waits.
            clock: Returns the time, in seconds.
            shown: Returns an address as the log may hold it.
        """
        self.clock = clock
        self._call_soon = call_soon
        self._shown = shown
        self._accounts: dict[str, Account] = {}
        self._waiting: deque[Account] = deque()  # addresses with a queue, in the order of their turns
        self._held: Counter[Worker] = Counter()  # what waits, by session
        self.spent = 0.0
        self.is_turn_open = False
        self._throttle = LogThrottle(clock=clock)

    def open_account(self, address: str) -> Account:
        """Return the account of an address for one more connection; `close_account` gives it back."""
        key = addresses.subscriber(address)
        account = self._accounts.get(key)
        if account is None:
            account = self._accounts[key] = Account(address)
        account.sessions += 1
        return account

    def close_account(self, account: Account) -> None:
        """Note that a connection of an address is gone."""
        account.sessions -= 1
        if not account.sessions:
            self._accounts.pop(addresses.subscriber(account.address), None)

    def open_turn(self) -> None:
        """See to it that `spent` is forgotten, and that waiting packets have their turn, in the loop's next turn."""
        self.is_turn_open = self._call_soon(self._begin_turn)
        if not self.is_turn_open:
            self.spent = 0.0

    def put(self, account: Account, worker: Worker, work: Callable[[], None]) -> None:
        """Have something done for an address when it is its turn, after all that waits for it already.

        Args:
            account: The address's account.
            worker: The session it is for; nothing more is read from its connection meanwhile.
            work: Does it.
        """
        if not account.queue:
            account.deficit = 0.0
            account.waiting_since = self.clock()
            self._waiting.append(account)
        account.queue.append((worker, work))
        self._held[worker] += 1
        if self._held[worker] == 1:
            worker.hold()
        if not self.is_turn_open:
            self.open_turn()

    def is_held(self, worker: Worker) -> bool:
        """Return whether something waits to be done for a session."""
        return worker in self._held

    def _begin_turn(self) -> None:
        self.is_turn_open = False
        self.spent = 0.0
        while self._waiting and self.spent < TURN:
            account = self._waiting[0]
            account.deficit += _QUANTUM
            self._serve(account)
            if account.queue:
                self._waiting.rotate(-1)
            else:
                self._waiting.popleft()
        if self._waiting or self.spent:
            self.open_turn()

    def _serve(self, account: Account) -> None:
        """Do what waits for an address for as long as it may use the server's time."""
        queue = account.queue
        now = self.clock()
        if now - account.waiting_since > _LONG and self._throttle.should_log(account.address):
            logger.warning(
                "%s asks for more than its share of the server's time; its packets wait.",
                self._shown(account.address),
            )
        while queue and account.deficit > 0 and self.spent < TURN:
            worker, work = queue.popleft()
            try:
                work()
            except Exception:  # one packet's trouble must not end everybody's turn
                logger.exception("A message could not be dealt with.")
            before, now = now, self.clock()
            account.deficit -= now - before
            self.spent += now - before
            self._held[worker] -= 1
            if not self._held[worker]:
                del self._held[worker]
                worker.release()
