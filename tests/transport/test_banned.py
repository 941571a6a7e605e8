"""Banned and guarded connections over sockets: 4004 with the reason, 403 after ten, and nobody else notices."""

from __future__ import annotations

import asyncio
import json

from cloudlink.admin.actors import Actor
from cloudlink.http.routes import WebSocketRoute
from tests.support.rawclients import UPGRADE, ask, connect, request, running
from tests.support.sanctioning import add_ban

OWNER = Actor("mia", "owner", "dashboard")
PROXIED = {"real_ip_header": "X-Forwarded-For", "trusted_proxies": ["127.0.0.1"], "admin_storage": ""}
BANNED, FREE = {**UPGRADE, "X-Forwarded-For": "192.0.2.7"}, {**UPGRADE, "X-Forwarded-For": "192.0.2.8"}


def test_a_banned_address_gets_403_after_ten_connections_and_players_play_on():
    async def scenario():
        async with running(**PROXIED) as server:
            server.hooks.policy._clock = lambda: 0.0  # however long this test takes, it is one minute
            add_ban(server.sanctions, OWNER, {"address": "192.0.2.7"}, seconds=None, reason="bots")
            player = await connect(server.port, FREE)
            sessions = []
            open_session = server._endpoint._open_session
            server._endpoint._open_session = lambda connection: sessions.append(1) or open_session(connection)
            for _ in range(10):
                banned = await connect(server.port, BANNED)
                assert await banned.receive_close() == (4004, "You are banned: bots")
            for _ in range(50):
                answer = await ask(server.port, request(BANNED))
                assert answer.startswith("HTTP/1.1 403 ")
                assert "You are banned from this server." in answer
            assert len(sessions) == 10
            assert server.counters.refused["banned"] == 60
            player.send(json.dumps({"cmd": "ping", "listener": 1}))
            while b"I:100" not in (await player.receive())[1]:
                pass
            assert len(server.clients_manager) == 1

    asyncio.run(scenario())


def test_pages_and_the_admin_socket_are_not_for_bans():
    async def scenario():
        async with running(**PROXIED) as server:
            add_ban(server.sanctions, OWNER, {"address": "192.0.2.7"}, seconds=None)
            page = "GET /health HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 192.0.2.7\r\n\r\n"
            assert (await ask(server.port, page.encode())).startswith("HTTP/1.1 200 ")
            for _ in range(20):
                answer = await ask(server.port, request(BANNED, "/admin/ws"))
                assert answer.startswith("HTTP/1.1 404 ")  # as for everybody who is not on this machine

    asyncio.run(scenario())


class Anybody:
    """What a WebSocket route opens for each connection: no client, so no ban applies to it."""

    def connection_lost(self):
        """Do nothing."""


def test_a_websocket_route_is_not_for_bans():
    async def scenario():
        async with running(**PROXIED) as server:
            add_ban(server.sanctions, OWNER, {"address": "192.0.2.7"}, seconds=None)
            server.hooks.routes.add_websocket(WebSocketRoute("/other", lambda *_: Anybody()))
            for _ in range(20):
                (await connect(server.port, BANNED, "/other")).leave()
            assert not server.counters.refused["banned"]

    asyncio.run(scenario())


def test_a_guarded_server_takes_ten_connections_of_a_subscriber():
    async def scenario():
        async with running(**PROXIED) as server:
            server.sanctions.set_mode(OWNER, "guarded")
            clients = [await connect(server.port, BANNED) for _ in range(10)]
            assert (await ask(server.port, request(BANNED))).startswith("HTTP/1.1 429 ")
            await connect(server.port, FREE)
            server.sanctions.set_mode(OWNER, "open")
            await connect(server.port, BANNED)
            assert len(server.clients_manager) == len(clients) + 2

    asyncio.run(scenario())


def test_a_drain_ends_with_the_server():
    async def scenario():
        async with running(admin_storage="") as server:
            stopped = asyncio.Event()
            server.on_stop(stopped.set)
            client = await connect(server.port)
            server.sanctions.drain(OWNER, seconds=0, stop=True)
            assert (await client.receive_close())[0] == 1001
            await asyncio.wait_for(stopped.wait(), 10)
            await server._stopper

    asyncio.run(scenario())


def test_bans_outlive_a_restart_of_the_server(tmp_path):
    async def scenario():
        settings = {**PROXIED, "admin_storage": str(tmp_path / "admin.db")}
        async with running(**settings) as server:
            outcome = add_ban(server.sanctions, OWNER, {"address": "192.0.2.7"}, seconds=None, reason="bots")
            assert await asyncio.wait_for(asyncio.wrap_future(outcome.saving), 5)
        async with running(**settings) as server:
            banned = await connect(server.port, BANNED)
            assert await banned.receive_close() == (4004, "You are banned: bots")

    asyncio.run(scenario())
