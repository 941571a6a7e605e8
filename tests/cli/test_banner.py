"""The lines of `cloudlink serve` about the files, plugins and certificate it uses."""

from __future__ import annotations

import datetime as dt
import ssl
from pathlib import Path

import pytest
import trustme

from cloudlink.cli.banner import banner, certificate_names
from cloudlink.settings import Settings
from cloudlink.transport import load_certificates

pytestmark = pytest.mark.usefixtures("empty_folder")


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


def certified(authority, *names, **options):
    """Write a certificate and its key; return the server's context and the file of the certificate."""
    certificate = authority.issue_cert(*names, **options)
    chain, key = Path("fullchain.pem"), Path("key.pem")
    chain.write_bytes(b"".join(blob.bytes() for blob in certificate.cert_chain_pems))
    certificate.private_key_pem.write_to_path(key)
    return load_certificates(str(chain), str(key)), str(chain)


def test_names_of_files_and_the_number_of_plugins(tmp_path):
    Path("mods").mkdir()
    settings = Settings(storage="data/cloud.db", plugins_folder="mods")

    assert banner(settings, Path("my.toml"), 3, None) == (
        f"Settings file: {tmp_path}/my.toml; cloud variables: {tmp_path}/data/cloud.db; "
        f"plugins: 3, folder {tmp_path}/mods"
    )


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"storage": ""}, "cloud variables: in memory only; plugins: none"),
        ({"cloud": False}, "cloud variables: off; plugins: none"),
    ],
)
def test_unused_files_and_settings(settings, words):
    line = banner(Settings(plugins_folder="", **settings), None, 0, None)

    assert line == f"Settings file: none; {words}"


def test_names_of_a_certificate(authority):
    context, chain = certified(authority, "game.example.org", "*.example.net", "192.0.2.7")

    assert certificate_names(context, chain) == "game.example.org, *.example.net, 192.0.2.7"
    line = banner(Settings(tls_certificate=chain, tls_key="key.pem"), None, 0, context)
    assert line.endswith("; certificate: game.example.org, *.example.net, 192.0.2.7")


def test_a_certificate_that_an_intermediate_authority_signed():
    context, chain = certified(trustme.CA().create_child_ca(), "game.example.org")

    assert certificate_names(context, chain) == "game.example.org"


def test_a_certificate_that_has_expired(authority):
    yesterday = dt.datetime.now(dt.UTC) - dt.timedelta(days=1)
    context, chain = certified(authority, "game.example.org", not_after=yesterday)

    assert certificate_names(context, chain) == "not valid (certificate has expired)"


def test_a_certificate_without_names(authority):
    context, chain = certified(authority, common_name="game.example.org")

    assert certificate_names(context, chain) == "without host names"


def test_a_certificate_that_is_gone(authority):
    context, _ = certified(authority, "game.example.org")

    assert certificate_names(context, "gone.pem") == "unknown"
    assert certificate_names(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), "fullchain.pem") == "unknown"
