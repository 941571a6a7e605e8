"""nginx and Caddy with the recipes of this repository, in front of a real server: pages, WebSockets, addresses."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import socket
import ssl
import subprocess
import urllib.request

import pytest
import websockets

from tests.deploy.tools import DEPLOY, ROOT, tool
from tests.support.certificates import Certificates
from tests.support.servers import HOST, build, listening

PLAYER = "127.0.0.2"
"""Another address of this machine, so that the proxy's own one is not taken for the player's."""
NGINX = DEPLOY / "nginx" / "cloudlink.conf"
CADDY = DEPLOY / "caddy" / "Caddyfile"
SETTINGS = {"real_ip_header": "X-Forwarded-For", "trusted_proxies": ["127.0.0.1", "::1"]}


def free_ports(count):
    sockets = [socket.create_server((HOST, 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


@contextlib.asynccontextmanager
async def running(*command, port, **options):
    """Run a proxy until its port accepts connections, and end it afterwards."""
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE, **options
    )
    try:
        async with asyncio.timeout(20):
            while True:
                with contextlib.suppress(OSError):
                    _, writer = await asyncio.open_connection(HOST, port)
                    writer.close()
                    break
                if process.returncode is not None:
                    raise AssertionError((await process.stderr.read()).decode())
                await asyncio.sleep(0.02)
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.communicate()


async def play(server, port, trust, name):
    """Play through a proxy that serves TLS at a port; return the status of its health page."""

    def health():
        handler = urllib.request.HTTPSHandler(context=trust)
        with urllib.request.build_opener(handler).open(f"https://{name}:{port}/health", timeout=10) as page:
            return page.status, json.load(page)

    async with (
        websockets.connect(
            f"wss://{name}:{port}/", ssl=trust, host=HOST, local_addr=(PLAYER, 0), proxy=None
        ) as alice,
        websockets.connect(f"wss://{name}:{port}/?room=5", ssl=trust, host=HOST, proxy=None) as bob,
    ):
        for one in (alice, bob):
            await one.send('{"cmd":"handshake","val":{"language":"test","version":"1"},"listener":"h"}')
            while json.loads(await one.recv()).get("listener") != "h":
                pass
        await alice.send(json.dumps({"cmd": "gmsg", "val": "x" * 200_000}))
        async for text in bob:
            packet = json.loads(text)
            if packet["cmd"] == "gmsg":
                assert len(packet["val"]) == 200_000
                break
        addresses = {client.address: client.path for client in server.clients_manager}
        assert addresses == {PLAYER: "/", HOST: "/?room=5"}
        return await asyncio.to_thread(health)


async def the_start_page_names_the_address(port, trust, name):
    def page():
        handler = urllib.request.HTTPSHandler(context=trust)
        with urllib.request.build_opener(handler).open(f"https://{name}:{port}/", timeout=10) as answer:
            return answer.read().decode()

    assert f"wss://{name}:{port}/" in await asyncio.to_thread(page)


def nginx_files(folder, certificates, upstream, plain, secure):
    """The recipe with free ports of this machine and the test's certificate, in a configuration of its own."""
    recipe = NGINX.read_text(encoding="utf-8")
    for old, new in (
        ("127.0.0.1:3000", f"{HOST}:{upstream}"),
        ("listen 80;", f"listen {HOST}:{plain};"),
        ("listen 443 ", f"listen {HOST}:{secure} "),
        ("/etc/letsencrypt/live/game.example.org/fullchain.pem", str(certificates.certificate)),
        ("/etc/letsencrypt/live/game.example.org/privkey.pem", str(certificates.key)),
        ("game.example.org;", "localhost;"),
    ):
        assert old in recipe, old
        recipe = recipe.replace(old, new)
    recipe = re.sub(r"\n *listen \[::\].*", "", recipe)
    (folder / "cloudlink.conf").write_text(recipe, encoding="utf-8")
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind};\n"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"daemon off;\nmaster_process off;\npid {folder}/pid;\nerror_log stderr;\nevents {{}}\n"
        f"http {{\naccess_log off;\n{temporary}include {folder}/cloudlink.conf;\n}}\n",
        encoding="utf-8",
    )
    return ("-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", "stderr")


def test_nginx(tmp_path):
    nginx = tool("nginx")
    certificates = Certificates(tmp_path)

    async def main():
        server = build(SETTINGS)
        plain, secure = free_ports(2)
        async with listening(server) as port, asyncio.timeout(30):
            arguments = nginx_files(tmp_path, certificates, port, plain, secure)
            await asyncio.to_thread(
                subprocess.run, [nginx, *arguments, "-t"], check=True, capture_output=True
            )
            async with running(nginx, *arguments, port=secure):
                health = await play(server, secure, certificates.client, "localhost")
                assert health[0] == 200
                await the_start_page_names_the_address(secure, certificates.client, "localhost")
                reader, writer = await asyncio.open_connection(HOST, plain)
                writer.write(b"GET /x?y=1 HTTP/1.0\r\nHost: localhost\r\n\r\n")
                answer = await reader.read()
                writer.close()
                assert b"301" in answer.split(b"\r\n")[0]
                assert b"Location: https://localhost/x?y=1\r\n" in answer

    asyncio.run(main())


def test_nginx_counts_players_of_a_forged_header(tmp_path):
    """What a client writes into the header itself does not count."""
    nginx = tool("nginx")
    certificates = Certificates(tmp_path)

    async def main():
        server = build(SETTINGS)
        plain, secure = free_ports(2)
        async with listening(server) as port, asyncio.timeout(30):
            arguments = nginx_files(tmp_path, certificates, port, plain, secure)
            forged = {"X-Forwarded-For": "203.0.113.7"}
            async with (
                running(nginx, *arguments, port=secure),
                websockets.connect(
                    *(f"wss://localhost:{secure}/",),
                    ssl=certificates.client,
                    host=HOST,
                    local_addr=(PLAYER, 0),
                    additional_headers=forged,
                    proxy=None,
                ),
            ):
                [client] = server.clients_manager
                assert client.address == PLAYER

    asyncio.run(main())


def caddy_environment(folder, **more):
    return {"PATH": "/usr/bin:/bin", "HOME": str(folder), "XDG_DATA_HOME": str(folder), **more}


async def trust_in(authority, port):
    """Wait until Caddy has made its certificates, and return a context that trusts them."""
    while True:
        with contextlib.suppress(FileNotFoundError, ssl.SSLError):
            trust = ssl.create_default_context(cafile=authority)
            _, writer = await asyncio.open_connection(HOST, port, ssl=trust, server_hostname="localhost")
            writer.close()
            return trust
        await asyncio.sleep(0.02)


def test_caddy(tmp_path):
    """With a certificate of its own authority, as Caddy makes it for `localhost`."""
    caddy = tool("caddy")

    async def main():
        server = build(SETTINGS)
        [secure] = free_ports(1)
        options = (
            f"{{\nadmin off\ndefault_bind {HOST}\nskip_install_trust\nauto_https disable_redirects\n}}\n"
        )
        (tmp_path / "Caddyfile").write_text(options + CADDY.read_text(encoding="utf-8"), encoding="utf-8")
        async with listening(server) as port, asyncio.timeout(30):
            surroundings = caddy_environment(
                tmp_path, DOMAIN=f"https://localhost:{secure}", UPSTREAM=f"{HOST}:{port}"
            )
            arguments = ("run", "--config", tmp_path / "Caddyfile", "--adapter", "caddyfile")
            async with running(caddy, *arguments, port=secure, env=surroundings):
                trust = await trust_in(tmp_path / "caddy/pki/authorities/local/root.crt", secure)
                health = await play(server, secure, trust, "localhost")
                assert health[0] == 200
                await the_start_page_names_the_address(secure, trust, "localhost")

    asyncio.run(main())


@pytest.mark.parametrize("domain", [None, "game.example.org"])
def test_the_caddyfile_is_valid_as_it_stands(tmp_path, domain):
    surroundings = caddy_environment(tmp_path, **({"DOMAIN": domain} if domain else {}))
    command = (tool("caddy"), "adapt", "--validate", "--config", CADDY, "--adapter", "caddyfile")
    done = subprocess.run(command, env=surroundings, capture_output=True, text=True, check=True, cwd=tmp_path)
    [server] = json.loads(done.stdout)["apps"]["http"]["servers"].values()
    assert server["listen"] == [":443"]
    assert server["routes"][0]["match"] == [{"host": [domain or "localhost"]}]
    assert "127.0.0.1:3000" in done.stdout


def test_the_page_for_beginners_has_the_same_directives():
    """docs/getting-started.md shows the lines that matter; they are those of the recipe."""
    page = (ROOT / "docs" / "getting-started.md").read_text(encoding="utf-8")
    [block] = re.findall(r"```nginx\n(.*?)```", page, re.DOTALL)
    recipe = NGINX.read_text(encoding="utf-8")
    for line in re.findall(r"^    (proxy_.*;)$", block, re.MULTILINE):
        if not line.startswith(("proxy_pass", "proxy_set_header Connection")):
            assert line in recipe, line
