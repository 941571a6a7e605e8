"""Administers the file `admin_storage` while no server runs: the same methods, with nobody connected."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

from cloudlink.admin.accounts import Accounts
from cloudlink.admin.callers import Peer
from cloudlink.admin.core import Core
from cloudlink.admin.hashing import HashingHere
from cloudlink.admin.host import NoHost
from cloudlink.admin.policy import Policy
from cloudlink.admin.sanctions import Sanctions
from cloudlink.admin.serverview import NoServerView
from cloudlink.admin.sessions import Sessions
from cloudlink.admin.statistics import Statistics
from cloudlink.admin.store import AdminStore
from cloudlink.admin.topics import Topics
from cloudlink.admin.wire import Wire

if TYPE_CHECKING:
    from cloudlink.admin.serverview import ServerView
    from cloudlink.settings import Settings

_CONSOLE = Peer("", "", is_loopback=True, is_private=True, is_console=True)


class FileAdministration:
    """The file, open. What it changes is saved when `answer` returns.

    Raises:
        StartError: The file cannot be used.
    """

    def __init__(self, settings: Settings) -> None:
        """Args: settings: The settings of the server whose file it is."""
        self._store = AdminStore(settings.admin_storage)
        self._store.open()
        sanctions = Sanctions(settings, self._store, NoHost(settings), Policy())
        sanctions.load()
        accounts = Accounts(self._store)
        accounts.load(settings.admin_password_hash)
        view = NoServerView()
        core = Core(
            server=cast("ServerView", view),  # methods that ask for more are not for a file
            sanctions=sanctions,
            accounts=accounts,
            sessions=Sessions(lambda: 0.0, lambda: 0.0),
            hasher=HashingHere(),
            statistics=Statistics(view.sample),
            topics=Topics(),
            may_watch=lambda: False,
            may_read_log=lambda: False,
            link=lambda: "",
        )
        self._ear = _Ear()
        self._socket = Wire(core).open(self._ear, _CONSOLE)

    def answer(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        """Return the answer to a request: an object with `result` or `error`."""
        self._ear.heard.clear()
        self._socket.receive(json.dumps({"id": 1, "method": method, "params": params}).encode())
        if not self._ear.heard:  # only a message that is too large closes the socket
            return {"error": {"code": "invalid", "message": "That is too long.", "data": {}}}
        return self._ear.heard[-1]

    def close(self) -> None:
        """Close the file."""
        self._store.close()


class _Ear:
    """The connection of the socket: it keeps what the socket says."""

    congested = False

    def __init__(self) -> None:
        self.heard: list[dict[str, Any]] = []

    def send(self, data: bytes) -> None:
        self.heard.append(json.loads(data))

    def close(self, code: int, reason: str) -> None:
        """Do nothing."""
