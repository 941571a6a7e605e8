"""`cloudlink doctor` at servers that are ill, each in its own way: what it says, and its exit status."""

import asyncio
import contextlib
import datetime as dt
import errno
import json
import ssl
from pathlib import Path

import pytest
import websockets.utils

from cloudlink import cli
from cloudlink.client import ConnectError, connect, diagnose, diagnostics
from cloudlink.version import __version__
from tests.support.certificates import Certificates
from tests.support.fakeservers import greet, ok, tcp_server, websocket_server
from tests.support.servers import restartable_server

GETTING_STARTED = Path(__file__).parents[2] / "docs" / "getting-started.md"


def doctor(*words):
    """Run the command in a thread while the server runs; return the exit status."""
    return asyncio.to_thread(cli.main, ["doctor", "--timeout", "5", *words])


@pytest.fixture
def examine(capsys):
    """Run a scenario that returns the exit status; the status and what was printed."""

    def run(scenario):
        async def limited():
            async with asyncio.timeout(25):
                return await scenario()

        status = asyncio.run(limited())
        printed = capsys.readouterr()
        assert printed.err == ""
        return status, " ".join(printed.out.split())

    return run


def ill(examined, *words):
    status, text = examined
    assert status == 1
    assert "All is well" not in text
    assert text.count("WRONG") == 1
    for word in words:
        assert word in text.partition("WRONG")[2]


def answering(answer, *, close=True):
    """A TCP server that gives one answer to any HTTP request."""

    async def handler(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer.encode() if isinstance(answer, str) else answer)
        await writer.drain()
        if not close:
            await asyncio.Event().wait()

    return tcp_server(handler)


@pytest.fixture
def certificates(tmp_path):
    return Certificates(tmp_path)


def test_all_is_well(examine, certificates):
    async def scenario():
        async with restartable_server(**certificates.settings) as host:
            return await doctor(
                f"wss://localhost:{host.port}", "--ca", str(certificates.ca), "--hold", "0.05"
            )

    status, text = examine(scenario)
    assert status == 0
    for word in (
        "localhost means",
        "listens",
        "trusted",
        "turbowarp.org",
        f"It is cloudlink {__version__} with protocol 0.2.0; this is cloudlink {__version__}.",
        "silent",
        "All is well.",
    ):
        assert word in text
    assert "note" not in text


def test_plain_addresses_are_fine_at_home_and_noted_elsewhere(examine):
    async def scenario():
        async with restartable_server() as host:
            return await doctor(host.url, "--origin", "")

    status, text = examine(scenario)
    assert status == 0
    assert "127.0.0.1 is an address." in text
    assert "note" not in text


def test_plain_addresses_elsewhere_are_noted(examine, monkeypatch):
    monkeypatch.setattr(diagnose, "_is_this_computer", lambda host: False)

    async def scenario():
        async with restartable_server() as host:
            return await doctor(host.url)

    status, text = examine(scenario)
    assert status == 0
    assert "note Pages with https:// addresses" in text


# Nobody there.


def test_nothing_listens(examine):
    ill(examine(lambda: doctor("ws://127.0.0.1:1")), "Nothing listens at 127.0.0.1:1.", "Start the server")


def test_name_not_found(examine):
    ill(examine(lambda: doctor("ws://no-such-host.invalid")), "The name no-such-host.invalid is not known.")


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("http://localhost:3000/", "Write ws://localhost:3000/."),
        ("https://localhost/", "Write wss://localhost/."),
        ("localhost:3000", "for example ws://localhost:3000."),
        ("", "No address was given. It has to begin with ws://"),
        ("ws://", "ws:// names no host. Write its name or address"),
        ("WSS://:3000/", "WSS://:3000/ names no host."),
        (
            "ws://localhost:99999",
            "The port of ws://localhost:99999 is wrong. A port is a number from 1 to 65535",
        ),
        ("ws://localhost:x", "The port of ws://localhost:x is wrong."),
        ("ws://localhost:0/", "The port of ws://localhost:0/ is wrong."),
        ("ws://[::1/", "The host of ws://[::1/ cannot be read. IPv6 addresses need brackets"),
        ("ws://localhost/#room", "has a part after #"),
        (
            "ws://games..example/",
            "ws://games..example/ cannot be used as an address. Check the spelling of its host",
        ),
    ],
)
def test_no_address(examine, address, words):
    ill(examine(lambda: doctor(address)), words)


@pytest.mark.parametrize("scheme", ["http", "socks5"])
@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("127.0.0.1:1", "cannot be reached: nothing listens at its port. Start the proxy"),
        ("no-such-host.invalid:1", "cannot be reached: its name is not known."),
    ],
)
def test_a_proxy_that_is_not_there(examine, scheme, place, words):
    examined = examine(lambda: doctor("--proxy", f"{scheme}://{place}"))
    ill(examined, f"The proxy {scheme}://{place} {words}")
    assert "Errno" not in examined[1]


def test_a_proxy_without_a_scheme(examine):
    ill(examine(lambda: doctor("--proxy", "127.0.0.1:1")), "a proxy's address begins with http://")


def test_a_proxy_out_of_reach():
    error = diagnostics.proxy_failed(
        "ws://a/", "http://b:1", OSError(errno.ENETUNREACH, "Network is unreachable")
    )
    assert error.problem == "The proxy http://b:1 cannot be reached: this computer has no route to it."


def test_a_silent_port(examine):
    async def scenario():
        async with tcp_server(lambda *_: asyncio.Event().wait()) as place:
            return await doctor(f"ws://{place}", "--timeout", "0.2")

    ill(examine(scenario), "accepts the connection and then sends nothing")


def test_a_silent_port_asked_for_tls(examine):
    async def scenario():
        async with tcp_server(lambda *_: asyncio.Event().wait()) as place:
            return await doctor(f"wss://{place}", "--timeout", "0.2")

    ill(examine(scenario), "accepts the connection and then sends nothing")


# TLS.


def test_tls_spoken_to_a_plain_port(examine):
    async def scenario():
        async with restartable_server() as host:
            return await doctor(f"wss://localhost:{host.port}/")

    ill(examine(scenario), "speaks without TLS", "Connect with ws://localhost")


def test_tls_spoken_to_something_else(examine):
    async def handler(reader, writer):
        await reader.read(10)
        writer.write(b"SSH-2.0-OpenSSH_9.2\r\n")

    async def scenario():
        async with tcp_server(handler) as place:
            return await doctor(f"wss://{place}/")

    ill(examine(scenario), "does not speak TLS")


def test_plain_spoken_to_a_tls_port(examine, certificates):
    async def scenario():
        async with restartable_server(**certificates.settings) as host:
            return await doctor(f"ws://localhost:{host.port}/")

    ill(examine(scenario), "speaks TLS, but the address begins with ws://", "Connect with wss://localhost")


def test_an_unknown_issuer(examine, certificates):
    async def scenario():
        async with restartable_server(**certificates.settings) as host:
            return await doctor(f"wss://localhost:{host.port}")

    # The chain that trustme writes ends with the authority itself, or leaves it out.
    ill(examine(scenario), "comes from an authority this computer does not know")


def test_another_name(examine, certificates):
    async def scenario():
        certificates.issue("games.example")
        async with restartable_server(**certificates.settings) as host:
            return await doctor(f"wss://localhost:{host.port}", "--ca", str(certificates.ca))

    ill(examine(scenario), "is for another name than localhost")


def test_expired_and_not_yet_valid(examine, certificates):
    now = dt.datetime.now(dt.UTC)
    day = dt.timedelta(days=1)

    async def visit(**times):
        certificates.issue("localhost", **times)
        async with restartable_server(**certificates.settings) as host:
            return await doctor(f"wss://localhost:{host.port}", "--ca", str(certificates.ca))

    ill(examine(lambda: visit(not_before=now - 9 * day, not_after=now - day)), "has expired", "Renew it")
    ill(examine(lambda: visit(not_before=now + day, not_after=now + 9 * day)), "is not valid yet")


def test_self_signed(examine, certificates):
    """A certificate that is its own authority, as `openssl req -x509` makes one."""
    certificates.key.write_bytes(certificates.authority.private_key_pem.bytes())
    certificates.certificate.write_bytes(certificates.authority.cert_pem.bytes())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.certificate, certificates.key)

    async def scenario():
        def forget(_, writer):
            writer.close()

        server = await asyncio.start_server(forget, "127.0.0.1", 0, ssl=context)
        async with server:
            return await doctor(f"wss://localhost:{server.sockets[0].getsockname()[1]}")

    ill(examine(scenario), "is self-signed", "Browsers refuse it")


# Proxies and other web servers.


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("200 OK", "answers with a web page (HTTP 200)"),
        ("400 Bad Request", "nginx needs three lines"),
        ("401 Unauthorized", "cannot log in"),
        ("404 Not Found", "the path does not exist (HTTP 404)"),
        ("418 I'm a teapot", "HTTP 418"),
        ("426 Upgrade Required", "drops the header Upgrade"),
        ("429 Too Many Requests", "connects too often"),
        ("500 Internal Server Error", "Look at the server's log"),
        ("502 Bad Gateway", "Start the server behind the proxy"),
        ("503 Service Unavailable", "out of service"),
        ("504 Gateway Timeout", "does not answer (HTTP 504)"),
    ],
)
def test_a_proxy_that_does_not_upgrade(examine, status, words):
    async def scenario():
        async with answering(f"HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\nhi") as place:
            return await doctor(f"ws://{place}")

    ill(examine(scenario), words)


def reverse_proxy(host, *, version="HTTP/1.1", drops=()):
    """A reverse proxy in front of a server of ours: the HTTP version it uses, and the headers it drops, are wrong."""

    async def handler(reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.removesuffix("\r\n\r\n").split("\r\n")
        kept = [line for line in lines if line.partition(":")[0].lower() not in drops]
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", host.port)
        method, path, _ = first.split()
        there_writer.write("\r\n".join([f"{method} {path} {version}", *kept, "", ""]).encode("latin-1"))
        answer = await there_reader.readuntil(b"\r\n\r\n")
        length = int(answer.lower().partition(b"content-length:")[2].split()[0])
        writer.write(answer + await there_reader.readexactly(length))
        there_writer.close()

    return tcp_server(handler)


@pytest.mark.parametrize(
    ("proxy", "path", "cause"),
    [
        ({"version": "HTTP/1.0"}, "/", "speaks HTTP/1.0 to the server, which has no WebSockets (HTTP 426)."),
        (
            {"version": "HTTP/1.0", "drops": ("upgrade", "connection")},
            "/",
            "drops the header Upgrade of the request, so that the server answers with a page (HTTP 200).",
        ),
        (
            {"drops": ("upgrade", "connection")},
            "/",
            "drops the header Upgrade of the request, so that the server answers with a page (HTTP 200).",
        ),
        ({"drops": ("upgrade",)}, "/games", "drops the header Upgrade of the request"),
        ({"drops": ("connection",)}, "/", "drops the header Connection of the request (HTTP 400)."),
    ],
    ids=["HTTP/1.0", "nginx without configuration", "without both", "without Upgrade", "without Connection"],
)
def test_a_reverse_proxy_that_does_not_pass_websockets_on(examine, proxy, path, cause):
    async def scenario():
        async with restartable_server() as host, reverse_proxy(host, **proxy) as place:
            return await doctor(f"ws://{place}{path}")

    examined = examine(scenario)
    ill(examined, cause, "Let it pass WebSockets on.")
    lines = 'proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection "upgrade";'
    assert lines in examined[1]
    assert lines.partition(" ")[0] in GETTING_STARTED.read_text(encoding="utf-8")


def test_a_server_that_is_full_by_http(examine):
    async def scenario():
        async with answering("HTTP/1.1 503 Busy\r\nContent-Length: 15\r\n\r\nServer is full!") as place:
            return await doctor(f"ws://{place}")

    ill(examine(scenario), "The server is full (HTTP 503).", "the host can raise max_clients")


def test_a_redirection(examine):
    async def scenario():
        answer = "HTTP/1.1 301 Moved\r\nLocation: https://games.example/\r\nContent-Length: 0\r\n\r\n"
        async with answering(answer) as place:
            return await doctor(f"ws://{place}")

    ill(examine(scenario), "redirects to https://games.example/ (HTTP 301)")


def test_an_old_web_server(examine):
    async def scenario():
        async with answering("HTTP/1.0 200 OK\r\n\r\nhello") as place:
            return await doctor(f"ws://{place}")

    ill(examine(scenario), "web page (HTTP 200)")


def test_a_wrong_upgrade(examine):
    async def scenario():
        answer = (
            "HTTP/1.1 101 Yes\r\nUpgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n"
        )
        async with answering(answer) as place:
            return await doctor(f"ws://{place}")

    ill(examine(scenario), "upgrades, but not to a WebSocket")


@pytest.mark.parametrize("answer", [b"SSH-2.0-OpenSSH_9.2\r\n", b""])
def test_no_web_server(examine, answer):
    async def scenario():
        async with answering(answer) as place:
            return await doctor(f"ws://{place}", "--timeout", "0.5")

    ill(examine(scenario), "closed the connection without an HTTP answer")


def test_a_refused_origin(examine):
    async def scenario():
        async with restartable_server(allowed_origins=["https://games.example"]) as host:
            assert await doctor(host.url, "--origin", "https://games.example") == 0
            return await doctor(host.url, "--origin", "https://other.example")

    status, text = examine(scenario)
    assert status == 1
    assert "refuses pages of this origin (HTTP 403). Let the host add the origin" in text
    assert 'it can pass an allowed one with headers={"Origin": ...}.' in text


def test_an_origin_refused_by_something_else(examine):
    async def handler(reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        if b"Origin:" in head:
            writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
            return
        key = head.lower().partition(b"sec-websocket-key:")[2].partition(b"\r\n")[0].strip()
        original = head[head.lower().index(key) :][: len(key)].decode()
        accept = websockets.utils.accept_key(original)
        writer.write(
            b"HTTP/1.1 101 Yes\r\nUpgrade: websocket\r\nConnection: upgrade\r\n"
            + f"Sec-WebSocket-Accept: {accept}\r\n\r\n".encode()
        )
        await reader.read()

    async def scenario():
        async with tcp_server(handler) as place:
            return await doctor(f"ws://{place}")

    ill(examine(scenario), "refuses pages of https://turbowarp.org (HTTP 403). Let the host add that origin")


def test_a_refused_address(examine):
    async def scenario():
        async with answering("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n") as place:
            return await doctor(f"ws://{place}")

    ill(examine(scenario), "refuses this origin or address (HTTP 403)")


# WebSockets that are no CloudLink.


def test_a_full_server(examine):
    async def scenario():
        async with restartable_server(max_clients=1) as host, scripted_client(host):
            return await doctor(host.url)

    ill(examine(scenario), "The server is full. Try again later; the host can raise max_clients.")


def test_a_program_passes_an_origin_as_a_refusal_says():
    async def scenario():
        async with restartable_server(allowed_origins=["https://games.example"]) as host:
            with pytest.raises(ConnectError, match=r'headers=\{"Origin": \.\.\.\}'):
                await connect(host.url).__aenter__()
            async with connect(host.url, headers={"Origin": "https://games.example"}):
                pass

    asyncio.run(scenario())


@contextlib.asynccontextmanager
async def scripted_client(host):
    async with connect(host.url):
        yield


def test_an_older_cloudlink(examine):
    async def handler(socket):
        handshake = json.loads(await socket.recv())
        await socket.send('{"cmd":"server_version","val":"0.1.9.2"}')
        await socket.send(json.dumps(ok(handshake)))
        await socket.wait_closed()

    async def scenario():
        async with websocket_server(handler) as url:
            return await doctor(url)

    ill(examine(scenario), "The server is CloudLink 0.1.9.2", "Update the server.")


def test_another_websocket_server(examine):
    async def handler(socket):
        await socket.send("Welcome to my chat!")
        await socket.wait_closed()

    async def scenario():
        async with websocket_server(handler) as url:
            return await doctor(url)

    ill(examine(scenario), "'Welcome to my chat!' instead of greeting")


def test_a_websocket_that_says_nothing(examine):
    async def handler(socket):
        await socket.wait_closed()

    async def scenario():
        async with websocket_server(handler) as url:
            return await doctor(url, "--timeout", "0.2")

    ill(examine(scenario), "does not answer a CloudLink handshake")


def test_a_websocket_that_hangs_up(examine):
    async def handler(socket):
        await socket.recv()
        await socket.close(1003, "Text only")

    async def scenario():
        async with websocket_server(handler) as url:
            return await doctor(url)

    ill(examine(scenario), "closed the connection with 1003 (Text only) instead of greeting")


def test_a_server_without_a_health_check(examine):
    async def handler(socket):
        await greet(socket)
        await socket.wait_closed()

    async def scenario():
        async with websocket_server(handler) as url:
            return await doctor(url)

    status, text = examine(scenario)
    assert status == 0
    assert f"It is a CloudLink server with protocol 0.2.0; this is cloudlink {__version__}." in text


@pytest.mark.parametrize(
    ("health", "package"),
    [
        ('{"version": "1.2.3", "protocol_version": "0.2.0"}', "cloudlink 1.2.3"),
        ('{"version": "1.2.3"}', "a CloudLink server"),  # of another program on the same host
        ("[]", "a CloudLink server"),
        ("It is well.", "a CloudLink server"),
    ],
)
def test_the_package_is_named_by_the_health_check(health, package):
    async def scenario():
        async with answering(f"HTTP/1.1 200 OK\r\nContent-Length: {len(health)}\r\n\r\n{health}") as place:
            plan = diagnose.Plan(f"ws://{place}/", timeout=5)
            return await diagnose._package(diagnostics.check_address(plan.url), plan)

    assert asyncio.run(scenario()) == package


def test_a_kick_is_not_blamed_on_a_proxy(examine):
    async def handler(socket):
        await greet(socket)
        await socket.close(4004, "You are banned: spam")

    async def scenario():
        async with websocket_server(handler) as url:
            return await doctor(url, "--hold", "20")

    ill(examine(scenario), "The connection was closed with 4004 (You are banned: spam).")


def test_an_idle_cut_off(examine):
    async def handler(socket):
        await greet(socket)
        await asyncio.sleep(0.05)
        socket.transport.abort()

    async def scenario():
        async with websocket_server(handler) as url:
            return await doctor(url, "--hold", "20")

    status, text = examine(scenario)
    assert status == 1
    assert "A silent connection was cut after 0." in text
    assert "proxy_read_timeout" in text


def test_text_from_strangers_cannot_control_the_terminal(examine):
    async def handler(socket):
        await socket.send("\x1b[2J")
        await socket.wait_closed()

    async def scenario():
        async with websocket_server(handler) as url:
            return await doctor(url)

    status, text = examine(scenario)
    assert status == 1
    assert "\x1b" not in text
