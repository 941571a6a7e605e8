"""Look-ups by address: the same as scanning would find, whatever the networks are."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from hypothesis import given
from hypothesis import strategies as st

from cloudlink.addresses import bits_of
from cloudlink.admin.targets import Networks, of_address, parse

BITS = st.integers(0, 2**32 - 1).map(lambda bits: bits & 0xFF0000FF)
V4 = BITS.map(IPv4Address)
V6 = BITS.map(lambda bits: IPv6Address((0x20010DB8 << 96) | (bits << 64) | 1))
ADDRESSES = st.one_of(V4, V6)


@st.composite
def networks(draw):
    address = draw(ADDRESSES)
    longest = 32 if address.version == 4 else 64
    return ip_network((address, draw(st.integers(0, longest))), strict=False)


@given(st.lists(networks(), max_size=12), st.lists(networks(), max_size=4), st.lists(ADDRESSES, max_size=8))
def test_an_address_finds_the_networks_that_hold_it(added, dropped, addresses):
    table, known = Networks(), {}
    for network in added:
        table.put(network, str(network))
        known[network] = str(network)
    for network in dropped:
        table.drop(network)
        known.pop(network, None)
    for network in (*added, *dropped):
        assert table.get(network) == known.get(network)
    for address in addresses:
        holding = [network for network in known if address.version == network.version and address in network]
        expected = [known[network] for network in sorted(holding, key=lambda one: -one.prefixlen)]
        assert list(table.covering(bits_of(str(address)))) == expected


@given(st.one_of(st.ip_addresses(), ADDRESSES))
def test_the_target_of_an_address_holds_it(address):
    target = of_address(str(address))
    real = address.ipv4_mapped if address.version == 6 and address.ipv4_mapped else address
    assert target.kind == "address"
    assert real in ip_network(target.value)
    assert parse({"address": str(address)}) == target


def test_what_is_not_an_address():
    for text in ("unix", "unknown", "", "1.2.3", "1.2.3.256", "a:b", "x\0", "\ud800"):
        assert bits_of(text) is None
        assert of_address(text) is None


def test_a_scope_is_left_out():
    assert bits_of("fe80::1%eth0") == bits_of("fe80::1")
    assert bits_of("::ffff:192.0.2.7") == bits_of("192.0.2.7") == (4, int(ip_address("192.0.2.7")))
