"""The session of one connection, from the handshake to the disconnect.

The first message decides a client's protocol. From then on, its messages go to that protocol's engine,
which is found in the hooks. However a connection ends (close frame, reset, timeout, kick or server
stop), `connection_lost` is called once.
"""

from __future__ import annotations

import logging
import time
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Protocol

from cloudlink.closecodes import CloseCode
from cloudlink.delivery import Outbox, text_frame

from .client import Client, State, write
from .exceptions import EmptyMessage
from .fairshare import NOTICEABLE, READ_AHEAD, FairShare
from .handlers import log_closing
from .memory import FEW_ROOMS, Kept
from .nullsession import NULL_SESSION
from .opening import NOT_JSON, is_text, root_keys

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cloudlink.counters import Counters
    from cloudlink.delivery import Connection, Delivery
    from cloudlink.logthrottle import LogThrottle

    from .allowances import Allowances
    from .clients import ClientsManager
    from .engine import Engine
    from .hooks import Hooks
    from .limits import Limits, Traffic
    from .memory import MemoryAccounts
    from .meter import Meter
    from .rooms import RoomsManager


logger = logging.getLogger("cloudlink.server")


class Host(Protocol):
    """The part of the server that a session uses."""

    hooks: Hooks
    delivery: Delivery
    clients_manager: ClientsManager
    rooms_manager: RoomsManager
    limits: Limits
    counters: Counters
    fair_share: FairShare
    allowances: Allowances
    memory: MemoryAccounts
    limit_log: LogThrottle


# A first message of no known protocol is answered with a text, and the connection is closed (protocol, section 1.4).
_EMPTY = "Empty message"
_NOT_JSON = "Invalid JSON"
_UNKNOWN = "Unable to identify protocol"
_FULL = "Server is full!"
_TOO_MUCH = "You are sending too much; this packet was dropped."
_FRAME_TIME = 5e-6
"""Seconds that a frame costs that does not complete a message."""
_BYTE_TIME = 2e-9
"""Seconds that each byte of a large fragment costs, or of a read buffer that grows: they are copied and checked."""
_READING_TIME = 1e-3
"""Seconds to charge before more of such frames are read."""
_MEMBER_COST, _LETTER_COST = 1000, 6
"""Bytes that being in a room takes, and each character of its name: more for the only member, less for one of many."""
_HANDLER_COST = 4096
"""Bytes that an unfinished handler of a plugin takes."""
_UNDELIVERED = "A recipient reads more slowly than you send; it did not get this."


class Session:
    """Passes a connection's messages to its protocol, and cleans up when the connection ends."""

    __slots__ = ("_account", "_engine", "_host", "_meter", "_share", "client", "state")

    client_class = Client

    def __init__(self, host: Host, connection: Connection, snowflake: int) -> None:
        self.state = State.CONNECTED
        outbox = Outbox(connection, self)
        self.client = self.client_class(self, outbox, snowflake)
        self._host = host
        self._share = host.fair_share
        self._account = self._share.open_account(connection.address)
        self._meter = host.allowances.take(connection.address)
        self._engine: Engine | None = None

    def begin(self) -> None:
        """Add the client and call the `on_connect` handlers."""
        self._host.counters.connections += 1
        self._host.clients_manager.add(self.client)
        self._host.hooks.run(self._host.hooks.connect, self.client)

    def reject_connection(self) -> None:
        """Close the connection instead of `begin`, because the server is full: a text frame says so before."""
        self.send_text(_FULL.encode())
        self.turn_away(CloseCode.NORMAL, _FULL)

    def turn_away(self, code: int, reason: str) -> None:
        """Close the connection instead of `begin`, without a text frame before."""
        self.state = State.CLOSED
        write(self.client, "open", False)
        self._host.delivery.close(self.client.outbox, code, reason)
        self._retire()

    def process(self, message: str | bytes) -> None:
        """Handle one complete message, text or binary."""
        if isinstance(message, str):
            self.receive(message.encode())
        else:
            self.receive_binary(message)

    def receive(self, data: bytes) -> None:
        """Handle one complete text message of valid UTF-8, now or when its address has its turn."""
        share = self._share
        if share.spent >= share.turn or self._account.queue:
            self._wait(self._handle, data)
            return
        clock = share.clock  # Python calls a local name faster than an attribute that is not a method
        began = clock()
        engine = self._engine
        if engine is not None and self._meter.admit(len(data)):  # the usual case, without a call
            engine.receive(self.client, data)
        elif engine is not None:
            self.throttle(data)
        else:
            self._handle(data)
        spent = share.spent = share.spent + clock() - began
        if spent >= NOTICEABLE and not share.is_turn_open:
            share.open_turn()

    def receive_binary(self, data: bytes) -> None:
        """Handle one complete binary message, now or when its address has its turn."""
        share = self._share
        if share.spent >= share.turn or self._account.queue:
            self._wait(self._handle_binary, data)
            return
        began = share.clock()
        self._handle_binary(data)
        spent = share.spent = share.spent + share.clock() - began
        if spent >= NOTICEABLE and not share.is_turn_open:
            share.open_turn()

    def _wait(self, handle: Callable[[bytes], None], data: bytes) -> None:
        work = partial(self._handle_late, handle, data)
        self._share.put(self._account, self, work, len(data), read_ahead=READ_AHEAD)

    def _handle_late(self, handle: Callable[[bytes], None], data: bytes) -> None:
        try:
            handle(data)
        except Exception:
            logger.exception("Processing a message failed; the connection is closed.")
            self.close(CloseCode.INTERNAL_ERROR, "The server made a mistake")

    def hold(self) -> None:
        """Read nothing more from the connection until `release`."""
        self.client.outbox.connection.hold()

    def release(self) -> None:
        """Resume reading from the connection."""
        if self.state is not State.CLOSED:
            self.client.outbox.connection.release()

    def _handle(self, data: bytes) -> None:
        engine = self._engine
        if engine is not None:
            if self._meter.admit(len(data)):
                engine.receive(self.client, data)
            else:
                self.throttle(data)
        elif self.state is State.CONNECTED:
            self._first(data)

    def _handle_binary(self, data: bytes) -> None:
        engine = self._engine
        if engine is not None:
            if self._meter.admit(len(data)):
                engine.receive_binary(self.client, data)
            else:
                self.throttle(data)
        elif self.state is State.CONNECTED:
            self._first(data)

    def send_text(self, payload: bytes) -> None:
        """Queue one text message, encoded as UTF-8, for the client."""
        if self.state is not State.CLOSED:
            self._host.delivery.send(self.client.outbox, text_frame(payload))

    def send_frame(self, frame: bytes) -> None:
        """Queue an encoded WebSocket frame for the client; ignore an empty one."""
        if frame and self.state is not State.CLOSED:
            self._host.delivery.send(self.client.outbox, frame)

    def close(self, code: int = CloseCode.NORMAL, reason: str = "", cause: str = "protocol") -> None:
        """Write the queued frames, close the connection, and disconnect the client immediately.

        Args:
            code: The close code.
            reason: The reason to send to the client.
            cause: The cause to count, one of `cloudlink.counters.Counters.disconnected`.
        """
        if self.state is not State.CLOSED:
            self._host.delivery.close(self.client.outbox, code, reason)
            self._depart(cause)

    def disconnect(self, code: int = CloseCode.NORMAL, reason: str = "") -> None:
        """Close the connection on behalf of a plugin and log the plugin's name."""
        log_closing(self.client, code, reason)
        self.close(code, reason, "kicked")

    def close_for_reading_slowly(self) -> None:
        """Close the connection because the client's backlog is too large."""
        if self.should_log_refusal():
            logger.warning(
                "%s reads too slowly and is disconnected.", self.client, extra={"event": "slow_reader"}
            )
        reason = f"Reading too slowly: more than {self._host.delivery.max_queued_bytes} bytes were waiting"
        self.close(
            self._engine.slow_reader_code if self._engine else CloseCode.TRY_AGAIN_LATER, reason, "slow"
        )

    def tell_undelivered(self, listener: bytes) -> None:
        """Tell the client, at most once a second, that a recipient reads too slowly to get its messages.

        Args:
            listener: JSON text of the echo tag of such a message, empty for none.
        """
        engine = self._engine
        if engine is not None and self._meter.take_answer():
            self.log_limit(_UNDELIVERED)
            engine.tell_undelivered(self.client, listener, _UNDELIVERED)

    def writable(self) -> None:
        """Resume writing to a client that had stopped reading."""
        if self.state is not State.CLOSED:
            self._host.delivery.resume(self.client.outbox)

    @property
    def meter(self) -> Meter:
        """Measures what the client has sent and may still send."""
        return self._meter

    @property
    def received(self) -> Traffic:
        """The messages of this client that were processed so far."""
        return self._meter.received

    def tally(self) -> tuple[float, float]:
        """Return the same as `received`, not rounded."""
        return self._meter.tally()

    def apply_limits(self) -> None:
        """Apply changed limits; what the client has already used remains used."""
        self._meter.update()

    def admit(self, size: int) -> bool:
        """Return whether a frame that does not complete a message may be processed: a ping, or a fragment.

        Args:
            size: Bytes to charge; the bytes of a fragment are charged with its message.
        """
        self._charge_turn(_FRAME_TIME)
        if self._meter.admit(size):
            return True
        self.throttle(None)
        return False

    def _charge_turn(self, seconds: float) -> None:
        """Charge the turn for something that cannot wait; read nothing more from the address if that is too much."""
        share = self._share
        if share.charge(self._account, seconds) and not share.is_held(self):
            self._hold_address()

    def _hold_address(self) -> None:
        """Read nothing more from the whole address until it has its turn.

        Such frames cannot wait like messages. If each connection was only held once it had been read, hundreds of them
        could be read in one iteration of the event loop.
        """
        share = self._share
        for client in self._host.clients_manager:
            session = client.session
            if not isinstance(session, Session) or share.is_held(session):
                continue
            if session._account is self._account:  # noqa: SLF001  # of the same class
                share.put(self._account, session, _nothing, cost=_READING_TIME)

    def admit_next_packet(self, packet: bytes) -> bool:
        """Return whether the next packet of an admitted message may be processed."""
        if self._meter.admit_packet():
            return True
        self.throttle(packet)
        return False

    def charge_bytes(self, size: int) -> bool:
        """Charge extra bytes to an admitted packet; return False if over the limit."""
        return self._meter.charge_bytes(size)

    def throttle(self, data: bytes | None, why: str = _TOO_MUCH) -> None:
        """Refuse a packet that exceeds a limit: notify the client occasionally, and finally close the connection.

        Args:
            data: The packet, None if it cannot be answered.
            why: The reason to send to the client.
        """
        self._host.counters.dropped["rate"] += 1
        self.client.outbox.connection.slow_down()
        engine = self._engine
        verdict = self._meter.refuse_packet(answerable=data is not None and engine is not None)
        if verdict.first and self.should_log_refusal():
            logger.warning(
                "%s sends too much; its packets are refused.", self.client, extra={"event": "flood"}
            )
        if verdict.close:
            if self.should_log_refusal():
                logger.warning(
                    "%s went on sending too much and is disconnected.",
                    self.client,
                    extra={"event": "flood_end"},
                )
            self.close(CloseCode.POLICY_VIOLATION, "Too much was sent for too long", "flood")
            self._host.hooks.policy.on_flood(self.client)
        elif verdict.answer and data is not None and engine is not None:
            engine.reject_packet(self.client, data, why)

    # Memory.

    @property
    def owner(self) -> str | None:
        """The subscriber, None for one to which no limits per address apply."""
        return self._meter.owner

    def __str__(self) -> str:
        return str(self.client)

    def kept(self) -> Kept:
        """Return what the connection makes the server keep; see `cloudlink.server.memory`."""
        client, host = self.client, self._host
        outbox, joined = client.outbox, client.joined
        return Kept(
            outbox.connection.kept,
            host.fair_share.waiting_bytes(self),
            outbox.backlog.size if outbox.backlog is not None else 0,
            _MEMBER_COST * len(joined) + _LETTER_COST * sum(map(len, joined))
            if len(joined) > FEW_ROOMS
            else 0,
            _HANDLER_COST * host.hooks.handlers_of(client),
        )

    def grown(self, size: int) -> None:
        """Note that much is kept of a message whose end has not arrived.

        Args:
            size: Bytes that are new.
        """
        memory = self._host.memory
        memory.note(size)
        self._charge_turn(size * _BYTE_TIME)
        if memory.is_slowed(self.owner):
            self.client.outbox.connection.slow_down()

    def may_keep_more(self) -> bool:
        """Return whether the client may be in many rooms; False if its address keeps too much memory already."""
        self._host.memory.note()
        return not self._host.memory.is_full(self.owner)

    def shed(self, reason: str) -> None:
        """Close the connection because its address keeps too much memory."""
        self._host.counters.limited["memory"] += 1
        engine, connection = self._engine, self.client.outbox.connection
        self.close(engine.slow_reader_code if engine else CloseCode.TRY_AGAIN_LATER, reason, "memory")
        connection.drop_soon()

    def take_answer(self) -> bool:
        """Return whether a refusal without a listener may be answered now: at most once a second."""
        return self._meter.take_answer()

    def log_limit(self, what: str) -> None:
        """Log that the client has reached a limit, at most once a minute for each client."""
        if self._host.limit_log.should_log(self.client.snowflake) and self.should_log_refusal():
            logger.info("%s was refused: %s", self.client, what, extra={"event": "refused"})

    def should_log(self) -> bool:
        """Return whether to log that the client comes, or what it is called or speaks, or that it leaves."""
        return self._host.clients_manager.log.should_log(self.client.address)

    def should_log_refusal(self) -> bool:
        """Return whether to log that the client is refused something, or is disconnected for it."""
        return self._host.clients_manager.log.should_log_refusal(self.client.address)

    def close_if_silent(self, reason: str) -> None:
        """Close the connection unless its first message has arrived."""
        if self.state is State.CONNECTED:
            if self.should_log_refusal():
                logger.info("%s is disconnected: %s.", self.client, reason, extra={"event": "silent"})
            self.close(CloseCode.POLICY_VIOLATION, reason, "timeout")

    def connection_lost(self) -> None:
        """Clean up after the connection has ended, for whatever reason. Only the first call has an effect.

        Messages of the client that are still waiting are processed first. Cleaning up takes time, too: if hundreds of
        clients in a hundred rooms leave at once, they take turns.
        """
        share = self._share
        if share.has_to_wait(self) or (share.spent >= share.turn and self.state is not State.CLOSED):
            share.put(self._account, self, self._depart)
            return
        began = share.clock()
        self._depart()
        share.spent += share.clock() - began
        if not share.is_turn_open:
            share.open_turn()

    def _depart(self, cause: str = "") -> None:
        """Clean up, once.

        Args:
            cause: See `close`; empty if the connection knows it.
        """
        if self.state is State.CLOSED:
            return
        self._host.counters.disconnected[cause or self.client.outbox.connection.cause] += 1
        self.state = State.CLOSED
        client, engine = self.client, self._engine
        self._engine = None
        write(client, "open", False)
        if logger.isEnabledFor(logging.INFO) and self.should_log():
            stay = timedelta(seconds=int(time.monotonic() - client.birth_time))
            logger.info("%s left after %s.", client, stay, extra={"event": "left"})
        for step in self._departure(engine):
            try:
                step()
            except Exception:  # the remaining steps must run
                logger.exception("A cleanup step after the disconnect of %s failed.", client)
        self._retire()

    def _departure(self, engine: Engine | None) -> Iterator[Callable[[], object]]:
        """Yield the cleanup steps after the end of the connection, in order."""
        client, host, hooks = self.client, self._host, self._host.hooks
        yield partial(host.clients_manager.discard, client)
        yield partial(host.rooms_manager.forget, client)
        if engine is not None:
            yield partial(engine.on_detach, client)
        yield partial(hooks.run, hooks.disconnect, client)
        if engine is not None:
            yield partial(hooks.run, hooks.protocol_disconnect.get(engine.schema), client)

    def _retire(self) -> None:
        """Break the reference cycle with the client, so that both are freed without the garbage collector."""
        self._host.clients_manager.count_departed(self.client, self._meter.received)
        self._host.delivery.retire(self.client.outbox)
        self._host.allowances.give_back(self._meter)
        self._share.close_account(self._account)
        write(self.client, "session", NULL_SESSION)

    def rename(self, username: str) -> None:
        """Rename the client and notify its rooms; see `Client.set_username`."""
        client, engine = self.client, self._engine
        if client.username_set and username == client.username:
            return
        # Before its first message, a client is assumed to speak the first registered protocol.
        rules = engine or next(iter(self._host.hooks.engines.values()), None)
        if rules is not None:
            rules.check_username(client, username)
        former = client.user
        self._host.clients_manager.rename(client, username)
        if engine is not None:
            engine.on_rename(client, former)

    def _first(self, data: bytes) -> None:
        self._meter.count_free(len(data))
        if not is_text(data):  # a binary message need not be
            self._reject_unidentified(data, NOT_JSON)
            return
        packet = root_keys(data)
        for engine in self._host.hooks.engines.values():
            if engine.identify(self.client, data, packet):
                self._identify(engine)
                # A handler may have closed the connection meanwhile.
                if self.state is State.IDENTIFIED:
                    engine.receive(self.client, data)
                return
        self._reject_unidentified(data, packet)

    def _identify(self, engine: Engine) -> None:
        host, client = self._host, self.client

        def take_in() -> None:
            host.clients_manager.set_protocol(client, engine.schema)
            self.state = State.IDENTIFIED
            self._engine = engine
            engine.on_attach(client)

        # A plugin may have added the client to rooms in `on_connect`.
        host.rooms_manager.change_protocol(client, take_in)
        host.hooks.run(host.hooks.protocol_identified.get(engine.schema), client)

    def _reject_unidentified(self, data: bytes, packet: object) -> None:
        text = (_NOT_JSON if packet is NOT_JSON else _UNKNOWN) if data else _EMPTY
        self._host.hooks.run(self._host.hooks.error, self.client, text if data else EmptyMessage)
        self.send_text(text.encode())
        self.close(CloseCode.NORMAL, text)


def _nothing() -> None:
    """Do nothing."""
