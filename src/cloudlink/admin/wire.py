"""The admin socket: JSON text in, JSON text out (docs/admin.md describes the methods).

`Wire` holds all sockets of a server, `Socket` is one of them. A `Connection` carries its texts; this module knows
neither the transport nor the event loop.
"""

from __future__ import annotations

import logging
import time
from collections import Counter, OrderedDict
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from cloudlink.admin import merging, requests
from cloudlink.admin.actors import RANKS, Actor, AdminError
from cloudlink.admin.base import Outcome
from cloudlink.admin.peers import Replies
from cloudlink.admin.requests import BadRequest, NotAnObject
from cloudlink.admin.topics import AUDIT, STATS
from cloudlink.buckets import Bucket
from cloudlink.closecodes import CloseCode
from cloudlink.text import did_you_mean, quoted

if TYPE_CHECKING:
    from collections.abc import Callable

    from cloudlink.admin.callers import Peer
    from cloudlink.admin.core import Core, Method, Result
    from cloudlink.admin.requests import Id
    from cloudlink.admin.sessions import Session
    from cloudlink.slices import Slices

from cloudlink.admin.core import Call

logger = logging.getLogger("cloudlink.admin")

PROTOCOL = 1
"""The version of this protocol, for the first event."""
MAX_MESSAGE = 64 << 10
"""Most bytes of a message after the login."""
_MAX_FIRST_MESSAGE = 8 << 10
"""Most bytes of a message before it."""
_RATE, _BURST = 20.0, 60
"""Requests a second, and at once."""
_REFUSALS = 200
"""Requests beyond the limit that are answered, at the rate of the others, before the socket is closed."""
_PARSED_ANYWAY = 4 << 10
"""Bytes up to which a request beyond the limit is parsed, so that the answer can have its id."""
LOGIN_TIME = 60.0
"""Seconds that a socket may stay without a login."""
MOST_STRANGERS, MOST_STRANGERS_OF_ONE = 50, 5
"""The most sockets without a login, in all and of one subscriber."""
_MAX_QUEUED = 1 << 20
"""Most bytes that wait for a socket that reads too slowly."""

NOT_AN_OBJECT, SESSION_ENDED, LOGIN_OVERDUE, FLOODING = 4400, 4401, 4408, 4429
"""Close codes of this protocol."""


class Connection(Protocol):
    """Carries the texts of a socket."""

    @property
    def congested(self) -> bool:
        """Whether nothing should be sent, because the peer reads too slowly; `Socket.writable` ends this."""

    def send(self, data: bytes) -> None:
        """Send one text message, UTF-8."""
        ...

    def close(self, code: int, reason: str) -> None:
        """Close the connection after everything that was sent."""
        ...


class Wire:
    """All admin sockets of a server."""

    def __init__(self, core: Core, clock: Callable[[], float] = time.monotonic) -> None:
        """Set up the sockets.

        Args:
            core: The administration.
            clock: Returns the time in seconds.
        """
        self.core = core
        self.clock = clock
        self.sockets: dict[Socket, None] = {}
        self._strangers: Counter[str] = Counter()
        core.accounts.on_change(core.sessions.end_of)
        core.sanctions.watch_notices(core.topics.notice)
        core.audit.watch(self.publish_line)
        core.sanctions.owner_addresses = self._owner_addresses

    def admits(self, peer: Peer) -> bool:
        """Return whether a subscriber may open another socket now."""
        return peer.is_console or (
            self._strangers.total() < MOST_STRANGERS
            and self._strangers[peer.subscriber] < MOST_STRANGERS_OF_ONE
        )

    def open(self, connection: Connection, peer: Peer) -> Socket:
        """Begin a conversation, or close the connection at once if there are too many without a login."""
        socket = Socket(self, connection, peer)
        if not self.admits(peer):
            socket.close(CloseCode.TRY_AGAIN_LATER, "Too many connections wait for a login")
            return socket
        self.sockets[socket] = None
        if not peer.is_console:
            self._strangers[peer.subscriber] += 1
        socket.send_event("hello", {"protocol": PROTOCOL, "setup": self.core.needs_setup})
        return socket

    def introduce(self, socket: Socket) -> None:
        """Note that a socket has logged in."""
        self._leave_strangers(socket)

    def forget(self, socket: Socket) -> None:
        """Note that a socket is closed."""
        if self.sockets.pop(socket, self) is self:
            return
        self.core.topics.forget(socket)
        if socket.is_stranger:
            self._leave_strangers(socket)

    def _leave_strangers(self, socket: Socket) -> None:
        subscriber = socket.peer.subscriber
        self._strangers[subscriber] -= 1
        if not self._strangers[subscriber]:
            del self._strangers[subscriber]

    def tick(self) -> None:
        """Close what is overdue, and send the statistics; to be called once a second."""
        core = self.core
        core.sessions.expire()
        self.close_ended()
        latest = self.clock() - LOGIN_TIME
        for socket in [one for one in self.sockets if one.is_stranger and one.opened_at <= latest]:
            if not socket.is_logging_in:
                socket.close(LOGIN_OVERDUE, f"Nobody logged in within {LOGIN_TIME:g} seconds")
        core.tick()
        if core.topics.has(STATS):
            core.sanctions.slices.start(self._publish_statistics())

    def _publish_statistics(self) -> Slices[None]:
        topics, here = self.core.topics, (yield from self.core.statistics.now())
        if not self.core.peers.exist:
            topics.publish(STATS, here, replaces=True)
            return

        def publish(asked: Future[Replies]) -> None:
            results = asked.result().results.values()
            topics.publish(STATS, merging.statistics([here, *results]), replaces=True)

        self.core.peers.ask("stats").add_done_callback(publish)

    def publish_line(self, row: dict[str, Any]) -> None:
        """Send a line of the audit to those who may see it: owners all, moderators their own."""
        for socket in tuple(self.sockets):
            actor = socket.actor
            if (actor.is_owner or row["actor"] == actor.name) and AUDIT in self.core.topics.of(socket):
                socket.send_event(AUDIT, row)

    def _owner_addresses(self) -> list[str]:
        """Return the addresses of the owners who are logged in."""
        accounts = self.core.accounts
        return [
            session.address
            for session in self.core.sessions.all()
            if (account := accounts.get(session.account)) is not None and account.role == "owner"
        ]

    def close_ended(self) -> None:
        """Close the sockets whose session has ended."""
        for socket in [one for one in self.sockets if one.session is not None and one.session.is_over]:
            socket.close_ended()

    def stop(self) -> None:
        """Close all sockets, because the server stops."""
        for socket in tuple(self.sockets):
            socket.close(CloseCode.GOING_AWAY, "The server is shutting down")


class Socket:
    """One conversation.

    Attributes:
        peer: Who is at the other end.
        is_logging_in: Whether a password is being checked.
        opened_at: When it was opened, by the clock of `Wire`.
        is_process: False; see `cloudlink.admin.topics.Subscriber`.
    """

    is_process = False

    def __init__(self, wire: Wire, connection: Connection, peer: Peer) -> None:
        self.peer = peer
        self.is_logging_in = False
        self.opened_at = wire.clock()
        self._wire = wire
        self._core = wire.core
        self._connection = connection
        self._session: Session | None = None
        self._is_closed = False
        self._requests = Bucket(_RATE, _BURST, wire.clock)
        self._refusals = Bucket(_RATE, _REFUSALS, wire.clock)
        self._waiting: OrderedDict[object, bytes] = OrderedDict()
        self._queued = 0

    @property
    def session(self) -> Session | None:
        """The login, None before it and for the terminal."""
        return self._session

    def log_in(self, session: Session) -> None:
        """Begin to act for a session."""
        self._wire.introduce(self)
        self._session = session

    @property
    def is_open(self) -> bool:
        """Whether the connection can still be used."""
        return not self._is_closed

    @property
    def is_stranger(self) -> bool:
        """Whether nobody has logged in on it yet."""
        return self._session is None and not self.peer.is_console

    # Receiving.

    def receive(self, data: bytes) -> None:
        """Take one text message, UTF-8."""
        if self._is_closed:
            return
        if len(data) > (_MAX_FIRST_MESSAGE if self.is_stranger else MAX_MESSAGE):
            self.close(CloseCode.TOO_BIG, "The message is too large")
        elif not self._requests.take():
            self._throttle(data)
        elif self._session is not None and self._is_over(self._session):
            self.close_ended()
        else:
            self._handle(data)

    def receive_binary(self) -> None:
        """Take a binary message, which is never right."""
        self.close(NOT_AN_OBJECT, "A message must be a JSON object, as text")

    def _is_over(self, session: Session) -> bool:
        if session.is_over:
            return True
        self._core.sessions.expire()
        return session.is_over or session.account not in self._core.accounts

    def _handle(self, data: bytes) -> None:
        try:
            request = requests.parse(data)
        except NotAnObject:
            self.receive_binary()
            return
        except BadRequest as error:
            self._refuse(error.id, AdminError("invalid", str(error)))
            return
        try:
            result = self._run(request.method, request.params)
        except AdminError as error:
            self._refuse(request.id, error)
        except Exception:
            logger.exception("The method %s of the administration failed.", request.method)
            self._refuse(request.id, _failed())
        else:
            self._answer_when_ready(request.id, request.method, result)

    def _run(self, name: str, params: dict[str, Any]) -> Result:
        from cloudlink.admin.methods import METHODS  # noqa: PLC0415  # servers that nobody administers do not need them

        method = METHODS.get(name)
        if method is None:
            raise AdminError(
                "unknown_method",
                f"There is no method {quoted(name)}{did_you_mean(name, METHODS) or '; docs/admin.md lists all.'}",
            )
        actor = self.actor
        self._check_role(name, method, actor)
        if method.is_secret and not (self.peer.is_secure or self.peer.is_private):
            raise AdminError(
                "insecure",
                "This connection is not encrypted, so anybody on the way could read the password. "
                "Open the page by https://, or on the server's own machine or network.",
            )
        call = Call(self._core, self, actor, requests.checked(params, method.params))
        result = method.run(call)
        if method.changes and self._session is not None:
            self._core.sessions.touch(self._session)
        return result

    def _check_role(self, name: str, method: Method, actor: Actor) -> None:
        if method.role is None:
            return
        if self.is_stranger:
            raise AdminError("not_logged_in", "Log in first.")
        if RANKS[actor.role] < RANKS[method.role]:
            self._core.audit.record_often(actor, name, outcome="forbidden")
            raise AdminError("forbidden", f"Only {method.role}s may do this.")

    @property
    def actor(self) -> Actor:
        """The actor of this socket; before a login, a viewer without a name."""
        address = self.peer.address
        if self.peer.is_console:
            return Actor("console", "owner", "cli", address)
        account = self._core.accounts.get(self._session.account) if self._session else None
        if account is None:
            return Actor("", "viewer", "dashboard", address)
        return Actor(account.name, account.role, "dashboard", address)

    def _throttle(self, data: bytes) -> None:
        if not self._refusals.take():
            self.close(FLOODING, "Too many requests")
            return
        number = None
        if len(data) <= _PARSED_ANYWAY:
            try:
                number = requests.parse(data).id
            except NotAnObject:
                self.receive_binary()
                return
            except BadRequest as error:
                number = error.id
        text = f"At most {_RATE:g} requests a second are answered; wait a moment."
        self._refuse(number, AdminError("throttled", text, {"retry_after": 1 / _RATE}))

    # Answering.

    def _answer_when_ready(self, number: Id, method: str, result: Result) -> None:
        if isinstance(result, Outcome):
            self._answer_outcome(number, method, result)
        elif isinstance(result, Future):
            self._wait(number, method, result, lambda found: self._answer_when_ready(number, method, found))
        else:
            self._answer(number, result)

    def _answer_outcome(self, number: Id, method: str, outcome: Outcome) -> None:
        def answer(replies: Replies) -> None:
            whole = outcome.whole(outcome.result, replies)
            self._wait(
                number, method, outcome.saving, lambda saved: self._answer(number, {**whole, "saved": saved})
            )

        if outcome.replies is None:
            answer(Replies())
        else:
            self._wait(number, method, outcome.replies, answer)

    def _wait(self, number: Id, method: str, future: Future[Any], go_on: Callable[[Any], None]) -> None:
        """Call a function with a result that comes later, or answer with the error."""

        def finish(found: Future[Any]) -> None:
            try:
                go_on(found.result())
            except AdminError as error:
                self._refuse(number, error)
            except Exception:
                logger.exception("The method %s of the administration failed.", method)
                self._refuse(number, _failed())

        if future.done():
            finish(future)
        else:  # the callback must not hold the future, see `cloudlink.admin.futures`
            future.add_done_callback(lambda found: self._core.server.call_soon(partial(finish, found)))

    def _answer(self, number: Id, result: dict[str, Any]) -> None:
        missing = result.get("missing")
        if missing:
            result = {**result, "processes": max(self._core.peers.count, 1 + len(missing))}
        self._send(requests.answer(number, result))
        self._wire.close_ended()

    def _refuse(self, number: Id | None, error: AdminError) -> None:
        self._send(requests.refusal(number, error))

    def send_event(self, name: str, data: dict[str, Any], *, replaces: bool = False) -> None:
        """Send an event; if it replaces one of the same name that still waits to be sent, that one is dropped."""
        self._send(requests.event(name, data), name if replaces else None)

    # Sending.

    def _send(self, data: bytes, replaces: str | None = None) -> None:
        if self._is_closed:
            return
        if not self._connection.congested and not self._waiting:
            self._connection.send(data)
            return
        if replaces is not None and (former := self._waiting.pop(replaces, None)) is not None:
            self._queued -= len(former)
        if self._waiting and self._queued + len(data) > _MAX_QUEUED:
            self.close(CloseCode.TRY_AGAIN_LATER, "Reading too slowly")
            return
        self._waiting[replaces if replaces is not None else object()] = data
        self._queued += len(data)

    def writable(self) -> None:
        """Send what waits, because the peer reads again."""
        while self._waiting and not self._connection.congested and not self._is_closed:
            _, data = self._waiting.popitem(last=False)
            self._queued -= len(data)
            self._connection.send(data)

    # The end.

    def close_ended(self) -> None:
        """Close the connection, because its session has ended."""
        self.close(SESSION_ENDED, "Log in again")

    def close(self, code: int, reason: str) -> None:
        """Close the connection, once."""
        if not self._is_closed:
            self.lost()
            self._connection.close(code, reason)

    def lost(self) -> None:
        """Note that the connection has ended, by either side."""
        self._is_closed = True
        self._waiting.clear()
        self._queued = 0
        self._wire.forget(self)


def _failed() -> AdminError:
    return AdminError("internal", "The server made a mistake; its log says which.")
