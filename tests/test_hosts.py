"""The spellings of the addresses to listen on."""

import pytest

from cloudlink.hosts import are_hosts, parse_hosts, unix_path
from cloudlink.settings import Settings


@pytest.mark.parametrize(
    ("text", "entries"),
    [
        ("127.0.0.1", ["127.0.0.1"]),
        ("*", ["*"]),
        ("::", ["*"]),
        ("[::]", ["*"]),
        ("", ["*"]),
        ("[::1]", ["::1"]),
        ("0.0.0.0", ["0.0.0.0"]),
        ("127.0.0.1, ::1 ,127.0.0.1", ["127.0.0.1", "::1"]),
        ("::,*", ["*"]),
        ("localhost,unix:/run/cloudlink.sock", ["localhost", "unix:/run/cloudlink.sock"]),
    ],
)
def test_each_entry_has_one_spelling(text, entries):
    assert parse_hosts(text) == entries


@pytest.mark.parametrize(
    "text",
    [
        "127.0.0.1",
        "*",
        "::",
        "[::]",
        "[::1]",
        "::1",
        "fe80::1%eth0",
        "localhost",
        "my-pc.local",
        "my_pc",
        "a,b",
        "unix:x",
    ],
)
def test_hosts(text):
    assert are_hosts(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "127.0.0.1,",
        ",",
        "127.0.0.1:3000",
        "[::1]:3000",
        "[127.0.0.1]",
        "http://localhost",
        "ws://localhost:3000/",
        "a b",
        "1.2.3",
        "1.2.3.4.5",
        "256.1.1.1",
        "10.0.0.0/8",
        "-a",
        "unix:",
        "unix:a\0b",
        "**",
        "*.example.org",
    ],
)
def test_no_hosts(text):
    assert not are_hosts(text)


def test_a_unix_socket_is_a_path():
    assert unix_path("unix:/run/x.sock") == "/run/x.sock"
    assert unix_path("127.0.0.1") is None


def test_a_settings_file_may_have_a_list():
    settings = Settings()
    settings.set("host", ["127.0.0.1", "unix:/run/x.sock"])
    assert parse_hosts(settings.host) == ["127.0.0.1", "unix:/run/x.sock"]
