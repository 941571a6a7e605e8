"""A server with nothing but the dashboard and an admin socket, which keeps players, bans and the rest in lists."""

from __future__ import annotations

import asyncio
import itertools
import json
import secrets
import time
from typing import TYPE_CHECKING, Any, Self

import websockets
from websockets.datastructures import Headers
from websockets.http11 import Response

from cloudlink.admin import pages

if TYPE_CHECKING:
    from collections.abc import Callable

HOST = "127.0.0.1"
RANKS = {"viewer": 0, "moderator": 1, "owner": 2}


class Refusal(Exception):  # noqa: N818  # it is an answer
    """A request that is refused."""

    def __init__(self, code: str, message: str, **data: Any) -> None:
        super().__init__(message)
        self.shown = {"code": code, "message": message, "data": data}


class Player:
    """Somebody who plays."""

    def __init__(self, number: int, name: str, address: str) -> None:
        self.id = str(number)
        self.name = name
        self.address = address
        self.since = time.time() - 60
        self.rooms = ["default"]
        self.is_muted = False
        self.closed: tuple[int, str] | None = None

    def shown(self, *, is_owner: bool) -> dict[str, Any]:
        known = {
            "id": self.id,
            "uuid": f"uuid-{self.id}",
            "name": self.name,
            "protocol": "cl4",
            "dialect": "0.2.0",
            "rooms": self.rooms,
            "rooms_total": len(self.rooms),
            "since": self.since,
            "origin": "https://turbowarp.org",
            "messages_in": 3,
            "bytes_in": 900,
            "queued_bytes": 0,
            "muted": self.is_muted,
            "role": "",
            "net": "a3f9c2",
        }
        return known | ({"address": self.address} if is_owner else {})


class FakeHost:
    """The server."""

    def __init__(self) -> None:
        self.code = "code-of-the-link"
        self.accounts: dict[str, tuple[str, str]] = {}
        self.tokens: dict[str, str] = {}
        self.players: list[Player] = []
        self.rules: dict[str, dict[str, Any]] = {"default": {}, "*": {}}
        self.bans: list[dict[str, Any]] = []
        self.mutes: list[dict[str, Any]] = []
        self.filters: list[dict[str, Any]] = []
        self.bridges: dict[str, dict[str, Any]] = {}
        self.cloud = {"612229554": {"☁ high score": "42"}}
        self.mode = "open"
        self.history = [self._stats() for _ in range(720)]
        self.refuses: dict[str, Refusal] = {}
        self.missing: list[str] = []
        self._numbers = itertools.count(1000)
        self._port = 0

    # What tests do.

    @property
    def address(self) -> str:
        return f"http://{HOST}:{self._port}/admin"

    @property
    def link(self) -> str:
        return f"{self.address}#setup={self.code}"

    def join(self, name: str, address: str = "203.0.113.5") -> Player:
        """Let somebody play."""
        player = Player(next(self._numbers), name, address)
        self.players.append(player)
        return player

    def add_account(self, name: str, password: str, role: str) -> None:
        """Make an account."""
        self.accounts[name] = (password, role)

    def set_role(self, name: str, role: str) -> None:
        """Change the role of an account, which ends its sessions."""
        self.accounts[name] = (self.accounts[name][0], role)
        self.tokens = {token: owner for token, owner in self.tokens.items() if owner != name}
        for connection in self._server.connections:
            asyncio.ensure_future(connection.close(4401, "Your session has ended"))  # noqa: RUF006

    def notice(self, text: str) -> None:
        """Tell everybody who administers the server."""
        self._publish("notices", {"at": time.time(), "kind": "test", "text": text})

    async def start(self) -> None:
        """Listen, at the same port as before."""
        self._topics: dict[Any, set[str]] = {}
        self._server = await websockets.serve(self._serve, HOST, self._port, process_request=self._page)
        self._port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """End all connections and listen no more."""
        self._server.close()
        await self._server.wait_closed()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.stop()

    # HTTP and frames.

    def _page(self, _connection: Any, request: Any) -> Response | None:
        name = request.path.removeprefix("/admin").lstrip("/")
        if name == "ws":
            return None
        file = pages.files().get(name or pages.INDEX)
        if file is None:
            return Response(404, "Not Found", Headers(), b"")
        headers = {**file.headers, "Content-Type": file.content_type, "Content-Length": str(file.size)}
        return Response(200, "OK", Headers({**headers, "Connection": "close"}), file.body)

    async def _serve(self, socket: Any) -> None:
        state: dict[str, Any] = {"account": None}
        topics = self._topics[socket] = set()
        await socket.send(json.dumps({"event": "hello", "data": {"protocol": 1, "setup": not self.accounts}}))
        try:
            async for text in socket:
                request = json.loads(text)
                answer: dict[str, Any] = {"id": request["id"]}
                try:
                    answer["result"] = self._call(state, topics, request["method"], request["params"])
                except Refusal as refusal:
                    answer["error"] = refusal.shown
                await socket.send(json.dumps(answer))
        finally:
            del self._topics[socket]

    def _publish(self, topic: str, data: dict[str, Any]) -> None:
        subscribed = [socket for socket, topics in self._topics.items() if topic in topics]
        websockets.broadcast(subscribed, json.dumps({"event": topic, "data": data}))

    def _call(self, state: dict[str, Any], topics: set[str], method: str, params: dict[str, Any]) -> Any:
        if method in self.refuses:
            raise self.refuses[method]
        if method in ("login", "setup", "resume"):
            return self._log_in(state, method, params)
        if state["account"] is None:
            raise Refusal("not_logged_in", "Log in first.")
        result = self._answer(state, topics, method, params)
        if self.missing and method in ("clients.list", "clients.kick"):
            return result | {"missing": self.missing, "processes": 3}
        return result

    def _answer(self, state: dict[str, Any], topics: set[str], method: str, params: dict[str, Any]) -> Any:
        handler, role = self._methods()[method]
        mine = self.accounts[state["account"]][1]
        if RANKS[mine] < RANKS[role]:
            raise Refusal("forbidden", f"Only {role}s may do this.")
        self._is_owner, self._name = mine == "owner", state["account"]
        if method == "subscribe":
            topics.update(params["topics"])
        elif method == "unsubscribe":
            topics.difference_update(params["topics"])
        return handler(**params)

    def _log_in(self, state: dict[str, Any], method: str, params: dict[str, Any]) -> dict[str, Any]:
        if method == "resume":
            token = params["token"]
            if token not in self.tokens:
                raise Refusal("not_logged_in", "This login has ended: log in again.")
        else:
            name, password = params["name"], params["password"]
            if method == "setup":
                if params["code"] != self.code:
                    raise Refusal("wrong_credentials", "This link is not valid any more.")
                self.accounts[name] = (password, "owner")
            if self.accounts.get(name, ("", ""))[0] != password:
                raise Refusal("wrong_credentials", "The name or the password is wrong.")
            token = secrets.token_urlsafe()
            self.tokens[token] = name
        name = state["account"] = self.tokens[token]
        return {"token": token, "name": name, "role": self.accounts[name][1], "expires": time.time() + 43200}

    def _methods(self) -> dict[str, tuple[Callable[..., Any], str]]:
        return {
            "logout": (dict, "viewer"),
            "touch": (dict, "viewer"),
            "me": (lambda: {"connect": "ws://192.168.1.20:3000/"}, "viewer"),
            "subscribe": (lambda topics: {"topics": topics}, "viewer"),
            "unsubscribe": (lambda topics: {"topics": topics}, "viewer"),
            "sessions.list": (
                lambda: {
                    "items": [
                        {"id": 1, "account": self._name, "since": time.time(), "address": HOST, "own": True}
                    ]
                },
                "viewer",
            ),
            "stats.get": (
                lambda: self._stats() | {"mode": self.mode},
                "viewer",
            ),
            "stats.history": (
                lambda minutes: {"items": self.history[-12 * minutes :]},
                "viewer",
            ),
            "clients.list": (self._list, "viewer"),
            "clients.get": (lambda id: self._player(id).shown(is_owner=self._is_owner), "viewer"),  # noqa: A006
            "clients.kick": (self._kick, "moderator"),
            "rooms.list": (
                lambda limit: {
                    "items": [self._room(name) for name in self.rules if name != "*"],
                    "all": self._room("*"),
                    "next": None,
                },
                "viewer",
            ),
            "rooms.get": (self._room, "viewer"),
            "rooms.set": (self._set_room, "moderator"),
            "bans.preview": (self._preview, "moderator"),
            "bans.add": (self._ban, "moderator"),
            "bans.list": (
                lambda search, limit: {"items": [*self.bans], "total": len(self.bans), "next": None},
                "moderator",
            ),
            "bans.remove": (lambda id: self._remove(self.bans, id), "moderator"),  # noqa: A006
            "mutes.add": (self._mute, "moderator"),
            "mutes.list": (
                lambda limit: {"items": [*self.mutes], "total": len(self.mutes), "next": None},
                "moderator",
            ),
            "mutes.remove": (self._unmute, "moderator"),
            "filters.list": (lambda: {"items": [*self.filters]}, "moderator"),
            "filters.add": (self._add_filter, "owner"),
            "filters.remove": (lambda id: self._remove(self.filters, id), "owner"),  # noqa: A006
            "filters.test": (self._test_filters, "moderator"),
            "cloud.projects": (
                lambda limit: {
                    "next": None,
                    "items": [
                        {"project": name, "variables": len(values), "bytes": 40, "clients": 2}
                        for name, values in self.cloud.items()
                    ],
                },
                "viewer",
            ),
            "cloud.get": (
                lambda project: {
                    "items": [
                        {"name": name, "value": value, "length": len(value)}
                        for name, value in self.cloud[project].items()
                    ]
                },
                "viewer",
            ),
            "cloud.set": (
                lambda project, name, value: self.cloud[project].__setitem__(name, value) or {"saved": True},
                "owner",
            ),
            "audit.list": (self._audit, "moderator"),
            "server.mode": (self._set_mode, "moderator"),
            "server.drain": (lambda **_: self._set_mode("draining"), "owner"),
            "broadcast": (lambda text: {"sent": len(self.players)}, "moderator"),
            "bridges.list": (lambda: {"items": [*self.bridges.values()]}, "viewer"),
            "bridges.pause": (lambda name: self._set_bridge(name, paused=True), "moderator"),
            "bridges.resume": (lambda name: self._set_bridge(name, paused=False), "moderator"),
            "accounts.list": (
                lambda: {
                    "items": [
                        {"name": name, "role": role, "fixed": False}
                        for name, (_, role) in self.accounts.items()
                    ]
                },
                "owner",
            ),
            "accounts.add": (
                lambda name, password, role: self.add_account(name, password, role) or {},
                "owner",
            ),
            "config.get": (
                lambda: {"items": [{"name": "port", "value": 3000, "unit": "", "origin": "default"}]},
                "owner",
            ),
        }

    # Methods.

    def _set_bridge(self, name: str, *, paused: bool) -> dict[str, Any]:
        self.bridges[name] |= {"paused": paused, "up": not paused, "users": 0 if paused else 3}
        return {}

    def _stats(self) -> dict[str, Any]:
        return {
            "clients": len(self.players), "rooms": 1, "messages_in": 12.0, "bytes_in": 900.0, "frames_out": 80.0,
            "bytes_out": 7000.0, "memory": 48_000_000, "loop_delay": 0.0011,
        }  # fmt: skip

    def _player(self, number: str) -> Player:
        for player in self.players:
            if player.id == number:
                return player
        raise Refusal("not_found", "This client is not connected any more.")

    def _list(
        self, *, search: str = "", room: str = "", sort: str = "since", after: str = "0", limit: int = 200
    ) -> Any:
        found = [player for player in self.players if search.casefold() in player.name.casefold()]
        if sort.startswith("-"):
            found.reverse()
        start, end = int(after), int(after) + limit
        items = [player.shown(is_owner=self._is_owner) for player in found[start:end]]
        return {"items": items, "total": len(found), "next": str(end) if end < len(found) else None}

    def _close(self, player: Player, reason: str) -> None:
        player.closed = (4004, reason)
        self.players.remove(player)

    def _kick(self, id: str, reason: str) -> dict[str, Any]:  # noqa: A002
        self._close(self._player(id), f"You were kicked: {reason}")
        return {"kicked": 1, "saved": True}

    def _room(self, name: str) -> dict[str, Any]:
        rules = self.rules.get(name, {})
        known = {"name": name, "clients": len(self.players), "locked": False, "frozen": False, "slow": 0}
        return known | rules

    def _set_room(self, name: str, **rules: Any) -> dict[str, Any]:
        self.rules.setdefault(name, {}).update(rules)
        return {"room": self._room(name), "saved": True}

    def _hit(self, target: dict[str, str]) -> list[Player]:
        [(kind, value)] = target.items()
        if kind == "name":
            return [player for player in self.players if player.name == value]
        address = self._player(value).address if kind == "client" else value
        if address == HOST:
            raise Refusal("protected", "This is the server's own address.")
        return [player for player in self.players if player.address == address]

    def _preview(self, target: dict[str, str]) -> dict[str, Any]:
        hit = self._hit(target)
        return {"clients": len(hit), "names": [player.name for player in hit[:20]]}

    def _ban(self, target: dict[str, str], seconds: float | None, reason: str) -> dict[str, Any]:
        hit = self._hit(target)
        kind, value = ("name", target["name"]) if "name" in target else ("network", hit[0].address)
        now = time.time()
        ban = {
            "id": next(self._numbers), "kind": kind, "value": value, "reason": reason, "by": self._name, "at": now,
            "until": seconds and now + seconds, "hits": 0, "last_hit": None,
        }  # fmt: skip
        self.bans.append(ban)
        for player in hit:
            self._close(player, f"You are banned: {reason}")
        return {"ban": ban, "hit": len(hit), "saved": True}

    def _remove(self, kept: list[dict[str, Any]], number: int) -> dict[str, Any]:
        kept[:] = [one for one in kept if one["id"] != number]
        return {"removed": 1, "saved": True}

    def _mute(self, target: dict[str, str], seconds: float, reason: str, hidden: bool) -> dict[str, Any]:
        player = self._player(target["client"])
        player.is_muted = True
        now = time.time()
        mute = {
            "id": next(self._numbers), "kind": "client", "value": player.name, "reason": reason, "by": self._name,
            "at": now, "until": now + seconds, "hidden": hidden, "client": player.id,
        }  # fmt: skip
        self.mutes.append(mute)
        return {"mute": mute, "hit": 1, "saved": True}

    def _unmute(self, id: int) -> dict[str, Any]:  # noqa: A002
        for mute in self.mutes:
            if mute["id"] == id:
                self._player(mute["client"]).is_muted = False
        return self._remove(self.mutes, id)

    def _add_filter(self, **values: Any) -> dict[str, Any]:
        added = {"id": next(self._numbers), "seconds": None, **values}
        self.filters.append(added)
        return {"filter": added, "saved": True}

    def _test_filters(self, text: str) -> dict[str, Any]:
        matches = [
            {"id": one["id"], "action": one["action"], "found": word}
            for one in self.filters
            for word in one["entries"]
            if word in text.split()
        ]
        masked = " ".join(
            "*" * len(word) if any(m["found"] == word for m in matches) else word for word in text.split()
        )
        return {"matches": matches, "masked": masked}

    def _audit(self, limit: int) -> dict[str, Any]:
        row = {
            "id": 1, "at": time.time(), "actor": "mia", "role": "owner", "via": "dashboard", "from": HOST,
            "method": "bans.add", "target": "name:bob", "params": {}, "outcome": "ok", "reason": "spam",
        }  # fmt: skip
        return {"items": [row][:limit], "next": None}

    def _set_mode(self, mode: str, message: str = "") -> dict[str, Any]:
        self.mode = mode
        return {"mode": mode, "message": message, "saved": True}
