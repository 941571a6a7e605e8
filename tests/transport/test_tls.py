"""TLS from certificate files, renewed without dropping anybody."""

import asyncio
import contextlib
import logging
import ssl

import pytest

from cloudlink.errors import StartError
from cloudlink.transport import load_certificates
from tests.support.certificates import Certificates
from tests.support.rawclients import ask, connect, request, running


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
