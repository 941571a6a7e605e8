"""The server object: wires the parts together, and starts and stops them. Plugins keep a reference to it.

It knows no protocol: protocols register themselves in its hooks, as plugins do.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
import signal
import time
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

from cloudlink import addresses
from cloudlink.admin.actors import SERVER
from cloudlink.closecodes import CloseCode
from cloudlink.counters import Counters
from cloudlink.delivery import Delivery
from cloudlink.errors import StartError
from cloudlink.http.pages import Status, add_pages
from cloudlink.logthrottle import LogThrottle
from cloudlink.text import counted
from cloudlink.transport import Endpoint, load_certificates, raise_open_files_limit, where_to_connect
from cloudlink.version import __version__

from . import compat, signals
from .administration import Administration
from .allowances import Allowances
from .api import PluginAPI
from .availablememory import most_kept
from .background import Background
from .broker import Brokers
from .client import State
from .clients import ClientsManager
from .cluster import Cluster
from .connectionlog import ConnectionLog
from .directory import Directory
from .enforcement import Enforcement
from .failures import log_failure, must_propagate
from .fairshare import FairShare
from .federation import Federation
from .handlers import running
from .hooks import Hooks
from .hub import Hub
from .limits import Limits
from .livesettings import LiveSettings, coalescer, log_doubts, log_unknown_commands, max_queued_bytes
from .loopdelay import LoopDelay
from .membership import Membership
from .memory import TOO_MUCH_KEPT, MemoryAccounts
from .metrics import MetricsPage
from .pluginadmin import PluginAdmin
from .plugins import refuse_while_loading
from .pull_session import PullClient, PullSession
from .reloader import Reloader
from .rooms import RoomsManager
from .runner import (
    as_exit,
    calm_garbage_collector,
    loop_runner,
    refuse_inside_loop,
    return_large_buffers,
    settings_of_environment,
)
from .session import Session
from .snowflakes import SnowflakeGenerator
from .supervisor import Supervisor
from .watchdog import Watchdog
from .workload import Workload

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator

    from cloudlink.delivery import Connection
    from cloudlink.reloading import Changes
    from cloudlink.settings import Settings

    from .client import Client
    from .part import Part

_MANY_UNIDENTIFIED = 100
"""Number of sessions above which those that no longer wait for their first message are dropped from the queue."""
_CLOSE_WAIT = 2.0
"""Seconds that clients have to answer the close frame when the server stops."""


class Server(PluginAPI):
    """A CloudLink server (protocol, section 2.1).

    Attributes:
        settings: All options; attributes set in code win over the environment.
        clients_manager: The connected clients.
        rooms_manager: The rooms and their members.
        directory: The users, by id, by name and by room.
        hub: Sends events to clients and subscribers.
        cluster: The other servers with which this one is one server to its users.
        federation: Adds users of other servers to rooms, and brokers that reach them.
        hooks: The registry of handlers.
        delivery: Writes queued frames to clients.
        counters: What the server has counted, for its metrics.
        not_ready: Why `/ready` answers 503: `draining`, `closed` or `stopping`; empty if newcomers are welcome.
        admin: The methods with which plugins ban, kick and mute.
        enforcement: The file of the sanctions, and the server as they see it.
        sanctions: Bans, mutes, rules of rooms, filters, modes and the audit.
        part: What this process is of a server of several processes, None for a server of one.
        reloader: Reads the settings again.
        metrics_page: The answer to `GET /metrics`.
        loop_delay: Measures how late the event loop is, once somebody has asked.
        administration: The admin socket, the accounts and the sessions.
        suppress_websocket_logs: Whether to keep the messages of the WebSocket library (logger `picows`) out
            of the log; read when the server starts.
    """

    _endpoint_class: Callable[..., Any] = Endpoint
    """Accepts connections; `cloudlink.testing` replaces it with an endpoint without a port."""
    suppress_websocket_logs = True
    _started_at = 0.0
    _is_terminating = False
    """Whether SIGTERM has begun a drain, as in all other processes of this server."""

    def __init__(self, settings: Settings | None = None, part: Part | None = None) -> None:
        """Set up a server.

        Args:
            settings: The options; None reads them from the environment.
            part: What this process is of a server of several processes, None for a server of one.

        Raises:
            SystemExit: A setting in the environment is invalid; the message says which.
        """
        self.settings = settings or settings_of_environment()
        self.part = part
        self.logger = logging.getLogger("cloudlink.server")
        self.supervisor = Supervisor()
        self.counters = Counters()
        self.background = Background(self.supervisor, self.counters)
        self.watchdog = Watchdog()
        self.limits = Limits.of(self.settings)
        self.hooks = Hooks(self.supervisor.start, Workload(self.limits), self.counters)
        add_pages(self.hooks.routes, self._status)
        self.metrics_page = MetricsPage(self)
        self.limit_log = LogThrottle()
        self.allowances = Allowances(self.limits, self.settings)
        self.delivery = Delivery(
            self._schedule, max_queued_bytes(self.settings), coalescer(self.settings.write_delay)
        )
        self.fair_share = FairShare(self._call_soon, shown=self._shown, copies=self.delivery.copies)
        self.clients_manager = ClientsManager(ConnectionLog(self._shown))
        brokers = Brokers()
        self.directory = Directory(self.clients_manager)
        self.memory = MemoryAccounts(
            self._sessions, self._most_kept, self.later, shown=self._shown, counters=self.counters
        )
        self.rooms_manager = RoomsManager(self.delivery, self.directory, brokers)
        self.clients_manager.on_user_change(self.rooms_manager.update_user)
        self.hub = Hub(self.clients_manager, self.rooms_manager, self.delivery, brokers)
        self.federation = Federation(self.directory, self.hub, brokers)
        self.cluster = Cluster(self, self.background, unique_names=lambda: self.settings.unique_usernames)
        self._membership = Membership(self.cluster, self.settings, part, self.hooks.health)
        self.enforcement = Enforcement(self)
        self.sanctions = self.enforcement.sanctions
        self.admin = PluginAdmin(self.sanctions, self.clients_manager)
        compat.equip_manager(self.clients_manager, self)
        compat.equip_manager(self.rooms_manager, self)
        self.not_ready = ""
        self.gen = SnowflakeGenerator(process=0 if part is None else part.number)
        self.loop_delay = LoopDelay()
        self.reloader = Reloader(self.settings)
        self.reloader.parts.append(self._prepare_certificates)
        self.reloader.done.append(self._after_reload)
        self.ssl_enabled = False
        self.ssl_context: ssl.SSLContext | None = None
        self._certificates_error: StartError | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._stopper: asyncio.Task[None] | None = None  # the event loop itself holds only a weak reference
        self._endpoint: Endpoint | None = None
        self._unidentified: deque[Session] = deque()
        self._session_class: type[Session] = Session
        self._refused_max_clients: Any = None
        LiveSettings(
            self.settings,
            self.limits,
            self.delivery,
            self.clients_manager,
            self._apply_keepalive,
            self._apply_proxies,
        )
        self.administration = Administration(self, part)

    # Settings that CloudLink 0.2.0 has as attributes.

    @property
    def max_clients(self) -> int:
        """Maximum number of connected clients, -1 for no limit; validated when the server starts."""
        return self.settings.max_clients if self._refused_max_clients is None else self._refused_max_clients

    @max_clients.setter
    def max_clients(self, value: int) -> None:
        try:
            self.settings.set("max_clients", value)
        except StartError:
            # CloudLink 0.2.0 reports an invalid value when the server starts.
            self._refused_max_clients = value
        else:
            self._refused_max_clients = None

    @property
    def version(self) -> str:
        """The version sent to clients; it must contain `0.2.` (protocol, decision D5)."""
        return self.settings.reported_version

    @version.setter
    def version(self, value: str) -> None:
        self.settings.set("reported_version", value)

    @property
    def port(self) -> int:
        """The listening port, 0 before the server starts."""
        return self._endpoint.port if self._endpoint else 0

    def enable_ssl(self, certfile: str, keyfile: str) -> None:
        """Enable TLS with a certificate and its key, both PEM files.

        An invalid file is logged here and prevents the server from starting, so that it never runs without
        the requested TLS.
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

    # Starting and stopping.

    def run(self, ip: str | None = None, port: int | None = None) -> None:
        """Run the server until it is interrupted. Scripts start the server this way.

        Args:
            ip: Address to listen on; None uses the setting `host`.
            port: Port to listen on; None uses the setting `port`.

        Raises:
            TypeError: `max_clients` is not an integer.
            ValueError: `max_clients` is 0 or below -1.
            RuntimeError: An event loop already runs in this thread; await `start` there.
            SystemExit: The server cannot start; the message says why.
        """
        try:
            self.serve(ip, port)
        except StartError as error:
            raise as_exit(error) from None

    def serve(self, ip: str | None = None, port: int | None = None) -> None:
        """Run the server like `run`, but raise `StartError` when it cannot start.

        Raises:
            RuntimeError: An event loop already runs in this thread; await `start` there.
        """
        refuse_while_loading()
        refuse_inside_loop()
        self._check_max_clients()
        run = loop_runner(self.settings.event_loop, lambda: self.fair_share.is_behind)
        with suppress(KeyboardInterrupt):
            run(self._serve(ip, port))

    async def start(self, ip: str | None = None, port: int | None = None) -> None:
        """Start accepting clients on the running event loop. Raises `StartError`."""
        self._check_max_clients()
        settings = self.settings
        settings.check()
        self._check_workers()
        if self._speaks_for_all:
            log_doubts(settings, self.hooks, self.logger)
        if ip is not None:
            settings.set("host", ip)
        if port is not None:
            settings.set("port", port)
        self._prepare_tls()
        self._session_class = PullSession if self._overrides() else Session
        self._loop = asyncio.get_running_loop()
        self._started_at = time.monotonic()
        self.not_ready = ""
        endpoint = self._endpoint_class(
            settings,
            self.open_session,
            self.hooks.routes,
            context=self.ssl_context,
            on_round=self._tick,
            is_picows_silent=self.suppress_websocket_logs,
            counters=self.counters,
            tallies=self._membership.tallies(),
            gate=self.hooks.policy,
            turns=self.fair_share,
        )
        await self._listen(endpoint)
        await self._open_files(endpoint)
        self._endpoint = endpoint
        self._announce(endpoint.port)
        self.background.start()

    async def _listen(self, endpoint: Endpoint) -> None:
        """Join the cluster, then accept connections; leave the cluster if that is impossible."""
        try:
            await self._membership.join()
            if self.part is None:
                await endpoint.start(self.settings.host, self.settings.port)
            else:
                self.clients_manager.watch_count(self.part.counts.set_clients)
                await endpoint.accept(self.part.sockets)
        except BaseException:
            await self._membership.drop()
            raise

    async def _open_files(self, endpoint: Endpoint) -> None:
        """Open the files of the administration and the protocols; undo the start if one cannot be used."""
        loop = asyncio.get_running_loop()
        try:
            self.enforcement.open()
            self.administration.open(loop)
            self.enforcement.start(loop.call_soon_threadsafe)
            for start in self.hooks.protocol_start:
                start(loop.call_soon_threadsafe)
        except BaseException:
            endpoint.stop_accepting()
            await endpoint.finish(0)
            self.enforcement.close()
            self.administration.close()
            await self._membership.drop()
            self._loop = None
            raise

    def _announce(self, port: int) -> None:
        """Say that the server can be reached, once its terminal can reach it too."""
        self.administration.started(port, secure=self.ssl_context is not None)
        if self.part is not None:
            self.part.tell_ready()
        else:
            where = where_to_connect(self.settings.host, port, secure=self.ssl_context is not None)
            self.logger.info("CloudLink is running: connect to %s", where)
        if self._speaks_for_all and not self.hooks.engines and not self._overrides():
            self.logger.warning(
                "This server has no protocol, so every client is turned away: write clpv4(server) before it starts, "
                "after from cloudlink.server.protocols import clpv4."
            )
        self.administration.log_link()

    async def stop(self) -> None:
        """Stop accepting connections, close every client with 1001, then let handlers and stop handlers finish."""
        endpoint = self._endpoint
        if endpoint is None:
            return
        self._endpoint = None
        self.not_ready = "stopping"
        endpoint.stop_accepting()
        await self.background.stop_tickers()
        for client in tuple(self.clients_manager):
            client.session.close(CloseCode.GOING_AWAY, "The server is shutting down", "shutdown")
        self.administration.stop()
        self.background.call_stop_handlers()
        cancelled = await self.supervisor.finish(self.settings.shutdown_timeout)
        if cancelled:
            names = ", ".join(dict.fromkeys(cancelled))
            self.logger.warning("Stopped %d handlers that were still running: %s.", len(cancelled), names)
        self.loop_delay.stop()
        await self.background.finish()
        await endpoint.finish(_CLOSE_WAIT)
        await self.administration.finish()
        await self._membership.leave()
        for stop in self.hooks.protocol_stop:
            stop()
        self.enforcement.close()
        self.administration.close()
        self.delivery.flush()  # the loop ends now, so it cannot write what is queued later
        self._loop = None
        if self.part is None:
            self.logger.info("CloudLink has stopped.")

    async def _serve(self, ip: str | None, port: int | None) -> None:
        stopping = self._stopping = asyncio.Event()
        raise_open_files_limit()
        calm_garbage_collector()
        return_large_buffers()
        with signals.handled(stopping.set, self._terminate, self.reloader.reload_or_log):
            await self.start(ip, port)
            self.watchdog.start(self.settings.blocking_warning)
            try:
                await stopping.wait()
            finally:
                self._stopping = None
                self.watchdog.stop()
                await self.stop()

    def _terminate(self) -> None:
        """Stop because of SIGTERM: after `drain_time`, unless nobody is here or the server drains already."""
        seconds, sanctions = self.settings.drain_time, self.enforcement.sanctions
        if seconds and len(self.clients_manager) and sanctions.mode != "draining":
            self.logger.info("CloudLink stops in %g seconds; a further signal stops it at once.", seconds)
            self._is_terminating = True
            # The signal reaches every process of this server.
            sanctions.drain(SERVER, seconds=seconds, stop=True, is_shared=False)
        elif self._stopping is not None:
            self._stopping.set()

    def request_stop(self) -> None:
        """Stop the server, with all its processes, as SIGTERM does; return at once."""
        if self.part is not None and not self._is_terminating:
            os.kill(os.getppid(), signal.SIGTERM)  # the process that started this one stops them all
        elif self._stopping is not None:
            self._stopping.set()
        elif self._loop is not None:
            self._stopper = self._loop.create_task(self.stop())

    def reload_certificates(self) -> None:
        """Reload the TLS files without disconnecting clients; if they are invalid, keep using the old ones."""
        if self._endpoint is None or self.ssl_context is None:
            self.logger.info("There are no TLS certificates to read again.")
            return
        try:
            self._endpoint.reload_certificates()
        except StartError as error:
            self.logger.error("The old TLS certificate stays in use. %s", error)
        else:
            self.logger.info("The TLS certificate was read again.")

    def reload(self) -> Changes:
        """Read the settings and the TLS files again, and put into effect what needs no restart; SIGHUP does so too.

        Returns:
            What has changed, and what only a restart changes.

        Raises:
            StartError: Something is wrong; nothing has changed.
        """
        return self.reloader.reload()

    def _prepare_certificates(self, _fresh: Settings) -> Callable[[], object]:
        if self._endpoint is None or self.ssl_context is None:
            return lambda: None
        load_certificates(self.settings.tls_certificate, self.settings.tls_key)
        return self.reload_certificates

    def _after_reload(self, changes: Changes) -> None:
        log_unknown_commands(self.settings, self.hooks, self.logger)
        if changes.sections("plugin"):
            self.background.call_reload_handlers()

    def _apply_proxies(self) -> None:
        if self._endpoint is not None:
            self._endpoint.apply_proxies()

    def _apply_keepalive(self) -> None:
        if self._endpoint is not None:
            self._endpoint.apply_keepalive()

    # Connections.

    def open_session(self, connection: Connection) -> Session:
        """Accept a connection, or refuse it if the server is full.

        Returns:
            The session that the transport passes the connection's messages to.
        """
        session = self._session_class(self, connection, next(self.gen))
        client = session.client
        is_logged = self.clients_manager.log.should_log(client.address)
        if self._turns_away(session, is_logged=is_logged):
            return session
        self.sanctions.count_connection()
        session.begin()
        self._unidentified.append(session)
        if is_logged:
            self.logger.info(
                "%s connected as %s.",
                self._shown(client.address),
                client.snowflake,
                extra={"event": "connected", "about": client},
            )
        if isinstance(session, PullSession):
            self.supervisor.start(self._pull(session))
        return session

    def _turns_away(self, session: Session, *, is_logged: bool) -> bool:
        """Turn a new connection away if the rules of the host or a limit require it; return whether it was turned away."""
        client = session.client
        closing = self.hooks.policy.closing(client.address)
        if closing is not None:
            session.turn_away(*closing)
            why = closing.reason
        elif self.memory.is_full(session.owner):
            session.turn_away(CloseCode.TRY_AGAIN_LATER, TOO_MUCH_KEPT)
            self.counters.refused["memory"] += 1
            return True
        elif not self._has_place():
            session.reject_connection()
            self.counters.refused["full"] += 1
            limit = self.settings.max_clients
            why = f"{counted(limit, 'client')} {'is' if limit == 1 else 'are'} connected."
        else:
            return False
        if is_logged:
            self.logger.info(
                "%s was turned away: %s",
                self._shown(client.address),
                why,
                extra={"event": "turned_away", "about": client},
            )
        return True

    def _shown(self, address: str) -> str:
        return addresses.for_log(address, self.settings.log_addresses)

    def _sessions(self) -> Iterator[Session]:
        for client in tuple(self.clients_manager):
            if isinstance(client.session, Session):  # not one that has just ended
                yield client.session

    def _most_kept(self) -> float:
        if not self.settings.limits:
            return math.inf
        return most_kept(self.settings.max_kept_memory, 1 if self.part is None else self.part.count)

    def _has_place(self) -> bool:
        limit = self.settings.max_clients
        if limit < 0:
            return True
        if self.part is None:
            return len(self.clients_manager) < limit
        return self.part.counts.admit_client(limit)

    async def connection_handler(self, client: Client) -> None:
        """Handle a connection from start to end; may be overridden."""
        await self.connection_loop(client)

    async def connection_loop(self, client: Client) -> None:
        """Process a connection's messages in order; may be overridden."""
        async for message in cast("PullClient", client):
            await self.message_processor(client, message)

    async def message_processor(self, client: Client, message: str | bytes) -> None:
        """Process one message; may be overridden."""
        client.session.process(message)

    async def _pull(self, session: PullSession) -> None:
        running.set(next(iter(self._overrides()), None))
        try:
            await self.connection_handler(session.client)
        except BaseException as error:
            if must_propagate(error):
                raise
            self.counters.plugin_errors += 1
            log_failure(running.get(), "", error, f"{session.client!r}, which is disconnected")
        finally:
            session.close(CloseCode.NORMAL)

    def _overrides(self) -> list[Callable[..., Any]]:
        """Return the coroutines that read a connection and were replaced by a plugin or a subclass."""
        names = ("connection_handler", "connection_loop", "message_processor")
        return [
            getattr(self, name)
            for name in names
            if name in vars(self) or getattr(type(self), name) is not getattr(Server, name)
        ]

    def _tick(self) -> None:
        self.watchdog.beat()
        self.enforcement.tick()
        self.clients_manager.log.tick()
        self._membership.tick()
        self.memory.tick(
            is_busy=self.fair_share.is_busy or self.delivery.is_behind or self.hooks.unfinished > 0
        )
        self._expire()
        for tick in self.hooks.protocol_tick:
            try:
                tick()
            except Exception:  # one failing protocol must not stop the others
                self.logger.exception("A periodic task failed.")

    def _expire(self) -> None:
        """Close connections that have sent nothing in time; the oldest come first."""
        timeout = self.settings.identify_timeout
        if len(self._unidentified) > _MANY_UNIDENTIFIED:
            # One silent client would keep all that have come and gone after it.
            self._unidentified = deque(
                session for session in self._unidentified if session.state is State.CONNECTED
            )
        waiting, latest_birth = self._unidentified, time.monotonic() - timeout
        while waiting and (
            waiting[0].state is not State.CONNECTED or waiting[0].client.birth_time < latest_birth
        ):
            waiting.popleft().close_if_silent(f"Nothing was sent within {timeout:g} seconds")

    # Parts.

    def later(self, delay: float, callback: Callable[[], None]) -> None:
        """Call a function after `delay` seconds, or immediately if no event loop runs."""
        if self._loop is None:
            callback()
        else:
            self._loop.call_later(delay, callback)

    def _schedule(self, delay: float, callback: Callable[[], None]) -> None:
        loop = self._loop
        if loop is None:  # the code that drives the server flushes explicitly
            return
        if delay > 0:
            loop.call_later(delay, callback)
        else:
            loop.call_soon(callback)

    def _call_soon(self, callback: Callable[[], None]) -> bool:
        """Call a function in the event loop's next iteration; return False if no loop runs."""
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

    @property
    def _speaks_for_all(self) -> bool:
        """Whether this process logs what would read the same in each process of the server."""
        return self.part is None or self.part.speaks

    def _check_workers(self) -> None:
        if self.part is None and self.settings.workers != 1:
            raise StartError(
                f"The setting workers ({self.settings.origins['workers']}) asks for several processes, which only "
                "`cloudlink serve` starts: load this program there as a plugin, or set workers to 1."
            )

    def _check_max_clients(self) -> None:
        limit = self.max_clients
        if type(limit) is not int:
            raise TypeError(f"max_clients must be an integer, not {type(limit).__name__}")
        if limit < -1 or limit == 0:
            raise ValueError("max_clients must be -1 (no limit) or at least 1")

    @property
    def _clients_everywhere(self) -> int:
        if self.part is not None and not self.settings.cluster:
            return self.part.counts.clients  # exact at once
        return self.cluster.clients

    def _status(self) -> Status:
        return Status(
            clients=self._clients_everywhere,
            uptime=time.monotonic() - self._started_at,
            version=__version__,
            protocol_version=self.version,
            not_ready=self.not_ready,
            parts={key: part() for key, part in self.hooks.health.items()},
        )
