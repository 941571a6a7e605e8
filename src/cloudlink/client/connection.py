"""`connect`: a CloudLink client for asyncio programs and bots.

async with cloudlink.connect("ws://127.0.0.1:3000/", username="bot", rooms=["lobby"]) as c:
    await c.send("Hello!")
    async for event in c:
        ...
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from cloudlink.client.errors import ClientError, NameRefusedError, RequestError, WaitTimeoutError
from cloudlink.client.events import Disconnected, Event, StatusCode, User
from cloudlink.client.reconnecting import MAX_QUEUE, MAX_QUEUE_BYTES, ReconnectingClient
from cloudlink.client.retries import is_final
from cloudlink.client.session import DesiredState, Session
from cloudlink.client.socket import Options

if TYPE_CHECKING:
    import ssl as tls
    from collections.abc import Iterable, Mapping, Sequence

    from cloudlink.client.events import Listener

    Recipient = str | User | Sequence[str | User]

DEFAULT_URL = "ws://127.0.0.1:3000/"


def connect(
    url: str = DEFAULT_URL,
    *,
    username: str | None = None,
    rooms: str | Iterable[str] = (),
    timeout: float = 10.0,
    wait: bool = False,
    reconnect: bool = True,
    max_queue: int = MAX_QUEUE,
    max_queue_bytes: int = MAX_QUEUE_BYTES,
    ssl: tls.SSLContext | None = None,
    proxy: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Connection:
    """Describe a connection; `async with` opens it.

    Args:
        url: The ws or wss address of the server.
        username: The name to set; None for none.
        rooms: The rooms to join, which needs a username; none for the room `default`.
        timeout: Seconds for connecting, for each start of a session, and for an answer.
        wait: Whether to wait for a server that is not running yet: the first connection is retried like a broken one,
            until it succeeds or fails in a way that waiting cannot fix. Otherwise, there is only one attempt.
            To limit the wait, enter the connection inside `asyncio.timeout`.
        reconnect: Whether to connect again when the connection breaks.
        max_queue: Events that may wait in the queue before reading pauses.
        max_queue_bytes: Bytes that these may have before reading pauses; each event counts as its message plus 500.
        ssl: The TLS context of a wss address; None trusts what this machine trusts.
        proxy: The address of a proxy to go through, such as `socks5://127.0.0.1:1080`.
        headers: Further headers of the request.

    Raises:
        ValueError: Rooms are given without a username, or a limit of the queue is less than 1.
    """
    options = Options(ssl=ssl, proxy=proxy, headers=headers or {}, timeout=timeout)
    desired = DesiredState(username, [rooms] if isinstance(rooms, str) else list(rooms))
    if desired.rooms and username is None:
        raise ValueError("The server lets only clients with a username into rooms; give one")
    return Connection(
        url,
        desired,
        options,
        wait=wait,
        reconnect=reconnect,
        max_queue=max_queue,
        max_queue_bytes=max_queue_bytes,
    )


class Connection(ReconnectingClient[Session, Event]):
    """A connection to a CloudLink server, made by `connect`.

    Iterating yields the events of `cloudlink.client.events`, the first of which is `Connected`. Sending during a
    disconnection waits for the reconnection.
    """

    def __init__(
        self,
        url: str,
        desired: DesiredState,
        options: Options,
        *,
        wait: bool,
        reconnect: bool,
        max_queue: int,
        max_queue_bytes: int,
    ) -> None:
        super().__init__(
            url,
            options,
            wait=wait,
            reconnect=reconnect,
            max_queue=max_queue,
            max_queue_bytes=max_queue_bytes,
        )
        self._desired = desired
        self._requests: dict[Listener, asyncio.Future[Event]] = {}

    @property
    def user(self) -> User:
        """This client as the server knows it; its ids change with every reconnection."""
        return User("", "") if self._session is None else self._session.user

    @property
    def rooms(self) -> tuple[str, ...]:
        """The rooms this client is in."""
        return () if self._session is None else self._session.rooms

    @property
    def users(self) -> dict[str, tuple[User, ...]]:
        """All users with a name, by room, this client included."""
        return {} if self._session is None else self._session.users.by_room

    @property
    def server_version(self) -> str:
        """The version that the server reports."""
        return "" if self._session is None else self._session.version

    async def send(self, value: Any, rooms: str | Sequence[str] | None = None) -> None:
        """Send a message to all clients in rooms (gmsg).

        Args:
            value: Anything that JSON can hold.
            rooms: One or more of the rooms this client is in; None for all of them.
        """
        await self.command("gmsg", val=value, rooms=rooms)

    async def gvar(self, name: str, value: Any, rooms: str | Sequence[str] | None = None) -> None:
        """Send the value of a variable to all clients in rooms; arguments as for `send`."""
        await self.command("gvar", name=name, val=value, rooms=rooms)

    async def pmsg(self, to: Recipient, value: Any, rooms: str | Sequence[str] | None = None) -> None:
        """Send a private message.

        Args:
            to: A `User`, a username, snowflake or UUID, or a list of these.
            value: Anything that JSON can hold.
            rooms: Where to look for them; None for all rooms this client is in.
        """
        await self.command("pmsg", id=to, val=value, rooms=rooms)

    async def pvar(
        self, to: Recipient, name: str, value: Any, rooms: str | Sequence[str] | None = None
    ) -> None:
        """Send the value of a private variable; arguments as for `pmsg`."""
        await self.command("pvar", id=to, name=name, val=value, rooms=rooms)

    async def direct(self, to: Recipient, value: Any, listener: Listener | None = None) -> None:
        """Send a message to clients anywhere on the server.

        Args:
            to: As for `pmsg`.
            value: Anything that JSON can hold.
            listener: A tag that the recipient gets; to answer a message, pass that message's listener.
        """
        await self.command("direct", id=to, val=value, listener=listener)

    async def link(self, *rooms: str) -> None:
        """Join rooms, keeping those this client is in, except `default`. Raises as `request`."""
        await self.request("link", val=list(rooms))

    async def unlink(self, *rooms: str) -> None:
        """Leave rooms; without any, all of them. Raises as `request`."""
        await self.request("unlink", val=list(rooms) or "")

    async def set_username(self, username: str) -> None:
        """Set the username. It can be set once per connection.

        Raises:
            NameRefusedError: The server refuses it.
        """
        try:
            await self.request("setid", val=username)
        except RequestError as error:
            status = error.status
            raise NameRefusedError(username, status.code_id, str(status.details or status.code)) from None

    async def command(self, cmd: str, **keys: Any) -> None:
        """Send a packet without waiting for an answer; an error of the server comes as a `StatusCode` event.

        Args:
            cmd: The command.
            **keys: The other root keys (protocol, section 1.2); those that are None are omitted, except `val`.

        Raises:
            TypeError: A value has a part that JSON cannot hold.
            ClientError: The connection has ended for good.
        """
        session = await self._connected_session()
        session.command(cmd, _to_wire(keys))
        await self._flush()

    async def request(self, cmd: str, *, timeout: float | None = None, **keys: Any) -> Event:
        """Send a packet and return its answer: the first packet that comes back with its listener.

        Args:
            cmd: The command.
            timeout: Seconds to wait; None for those of the connection.
            **keys: As for `command`.

        Returns:
            The answer: a `StatusCode`; for gmsg and gvar this client's own copy; for direct the recipient's packet
            with the same listener; for a command of a plugin the plugin's answer, usually an `OtherPacket`.

        Raises:
            RequestError: The answer is an error.
            WaitTimeoutError: No answer came in time.
            DisconnectedError: The connection broke before the answer came.
            TypeError: A value has a part that JSON cannot hold.
        """
        seconds = self._options.timeout if timeout is None else timeout
        try:
            async with asyncio.timeout(seconds):
                answer = await self._answer(cmd, _to_wire(keys))
        except TimeoutError as error:
            if isinstance(error, ClientError):
                raise
            raise WaitTimeoutError(f"{cmd} was not answered within {seconds:g} seconds.") from None
        if isinstance(answer, StatusCode) and not answer.ok:
            raise RequestError(cmd, answer)
        return answer

    async def _answer(self, cmd: str, keys: dict[str, Any]) -> Event:
        session = await self._connected_session()
        listener = session.request(cmd, keys)
        future: asyncio.Future[Event] = asyncio.get_running_loop().create_future()
        self._requests[listener] = future
        self._adjust_flow()
        try:
            await self._flush()
            return await future
        finally:
            session.forget(listener)
            self._requests.pop(listener, None)
            self._adjust_flow()

    def _new_session(self, *, again: bool) -> Session:
        return Session(self._desired, again=again)

    def _is_final(self, error: ClientError) -> bool:
        return is_final(error)

    def _disconnect_events(self, error: ClientError, retry_in: float) -> Sequence[Event]:
        return [Disconnected(str(error), retry_in)]

    def _enqueue(self, events: Iterable[Event], size: int) -> None:
        late = []
        if self._session is not None:
            for listener, answer in self._session.answers:
                future = self._requests.get(listener)
                if future is None or future.done():  # the request has just timed out
                    late.append(answer)
                else:
                    future.set_result(answer)
            self._session.answers.clear()
        super()._enqueue([*late, *events], size)

    def _connection_lost(self, error: ClientError) -> None:
        requests, self._requests = self._requests, {}
        for future in requests.values():
            if not future.done():
                future.set_exception(error)

    def _needs_answer(self) -> bool:
        return bool(self._requests)


def _to_wire(keys: dict[str, Any]) -> dict[str, Any]:
    """Return root keys with users in the form of the wire."""
    if "id" in keys:
        to = keys["id"]
        keys["id"] = [_recipient(one) for one in to] if isinstance(to, (list, tuple)) else _recipient(to)
    return keys


def _recipient(one: Any) -> Any:
    if not isinstance(one, User):
        return one
    user = {"id": one.id, "uuid": one.uuid, "username": one.username}
    return {key: value for key, value in user.items() if value}
