"""The server: wires the parts together, starts and stops them, and is what plugins hold on to.

It has no protocol knowledge: protocols register themselves in its hooks, like any plugin.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import sys
import time
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

from cloudlink import addresses, sources
from cloudlink.closecodes import CloseCode
from cloudlink.delivery import Delivery, WriteCoalescer
from cloudlink.errors import StartError
from cloudlink.http.pages import Status, add_pages
from cloudlink.logthrottle import LogThrottle
from cloudlink.transport import Endpoint, load_certificates, raise_open_files_limit, where_to_connect
from cloudlink.version import __version__

from .api import PluginAPI
from .broker import LocalBroker
from .clients import ClientsManager
from .directory import Directory
from .fairshare import FairShare
from .hooks import Hooks
from .hub import Hub
from .limits import Limits
from .plugins import refuse_while_loading
from .pull_session import PullClient, PullSession
from .rooms import RoomsManager
from .session import Session, State
from .snowflakes import SnowflakeGenerator
from .supervisor import Supervisor

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Coroutine

    from cloudlink.delivery import Connection
    from cloudlink.settings import Settings

    from .clients import Client

_FULL = "Server is full!"
_CLOSE_WAIT = 2.0
"""Seconds clients have to answer the close frame when the server stops."""


class Server(PluginAPI):
    """A CloudLink server (protocol, section 2.1).

    Attributes:
        settings: All options; attributes set in code win over the environment.
        clients_manager: Who is connected.
        rooms_manager: Who is in which room.
        directory: The users that can be found, by id, by name and by room.
        hub: The way of events to clients and subscribers.
        hooks: The registry of handlers.
        delivery: The way out to clients.
        suppress_websocket_logs: Whether the reports of the WebSocket library (logger `picows`) are kept out
            of the log; looked at when the server starts.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        """Set up a server.

        Args:
            settings: The options; None takes them from the environment.

        Raises:
            SystemExit: The environment has a setting that is wrong; the message says which.
        """
        self.settings = settings or _settings_of_environment()
        self.logger = logging.getLogger("cloudlink.server")
        self.supervisor = Supervisor()
        self.hooks = Hooks(self.supervisor.start)
        add_pages(self.hooks.routes, self._status)
        self.limit_log = LogThrottle()
        self.fair_share = FairShare(
            self._call_soon, shown=lambda address: addresses.for_log(address, self.settings.log_addresses)
        )
        self.limits = Limits.of(self.settings)
        max_queued_bytes = self.settings.max_queued_bytes if self.settings.limits else None
        self.delivery = Delivery(self._schedule, max_queued_bytes, WriteCoalescer())
        self.clients_manager = ClientsManager()
        broker = LocalBroker()
        self.directory = Directory(self.clients_manager)
        self.rooms_manager = RoomsManager(self.delivery, self.directory, broker)
        self.clients_manager.on_user_change(self.rooms_manager.update_user)
        self.hub = Hub(self.clients_manager, self.rooms_manager, self.delivery, broker)
        self.gen = SnowflakeGenerator()
        self.suppress_websocket_logs = True
        self.ssl_enabled = False
        self.ssl_context: ssl.SSLContext | None = None
        self._certificates_error: StartError | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._endpoint: Endpoint | None = None
        self._stopping: asyncio.Event | None = None
        self._started_at = 0.0
        self._unidentified: deque[Session] = deque()
        self._session_class: type[Session] = Session

    # Settings that CloudLink 0.2.0 has as attributes.

    @property
    def max_clients(self) -> int:
        """Most clients at a time, -1 for no limit; checked when the server starts."""
        return self.settings.max_clients

    @max_clients.setter
    def max_clients(self, value: int) -> None:
        self.settings.max_clients = value
        self.settings.origins["max_clients"] = "code"

    @property
    def version(self) -> str:
        """The version told to clients; it must contain `0.2.` (protocol, decision D5)."""
        return self.settings.reported_version

    @version.setter
    def version(self, value: str) -> None:
        self.settings.set("reported_version", value)

    @property
    def port(self) -> int:
        """The port listened on, 0 before the start."""
        return self._endpoint.port if self._endpoint else 0

    def enable_ssl(self, certfile: str, keyfile: str) -> None:
        """Speak TLS with a certificate and its key, both PEM files.

        A file that is no good is logged here, and keeps the server from starting without the TLS that
        was asked for.
        """
        self.settings.set("tls_certificate", certfile)
        self.settings.set("tls_key", keyfile)
        try:
            self.ssl_context = load_certificates(certfile, keyfile)
        except StartError as error:
            self._certificates_error = error
            self.logger.error("%s", error)
        else:
            self._certificates_error = None
            self.ssl_enabled = True

    # Life.

    def run(self, ip: str | None = None, port: int | None = None) -> None:
        """Run the server until it is interrupted; the way to start it from a script.

        Args:
            ip: Address to listen on; None takes the setting `host`.
            port: Port to listen on; None takes the setting `port`.

        Raises:
            TypeError: `max_clients` is no integer.
            ValueError: `max_clients` is 0 or below -1.
            SystemExit: The server cannot start; the message says why.
        """
        try:
            self.serve(ip, port)
        except StartError as error:
            raise _exit(error) from None

    def serve(self, ip: str | None = None, port: int | None = None) -> None:
        """Run the server like `run`, but raise `StartError` when it cannot start."""
        refuse_while_loading()
        self._check_max_clients()
        run = _loop_runner(self.settings.event_loop)
        with suppress(KeyboardInterrupt):
            run(self._serve(ip, port))

    async def start(self, ip: str | None = None, port: int | None = None) -> None:
        """Start to accept clients on the running event loop. Raises `StartError`."""
        self._check_max_clients()
        settings = self.settings
        settings.check()
        if ip is not None:
            settings.set("host", ip)
        if port is not None:
            settings.set("port", port)
        self._prepare_tls()
        self._session_class = PullSession if self._is_overridden() else Session
        self._loop = asyncio.get_running_loop()
        self._started_at = time.monotonic()
        endpoint = Endpoint(
            settings,
            self.open_session,
            self.hooks.routes,
            context=self.ssl_context,
            on_round=self._tick,
            is_picows_silent=self.suppress_websocket_logs,
        )
        await endpoint.start(settings.host, settings.port)
        try:
            for start in self.hooks.start:
                start(self._loop.call_soon_threadsafe)
        except BaseException:
            endpoint.stop_accepting()
            await endpoint.finish(0)
            self._loop = None
            raise
        self._endpoint = endpoint
        where = where_to_connect(settings.host, endpoint.port, secure=self.ssl_context is not None)
        self.logger.info("CloudLink is running: connect to %s", where)

    async def stop(self) -> None:
        """Stop in order: accept nobody, close every client with 1001, let handlers finish."""
        endpoint = self._endpoint
        if endpoint is None:
            return
        self._endpoint = None
        endpoint.stop_accepting()
        for client in tuple(self.clients_manager):
            client.session.close(CloseCode.GOING_AWAY, "The server is shutting down")
        cancelled = await self.supervisor.finish(self.settings.shutdown_timeout)
        if cancelled:
            self.logger.warning("Stopped %d handlers that were still running.", cancelled)
        await endpoint.finish(_CLOSE_WAIT)
        for stop in self.hooks.stop:
            stop()
        self.delivery.flush()  # nothing may wait for a loop that is gone
        self._loop = None
        self.logger.info("CloudLink has stopped.")

    async def _serve(self, ip: str | None, port: int | None) -> None:
        self._stopping = asyncio.Event()
        raise_open_files_limit()
        _calm_garbage_collector()
        self._handle_signals()
        await self.start(ip, port)
        try:
            await self._stopping.wait()
        finally:
            await self.stop()

    def _handle_signals(self) -> None:
        loop, stopping = asyncio.get_running_loop(), self._stopping
        if stopping is None:
            return
        handlers = {"SIGINT": stopping.set, "SIGTERM": stopping.set, "SIGHUP": self.reload_certificates}
        for name, handler in handlers.items():
            # Windows has no such handlers, and a thread may not set them: there Ctrl-C is left.
            with suppress(AttributeError, NotImplementedError, RuntimeError, ValueError):
                loop.add_signal_handler(getattr(signal, name), handler)

    def reload_certificates(self) -> None:
        """Read the TLS files again; nobody is disconnected, and bad files leave the old ones in use."""
        if self._endpoint is None or self.ssl_context is None:
            self.logger.info("There are no TLS certificates to read again.")
            return
        try:
            self._endpoint.reload_certificates()
        except StartError as error:
            self.logger.error("The old TLS certificate stays in use. %s", error)
        else:
            self.logger.info("The TLS certificate was read again.")

    # Connections.

    def open_session(self, connection: Connection) -> Session:
        """Take in a connection, or refuse it if the server is full.

        Returns:
            What the transport hands the connection's messages to.
        """
        session = self._session_class(self, connection, next(self.gen))
        client = session.client
        shown = addresses.for_log(client.address, self.settings.log_addresses)
        limit = self.settings.max_clients
        if 0 <= limit <= len(self.clients_manager):
            session.reject_connection(_FULL)
            connected = "1 client is" if limit == 1 else f"{limit} clients are"
            self.logger.info("%s was turned away: %s connected.", shown, connected)
            return session
        session.begin()
        self._unidentified.append(session)
        self.logger.info("%s connected as %s.", shown, client.snowflake)
        if isinstance(session, PullSession):
            self.supervisor.start(self._pull(session))
        return session

    async def connection_handler(self, client: Client) -> None:
        """See a connection through; may be overridden."""
        await self.connection_loop(client)

    async def connection_loop(self, client: Client) -> None:
        """Process a connection's messages one after another; may be overridden."""
        async for message in cast("PullClient", client):
            await self.message_processor(client, message)

    async def message_processor(self, client: Client, message: str | bytes) -> None:
        """Process one message; may be overridden."""
        client.session.process(message)

    async def _pull(self, session: PullSession) -> None:
        try:
            await self.connection_handler(session.client)
        except Exception:
            self.logger.exception("The connection handler raised; its client is disconnected.")
        finally:
            session.close(CloseCode.NORMAL)

    def _is_overridden(self) -> bool:
        names = ("connection_handler", "connection_loop", "message_processor")
        return any(
            name in vars(self) or getattr(type(self), name) is not getattr(Server, name) for name in names
        )

    def _tick(self) -> None:
        self._expire()
        for tick in self.hooks.tick:
            try:
                tick()
            except Exception:  # what one protocol has to do must not keep the others from theirs
                self.logger.exception("What is done once a second failed.")

    def _expire(self) -> None:
        """Close connections that have not said anything in time; the oldest stand first."""
        timeout = self.settings.identify_timeout
        waiting, latest_birth = self._unidentified, time.monotonic() - timeout
        while waiting and (
            waiting[0].state is not State.CONNECTED or waiting[0].client.birth_time < latest_birth
        ):
            waiting.popleft().close_if_silent(f"Nothing was sent within {timeout:g} seconds")

    # Parts.

    def later(self, delay: float, callback: Callable[[], None]) -> None:
        """Call a function after some seconds, or at once where no event loop runs."""
        if self._loop is None:
            callback()
        else:
            self._loop.call_later(delay, callback)

    def _schedule(self, delay: float, callback: Callable[[], None]) -> None:
        # Without a loop, whoever drives the server flushes by hand.
        if self._loop is None:
            return
        if delay > 0:
            self._loop.call_later(delay, callback)
        else:
            self._loop.call_soon(callback)

    def _call_soon(self, callback: Callable[[], None]) -> bool:
        """Call a function in the event loop's next turn; return False where no loop runs."""
        if self._loop is None:
            return False
        self._loop.call_soon(callback)
        return True

    def _prepare_tls(self) -> None:
        if self._certificates_error is not None:
            raise self._certificates_error
        settings = self.settings
        if settings.tls_certificate and self.ssl_context is None:
            self.ssl_context = load_certificates(settings.tls_certificate, settings.tls_key)
            self.ssl_enabled = True

    def _check_max_clients(self) -> None:
        limit = self.max_clients
        if type(limit) is not int:
            raise TypeError(f"max_clients must be an integer, not {type(limit).__name__}")
        if limit < -1 or limit == 0:
            raise ValueError("max_clients must be -1 (no limit) or at least 1")

    def _status(self) -> Status:
        return Status(
            clients=len(self.clients_manager),
            uptime=time.monotonic() - self._started_at,
            version=__version__,
            protocol_version=self.version,
        )


def _settings_of_environment() -> Settings:
    try:
        return sources.from_environment(os.environ)
    except StartError as error:
        raise _exit(error) from None


def _exit(error: StartError) -> SystemExit:
    """Return what ends a script with one sentence instead of a traceback."""
    return SystemExit(f"CloudLink cannot start: {error}")


def _loop_runner(name: str) -> Callable[[Coroutine[Any, Any, None]], None]:
    """Return what runs a coroutine on a new event loop of that name. Raises `StartError`."""
    if name == "asyncio":
        return asyncio.run
    try:
        import uvloop  # noqa: PLC0415  # optional
    except ImportError:
        raise StartError(
            "The setting event_loop asks for uvloop, which is not installed; install it with: "
            f"{sys.executable} -m pip install uvloop"
        ) from None
    return uvloop.run


def _calm_garbage_collector() -> None:
    """Keep the garbage collector from stopping the world of thousands of clients many times a minute.

    Clients that leave are freed without it. What cycles plugins make is still found, only later.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
