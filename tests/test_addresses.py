"""The real address behind proxies, the shown one, and what the log may hold."""

import pytest

from cloudlink import forwarded
from cloudlink.addresses import RealAddress, for_log, shown_address, subscriber

PEER = "10.0.0.1"
TRUSTED = ["10.0.0.0/8", "2001:db8::1"]


@pytest.mark.parametrize(
    ("peer", "header", "real"),
    [
        (PEER, "203.0.113.7", "203.0.113.7"),
        (PEER, "198.51.100.1, 203.0.113.7", "203.0.113.7"),  # the first one is the client's own claim
        (PEER, "203.0.113.7, 10.0.0.2", "203.0.113.7"),  # two proxies
        (PEER, "10.0.0.3, 10.0.0.2", "10.0.0.3"),
        (PEER, "garbage", "unknown"),  # not the proxy itself, which no limit applies to
        (PEER, "203.0.113.7, garbage, 10.0.0.2", "unknown"),
        (PEER, "", "10.0.0.1"),  # a health check of the proxy's own
        (PEER, "203.0.113.7, ,", "203.0.113.7"),  # a list may have empty elements
        (PEER, "[2001:db8::7]", "2001:db8::7"),
        (PEER, "[2001:db8::7]:5678", "2001:db8::7"),
        (PEER, "2001:db8::7", "2001:db8::7"),
        (PEER, "203.0.113.7:5678", "203.0.113.7"),
        (PEER, "203.0.113.7:5678, 10.0.0.2:80", "203.0.113.7"),
        (PEER, "[::ffff:203.0.113.7]:1", "203.0.113.7"),
        (PEER, "203.0.113.7:", "unknown"),
        (PEER, "[]:80", "unknown"),
        ("2001:db8::1", "203.0.113.7", "203.0.113.7"),
        ("198.51.100.9", "203.0.113.7", "198.51.100.9"),  # no proxy of ours: not believed
        ("unknown", "203.0.113.7", "unknown"),
        ("unix", "203.0.113.7", "unix"),
    ],
)
def test_limits_go_by_the_last_hop_that_is_no_trusted_proxy(peer, header, real):
    assert RealAddress("X-Forwarded-For", TRUSTED).of(peer, {"X-Forwarded-For": header}) == real


def test_without_a_trusted_proxy_or_header_the_peer_counts():
    headers = {"X-Forwarded-For": "203.0.113.7"}
    assert RealAddress("X-Forwarded-For", []).of(PEER, headers) == "10.0.0.1"
    assert RealAddress("", TRUSTED).of(PEER, headers) == "10.0.0.1"


@pytest.mark.parametrize(
    ("header", "value", "shown"),
    [
        ("X-Forwarded-For", "203.0.113.7, 10.0.0.1", "203.0.113.7"),
        ("X-Forwarded-For", "", "10.0.0.1"),
        ("", "203.0.113.7", "10.0.0.1"),
        ("X-Forwarded-For", "203.0.113.7:5678", "203.0.113.7"),
        ("X-Forwarded-For", "[2001:db8::7]:5678", "2001:db8::7"),
        ("X-Forwarded-For", "somebody", "somebody"),
    ],
)
def test_a_client_is_shown_the_first_address_of_the_header(header, value, shown):
    assert shown_address((PEER, 5000), {"X-Forwarded-For": value}, header) == shown


def test_a_trusted_proxys_header_without_addresses_is_worth_one_warning(caplog):
    address = RealAddress("X-Forwarded-For", TRUSTED)
    address.of(PEER, {})
    address.of("198.51.100.9", {"X-Forwarded-For": "garbage"})
    assert not caplog.records  # a health check of the proxy's own, and a stranger's claim
    for _ in range(3):
        address.of(PEER, {"X-Forwarded-For": "_hidden"})
    (record,) = caplog.records
    assert "X-Forwarded-For" in record.message
    assert "real_ip_header" in record.message


@pytest.mark.parametrize(
    ("value", "real"),
    [
        ("for=203.0.113.7", "203.0.113.7"),
        ('For="[2001:db8::7]:4711";proto=https', "2001:db8::7"),
        ("for=198.51.100.1, for=203.0.113.7;by=10.0.0.1", "203.0.113.7"),
        ("for=203.0.113.7, for=10.0.0.2", "203.0.113.7"),
        ("for=_hidden", "unknown"),
        ("for=unknown", "unknown"),
        ("proto=https", "unknown"),  # a hop that does not say where the request came from
        ('for="203.0.113.7, for=10.0.0.2', "unknown"),
    ],
)
def test_the_standard_header_is_read_too(value, real):
    assert RealAddress("Forwarded", TRUSTED).of(PEER, {"Forwarded": value}) == real
    assert shown_address(None, {"Forwarded": "for=203.0.113.9:1, for=10.0.0.2"}, "forwarded") == "203.0.113.9"


def test_unix_sockets_are_proxies_if_the_host_says_so():
    headers = {"X-Forwarded-For": "203.0.113.7"}
    trusting = RealAddress("X-Forwarded-For", ["unix"])
    assert trusting.of("unix", headers) == "203.0.113.7"
    assert trusting.of("unix", {"X-Forwarded-For": "junk"}) == "unknown"
    assert trusting.of("unix", {}) == "unix"
    assert trusting.is_trusted("unix")
    assert trusting.of("10.0.0.1", headers) == "10.0.0.1"
    assert not RealAddress("X-Forwarded-For", TRUSTED).is_trusted("unix")


@pytest.mark.parametrize("header", forwarded.CLIENT_HEADERS)
@pytest.mark.parametrize("peer", ["127.0.0.1", "::1", "10.0.0.1", "192.168.1.1", "::ffff:172.16.0.1", "unix"])
def test_a_proxy_that_is_not_in_the_settings_is_worth_one_warning(caplog, header, peer):
    address = RealAddress("", [])
    for _ in range(3):
        assert address.of(peer, {header: "203.0.113.7"}) == peer
    (record,) = caplog.records
    for part in (f'real_ip_header = "{header}"', f'trusted_proxies = ["{peer}"]'):
        assert part in record.message


def test_strangers_headers_are_worth_no_warning(caplog):
    RealAddress("", []).of("203.0.113.7", {"X-Forwarded-For": "10.0.0.1"})
    RealAddress("", []).of("127.0.0.1", {"Host": "127.0.0.1"})
    RealAddress("", ["192.0.2.1"]).of("127.0.0.1", {"X-Forwarded-For": "10.0.0.1"})
    assert not caplog.records


def test_an_unknown_address_is_not_shown():
    assert shown_address(None, {}, "") is None


@pytest.mark.parametrize(
    ("address", "mode", "logged"),
    [
        ("203.0.113.7", "full", "203.0.113.7"),
        ("203.0.113.7", "anonymous", "203.0.113.0"),
        ("2001:db8:1:2:3:4:5:6", "anonymous", "2001:db8:1::"),
        ("::ffff:203.0.113.7", "anonymous", "203.0.113.0"),
        ("no address", "anonymous", "unknown"),
        ("203.0.113.7", "none", "unknown"),
    ],
)
def test_the_log_holds_no_more_than_it_may(address, mode, logged):
    assert for_log(address, mode) == logged


@pytest.mark.parametrize(
    ("address", "known_as"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("2001:db8:0:1::7", "2001:db8:0:1::/64"),
        ("2001:db8:0:1:ffff::", "2001:db8:0:1::/64"),
        ("2001:db8:0:2::7", "2001:db8:0:2::/64"),
        ("unknown", "unknown"),
    ],
)
def test_a_subscriber_is_an_ipv4_address_or_a_64_of_ipv6(address, known_as):
    assert subscriber(address) == known_as


@pytest.mark.parametrize(
    ("trusted", "address", "exempt"),
    [
        ([], "127.0.0.1", True),
        ([], "::1", True),
        ([], "unknown", True),
        ([], "10.0.0.1", False),
        (TRUSTED, "127.0.0.1", False),
        (TRUSTED, "10.0.0.1", True),
    ],
)
def test_this_machine_or_a_trusted_proxy_is_exempt_from_limits(trusted, address, exempt):
    assert RealAddress("X-Forwarded-For", trusted).is_exempt(address) is exempt


LOCAL = {"Host": "localhost:3000"}


@pytest.mark.parametrize(
    ("peer", "headers", "is_local"),
    [
        ("127.0.0.1", LOCAL, True),
        ("::1", {"Host": "[::1]:3000"}, True),
        ("::ffff:127.0.0.1", {"Host": "127.0.0.1"}, True),
        ("127.0.0.1", {"Host": "LocalHost"}, True),
        ("127.0.0.1", {}, False),
        ("127.0.0.1", {"Host": "games.example:3000"}, False),  # DNS rebinding
        ("127.0.0.1", {"Host": "localhost.games.example"}, False),
        ("127.0.0.1", {"Host": "127.0.0.1.games.example"}, False),
        ("192.168.1.20", LOCAL, False),
        ("unix", LOCAL, False),
        ("unknown", LOCAL, False),
        *[
            ("127.0.0.1", {**LOCAL, header: "127.0.0.1"}, False)
            for header in ("Forwarded", "X-Forwarded-For", "X-Real-IP", "Via", "CF-Connecting-IP")
        ],
    ],
)
def test_a_request_is_local_if_this_machine_sent_it_to_itself(peer, headers, is_local):
    finder = RealAddress("", [])
    assert finder.is_local(peer, finder.of(peer, headers), headers) is is_local


@pytest.mark.parametrize(
    ("peer", "chain", "is_local"),
    [
        ("10.0.0.1", "127.0.0.1", True),
        ("10.0.0.1", "127.0.0.1, 10.0.0.2", True),
        ("10.0.0.1", "203.0.113.7", False),
        ("10.0.0.1", "127.0.0.1, 203.0.113.7", False),  # the first one is the client's own claim
        ("10.0.0.1", "garbage", False),
        ("127.0.0.1", "127.0.0.1", False),  # a proxy on this machine that is not trusted
    ],
)
def test_behind_a_trusted_proxy_the_chain_has_to_end_on_this_machine(peer, chain, is_local):
    finder = RealAddress("X-Forwarded-For", TRUSTED)
    headers = {**LOCAL, "X-Forwarded-For": chain}
    assert finder.is_local(peer, finder.of(peer, headers), headers) is is_local
