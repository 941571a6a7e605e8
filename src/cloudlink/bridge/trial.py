"""The steps of `cloudlink bridge test`: connects as a bridge would, and says in words what is wrong.

A trial changes nothing at the other side: of a `cloudlink` bridge it ends after the proof, at the others it is a user
that says nothing. The steps up to the upgrade are those of `cloudlink doctor`.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from cloudlink.bridgesections import DEFAULT_USERNAME, is_private
from cloudlink.client.cloudsession import CloudSession
from cloudlink.client.diagnose import Plan, reach
from cloudlink.client.errors import ConnectError, DisconnectedError
from cloudlink.client.session import DesiredState, Session
from cloudlink.version import __version__

from .ledger import MOST_SKEW, wall_clock
from .lines import TOO_OLD, UNKNOWN_PROTOCOL
from .link import shares_in
from .proof import WRONG, CallerHandshake, HandshakeError, key_of
from .records import Unreadable, read_all
from .sharing import entries_of, matched

if TYPE_CHECKING:
    from collections.abc import Callable

    from cloudlink.bridgesections import BridgeSection
    from cloudlink.client.errors import ClientError
    from cloudlink.client.socket import Socket

    from .records import Record

_TIMEOUT = 10.0
"""Seconds for each step."""


async def try_bridge(name: str, section: BridgeSection, report: Callable[[str], None]) -> list[str]:
    """Try all steps.

    Args:
        name: The name of the bridge.
        section: Its settings.
        report: Called with a sentence for each step that succeeded.

    Returns:
        Notes on what is not wrong, but may not be wanted.

    Raises:
        ClientError: A step failed.
    """
    if not section.url:
        report(f"The settings of the bridge {name} are valid; it waits to be called.")
        return ["Only the server that calls can try the connection: run `cloudlink bridge test` there."]
    if section.kind == "cloudlink":
        return await _try_peer(name, section, report)
    names = section.rooms if section.kind == "upstream" else section.projects
    for local, remote in entries_of(names):
        remote_name = local if remote is None else remote
        probe = _UserProbe(
            Session(DesiredState(section.username or DEFAULT_USERNAME, [remote_name]))
            if section.kind == "upstream"
            else CloudSession(remote_name, section.username or DEFAULT_USERNAME)
        )
        socket = await reach(_plan(section), probe, report)
        try:
            report(f"{await probe.greeted(socket)} {remote_name}.")
        finally:
            await socket.close()
    return []


def _plan(section: BridgeSection) -> Plan:
    contact = f" ({section.contact})" if section.contact else ""
    return Plan(section.url, "", _TIMEOUT, user_agent=f"CloudLink/{__version__}{contact}")


async def _try_peer(name: str, section: BridgeSection, report: Callable[[str], None]) -> list[str]:
    probe = _PeerProbe(section)
    socket = await reach(_plan(section), probe, report)
    try:
        _check_private(section, socket)
        probe.begin(socket)
        shares = await probe.shares()
    finally:
        await socket.close()
    report("The other side knows the secret.")
    skew = shares.at - wall_clock()
    if abs(skew) > MOST_SKEW:
        raise ConnectError(
            f"The clocks of the two servers differ by {abs(skew) / 60_000:.0f} minutes.",
            "Have both set by the network (NTP); `timedatectl` shows whether this one is.",
        )
    report(f"The clocks of the two servers differ by {abs(skew) / 1000:.1f} seconds, which is little enough.")
    rooms, projects = shares_in(shares)
    shared = {
        "room": matched(entries_of(section.rooms), rooms or []),
        "project": matched(entries_of(section.projects), projects or []),
    }
    for word, pairs in shared.items():
        for here, there in pairs.items():
            report(f"The {word} {here} is shared" + (f", called {there} there." if here != there else "."))
    named = [*entries_of(section.rooms), *entries_of(section.projects)]
    return [
        f"{here} is not shared: the other side does not name it; "
        f"add it to the section [bridges.NAME] there, or remove it from [bridges.{name}] here."
        for here, _ in named
        if here not in shared["room"] and here not in shared["project"]
    ]


def _check_private(section: BridgeSection, socket: Socket) -> None:
    try:
        is_allowed = section.url.startswith("wss:") or is_private(socket.peer_address)
    except ValueError:
        is_allowed = False
    if not is_allowed:
        raise ConnectError(
            "The other server is not in a private network, and the url begins with ws://.",
            "Write wss://, and let the other server have a certificate.",
        )


class _PeerProbe:
    """Goes through the proof and waits for what the other side shares; a `Receiver`."""

    def __init__(self, section: BridgeSection) -> None:
        self._handshake = CallerHandshake(key_of(section.secret), is_trial=True)
        self._socket: Socket | None = None
        self._shares: asyncio.Future[Record] = asyncio.get_running_loop().create_future()

    def begin(self, socket: Socket) -> None:
        """Send the first message."""
        self._socket = socket
        socket.send(self._handshake.first)

    async def shares(self) -> Record:
        """Return what the other side shares. Raises `ClientError`."""
        try:
            async with asyncio.timeout(_TIMEOUT):
                return await self._shares
        except TimeoutError:
            raise ConnectError(
                "It is a WebSocket, but it does not answer the first message of a bridge.",
                "Is it a CloudLink server, and is the path right?",
            ) from None

    def received(self, text: str) -> None:
        if self._shares.done():
            return
        try:
            if self._handshake.is_done:
                self._read(text)
                return
            answer = self._handshake.received(text)
        except (HandshakeError, Unreadable) as error:
            self._fail(_explained(text, error))
            return
        if answer and self._socket is not None:
            self._socket.send(answer)

    def _read(self, text: str) -> None:
        for record in read_all(text.encode(errors="replace")):
            if record is not None and record.kind == "shares":
                self._shares.set_result(record)
                return

    def ponged(self) -> None:
        """Ignore a pong; no ping is sent."""

    def connection_lost(self, code: int, reason: str) -> None:
        if reason == WRONG:
            self._fail(
                ConnectError(
                    "The other side does not know this secret.",
                    "Both sections need the same secret, and the one of the other server must have no url.",
                )
            )
        else:
            self._fail(DisconnectedError(code, reason))

    def _fail(self, error: ClientError) -> None:
        if not self._shares.done():
            self._shares.set_exception(error)


def _explained(text: str, error: Exception) -> ConnectError:
    if text == UNKNOWN_PROTOCOL:
        return ConnectError(
            f"{TOO_OLD[0].upper()}{TOO_OLD[1:]}.",
            "Let its host update it, or add a section [bridges.NAME] without url.",
        )
    return ConnectError(f"{error}.", "Is it a CloudLink server, and is the path right?")


class _UserProbe:
    """Enters a room or project as a user and says nothing; a `Receiver`."""

    def __init__(self, session: Session | CloudSession) -> None:
        self._session = session
        self._socket: Socket | None = None
        self._settled = asyncio.Event()
        self._closed: ClientError | None = None

    async def greeted(self, socket: Socket) -> str:
        """Wait for the greeting and return the beginning of a sentence. Raises `ClientError`."""
        self._socket = socket
        self._session.opened()
        self._move()
        socket.ping()
        try:
            async with asyncio.timeout(_TIMEOUT):
                await self._settled.wait()
        except TimeoutError:
            raise ConnectError(
                f"The server is connected, but {self._session.waiting_for} did not come in time.",
                "Is it a server of the kind that the settings say?",
            ) from None
        failure = self._session.failure or self._closed
        if failure is not None:
            raise failure
        if isinstance(self._session, Session):
            return f"It is a CloudLink server with protocol {self._session.version}, and lets the bridge into the room"
        count = len(self._session.variables)
        return f"It is a server of cloud variables, and shows {count} of the project"

    def received(self, text: str) -> None:
        self._session.received(text)
        self._move()

    def ponged(self) -> None:
        self._session.ponged()
        self._move()

    def connection_lost(self, code: int, reason: str) -> None:
        self._closed = self._session.closed(code, reason)
        self._settled.set()

    def _move(self) -> None:
        if self._socket is not None:
            for text in self._session.outgoing:
                self._socket.send(text)
        self._session.outgoing.clear()
        if self._session.ready or self._session.failure is not None:
            self._settled.set()
