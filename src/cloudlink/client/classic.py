"""`client()`: the client of CloudLink 0.2.0, for scripts written for it (protocol, section 2.6).

    from cloudlink import client

    c = client()

    @c.on_connect
    async def connected():
        await c.protocol.set_username("bot")

    c.run(host="ws://127.0.0.1:3000/")

New programs should use `cloudlink.connect`, which does more. This client passes received packets to its handlers as
dictionaries, and does not reconnect. Handlers are coroutine functions; each call runs in its own task.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections import defaultdict
from typing import TYPE_CHECKING, Any, TypeVar

from cloudlink import jsontext
from cloudlink.client import classic_removed
from cloudlink.client.classic_protocol import Protocol
from cloudlink.client.classic_rules import COMMANDS, ClientExceptions, validation_errors
from cloudlink.client.errors import ConnectError, WaitTimeoutError
from cloudlink.client.socket import Options, open_socket
from cloudlink.client.trust import trusting
from cloudlink.closecodes import CloseCode
from cloudlink.text import printable

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from cloudlink.client.events import Listener
    from cloudlink.client.socket import Socket

    Handler = Callable[..., Any]

H = TypeVar("H", bound="Callable[..., Any]")

_ANSWER_TIMEOUT = 60.0


class Client:
    """A client with the interface of CloudLink 0.2.0.

    Attributes:
        logging: The module of the standard library, for `c.logging.basicConfig(...)`.
        logger: The logger `cloudlink.client`.
        version: The version of the protocol that the handshake tells the server.
        exceptions: The types for `on_exception`, see `ClientExceptions`.
        protocol: `set_username` and `generate_user_object`.
        ssl_enabled: Whether `enable_ssl` has succeeded.
        ssl_context: The TLS context it made.
    """

    def __init__(self) -> None:
        self.asyncio = asyncio
        self.logging = logging
        self.logger = logging.getLogger("cloudlink.client")
        self.version = "0.2.0"
        self.exceptions = ClientExceptions
        self.ssl_enabled = False
        self.ssl_context: ssl.SSLContext | None = None
        self._handlers: defaultdict[object, list[Handler]] = defaultdict(list)
        self._waiting: dict[Listener, asyncio.Future[dict[str, Any]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._socket: Socket | None = None
        self._closed: asyncio.Future[tuple[int, str]] | None = None
        self.protocol = Protocol(self)

    def __getattr__(self, name: str) -> Any:
        words = classic_removed.explain(name)
        raise AttributeError(words or f"{type(self).__name__!r} object has no attribute {name!r}")

    # Running.

    def run(self, host: str = "ws://127.0.0.1:3000") -> None:
        """Connect, and run until the connection ends or Ctrl-C is pressed.

        Raises:
            OSError: The server cannot be reached; `ConnectionRefusedError` if nothing listens.
        """
        try:
            asyncio.run(self._run(host))
        except KeyboardInterrupt:
            self.logger.info("Stopped by Ctrl-C.")

    def enable_ssl(self, certfile: str) -> None:
        """Trust a certificate in addition to those that this machine trusts.

        Args:
            certfile: Path of a PEM file with the certificate of the server, or of the authority that signed it. If it
                cannot be used, the log says so and nothing changes.
        """
        try:
            self.ssl_context = trusting(certfile)
        except OSError as error:
            self.logger.error("The certificate %s cannot be used: %s", certfile, error)
            return
        self.ssl_enabled = True

    def disconnect(self, code: int = CloseCode.NORMAL, reason: str = "") -> None:
        """Close the connection, after which `run` returns."""
        if self._socket is not None:
            self._spawn(self._socket.close(code, reason))

    # Sending.

    def send_packet(self, message: dict[str, Any] | str) -> None:
        """Send a packet and do not wait; without a connection, nothing happens.

        Raises:
            TypeError: A value has a part that JSON cannot hold.
        """
        text = message if isinstance(message, str) else jsontext.dumps(message).decode()
        if self._socket is None or not self._socket.is_open:
            self.logger.debug("Not connected, so a packet is not sent.")
        else:
            self._socket.send(text)

    async def send_packet_and_wait(
        self, message: dict[str, Any], timeout: float | None = _ANSWER_TIMEOUT
    ) -> dict[str, Any]:
        """Send a packet that has a `listener` and return the first packet that carries it.

        Args:
            message: The packet.
            timeout: Seconds to wait; None for ever.

        Raises:
            KeyError: The packet has no listener.
            ListenerExists: Another call waits for that listener.
            TimeoutError: No answer came in time.
        """
        waiting = self._expect(message["listener"])
        try:
            self.send_packet(message)
        except TypeError:
            self._waiting.pop(message["listener"])
            raise
        return await self._wait(message["listener"], waiting, timeout)

    async def wait_for_listener(self, listener_id: Listener, timeout: float | None = None) -> dict[str, Any]:
        """Return the next packet with a listener; arguments and errors as for `send_packet_and_wait`."""
        return await self._wait(listener_id, self._expect(listener_id), timeout)

    # Handlers: each of these takes a coroutine function and returns it.

    def on_initial_connect(self, func: H) -> H:
        """`func()` when the socket is open; the handshake has already been sent."""
        return self._bind("initial_connect", func)

    def on_connect(self, func: H) -> H:
        """`func()` when the server has answered the handshake."""
        return self._bind("connect", func)

    def on_disconnect(self, func: H) -> H:
        """`func()` when the connection has ended; `run` returns after it."""
        return self._bind("disconnect", func)

    def on_username_set(self, func: H) -> H:
        """`func(id, name, uuid)` when the server has accepted the username."""
        return self._bind("username_set", func)

    def on_message(self, func: H) -> H:
        """`func(message)` for every packet of a known command."""
        return self._bind("message", func)

    def on_error(self, func: H) -> H:
        """`func(errors)` for every error: a text, an exception, or lists of texts by key."""
        return self._bind("error", func)

    def on_exception(self, exception_type: type[Exception]) -> Callable[[H], H]:
        """`func(details)` for one kind of `exceptions`."""
        return lambda func: self._bind(exception_type, func)

    def on_command(self, cmd: str) -> Callable[[H], H]:
        """`func(message)` for every packet of a command, which is known from then on."""
        return lambda func: self._bind(("command", cmd), func)

    def on_listener(self, listener_id: Listener) -> Callable[[H], H]:
        """`func(message)` for every packet with a listener."""
        return lambda func: self._bind(("listener", listener_id), func)

    def on_gmsg(self, func: H) -> H:
        """`func(message)` for every gmsg."""
        return self._bind(("command", "gmsg"), func)

    def on_pmsg(self, func: H) -> H:
        """`func(message)` for every pmsg."""
        return self._bind(("command", "pmsg"), func)

    def on_gvar(self, func: H) -> H:
        """`func(message)` for every gvar."""
        return self._bind(("command", "gvar"), func)

    def on_pvar(self, func: H) -> H:
        """`func(message)` for every pvar."""
        return self._bind(("command", "pvar"), func)

    def on_direct(self, func: H) -> H:
        """`func(message)` for every direct."""
        return self._bind(("command", "direct"), func)

    def on_statuscode(self, func: H) -> H:
        """`func(message)` for every statuscode."""
        return self._bind(("command", "statuscode"), func)

    def on_ulist(self, func: H) -> H:
        """`func(message)` for every ulist."""
        return self._bind(("command", "ulist"), func)

    def on_client_obj(self, func: H) -> H:
        """`func(message)` for the packet with this client's user object."""
        return self._bind(("command", "client_obj"), func)

    def on_client_ip(self, func: H) -> H:
        """`func(message)` for the packet with this client's address."""
        return self._bind(("command", "client_ip"), func)

    def on_server_version(self, func: H) -> H:
        """`func(message)` for the packet with the server's version."""
        return self._bind(("command", "server_version"), func)

    # For the protocol.

    def fire(self, event: object, *details: Any) -> list[asyncio.Task[None]]:
        """Start the handlers of an event; for this package only."""
        return [self._spawn(self._call(handler, details)) for handler in self._handlers.get(event, ())]

    def report_error(self, kind: type[Exception], error: Any, details: Any) -> None:
        """Call the handlers of errors; for this package only."""
        self.fire("error", error)
        self.fire(kind, details)

    # The receiver of the socket.

    def received(self, text: str) -> None:
        """Handle a message from the server."""
        if not text:
            self.report_error(ClientExceptions.EmptyMessage, ClientExceptions.EmptyMessage, "Empty message")
            return
        try:
            packet = jsontext.loads(text.encode())
        except jsontext.JSONTextError as error:
            self.report_error(ClientExceptions.JSONError, error, f"A JSON error was raised: {error}")
            return
        if wrong := validation_errors(packet):
            self.report_error(ClientExceptions.ValidationError, wrong, wrong)
        elif not self._is_known(packet):
            self.report_error(ClientExceptions.UnknownCommand, "Unknown command", packet["cmd"])
        else:
            self._dispatch(packet)

    def ponged(self) -> None:
        """Ignore a pong."""

    def connection_lost(self, code: int, reason: str) -> None:
        """Note the end of the connection, for `run`."""
        if self._closed is not None and not self._closed.done():  # Ctrl-C may have ended the wait
            self._closed.set_result((code, reason))

    # Internal methods.

    def _bind(self, event: object, func: H) -> H:
        self._handlers[event].append(func)
        return func

    def _is_known(self, packet: dict[str, Any]) -> bool:
        """Return whether a packet has a known command, or is an answer that the script waits for."""
        cmd = packet["cmd"]
        return cmd in COMMANDS or bool(self._handlers.get(("command", cmd))) or self._is_awaited(packet)

    def _is_awaited(self, packet: dict[str, Any]) -> bool:
        return "listener" in packet and packet["listener"] in self._waiting

    def _dispatch(self, packet: dict[str, Any]) -> None:
        if "listener" in packet:
            waiting = self._waiting.get(packet["listener"])
            if waiting is not None and not waiting.done():
                waiting.set_result(packet)
            self.fire(("listener", packet["listener"]), packet)
        self.fire("message", packet)
        self.fire(("command", packet["cmd"]), packet)
        self.protocol.received(packet)

    def _expect(self, listener: Listener) -> asyncio.Future[dict[str, Any]]:
        if listener in self._waiting:
            raise ClientExceptions.ListenerExists(listener)
        waiting: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._waiting[listener] = waiting
        return waiting

    async def _wait(
        self, listener: Listener, waiting: asyncio.Future[dict[str, Any]], timeout: float | None
    ) -> dict[str, Any]:
        try:
            async with asyncio.timeout(timeout):
                return await waiting
        except TimeoutError:
            raise WaitTimeoutError(f"Nothing with the listener {listener!r} came in time.") from None
        finally:
            del self._waiting[listener]

    async def _run(self, host: str) -> None:
        self._closed = asyncio.get_running_loop().create_future()
        self._waiting.clear()
        self.protocol.reset()
        self.logger.info("CloudLink %s - Now connecting to %s", self.version, host)
        try:
            self._socket = await open_socket(host, self, Options(ssl=self.ssl_context))
        except ConnectError as error:
            # Scripts catch Python's own errors; the sentences are for the log.
            self.logger.error("%s", printable(str(error)))
            raise (error.__cause__ if isinstance(error.__cause__, OSError) else error) from None
        try:
            self.protocol.greet()
            self.fire("initial_connect")
            self._log_end(*await self._closed)
            await asyncio.gather(*self.fire("disconnect"))
        finally:
            await self._socket.close()
            self._socket = None

    def _log_end(self, code: int, reason: str) -> None:
        if code not in (CloseCode.NORMAL, CloseCode.GOING_AWAY):
            words = f" ({printable(reason)})" if reason else ""
            self.logger.warning("The server closed the connection with %s%s.", code, words)

    def _spawn(self, work: Any) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _call(self, handler: Handler, details: tuple[Any, ...]) -> None:
        try:
            result = handler(*details)
            if inspect.isawaitable(result):
                await result
        except Exception as error:
            self.logger.exception("A handler failed.")
            if handler not in (*self._handlers["error"], *self._handlers[ClientExceptions.InternalError]):
                words = f"Unexpected exception was raised: {error}"
                self.report_error(ClientExceptions.InternalError, words, words)
