"""Shares the server's processing time fairly among addresses.

The processing time of each packet is charged to the address that it came from, likewise that of new connections and of
cleaning up after ended ones. While an iteration of the event loop has time left, packets are processed as they arrive.
Once those of one iteration have taken 10 ms, or less if what they cause takes long, further packets and requests wait,
and the addresses take turns by the time they have used (deficit round robin). An address that begins to wait has its
first turn before those that wait already, as in fq_codel (RFC 8290, section 4.2), so a player with a packet now and
then waits for none of ten floods. A flood therefore delays only its own address, and a classroom behind one address may
use the whole server while no other address needs it. Packets of one client keep their order. What waits is also charged
for the copies that its recipients get, because they are written later.

A connection is held, which means that nothing more is read from it, while a request of it waits or more than a few small
packets. It is not held for one packet: stopping and resuming takes two system calls, which would slow down a server with
thousands of players just when it has no time left.

The module does no I/O: the clock and the scheduling function are passed in.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Protocol

from cloudlink import addresses
from cloudlink.logthrottle import LogThrottle

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger("cloudlink.server")

TURN = 0.010
"""Seconds that packets may take in one iteration of the event loop; the last packet may exceed it."""
_ITERATION = 0.012
"""Seconds of processor time between two turns beyond which the next turns are shorter: what packets cause, above all writing to
many recipients, may take several times as long as the packets."""
_SHORTEST = TURN / 20
"""Seconds that a turn has at least."""
_RECOVERY = 1.05
"""How many times as long as the last one a turn is when little time passes between turns again."""
NOTICEABLE = TURN / 10
"""Seconds below which `spent` is kept for the next iterations: resetting it in each would take as long as many packets."""
_QUANTUM = 0.002
"""Seconds that an address may use before the next address has its turn."""
_COPY = 1e-6
"""Seconds that a queued frame costs when it is written later, on average, if a recipient reads slowly."""
_OVERHEAD = 300
"""Bytes that waiting work takes besides its message."""
READ_AHEAD = 4096
"""Bytes of waiting packets, each with its overhead, up to which a connection is still read: about ten small ones."""
_LONG = 1.0
"""Seconds of waiting after which the log reports that an address uses more than its share."""


class Worker(Protocol):
    """A session with packets to be processed, or a connection with a request to be answered."""

    def hold(self) -> None:
        """Read nothing more from the connection until `release`."""
        ...

    def release(self) -> None:
        """Resume reading from the connection."""
        ...


class Account:
    """The waiting work and the used time of one address.

    Attributes:
        address: The address, as limits and logs use it.
        queue: The waiting work: sessions, functions to call, the bytes that these keep, and the
            least time that they are charged, in seconds. None if no work waits: an empty
            deque would take more memory than all else of an address.
        deficit: Seconds that the address may still use in this round; below 0 after a packet that took
            longer.
        is_listed: Whether the address has a place in the order of turns, which it keeps for a round after its last work.
        sessions: Number of connections of the address.
        waiting_since: When the oldest work began to wait, in seconds of the clock.
    """

    __slots__ = ("address", "deficit", "is_listed", "queue", "sessions", "waiting_since")

    def __init__(self, address: str) -> None:
        self.address = address
        self.queue: deque[tuple[Worker, Callable[[], None], int, float]] | None = None
        self.deficit = 0.0
        self.is_listed = False
        self.sessions = 0
        self.waiting_since = 0.0


class _Load:
    """The waiting work of one worker.

    Attributes:
        count: Number of functions to call.
        size: Bytes that they keep.
        is_held: Whether the worker is held.
    """

    __slots__ = ("count", "is_held", "size")

    def __init__(self) -> None:
        self.count = 0
        self.size = 0
        self.is_held = False


class FairShare:
    """Decides which waiting packet is processed next.

    While `spent` is below `turn` and the account's queue is empty, a session processes a packet immediately
    and adds the time that it took to `spent`; once that reaches `NOTICEABLE`, it calls `open_turn`. Otherwise it
    passes the packet to `put`.

    Attributes:
        clock: Returns the time, in seconds.
        turn: Seconds that packets may take in one iteration of the event loop: `TURN`, or less while iterations take long.
        spent: Seconds that packets have taken in this iteration of the event loop, and up to `NOTICEABLE` from
            those before.
        is_turn_open: Whether `open_turn` has been called since `spent` was last reset.
        waited: Number of messages that had to wait for their turn.
    """

    def __init__(
        self,
        call_soon: Callable[[Callable[[], None]], bool],
        clock: Callable[[], float] = time.perf_counter,
        shown: Callable[[str], str] = str,
        copies: Callable[[], int] = int,
        processor_clock: Callable[[], float] = time.thread_time,
    ) -> None:
        """Set up the shares of one server.

        Args:
            call_soon: Calls a function in the next iteration of the event loop; returns False if no loop
                runs, and then nothing ever waits.
            clock: Returns the time, in seconds.
            shown: Returns an address in the form that may be logged.
            copies: Returns the number of frames sent to clients so far, one for each recipient.
            processor_clock: Returns the processor time that the event loop has used, in seconds.
        """
        self.clock = clock
        self.turn = TURN
        self._call_soon = call_soon
        self._shown = shown
        self._copies = copies
        self._processor_clock = processor_clock
        self._opened_at = 0.0  # by that clock
        self._accounts: dict[str, Account] = {}
        self._fresh: deque[Account] = deque()  # addresses that have just begun to wait
        self._waiting: deque[Account] = deque()  # all others that wait, in the order of their turns
        self._loads: dict[Worker, _Load] = {}
        self._held_count = 0  # workers that are held
        # Seconds spent on what cannot wait, since `spent` was last reset.
        self._urgent: dict[Account, float] = {}
        self.spent = 0.0
        self.is_turn_open = False
        self.waited = 0
        self._spent_before = self._estimated = 0.0
        self._throttle = LogThrottle(clock=clock)

    def open_account(self, address: str) -> Account:
        """Return the account of an address for a new connection; release it with `close_account`."""
        key = addresses.subscriber(address)
        account = self._accounts.get(key)
        if account is None:
            account = self._accounts[key] = Account(address)
        account.sessions += 1
        return account

    def close_account(self, account: Account) -> None:
        """Release the account of a closed connection."""
        account.sessions -= 1
        if not account.sessions:
            self._accounts.pop(addresses.subscriber(account.address), None)

    def open_turn(self) -> None:
        """Schedule the reset of `spent` and the processing of waiting packets for the loop's next iteration."""
        self.is_turn_open = self._call_soon(self._begin_turn)
        self._opened_at = self._processor_clock()
        if not self.is_turn_open:
            self._reset()

    def _reset(self) -> None:
        self._spent_before += self.spent
        self.spent = 0.0
        self._urgent.clear()

    @property
    def total(self) -> float:
        """Seconds that packets have taken so far."""
        return self._spent_before + self.spent - self._estimated

    def put(
        self,
        account: Account,
        worker: Worker,
        work: Callable[[], None],
        size: int = 0,
        cost: float = 0.0,
        read_ahead: int = 0,
    ) -> None:
        """Queue work for an address, to be done when the address has its turn.

        Args:
            account: The address's account.
            worker: The session. Once more than `read_ahead` waits, it is held until all its work is done.
            work: The function to call.
            size: Bytes of the message that it handles.
            cost: Seconds to charge at least, for what happens because of the work, but not within it.
            read_ahead: Bytes of waiting work up to which the worker is not held, see `READ_AHEAD`.
        """
        if not account.queue:
            account.waiting_since = self.clock()
            if not account.is_listed:
                account.is_listed = True
                account.deficit = 0.0
                self._fresh.append(account)
        if account.queue is None:
            account.queue = deque()
        size += _OVERHEAD
        account.queue.append((worker, work, size, cost))
        self.waited += 1
        load = self._loads.get(worker)
        if load is None:
            load = self._loads[worker] = _Load()
        load.count += 1
        load.size += size
        if load.size > read_ahead and not load.is_held:
            load.is_held = True
            self._held_count += 1
            worker.hold()
        if not self.is_turn_open:
            self.open_turn()

    def charge(self, account: Account, seconds: float) -> bool:
        """Charge an address for something that cannot wait, such as a ping.

        Args:
            account: The address's account.
            seconds: What it costs.

        Returns:
            Whether nothing more should be read from the whole address until it has its turn. This is so once the turn is used
            up and the address itself has used `NOTICEABLE` of it in this way: a single ping must not stop a class.
        """
        self.spent += seconds
        if self.spent >= NOTICEABLE and not self.is_turn_open:
            self.open_turn()
        self._urgent[account] = used = self._urgent.get(account, 0.0) + seconds
        return self.spent >= self.turn and used >= NOTICEABLE

    def do(self, address: str, worker: Worker, work: Callable[[], None], cost: float = 0.0) -> None:
        """Do work for an address that need not have a connection yet, now or when the address has its turn.

        Args:
            address: The address.
            worker: Held meanwhile if the work has to wait.
            work: The function to call.
            cost: Seconds to charge at least.
        """
        account = self._accounts.get(addresses.subscriber(address))
        if self.spent >= self.turn or (account is not None and account.queue):
            account = self.open_account(address)
            self.put(account, worker, partial(self._do_last, account, work), cost=cost)
            return
        before, began = self.spent, self.clock()
        work()
        # The work may include packets, which have been charged already.
        self.spent = max(self.spent, before + max(cost, self.clock() - began))
        if not self.is_turn_open:
            self.open_turn()

    def _do_last(self, account: Account, work: Callable[[], None]) -> None:
        try:
            work()
        finally:
            self.close_account(account)

    @property
    def is_busy(self) -> bool:
        """Whether any work waits."""
        return bool(self._loads)

    @property
    def is_behind(self) -> bool:
        """Whether work waits because there is too much from all together, so that reading more would only add to it.

        While a worker is held, somebody may ask for more than a fair share. The others must then be read as usual, because
        they have their turns first: if less was read, the one would get the time that they do not get.
        """
        return bool(self._loads) and not self._held_count

    def waiting_bytes(self, worker: Worker) -> int:
        """Return the bytes that the waiting work of a session keeps."""
        load = self._loads.get(worker)
        return load.size if load is not None else 0

    def has_to_wait(self, worker: Worker) -> bool:
        """Return whether work of a session waits; further work must then wait behind it."""
        return worker in self._loads

    def is_held(self, worker: Worker) -> bool:
        """Return whether nothing is read from a session's connection because its work waits."""
        load = self._loads.get(worker)
        return load is not None and load.is_held

    def _begin_turn(self) -> None:
        self.is_turn_open = False
        self._reset()
        self._adapt(self._processor_clock() - self._opened_at)
        while (line := self._fresh or self._waiting) and self.spent < self.turn:
            account = line.popleft()
            if account.queue:
                account.deficit += _QUANTUM
                self._serve(account)
            # Otherwise, an address whose queue is short could be fresh again and again, and always have the next turn.
            account.is_listed = bool(account.queue) or line is self._fresh
            if account.is_listed:
                self._waiting.append(account)
            else:
                account.queue = None
        # Work that put more work has opened the next turn already; with two, an iteration would take twice as long.
        if (self._fresh or self._waiting or self.spent) and not self.is_turn_open:
            self.open_turn()

    def _adapt(self, took: float) -> None:
        """Choose the length of the turn.

        Args:
            took: Processor time since the last one, in seconds.
        """
        if took > _ITERATION:
            self.turn = max(_SHORTEST, self.turn * _ITERATION / took)
        elif self.turn < TURN:
            self.turn = min(TURN, self.turn * _RECOVERY)

    def _serve(self, account: Account) -> None:
        """Do the queued work of an address until it has used its share of time."""
        queue = account.queue
        now = self.clock()
        if now - account.waiting_since > _LONG and self._throttle.should_log(account.address):
            logger.warning(
                "%s asks for more than its share of the server's time; its packets wait.",
                self._shown(account.address),
            )
        copies = self._copies()
        while queue and account.deficit > 0 and self.spent < self.turn:
            worker, work, size, cost = queue.popleft()
            try:
                work()
            except Exception:  # one failing packet must not stop the others
                logger.exception("Processing a message failed.")
            before, now = now, self.clock()
            copied, copies = copies, self._copies()
            charged = max(cost, now - before + _COPY * max(0, copies - copied))
            account.deficit -= charged
            self.spent += charged
            self._estimated += charged - (now - before)
            load = self._loads[worker]
            load.count -= 1
            load.size -= size
            if not load.count:
                del self._loads[worker]
                if load.is_held:
                    self._held_count -= 1
                    worker.release()
