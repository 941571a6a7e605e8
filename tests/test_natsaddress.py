"""The setting `cluster`: which addresses are valid, and what of them is shown."""

from __future__ import annotations

import pytest

from cloudlink.errors import StartError
from cloudlink.natsaddress import NatsAddress, is_nats_address, without_password
from cloudlink.settings import Settings

SECRET = "sixteen letters!"


@pytest.mark.parametrize(
    ("text", "servers"),
    [
        ("nats://h", ["nats://h:4222"]),
        ("nats://10.0.0.1:5000", ["nats://10.0.0.1:5000"]),
        ("nats://u:p%40ss@a:1,b:2", ["nats://a:1", "nats://b:2"]),
        ("nats://a:1, nats://u:p@b:2", ["nats://a:1", "nats://b:2"]),
        ("tls://[::1]:4222", ["tls://[::1]:4222"]),
    ],
)
def test_addresses(text, servers):
    assert is_nats_address(text)
    assert NatsAddress(text).servers == servers


@pytest.mark.parametrize(
    "text", ["h:4222", "http://h", "nats://", "nats://h:x", "nats://h/path", "nats://u:p@ss@h", "nats://a,,b"]
)
def test_what_is_no_address(text):
    assert not is_nats_address(text)
    with pytest.raises(StartError, match="The setting cluster given in code is "):
        Settings(cluster=text)


def test_names_and_passwords_are_used_decoded():
    options = NatsAddress("nats://al%69ce:p%40ss@a:1,b:2").options()
    assert (options["user"], options["password"]) == ("alice", "p@ss")
    assert "user" not in NatsAddress("nats://a").options()
    assert "tls" in NatsAddress("tls://a").options()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("nats://u:hush@a:1,u:hush@b", "nats://(hidden)@a:1,(hidden)@b"),
        ("nats://a:1", "nats://a:1"),
        ("nats://u:hu@sh@a:1", "nats://(hidden)@a:1"),
        ("u:hush@a", "(hidden)@a"),
        ("nats://u:hush/@h", "nats://(hidden)@h"),
    ],
)
def test_passwords_are_not_shown(text, shown):
    assert without_password(text) == shown
    assert "hush" not in NatsAddress("nats://u:hush@a").shown


def test_an_error_does_not_show_the_password():
    with pytest.raises(StartError) as caught:
        Settings(cluster="http://u:hush@h")
    assert "hush" not in str(caught.value)


def test_a_cluster_needs_a_secret():
    for secret in ("", "fifteen letters"):
        with pytest.raises(StartError) as caught:
            Settings(cluster="nats://h", cluster_secret=secret).check()
        assert str(caught.value) == (
            "The setting cluster needs a cluster_secret of at least 16 characters, the same on every node."
        )
    Settings(cluster="nats://h", cluster_secret=SECRET).check()
