"""TLS from certificate files, renewed without dropping anybody."""

import asyncio
import contextlib
import gc
import logging
import socket
import ssl
import weakref

import pytest

from cloudlink.errors import StartError
from cloudlink.transport import load_certificates
from tests.support.certificates import Certificates
from tests.support.collector import without_garbage_collector
from tests.support.rawclients import UPGRADE, ask, connect, request, running


@pytest.fixture
def certificates(tmp_path):
    return Certificates(tmp_path)


async def certificate_of(peer):
    der = peer.writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    return ssl.DER_cert_to_PEM_cert(der)


def test_clients_connect_by_tls_and_the_start_page_says_wss(certificates):
    async def scenario():
        async with running(**certificates.settings, implicit_greeting=False) as server:
            assert server.ssl_enabled
            peer = await connect(server.port, ssl=certificates.client)
            peer.send('{"cmd":"ping"}')
            assert b"I:100" in (await peer.receive())[1]
            page = await ask(server.port, request({"Host": "games.example"}), ssl=certificates.client)
            assert "wss://games.example/" in page

    asyncio.run(scenario())


def test_a_tls_connection_has_a_small_buffer_and_takes_long_messages(certificates):
    async def scenario():
        async with running(**certificates.settings, implicit_greeting=False) as server:
            peer = await connect(server.port, ssl=certificates.client)
            (connection,) = server._endpoint.connections
            layer = connection._socket._ssl_protocol
            assert len(layer.get_buffer(-1)) == 1 << 15
            peer.send('{"cmd":"ping","val":"' + "x" * 500_000 + '"}')
            assert b"I:100" in (await peer.receive())[1]

    asyncio.run(scenario())


def test_a_renewed_certificate_is_used_for_new_connections_and_drops_nobody(certificates):
    async def scenario():
        async with running(**certificates.settings, implicit_greeting=False) as server:
            early = await connect(server.port, ssl=certificates.client)
            before = await certificate_of(early)
            certificates.issue("localhost")
            server.reload_certificates()
            late = await connect(server.port, ssl=certificates.client)
            assert await certificate_of(late) != before
            early.send('{"cmd":"ping"}')
            assert b"I:100" in (await early.receive())[1]

    asyncio.run(scenario())


def test_bad_files_on_reload_leave_the_old_certificate_in_use(certificates, caplog):
    async def scenario():
        async with running(**certificates.settings) as server:
            certificates.key.write_text("no key")
            server.reload_certificates()
            await connect(server.port, ssl=certificates.client)

    with caplog.at_level(logging.ERROR):
        asyncio.run(scenario())
    assert "old TLS certificate stays in use" in caplog.text
    assert str(certificates.key) in caplog.text


def test_a_plain_client_on_a_tls_port_is_worth_a_line_a_minute(certificates, caplog):
    async def scenario():
        async with running(**certificates.settings) as server:
            for said in (b"no HTTP\r\n\r\n", request({"Host": "x"}), request({"Host": "x"}, "/health")):
                with contextlib.suppress(ConnectionError):
                    await ask(server.port, said)

    asyncio.run(scenario())
    (record,) = [record for record in caplog.records if record.name == "cloudlink.transport"]
    assert record.levelname == "WARNING"
    assert record.getMessage() == (
        "A client spoke without TLS (ws:// or http://) to this port, which has it: "
        "connect with wss://, or leave out tls_certificate and tls_key."
    )


def test_a_plain_client_on_a_tls_port_disturbs_nobody(certificates):
    async def scenario():
        async with running(**certificates.settings, implicit_greeting=False) as server:
            with contextlib.suppress(ConnectionError):
                assert "101" not in await ask(server.port, request({"Host": "x"}))
            peer = await connect(server.port, ssl=certificates.client)
            peer.send('{"cmd":"ping"}')
            assert b"I:100" in (await peer.receive())[1]

    asyncio.run(scenario())


def test_each_bad_file_has_its_own_sentence(certificates, tmp_path):
    certificate, key = str(certificates.certificate), str(certificates.key)
    missing = str(tmp_path / "nowhere.pem")
    with pytest.raises(StartError, match=r"Cannot read the TLS certificate file .*nowhere\.pem"):
        load_certificates(missing, key)
    with pytest.raises(StartError, match=r"Cannot read the TLS key file .*nowhere\.pem"):
        load_certificates(certificate, missing)
    other = Certificates(tmp_path_of(tmp_path, "other"))
    with pytest.raises(StartError, match="does not belong to the certificate"):
        load_certificates(certificate, str(other.key))
    text = tmp_path / "text.pem"
    text.write_text("hello")
    with pytest.raises(StartError, match="not a PEM file"):
        load_certificates(str(text), str(text))


def tmp_path_of(tmp_path, name):
    folder = tmp_path / name
    folder.mkdir()
    return folder


def test_a_connection_that_is_ending_can_be_asked_and_slowed_down(certificates):
    """asyncio's TLS transport forgets its protocol some time before it reports the end."""

    async def scenario():
        loop = asyncio.get_running_loop()
        async with running(**certificates.settings) as server:
            endpoint = server._endpoint
            peers = [await connect(server.port, ssl=certificates.client) for _ in range(10)]
            mistakes = []

            def look_at_each():
                for connection in endpoint.connections:
                    try:
                        connection.take_heard()
                        assert connection.kept == 0
                        connection.slow_down()
                        connection.release()
                    except Exception as error:  # noqa: BLE001  # whatever it is
                        mistakes.append(error)
                looking.append(loop.call_soon(look_at_each))

            looking = [loop.call_soon(look_at_each)]
            for peer in peers:
                peer.leave()
            async with asyncio.timeout(20):
                while endpoint.connections:  # noqa: ASYNC110  # every turn of the loop matters
                    await asyncio.sleep(0)
            looking[-1].cancel()
            assert mistakes == []

    asyncio.run(scenario())


async def handshake_only(port, certificates):
    _, writer = await asyncio.open_connection(
        "127.0.0.1", port, ssl=certificates.client, server_hostname="localhost"
    )
    writer.transport.abort()


# Clients with blocking sockets, because asyncio's clients leave reference cycles, too.


def leave_at_once(port, context):
    with socket.create_connection(("127.0.0.1", port)) as peer:
        peer.shutdown(socket.SHUT_WR)
        assert peer.recv(1) == b""  # so the server has accepted the connection, however busy it is


def leave_within_the_handshake(port, context):
    with socket.create_connection(("127.0.0.1", port)) as peer:
        outgoing = ssl.MemoryBIO()
        layer = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="localhost")
        with contextlib.suppress(ssl.SSLWantReadError):
            layer.do_handshake()
        peer.sendall(outgoing.read())
        assert peer.recv(1 << 16)


def distrust(port, context):
    with socket.create_connection(("127.0.0.1", port)) as peer, contextlib.suppress(ssl.SSLError):
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).wrap_socket(peer, server_hostname="localhost")


def fetch_page(port, context):
    with greeted(port, context) as peer:
        peer.sendall(request({"Host": "x"}, "/health"))
        while peer.recv(1 << 16):
            pass


def open_and_drop(port, context):
    with greeted(port, context) as peer:
        peer.sendall(request(UPGRADE))
        assert peer.recv(1 << 16).startswith(b"HTTP/1.1 101")


def greeted(port, context):
    return context.wrap_socket(socket.create_connection(("127.0.0.1", port)), server_hostname="localhost")


@pytest.mark.parametrize(
    "visit", [leave_at_once, leave_within_the_handshake, distrust, fetch_page, open_and_drop]
)
def test_an_ended_tls_connection_is_freed_without_the_garbage_collector(certificates, visit):
    async def visit_often(server, times):
        for _ in range(times):
            await asyncio.to_thread(visit, server.port, certificates.client)
        endpoint = server._endpoint
        async with asyncio.timeout(10):
            while endpoint._waiting or endpoint._exchanges or endpoint.connections:  # noqa: ASYNC110  # no event tells
                await asyncio.sleep(0.01)

    async def scenario():
        async with running(**certificates.settings) as server:
            await visit_often(server, 1)
            gc.collect()
            await visit_often(server, 20)
            # Each connection in a reference cycle would be several objects. A reset in the middle of a read raises an error
            # within asyncio, whose traceback may hold that connection.
            assert gc.collect() < 20

    with without_garbage_collector():
        asyncio.run(scenario())


def test_the_buffers_of_an_ended_tls_connection_are_free_though_the_connection_is_still_known(certificates):
    layers = []

    async def scenario():
        async with running(**certificates.settings) as server:
            server.ssl_context.sni_callback = lambda layer, *_: layers.append(weakref.ref(layer))
            peer = await connect(server.port, ssl=certificates.client)
            (connection,) = server._endpoint.connections
            peer.leave()
            async with asyncio.timeout(10):
                while layers[0]() is not None:  # noqa: ASYNC110  # no event tells of freed memory
                    await asyncio.sleep(0.01)
            assert connection.unsent == 0
            connection.slow_down()
            connection.hold()
            connection.release()
            connection.abort()

    with without_garbage_collector():
        asyncio.run(scenario())


def test_a_client_beyond_the_limit_of_handshakes_is_dropped_before_its_handshake(certificates):
    greeted = []

    async def scenario():
        # As behind a proxy: this machine itself is not exempt then.
        async with running(
            **certificates.settings,
            real_ip_header="X-Forwarded-For",
            trusted_proxies=["192.0.2.1"],
            connection_burst_per_address=1,
            connection_rate_per_address=0.001,
        ) as server:
            server.ssl_context.sni_callback = lambda *_: greeted.append(1)
            for _ in range(3):  # the burst, and the one for which the bucket goes into debt
                await handshake_only(server.port, certificates)
            for _ in range(3):
                with pytest.raises(OSError):
                    await handshake_only(server.port, certificates)

    asyncio.run(scenario())
    assert len(greeted) == 3


class Asking:
    """A context that notes how it is asked to load a key."""

    def load_cert_chain(self, certificate, key, password=None):
        self.password = password


def test_nobody_is_asked_for_a_passphrase_at_the_terminal(certificates):
    context = Asking()
    load_certificates(str(certificates.certificate), str(certificates.key), context)
    assert context.password == ""


@pytest.mark.parametrize("reason", ["BAD_DECRYPT", "BAD_PASSWORD_READ", "CALCULATED_DECRYPT_ERROR"])
def test_a_key_with_a_passphrase_is_explained_whatever_openssl_calls_it(certificates, reason):
    class Refusing:
        def load_cert_chain(self, *_files, **_more):
            error = ssl.SSLError(1, "no")
            error.reason = reason
            raise error

    with pytest.raises(StartError, match="is protected by a passphrase"):
        load_certificates(str(certificates.certificate), str(certificates.key), Refusing())
