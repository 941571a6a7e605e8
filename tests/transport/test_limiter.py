"""How many connections an address may have and open."""

import logging
from collections import Counter

import pytest

from cloudlink.addresses import RealAddress
from cloudlink.settings import Settings
from cloudlink.transport.limiter import ConnectionLimiter
from tests.support.clock import FakeClock

CHILD = "203.0.113.7"


def limiter(**settings):
    options = Settings(**settings)
    clock = FakeClock()
    made = ConnectionLimiter(options, RealAddress(options.real_ip_header, options.trusted_proxies), clock)
    return made, clock


def open_many(made, address, count):
    opened = 0
    for _ in range(count):
        if made.connection_refusal(address) is None:
            made.acquire(address)
            opened += 1
    return opened


def test_a_school_of_300_behind_one_address_is_let_in_at_once_by_default():
    made, _ = limiter()
    assert open_many(made, CHILD, 300) == 300


def test_connections_held_are_limited_and_leaving_makes_room(caplog):
    made, clock = limiter(max_connections_per_address=3)
    with caplog.at_level(logging.WARNING):
        assert open_many(made, CHILD, 10) == 3
    assert len(caplog.records) == 1
    assert "more than 3 connections at a time" in caplog.text
    assert open_many(made, "203.0.113.8", 1) == 1
    made.release(CHILD)
    clock.now += 1
    assert open_many(made, CHILD, 10) == 1


def test_the_rate_is_limited():
    made, clock = limiter(connection_burst_per_address=5, connection_rate_per_address=1.0)
    for _ in range(5):
        assert made.connection_refusal(CHILD) is None
    assert "new connections a second" in made.connection_refusal(CHILD)
    clock.now += 2.5
    assert made.connection_refusal(CHILD) is None


def test_pages_are_limited_by_themselves(caplog):
    made, clock = limiter(connection_burst_per_address=2, connection_rate_per_address=1.0)
    pages = [made.page_refusal(CHILD) for _ in range(3)]
    assert pages == [None, None, "more than 1 pages a second"]
    assert "more than 1 pages a second" in caplog.text
    assert open_many(made, CHILD, 2) == 2
    clock.now += 1
    assert made.page_refusal(CHILD) is None


@pytest.mark.parametrize(("address", "limits"), [("127.0.0.1", True), (CHILD, False)])
def test_pages_are_not_limited_for_this_machine_or_without_limits(address, limits):
    made, _ = limiter(connection_burst_per_address=1, limits=limits)
    assert [made.page_refusal(address) for _ in range(5)] == [None] * 5


def test_handshakes_are_limited_for_pages_and_clients_together(caplog):
    made, clock = limiter(connection_burst_per_address=2, connection_rate_per_address=1.0)
    why = "more than 2 TLS handshakes a second"
    assert [made.handshake_refusal(CHILD) for _ in range(5)] == [None] * 4 + [why]
    assert why in caplog.text
    assert made.handshake_refusal("203.0.113.8") is None
    clock.now += 0.5
    assert [made.handshake_refusal(CHILD) for _ in range(2)] == [None, why]


@pytest.mark.parametrize(("address", "limits"), [("127.0.0.1", True), (CHILD, False)])
def test_handshakes_are_not_limited_for_this_machine_or_without_limits(address, limits):
    made, _ = limiter(connection_burst_per_address=1, limits=limits)
    assert [made.handshake_refusal(address) for _ in range(5)] == [None] * 5


def test_one_ipv6_subscriber_counts_as_one_address():
    made, _ = limiter(max_connections_per_address=2)
    assert open_many(made, "2001:db8::1", 1) == 1
    assert open_many(made, "2001:db8::2", 5) == 1
    assert open_many(made, "2001:db8:0:1::1", 1) == 1


def test_one_ipv6_subscriber_fills_one_line_of_the_log_a_minute(caplog):
    made, clock = limiter(max_connections_per_address=1)
    made.acquire("2001:db8::")
    for number in range(1, 1000):
        assert made.connection_refusal(f"2001:db8::{number:x}") is not None
    assert len(caplog.records) == 1
    assert made.should_log("2001:db8:0:1::1")
    clock.now += 61
    assert made.should_log("2001:db8::1")


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "unknown"])
def test_this_machine_is_exempt_without_proxies(address):
    made, _ = limiter(max_connections_per_address=1)
    assert open_many(made, address, 10) == 10


def test_with_trusted_proxies_only_they_are_exempt():
    made, _ = limiter(
        max_connections_per_address=1, trusted_proxies=["127.0.0.1"], real_ip_header="X-Forwarded-For"
    )
    assert open_many(made, "127.0.0.1", 10) == 10
    assert open_many(made, CHILD, 10) == 1
    assert open_many(made, "127.0.0.2", 10) == 1


def test_limits_off_lets_everybody_in():
    made, _ = limiter(max_connections_per_address=1, limits=False)
    assert open_many(made, CHILD, 10) == 10
    assert all(made.begin(CHILD) for _ in range(10))


def test_connections_that_send_no_request_are_limited_too():
    made, _ = limiter(max_connections_per_address=2)
    assert [made.begin(CHILD) for _ in range(3)] == [True, True, False]
    made.end(CHILD)
    made.end(CHILD)
    assert made.begin(CHILD)


def test_the_state_of_quiet_addresses_is_forgotten():
    made, clock = limiter()
    for number in range(1000):
        made.connection_refusal(f"198.51.100.{number % 250}.{number}")
    clock.now += 120
    made.connection_refusal(CHILD)
    assert len(made._tallies._buckets) == 1


ASKS = ["connection_refusal", "page_refusal", "handshake_refusal"]


@pytest.mark.parametrize("ask", ASKS)
def test_quiet_addresses_are_forgotten_but_not_at_every_question(ask):
    made, clock = limiter()
    forgotten = []
    made._tallies.forget = lambda: forgotten.append(clock.now)
    for seconds in (59, 60, 61, 119, 120, 121):
        clock.now = 1000 + seconds
        getattr(made, ask)(CHILD)
    assert forgotten == [1060, 1120]


def test_only_addresses_that_may_do_everything_again_are_forgotten():
    made, clock = limiter(connection_burst_per_address=4, connection_rate_per_address=0.01)
    open_many(made, CHILD, 3)
    for seconds, is_known in ((61, True), (200, True), (301, False)):
        clock.now = 1000 + seconds
        made.connection_refusal("203.0.113.9")
        assert (CHILD in made._tallies._buckets) is is_known


REFUSALS = [
    (
        {"max_connections_per_address": 2},
        lambda made: made.connection_refusal(CHILD) or made.acquire(CHILD),
        2,
        {"addresses": 1},
        "more than 2 connections at a time",
    ),
    (
        {"connection_burst_per_address": 3, "connection_rate_per_address": 0.5},
        lambda made: made.connection_refusal(CHILD),
        3,
        {"rate": 1},
        "more than 0.5 new connections a second",
    ),
    (
        {"connection_burst_per_address": 2, "connection_rate_per_address": 0.5},
        lambda made: made.handshake_refusal(CHILD),
        4,
        {"rate": 1},
        "more than 1 TLS handshakes a second",
    ),
    (
        {"max_connections_per_address": 2},
        lambda made: None if made.begin(CHILD) else "refused",
        2,
        {"addresses": 1},
        "more than 2 connections without a request",
    ),
    (
        {"connection_burst_per_address": 2, "connection_rate_per_address": 0.5},
        lambda made: made.page_refusal(CHILD),
        2,
        {},
        "more than 0.5 pages a second",
    ),
]


@pytest.mark.parametrize(("settings", "ask", "most", "counted", "why"), REFUSALS)
def test_each_limit_lets_in_exactly_its_number_and_counts_each_refusal_once(
    settings, ask, most, counted, why, caplog
):
    options = Settings(**settings)
    refused = Counter()
    made = ConnectionLimiter(options, RealAddress("", ()), FakeClock(), refused)
    for _ in range(most):
        assert ask(made) is None
    assert refused == {}
    assert ask(made)
    assert refused == counted
    assert caplog.messages == [f"Refusing connections from {CHILD}: {why}."]
    assert ask(made)
    assert refused == {reason: 2 * count for reason, count in counted.items()}
    assert len(caplog.messages) == 1


def test_the_end_of_waiting_makes_room():
    made, _ = limiter(max_connections_per_address=2)
    assert [made.begin(CHILD) for _ in range(3)] == [True, True, False]
    for _ in range(2):  # one that was refused ends as well
        made.end(CHILD)
    assert [made.begin(CHILD) for _ in range(2)] == [True, False]


def test_a_guard_limits_less_than_the_settings_and_more():
    made, clock = limiter(max_connections_per_address=5, connection_rate_per_address=4.0)
    guard = (2, 1.0)
    for _ in range(2):
        assert made.connection_refusal(CHILD, guard) is None
    assert made.connection_refusal(CHILD, guard) == "more than 1 new connections a second"
    clock.now += 1
    assert made.connection_refusal(CHILD, guard) is None
    made.acquire(CHILD)
    made.acquire(CHILD)
    assert made.connection_refusal(CHILD, guard) == "more than 2 connections at a time"
    assert made.connection_refusal(CHILD) is None
