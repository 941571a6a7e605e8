"""Who reaches the administration over HTTP, and what everybody else sees: nothing."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket as sockets
import sys
from pathlib import Path

import pytest

from cloudlink.carriers.sockets import SocketCarrier
from cloudlink.server.app import Server
from cloudlink.server.part import Part
from cloudlink.settings import Settings
from tests.support.rawclients import UPGRADE, ask, connect, request, running
from tests.support.servers import build, listening

PROXY_HEADERS = ("Forwarded", "X-Forwarded-For", "X-Real-IP", "Via", "CF-Connecting-IP", "True-Client-IP")


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def answers(paths_and_headers, **settings):
    """The status of the answer to each request; 101 opens an admin socket."""

    async def play():
        async with running(**settings) as server:
            found = []
            for path, headers in paths_and_headers:
                here = {name: value.replace("PORT", str(server.port)) for name, value in headers.items()}
                found.append(await status(server.port, path, here))
            return found

    return asyncio.run(play())


async def status(port, path, headers):
    if "Upgrade" not in headers:
        return int((await ask(port, request(headers, path))).split()[1])
    with contextlib.suppress(AssertionError):
        peer = await connect(port, headers, path)
        peer.leave()
        return 101
    return int((await ask(port, request(headers, path))).split()[1])


def socket(**headers):
    """A request for the admin socket."""
    return "/admin/ws", UPGRADE | {"Host": "127.0.0.1:PORT"} | {
        k.replace("_", "-"): v for k, v in headers.items()
    }


def page(path="/admin", **headers):
    """A request for a page."""
    return path, {"Host": "127.0.0.1:PORT"} | {k.replace("_", "-"): v for k, v in headers.items()}


def test_on_this_machine_the_administration_is_there():
    assert answers([socket(), page(), page("/admin/ws"), page("/admin/nothing")]) == [101, 200, 404, 404]


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:3000", "127.0.0.1", "127.1.2.3:80", "[::1]:3000", "LOCALHOST"]
)
def test_names_of_this_machine(host):
    assert answers([socket(Host=host), page(Host=host)]) == [101, 200]


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:3000",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "",
        "0.0.0.0:3000",
    ],
)
def test_a_page_whose_name_leads_to_this_machine_finds_nothing(host):
    """DNS rebinding."""
    assert answers([socket(Host=host, Origin=f"http://{host}"), page(Host=host)]) == [404, 404]


@pytest.mark.parametrize("header", PROXY_HEADERS)
def test_a_proxy_that_nobody_trusts_makes_nobody_local(header):
    assert answers([socket(**{header: "1.2.3.4"}), page(**{header: "for=127.0.0.1"})]) == [404, 404]


def test_behind_a_trusted_proxy_the_chain_decides():
    proxied = {"trusted_proxies": ["127.0.0.1"], "real_ip_header": "X-Forwarded-For"}
    chains = ("127.0.0.1", "203.0.113.7", "127.0.0.1, 203.0.113.7", "203.0.113.7, 127.0.0.1")
    assert answers([socket(X_Forwarded_For=chain) for chain in chains], **proxied) == [101, 404, 404, 404]


def test_off_and_everywhere():
    requests = [socket(), page(), socket(Host="games.example.org"), page(Host="games.example.org")]
    assert answers(requests, admin="off") == [404] * 4
    assert answers(requests, admin="everywhere") == [101, 200, 101, 200]


def test_where_it_is_not_available_it_looks_like_an_unknown_path():
    async def play():
        async with running(admin="off") as server:
            found = []
            for path in ("/admin", "/admin/", "/admin/ws", "/admin/app.js", "/nothing"):
                for method in ("GET", "HEAD", "POST", "OPTIONS"):
                    raw = request({"Host": "127.0.0.1"}, path).replace(b"GET", method.encode(), 1)
                    lines = (await ask(server.port, raw)).splitlines()
                    found.append((method, [line for line in lines if not line.startswith("Date")]))
            unknown = dict(found[-4:])
            return [lines == unknown[method] for method, lines in found]

    assert all(asyncio.run(play()))


def test_upgrades_below_admin_never_become_clients():
    async def play():
        async with running() as server:
            found = [
                await status(server.port, path, UPGRADE | {"Host": "127.0.0.1"})
                for path in ("/admin", "/admin/", "/admin/x", "/admin/ws/x")
            ]
            return found, len(server.clients_manager)

    assert asyncio.run(play()) == ([404] * 4, 0)


@pytest.mark.parametrize(
    ("origin", "found"),
    [
        ("http://127.0.0.1:PORT", 101),
        ("HTTP://127.0.0.1:PORT", 101),
        ("https://127.0.0.1:PORT", 101),
        ("null", 403),
        ("", 403),
        ("http://127.0.0.1", 403),
        ("http://127.0.0.1:1", 403),
        ("http://localhost:PORT", 403),
        ("http://evil.example", 403),
        ("http://127.0.0.1:PORT@evil.example", 403),
        ("http://127.0.0.1:PORT.evil.example", 403),
        ("file://", 403),
        ("https://tools.example", 101),
        ("https://turbowarp.org", 403),
    ],
)
def test_only_the_own_page_and_those_that_are_listed_open_the_socket(origin, found):
    settings = {"admin_origins": ["https://tools.example"], "allowed_origins": ["https://turbowarp.org"]}
    assert answers([socket(Origin=origin)], **settings) == [found]


def test_default_ports_may_be_left_out():
    requests = [
        socket(Host="localhost", Origin="http://localhost:80"),
        socket(Host="localhost:443", Origin="https://localhost"),
        socket(Host="localhost:443", Origin="http://localhost"),
    ]
    assert answers(requests) == [101, 101, 403]


def test_a_stranger_without_an_origin_still_has_to_log_in():
    async def play():
        async with running() as server:
            peer = await connect(server.port, UPGRADE | {"Host": "127.0.0.1"}, "/admin/ws")
            await peer.receive()
            peer.send('{"id":1,"method":"clients.list"}')
            return json.loads((await peer.receive())[1])["error"]["code"]

    assert asyncio.run(play()) == "not_logged_in"


# The key.


def with_key(**headers):
    return socket(
        Authorization=f"Bearer {json.loads(Path('cloudlink-admin.key').read_text())['key']}", **headers
    )


@pytest.mark.parametrize("admin", ["off", "local", "everywhere"])
def test_the_key_opens_the_socket_on_this_machine_only(admin):
    async def play():
        async with running(admin=admin) as server:
            found = [await status(server.port, *with_key(Host="games.example.org"))]
            found += [
                await status(server.port, *with_key(**{header: "127.0.0.1"})) for header in PROXY_HEADERS
            ]
            found.append(await status(server.port, *socket(Host="127.0.0.1", Authorization="Bearer wrong")))
            found.append(await status(server.port, *socket(Host="127.0.0.1", Authorization="Basic eA==")))
            return found

    first, *proxied, wrong, basic = asyncio.run(play())
    assert first == 101
    assert set(proxied) == ({404} if admin != "everywhere" else {401})
    assert [wrong, basic] == ([404, 404] if admin == "off" else [401, 401])


# Through the socket.


def test_admin_sockets_are_no_clients_and_end_with_the_server():
    async def play():
        server = build({"admin_storage": "cloudlink-admin.db", "max_clients": 1})
        connected = []
        server.on_connect(connected.append)
        async with listening(server) as port:
            peers = [
                await connect(port, with_key()[1] | {"Host": "127.0.0.1"}, "/admin/ws") for _ in range(3)
            ]
            assert json.loads((await peers[0].receive())[1])["data"] == {"protocol": 1, "setup": True}
            assert (len(server.clients_manager), connected) == (0, [])
            peers[0].send('{"id":1,"method":"stats.get"}')
            assert json.loads((await peers[0].receive())[1])["result"]["clients"] == 0
            peers[1].writer.write(b"\x82\x80\0\0\0\0")
            assert (await peers[1].receive_close())[0] == 4400
            peers[2].send("x" * 70_000)
            assert (await peers[2].receive_close())[0] == 1009
            peers[0].writer.write(b"\x89\x80\0\0\0\0" * 5)
            assert [(await peers[0].receive())[0] for _ in range(5)] == [0x8A] * 5
            peers[0].writer.write(b"\x89\x80\0\0\0\0" * 500)
            assert (await peers[0].receive_close())[0] == 4429
            for peer in peers:
                peer.leave()

    asyncio.run(play())


def test_strangers_are_few():
    async def play():
        async with running() as server:
            headers = UPGRADE | {"Host": "127.0.0.1"}
            found = []
            for _ in range(6):
                try:
                    await connect(server.port, headers, "/admin/ws")
                    found.append(101)
                except AssertionError:
                    found.append(429)
            return found, await status(server.port, *with_key())

    assert asyncio.run(play()) == ([101] * 5 + [429], 101)


def test_the_first_account_from_the_log_to_the_players(caplog):
    """What a host does in the first minute."""
    caplog.set_level("INFO")

    async def play():
        async with running(admin_storage="admin.db") as server:
            code = caplog.text.partition("/admin#setup=")[2].split()[0]
            bob = await connect(server.port)
            bob.send('{"cmd":"setid","val":"bob"}')
            await bob.receive()
            peer = await connect(server.port, UPGRADE | {"Host": "127.0.0.1"}, "/admin/ws")
            await peer.receive()
            setup = {"code": code, "name": "mia", "password": "four words are fine"}
            peer.send(json.dumps({"id": 1, "method": "setup", "params": setup}))
            assert json.loads((await peer.receive())[1])["result"]["role"] == "owner"
            peer.send('{"id":2,"method":"clients.list"}')
            return [one["name"] for one in json.loads((await peer.receive())[1])["result"]["items"]]

    assert asyncio.run(play()) == ["bob"]
    assert "open this link within 15 minutes" in caplog.text
    caplog.clear()

    async def again():
        async with running(admin_storage="admin.db"):
            pass

    asyncio.run(again())
    assert "#setup=" not in caplog.text


@pytest.mark.parametrize(
    ("host", "shown"), [("127.0.0.1", "127.0.0.1"), ("localhost", "127.0.0.1"), ("*", "127.0.0.1")]
)
def test_the_link_leads_to_an_address_of_this_machine(host, shown, caplog):
    caplog.set_level("INFO")

    async def play():
        server = build()
        await server.start(host, 0)
        await server.stop()

    asyncio.run(play())
    assert f"http://{shown}:" in caplog.text


def test_a_server_that_only_a_proxy_reaches_has_no_key(caplog, tmp_path):
    caplog.set_level("INFO")

    async def play():
        server = build()
        await server.start(f"unix:{tmp_path}/socket", 0)
        await asyncio.sleep(0)
        await server.stop()

    asyncio.run(play())
    assert "needs an address to connect to besides Unix sockets" in caplog.text
    assert "#setup=" not in caplog.text


def test_no_link_if_the_administration_is_off(caplog):
    caplog.set_level("INFO")
    answers([], admin="off")
    assert "#setup=" not in caplog.text


def test_the_key_is_there_before_the_server_says_that_it_is_running(caplog):
    found = {}

    def look(record):
        found[record.getMessage().split(":")[0]] = Path("cloudlink-admin.key").exists()
        return True

    caplog.set_level("INFO")
    caplog.handler.addFilter(look)
    try:
        answers([])
    finally:
        caplog.handler.removeFilter(look)
    assert found["CloudLink is running"]


@pytest.mark.skipif(sys.platform != "linux", reason="several processes need Linux")
def test_a_process_is_ready_when_its_key_is_there():
    from cloudlink.sharedcounts import SharedCounts, create  # noqa: PLC0415  # Linux only

    async def play(counts, listener):
        found = []
        part = Part(
            number=0,
            count=1,
            speaks=True,
            is_successor=False,
            sockets=[listener],
            counts=counts,
            carrier=SocketCarrier(lambda: None),
            tell_ready=lambda: found.append(Path("cloudlink-admin.key").exists()),
            tell_reloaded=lambda: None,
        )
        server = Server(Settings(admin_storage="", storage=""), part)
        await server.start()
        await server.stop()
        return found

    memory = create(1)
    try:
        with sockets.create_server(("127.0.0.1", 0)) as listener:
            listener.setblocking(False)
            assert asyncio.run(play(SharedCounts(memory, 0, 1), listener)) == [True]
    finally:
        os.close(memory)
