"""The addresses that the server shows to users."""

import socket

import pytest

from cloudlink.transport import urls
from cloudlink.transport.urls import url_for_others, where_to_connect


class Route:
    """Stands for a UDP socket whose route begins at some address of this machine; sending is not possible with it."""

    def __init__(self, own):
        self.own = own

    def __call__(self, family, kind):
        assert kind == socket.SOCK_DGRAM
        return self

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        pass

    def connect(self, address):
        if self.own is None:
            raise OSError("Network is unreachable")

    def getsockname(self):
        return (self.own, 40000)


@pytest.mark.parametrize(
    ("host", "own", "told"),
    [
        ("127.0.0.1", "192.168.1.5", "ws://127.0.0.1:3000/"),
        ("192.168.1.5", "192.168.1.5", "ws://192.168.1.5:3000/"),
        ("::1", "fd00::2", "ws://[::1]:3000/"),
        (
            "0.0.0.0",
            "192.168.1.5",
            "ws://127.0.0.1:3000/, others on your network to ws://192.168.1.5:3000/",
        ),
        ("", "10.0.0.7", "ws://127.0.0.1:3000/, others on your network to ws://10.0.0.7:3000/"),
        ("*", "10.0.0.7", "ws://127.0.0.1:3000/, others on your network to ws://10.0.0.7:3000/"),
        ("::", "fd00::2", "ws://127.0.0.1:3000/, others on your network to ws://[fd00::2]:3000/"),
        ("[::]", "10.0.0.7", "ws://127.0.0.1:3000/, others on your network to ws://10.0.0.7:3000/"),
        ("[::1]", None, "ws://[::1]:3000/"),
        ("127.0.0.1, 192.168.1.5", None, "ws://127.0.0.1:3000/ or ws://192.168.1.5:3000/"),
        ("unix:/run/cl.sock", None, "unix:/run/cl.sock through a proxy on this machine"),
        (
            "unix:/run/cl.sock,127.0.0.1",
            None,
            "unix:/run/cl.sock through a proxy on this machine or ws://127.0.0.1:3000/",
        ),
        ("0.0.0.0", None, "ws://127.0.0.1:3000/"),
        ("0.0.0.0", "0.0.0.0", "ws://127.0.0.1:3000/"),
        ("0.0.0.0", "127.0.0.1", "ws://127.0.0.1:3000/"),
        ("::", "fe80::1%eth0", "ws://127.0.0.1:3000/"),
        ("::", None, "ws://127.0.0.1:3000/"),
    ],
)
def test_addresses_that_can_be_used(monkeypatch, host, own, told):
    monkeypatch.setattr(urls.socket, "socket", Route(own))
    assert where_to_connect(host, 3000, secure=False) == told


def test_tls_is_shown(monkeypatch):
    monkeypatch.setattr(urls.socket, "socket", Route("192.168.1.5"))
    told = "wss://127.0.0.1:3000/, others on your network to wss://192.168.1.5:3000/"
    assert where_to_connect("0.0.0.0", 3000, secure=True) == told


@pytest.mark.parametrize(
    ("host", "own", "url"),
    [
        ("127.0.0.1", "192.168.1.5", "ws://127.0.0.1:3000/"),
        ("127.0.0.1, 192.168.1.5", None, "ws://127.0.0.1:3000/"),
        ("0.0.0.0", "192.168.1.5", "ws://192.168.1.5:3000/"),
        ("unix:/run/cl.sock, ::", "fd00::2", "ws://[fd00::2]:3000/"),
        ("", None, "ws://127.0.0.1:3000/"),
        ("unix:/run/cl.sock", "192.168.1.5", ""),
    ],
)
def test_the_one_address_to_give_to_others(monkeypatch, host, own, url):
    monkeypatch.setattr(urls.socket, "socket", Route(own))
    assert url_for_others(host, 3000, secure=False) == url


def test_with_tls_it_is_a_secure_one(monkeypatch):
    monkeypatch.setattr(urls.socket, "socket", Route("192.168.1.5"))
    assert url_for_others("0.0.0.0", 3000, secure=True) == "wss://192.168.1.5:3000/"
