"""The sockets that are opened for the setting `host`."""

import asyncio
import errno
import os
import re
import socket
import stat
import sys
from pathlib import Path

import pytest

from cloudlink.errors import StartError
from cloudlink.server.app import Server
from cloudlink.server.protocols.clpv4 import Clpv4
from cloudlink.settings import Settings
from cloudlink.transport import listening
from cloudlink.transport.listening import explain, open_sockets, shareable
from cloudlink.transport.portowner import port_owner
from tests.support.certificates import Certificates
from tests.support.rawclients import UPGRADE, RawClient, ask, frame, request, running

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
UNIX = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="there are no Unix sockets")


def has_ipv6():
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


IPV6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")


def opened(*hosts, port=0):
    async def scenario():
        sockets = await open_sockets(list(hosts), port)
        names = [one.getsockname()[:2] for one in sockets]
        for one in sockets:
            one.close()
        return [name for name, _ in names], {port for _, port in names}

    return asyncio.run(scenario())


@pytest.mark.parametrize(
    ("hosts", "bound"),
    [
        (["127.0.0.1"], ["127.0.0.1"]),
        (["127.0.0.1", "127.0.0.2"], ["127.0.0.1", "127.0.0.2"]),
        (["0.0.0.0"], ["0.0.0.0"]),
        (["127.0.0.1", "0.0.0.0"], ["0.0.0.0"]),
        ([], []),
        pytest.param(["*"], ["0.0.0.0", "::"], marks=IPV6),
        pytest.param(["::1", "127.0.0.1", "*"], ["0.0.0.0", "::"], marks=IPV6),
        pytest.param(["::1", "0.0.0.0"], ["0.0.0.0", "::1"], marks=IPV6),
        pytest.param(["127.0.0.1", "::1"], ["127.0.0.1", "::1"], marks=IPV6),
    ],
)
def test_every_address_gets_one_socket_and_all_the_same_port(hosts, bound):
    names, ports = opened(*hosts)
    assert names == bound
    assert len(ports) == (1 if bound else 0)


def test_a_name_means_its_addresses():
    names, _ = opened("localhost")
    assert set(names) <= {"127.0.0.1", "::1"}
    assert names


@pytest.mark.parametrize(
    ("lacking", "left"),
    [
        (socket.AF_INET6, ["0.0.0.0"]),
        pytest.param(socket.AF_INET, ["::"], marks=IPV6),
        (None, []),
    ],
)
def test_every_address_may_mean_one_family_only(monkeypatch, lacking, left):
    class Lacking(socket.socket):
        def bind(self, address):
            if lacking in (self.family, None):
                raise OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address")
            super().bind(address)

    async def scenario():
        monkeypatch.setattr(listening.socket, "socket", Lacking)
        sockets = await open_sockets(["*"], 0)
        for one in sockets:
            one.close()
        return [one.family for one in sockets]

    families = {"0.0.0.0": socket.AF_INET, "::": socket.AF_INET6}
    if left:
        assert asyncio.run(scenario()) == [families[name] for name in left]
    else:
        with pytest.raises(StartError, match="This machine has no network address"):
            asyncio.run(scenario())


def test_an_address_of_another_machine_is_explained():
    with pytest.raises(StartError, match=r"^The address 192\.0\.2\.1 does not belong to this machine"):
        opened("127.0.0.1", "192.0.2.1")


def test_a_name_that_nobody_has_is_explained():
    with pytest.raises(StartError, match=r"^There is no address called no-such-host\.invalid: "):
        opened("no-such-host.invalid")


def test_of_a_port_in_use_nothing_stays_open():
    with socket.create_server(("127.0.0.2", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(StartError, match=f"Port {port} is already in use on 127.0.0.2"):
            opened("127.0.0.1", "127.0.0.2", port=port)
        assert opened("127.0.0.1", port=port)[0] == ["127.0.0.1"]


@LINUX
def test_the_process_that_has_the_port_is_named():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process, command = port_owner(port)
        assert process == os.getpid()
        assert "py" in command
        with pytest.raises(StartError) as refused:
            opened("127.0.0.1", port=port)
    assert re.match(
        rf"Port {port} is already in use on 127\.0\.0\.1 by process {os.getpid()} \(.*\): "
        rf"end it with `kill {os.getpid()}`, or choose another port\.",
        str(refused.value),
    )


def test_where_the_system_does_not_tell_no_process_is_named(tmp_path):
    assert port_owner(80, tmp_path) is None
    (tmp_path / "net").mkdir()
    lines = "head\n  0: 0100007F:0050 00000000:0000 0A 0:0 00:0 0 0 0 77 1 0 100 0 0 10 0\n"
    (tmp_path / "net" / "tcp").write_text(lines)
    assert port_owner(80, tmp_path) is None  # another user's process
    (tmp_path / "5").mkdir()
    assert port_owner(80, tmp_path) is None
    (tmp_path / "5" / "fd").mkdir()
    (tmp_path / "5" / "fd" / "3").symlink_to("socket:[77]")
    assert port_owner(80, tmp_path) == (5, "")
    (tmp_path / "5" / "cmdline").write_bytes(b"python\0" + b"x" * 100 + b"\0")
    assert port_owner(80, tmp_path) == (5, "python " + "x" * 53 + "…")
    assert port_owner(81, tmp_path) is None


def test_a_command_line_cannot_write_into_the_terminal():
    sentence = explain("*", 80, OSError(errno.EADDRINUSE, ""), (5, "evil\x1b[2J\nname"))
    assert "on this machine by process 5 (evil\\x1b[2J\\x0aname)" in sentence


def test_whoever_has_a_port_matters_only_if_it_is_in_use():
    sentence = explain("*", 80, OSError(errno.EACCES, ""), (5, "python"))
    assert sentence.startswith("This user may not listen on port 80; ")


@pytest.mark.parametrize(("zone", "bound"), [(0, "fe80::1"), (3, "fe80::1%3")])
def test_an_address_of_one_network_card_keeps_its_zone(monkeypatch, zone, bound):
    async def scenario():
        async def resolve(*_arguments, **_options):
            return [(socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("fe80::1", 80, 0, zone))]

        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve)
        return await listening._addresses("card.local", 80)

    assert asyncio.run(scenario()) == [(socket.AF_INET6, bound)]


def mode(path):
    return stat.S_IMODE(Path(path).stat().st_mode)


def remove(path):
    Path(path).unlink()


@UNIX
class TestUnixSocket:
    """Unix sockets have a file, which has to come and go with the server."""

    @pytest.fixture
    def path(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)  # paths of sockets may not be long
        return "cl.sock"

    async def serve(self, path, **settings):
        server = Server(Settings(host=f"unix:{path}", **settings))
        Clpv4(server)
        await server.start()
        return server

    async def ask(self, path, raw):
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(raw)
        answer = await reader.read()
        writer.close()
        return answer.decode()

    def test_pages_and_clients_come_through_it(self, path, caplog):
        async def scenario():
            server = await self.serve(path)
            assert mode(path) == 0o666
            assert (await self.ask(path, request({}, "/health"))).startswith("HTTP/1.1 200 OK")
            reader, writer = await asyncio.open_unix_connection(path)
            peer = RawClient(reader, writer)
            writer.write(request(UPGRADE))
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
            writer.write(frame(b'{"cmd":"handshake","val":{"language":"x","version":"y"}}'))
            assert b"server_version" in (await peer.receive())[1]
            (client,) = server.clients_manager
            assert (client.address, client.remote_address) == ("unix", None)
            peer.leave()
            await server.stop()

        with caplog.at_level("INFO"):
            asyncio.run(scenario())
        assert not Path(path).exists()
        assert f"connect to unix:{path} through a proxy on this machine" in caplog.text

    def test_it_may_be_one_address_of_several(self, path):
        async def scenario():
            async with running() as server:
                await server.stop()
                await server.start(f"127.0.0.1,unix:{path}", 0)
                for answer in (
                    await ask(server.port, request({}, "/health")),
                    await self.ask(path, request({}, "/health")),
                ):
                    assert answer.startswith("HTTP/1.1 200 OK")

        asyncio.run(scenario())

    @pytest.mark.parametrize(
        ("trusted", "header", "limited"),
        [
            ([], {"X-Forwarded-For": "203.0.113.7"}, False),
            (["unix"], {"X-Forwarded-For": "203.0.113.7"}, True),
            (["unix"], {"X-Forwarded-For": "junk"}, True),
            (["unix"], {}, False),
            (["192.0.2.1"], {"X-Forwarded-For": "203.0.113.7"}, True),
        ],
    )
    def test_its_peers_are_proxies_only_if_the_host_says_so(self, path, trusted, header, limited):
        async def scenario():
            server = await self.serve(
                path,
                trusted_proxies=trusted,
                real_ip_header="X-Forwarded-For",
                connection_burst_per_address=1,
                connection_rate_per_address=0.001,
            )
            answers = [await self.ask(path, request(header, "/health")) for _ in range(3)]
            await server.stop()
            return answers

        assert any("429" in answer.split("\r\n")[0] for answer in asyncio.run(scenario())) is limited

    def test_tls_is_left_to_the_proxy(self, path):
        certificates = Certificates(Path())

        async def scenario():
            server = await self.serve(path, **certificates.settings)
            answer = await self.ask(path, request({"Host": "x"}))
            await server.stop()
            return answer

        assert "<code>ws://x/</code>" in asyncio.run(scenario())

    def test_the_file_of_a_crashed_server_is_replaced(self, path):
        crashed = socket.socket(socket.AF_UNIX)
        crashed.bind(path)
        crashed.close()

        async def scenario():
            server = await self.serve(path)
            assert (await self.ask(path, request({}, "/health"))).startswith("HTTP/1.1 200 OK")
            await server.stop()

        asyncio.run(scenario())

    def test_a_running_server_keeps_its_file(self, path):
        async def scenario():
            server = await self.serve(path)
            with pytest.raises(
                StartError, match=rf"Cannot listen on unix:{path}: another server listens there"
            ):
                await self.serve(path)
            assert (await self.ask(path, request({}, "/health"))).startswith("HTTP/1.1 200 OK")
            await server.stop()

        asyncio.run(scenario())

    def test_the_file_of_another_server_is_not_removed(self, path):
        async def scenario():
            server = await self.serve(path)
            remove(path)
            other = await self.serve(path)
            await server.stop()
            assert (await self.ask(path, request({}, "/health"))).startswith("HTTP/1.1 200 OK")
            await other.stop()

        asyncio.run(scenario())

    @pytest.mark.parametrize(
        ("prepare", "name", "words"),
        [
            (lambda: None, "x" * 200, "the path is too long"),
            (lambda: None, "missing/cl.sock", "the folder does not exist"),
            (lambda: Path("file").touch(), "file", "there is another file of this name"),
            (lambda: Path("folder").mkdir(), "folder", "there is another file of this name"),
            (lambda: Path("file").touch(), "file/cl.sock", r"cl\.sock: Not a directory\.$"),
        ],
    )
    def test_a_path_that_cannot_be_had_is_explained_in_one_sentence(self, path, prepare, name, words):
        prepare()
        with pytest.raises(StartError, match=words):
            asyncio.run(self.serve(name))

    def test_if_the_port_cannot_be_had_no_file_stays(self, path):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            server = Server(Settings(host=f"unix:{path},127.0.0.1", port=taken.getsockname()[1]))
            with pytest.raises(StartError, match="already in use"):
                asyncio.run(server.start())
        assert not Path(path).exists()


class Elsewhere:
    """A socket that is bound to an address of another machine, as far as it says."""

    family = socket.AF_INET

    def getsockname(self):
        return "192.0.2.1", 3000

    def setsockopt(self, *_option):
        """Whatever it is."""


@pytest.mark.skipif(not hasattr(socket, "SO_REUSEPORT"), reason="ports cannot be shared here")
def test_why_a_port_cannot_be_shared_is_explained():
    with pytest.raises(StartError, match=r"^The address 192\.0\.2\.1 does not belong to this machine"):
        shareable(Elsewhere())


@pytest.mark.skipif(os.name != "posix", reason="elsewhere it would let two servers share a port")
def test_a_port_can_be_used_again_although_old_connections_linger():
    async def scenario():
        for one in await open_sockets(["127.0.0.1"], 0):
            assert one.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)
            assert not one.getblocking()
            one.close()

    asyncio.run(scenario())


@pytest.mark.parametrize("hosts", [["127.0.0.1", "127.0.0.1"], ["127.0.0.1", "*", "0.0.0.0"]])
def test_an_address_that_is_named_twice_is_bound_once(hosts):
    names, ports = opened(*hosts)
    assert len(set(names)) == len(names)
    assert len(ports) == 1


def test_a_name_that_cannot_be_a_name_is_explained():
    error = UnicodeError("label empty or too long")
    assert explain("a..b", 80, error).startswith("There is no address called a..b: label empty or too long; ")
