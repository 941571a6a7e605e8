"""Starts and stops the administration of a server, and registers its routes.

It exists from the start of the server on, even if the setting `admin` is `off`: the terminal uses it too.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from cloudlink.admin import keyfile, pages
from cloudlink.admin.access import Access
from cloudlink.admin.accounts import Accounts
from cloudlink.admin.actors import AdminError
from cloudlink.admin.asking import Asking
from cloudlink.admin.core import Core
from cloudlink.admin.following import Followers, Following
from cloudlink.admin.hashing import HashingThread
from cloudlink.admin.keyfile import KeyFile
from cloudlink.admin.moderation import Moderation
from cloudlink.admin.process import Process
from cloudlink.admin.sessions import Sessions
from cloudlink.admin.setupcode import LIFETIME
from cloudlink.admin.statistics import Statistics
from cloudlink.admin.store import Change
from cloudlink.admin.topics import Topics
from cloudlink.admin.wire import MAX_MESSAGE, Wire
from cloudlink.errors import StartError
from cloudlink.hosts import EVERY, parse_hosts, unix_path
from cloudlink.http import refusals
from cloudlink.http.routes import WebSocketRoute, not_found
from cloudlink.logthrottle import LogThrottle
from cloudlink.server.metricsums import OtherProcess, unpacked
from cloudlink.transport import url_for_others

from .loglines import LOGGER, LogLines
from .peers import ClusterCarrier
from .serverview import ServerView
from .sockets import AdminReceiver
from .watching import Watching

if TYPE_CHECKING:
    from concurrent.futures import Future

    from cloudlink.admin.peers import Replies
    from cloudlink.http import Request, Response
    from cloudlink.server.part import Part
    from cloudlink.transport.connection import WebSocketConnection

    from .answers import Answers
    from .recordsync import RecordSync
    from .relay import RelayReceiver, RelayServer
    from .serverview import AdministeredServer

logger = logging.getLogger("cloudlink.admin")

_TICK = 1.0
_DISCRETION = {"full": 0, "anonymous": 1, "none": 2}
"""How little of addresses the values of `log_addresses` and `admin_addresses` show."""
_LOOPBACK = {EVERY: "127.0.0.1", "0.0.0.0": "127.0.0.1", "localhost": "127.0.0.1"}  # noqa: S104  # compared, not listened on


class Administration:
    """The administration of one server.

    Attributes:
        wire: The admin sockets, None while the server does not run.
    """

    def __init__(self, server: AdministeredServer, part: Part | None = None) -> None:
        """Register the routes; nothing else happens before `open`.

        Args:
            server: The server.
            part: What this process is of a server of several processes, of which the first one has the accounts and
                sessions; None for a server of one.
        """
        self.wire: Wire | None = None
        self._is_first = part is None or part.number == 0
        self._process: Process | None = None
        self._followers: Followers | None = None
        self._following: Following | None = None
        self._answers: Answers | None = None
        self._sync: RecordSync | None = None
        self._met: set[str] = set()
        self._missing_log = LogThrottle()
        self._carrier = ClusterCarrier(server.cluster, part)
        self._asking = Asking(self._carrier, server.later)
        self._asking.on_missing = self._notify_of_missing
        self._carrier.on_receive(self._asking.receive)
        server.sanctions.peers = self._asking
        server.sanctions.audit.watch(self._count_action)
        self._has_others = part is not None and part.count > 1
        if self._has_others:
            server.metrics_page.others = self._other_workers
        self._relay: RelayServer | None = None
        self._server = server
        self._settings = server.settings
        self._access = Access(server.settings)
        self._view = ServerView(server, part)
        self._hasher = HashingThread()
        self._key_file: KeyFile | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._log_lines: LogLines | None = None
        self._tick_at = 0.0
        self._place = ""
        routes = server.hooks.routes
        for route in pages.routes(self._access.is_available):
            routes.add_route(route)
        for path in ("/admin", "/admin/*"):
            routes.add_websocket(WebSocketRoute(path, self._open_socket, self._refuse, MAX_MESSAGE))

    # Starting and stopping.

    def open(self, loop: asyncio.AbstractEventLoop) -> None:
        """Read the accounts; called when the file is open, but before its thread starts and clients are accepted."""
        self._view.loop = loop
        topics = Topics()
        process = self._process = (
            self._open_core(topics) if self._is_first else Process(**self._parts(topics))
        )
        self._followers = Followers(topics, self._asking)
        self._following = Following(topics, self._asking)
        self._server.hooks.moderation = Moderation(process)
        Watching(self._server.hub, topics)
        self._log_lines = LogLines(topics.line, self._view.call_soon)
        logging.getLogger(LOGGER).addHandler(self._log_lines)
        self._asking.answer = self._answer

    def _parts(self, topics: Topics) -> dict[str, Any]:
        return {
            "server": self._view,
            "sanctions": self._server.sanctions,
            "statistics": Statistics(self._view.sample),
            "topics": topics,
        }

    def _open_core(self, topics: Topics) -> Core:
        settings, counters = self._settings, self._server.counters
        accounts = Accounts(self._server.enforcement.store, self._view.call_soon)
        accounts.load(settings.admin_password_hash)
        core = Core(
            **self._parts(topics),
            accounts=accounts,
            sessions=Sessions(lambda: settings.admin_session_time, lambda: settings.admin_idle_time),
            hasher=self._hasher,
            may_watch=lambda: settings.admin_watch,
            may_read_log=lambda: _DISCRETION[settings.log_addresses] >= _DISCRETION[settings.admin_addresses],
            link=self.link,
            logins=counters.logins,
            follow=self._follow,
        )
        counters.admin_sessions = core.sessions.__len__
        self.wire = Wire(core)
        return core

    def started(self, port: int, *, secure: bool) -> None:
        """Write the key file, once the server accepts connections and before it says so."""
        self._access.own_addresses = [
            entry for entry in parse_hosts(self._settings.host) if unix_path(entry) is None
        ]
        self._tick_at = self._loop.time() + _TICK
        self._timer = self._loop.call_at(self._tick_at, self._tick)
        self._meet_others()
        self._start_sync()
        if self.wire is None:
            return
        if self._has_others:
            self._start_relay(self.wire)
        self.wire.core.connect = url_for_others(self._settings.host, port, secure=secure)
        entries = list(self._access.own_addresses)
        if not entries:
            logger.info(
                "The terminal (`cloudlink admin`) needs an address to connect to besides Unix sockets."
            )
        else:
            here = _LOOPBACK.get(entries[0], entries[0])
            place = f"{f'[{here}]' if ':' in here else here}:{port}"
            self._key_file = KeyFile(keyfile.path_of(self._settings))
            self._access.key = self._key_file.write(
                f"{'wss' if secure else 'ws'}://{place}/admin/ws",
                self._settings.tls_certificate if secure else "",
            )
            self._place = f"{'https' if secure else 'http'}://{place}/admin"

    def stop(self) -> None:
        """Close the admin sockets, because the server stops."""
        if self._timer is not None:
            self._timer.cancel()
        if self._relay is not None:
            self._relay.close()
            self._relay = None
        if self.wire is not None:
            self.wire.stop()
        if self._key_file is not None:
            self._key_file.remove()
        self._access.key = ""

    async def finish(self) -> None:
        """Save for other nodes what they might not have."""
        if self._sync is not None:
            await self._sync.finish()
            self._sync = None

    def close(self) -> None:
        """Forget everybody who was logged in, at the very end."""
        if self._log_lines is not None:
            logging.getLogger(LOGGER).removeHandler(self._log_lines)
            self._log_lines = None
        self._server.hooks.moderation = None
        self._process = self._followers = self._following = self._answers = None
        self._hasher.stop()
        self.wire = None
        self._view.loop = None

    def _count_action(self, row: dict[str, Any]) -> None:
        if row["outcome"] == "ok":
            self._server.counters.actions[row["method"]] += 1
        self._asking.tell("audit", row)

    @property
    def _loop(self) -> asyncio.AbstractEventLoop:
        if self._view.loop is None:
            raise RuntimeError("the administration is not open")
        return self._view.loop

    def link(self) -> str:
        """Return a new link with which the first account can be made; the former one is worthless now.

        Raises:
            AdminError: `unavailable`: the page cannot be opened.
        """
        if self.wire is None or not self._place:
            raise AdminError("unavailable", "This server has no address that a browser can open.")
        if self._settings.admin == "off":
            raise AdminError(
                "unavailable", "The setting admin is off, so the page of a link cannot be opened."
            )
        return f"{self._place}#setup={self.wire.core.setup_code.make()}"

    def log_link(self) -> None:
        """Log the link for the first account, if there is none yet and its page can be opened."""
        if (
            self.wire is None
            or not self._place
            or not self.wire.core.needs_setup
            or self._settings.admin == "off"
        ):
            return
        logger.info(
            "To administer this server, open this link within %d minutes: %s", LIFETIME // 60, self.link()
        )

    def _tick(self) -> None:
        now = self._loop.time()
        view = self._view
        view.latest_delay = max(view.latest_delay, now - self._tick_at)
        self._tick_at = max(self._tick_at + _TICK, now)
        self._timer = self._loop.call_at(self._tick_at, self._tick)
        self._meet_others()
        if self._followers is not None and self._following is not None:
            self._followers.tick()
            self._following.tell()
        if self.wire is not None:
            self.wire.tick()
        elif self._process is not None:
            self._process.tick()

    # Several processes.

    def _start_sync(self) -> None:
        """Keep the records of this node and those of its cluster equal; one process of a machine does that."""
        store, records = self._server.enforcement.store, self._server.cluster.records
        store.on_saved = self._share_saved
        if not self._is_first or records is None or store.replica is None:
            return
        from .recordsync import RecordSync  # noqa: PLC0415  # a lone server does not load it

        self._sync = RecordSync(
            store.replica, records, lambda newer: store.put_into_effect(newer, is_to_save=True)
        )
        store.tell_saved(self._server.enforcement.changed_offline)
        self._sync.start()

    def _share_saved(self, stamped: list[list[Any]]) -> None:
        self._asking.tell("changes", {"changes": [], "stamped": stamped})

    def _answer(
        self, question: str, params: dict[str, Any], name: str
    ) -> dict[str, Any] | Future[dict[str, Any]]:
        """Answer the process of a name; see `cloudlink.admin.questions`. Raises `AdminError`."""
        process, followers, following = self._process, self._followers, self._following
        if process is None or followers is None or following is None:
            raise AdminError("unavailable", "This process is stopping.")
        if self._answers is None:
            from .answers import Answers  # noqa: PLC0415  # a lone server is asked nothing

            publish_line = None if self.wire is None else self.wire.publish_line
            self._answers = Answers(
                process,
                self._server,
                self._loop,
                self._carrier,
                followers,
                following,
                publish_line=publish_line,
            )
        return self._answers.answer(question, params, name)

    def _follow(self) -> None:
        if self._following is not None:
            self._following.tell()

    def _meet_others(self) -> None:
        """Ask processes that this one has just met for the mode, and for the commands that are disabled."""
        others = set(self._carrier.others.values())
        new, self._met = others - self._met, others
        if new:
            self._asking.ask("state", to=new).add_done_callback(lambda asked: self._adopt(asked.result()))

    def _adopt(self, replies: Replies) -> None:
        modes = [found["mode"] for found in replies.results.values() if found["mode"] is not None]
        if modes:
            self._server.sanctions.take_mode(max(modes, key=lambda mode: float(mode["at"])))
        for found in replies.results.values():
            self._server.sanctions.take_unsaved([Change(*change) for change in found["records"]])
        known = self._view.switched_commands()
        for found in replies.results.values():
            for name, disabled in found["commands"].items():
                if name not in known:
                    with suppress(AdminError):  # it is so already, or this process has no such command
                        self._view.set_command(name, disabled=disabled)

    def _notify_of_missing(self, name: str) -> None:
        if self._missing_log.should_log(name):
            self._server.sanctions.notify(
                f"{name} does not answer: its clients are missing in lists, and what is done may not reach them."
            )

    async def _other_workers(self) -> list[OtherProcess]:
        """Return what the other workers of this server know for its metrics."""
        replies = await asyncio.wrap_future(self._asking.ask("metrics", is_local=True))
        return [
            OtherProcess(unpacked(found["sample"]), found["rooms"], found["process"])
            for found in replies.results.values()
        ]

    def _start_relay(self, wire: Wire) -> None:
        from .relay import RelayServer  # noqa: PLC0415  # only several workers have one

        try:
            self._relay = RelayServer(wire)
        except OSError as error:
            logger.warning(
                "Only one worker can be administered, because the others cannot reach it: %s.", error.strerror
            )
        else:
            self._server.supervisor.start(self._relay.start())

    def _key_of_first(self) -> str:
        try:
            key = keyfile.read(keyfile.path_of(self._settings))
        except StartError:
            return ""
        return key.key if key is not None else ""

    # Sockets.

    def _refuse(self, request: Request) -> Response | None:
        if not self._is_first and "Authorization" in request.headers:
            self._access.key = self._key_of_first()
        refused = self._access.refuse(request)
        if refused is not None:
            return refused
        if self.wire is None:
            return not_found() if self._is_first else None
        if not self.wire.admits(self._access.peer_of(request)):
            return refusals.too_many("more wait for a login than one address may have, or all together")
        return None

    def _open_socket(
        self, connection: WebSocketConnection, request: Request
    ) -> AdminReceiver | RelayReceiver:
        if not self._is_first:
            from .relay import RelayReceiver  # noqa: PLC0415  # as above

            return RelayReceiver(connection, self._access.peer_of(request))
        if self.wire is None:
            raise RuntimeError("the administration is not open")
        return AdminReceiver(self.wire, connection, self._access.peer_of(request))
