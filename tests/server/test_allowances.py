"""Reconnecting does not refill what an address may send, and a class keeps one burst for each of its players."""

from __future__ import annotations

import pytest

from cloudlink.server.allowances import Allowances
from cloudlink.server.limits import Limits
from cloudlink.settings import Settings
from tests.support.clock import FakeClock
from tests.support.memoryclients import MemoryClient
from tests.support.servers import build

PING = {"cmd": "ping"}
STRANGER = "203.0.113.7"
LIMITS = Limits(
    packet_rate=10, packet_burst=100, byte_rate=100, byte_burst=1000, identity_rate=1, identity_burst=10
)


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def allowances(clock):
    return Allowances(LIMITS, Settings(), clock)


def spent(allowances, address=STRANGER, packets=100):
    allowance = allowances.take(address)
    assert allowance.packets.take(packets)
    return allowance


def test_the_next_connection_goes_on_with_what_the_last_one_left(allowances, clock):
    allowances.give_back(spent(allowances))
    clock.now += 1
    heir = allowances.take(STRANGER)
    assert heir.packets.take(10)
    assert not heir.packets.take()
    assert len(allowances) == 0


def test_an_address_has_a_burst_for_each_of_its_connections_at_a_time(allowances):
    for allowance in [spent(allowances) for _ in range(300)]:
        allowances.give_back(allowance)
    assert len(allowances) == 300
    heirs = [allowances.take(STRANGER) for _ in range(300)]
    assert not any(heir.packets.take() for heir in heirs)
    assert allowances.take(STRANGER).packets.take(100)


def test_the_allowance_that_was_left_first_is_taken_over_first(allowances):
    left = [spent(allowances) for _ in range(3)]
    for allowance in left:
        allowances.give_back(allowance)
    assert [allowances.take(STRANGER) for _ in range(3)] == left


def test_another_address_is_not_affected(allowances):
    allowances.give_back(spent(allowances))
    assert allowances.take("203.0.113.8").packets.take(100)


def test_the_addresses_of_one_network_of_ipv6_are_one(allowances):
    allowances.give_back(spent(allowances, "2001:db8::1"))
    assert not allowances.take("2001:db8::2").packets.take()


@pytest.mark.parametrize("bucket", ["packets", "bytes", "identity", "user_lists"])
def test_every_bucket_is_taken_over(clock, bucket):
    limits = Limits(**{f"{kind}_rate": 1 for kind in ("packet", "byte", "identity", "user_list")})
    for kind in ("packet", "byte", "identity", "user_list"):
        setattr(limits, f"{kind}_burst", 10)
    allowances = Allowances(limits, Settings(), clock)
    allowance = allowances.take(STRANGER)
    assert getattr(allowance, bucket).take(10)
    allowances.give_back(allowance)
    assert not getattr(allowances.take(STRANGER), bucket).take()


def test_what_is_full_again_is_forgotten(allowances, clock):
    allowances.give_back(spent(allowances))
    clock.now += 20
    allowances.give_back(spent(allowances, "203.0.113.8"))
    assert len(allowances) == 1


def test_a_full_allowance_is_not_kept(allowances):
    allowances.give_back(allowances.take(STRANGER))
    assert len(allowances) == 0


def test_this_machine_is_exempt_until_a_proxy_is_trusted(clock):
    settings = Settings()
    allowances = Allowances(LIMITS, settings, clock)
    allowances.give_back(spent(allowances, "127.0.0.1"))
    assert allowances.take("127.0.0.1").packets.take(100)
    settings.trusted_proxies = ["192.0.2.1"]
    allowances.give_back(spent(allowances, "127.0.0.1"))
    assert not allowances.take("127.0.0.1").packets.take()


def test_without_limits_nothing_is_kept(clock):
    allowances = Allowances(Limits(), Settings(limits=False), clock)
    allowances.give_back(spent(allowances))
    assert len(allowances) == 0


def test_changed_limits_apply_to_what_was_left(clock):
    limits = Limits(packet_rate=1, packet_burst=100)
    allowances = Allowances(limits, Settings(), clock)
    allowances.give_back(spent(allowances))
    limits.packet_rate = 50
    heir = allowances.take(STRANGER)
    clock.now += 1
    assert heir.packets.take(50)
    assert not heir.packets.take()


def test_a_client_that_reconnects_is_refused_and_its_messages_are_counted_once():
    server = build({"packet_rate": 0.001, "packet_burst": 5, "trusted_proxies": ["192.0.2.1"]})
    first = MemoryClient(server, *[PING] * 6)
    assert first.client.session.received.messages >= 5
    first.leave()
    second = MemoryClient(server)
    assert "E:108 | Refused" in str(second.ask(*[PING] * 4))
    assert second.client.session.received.messages <= 2


def test_a_class_that_loads_its_page_again_plays_on_with_bursts_of_300():
    server = build({"trusted_proxies": ["192.0.2.1"]})
    for _ in range(2):
        pupils = [MemoryClient(server) for _ in range(5)]
        answers = [pupil.ask(*[PING] * 300) for pupil in pupils]
        assert "E:108" not in str(answers)
        for pupil in pupils:
            pupil.leave()
    assert len(server.allowances) == 5


def test_a_meter_that_is_taken_over_remembers_no_traffic_and_no_refusals(allowances):
    meter = spent(allowances)
    meter.count_free(10)
    meter.charge_bytes(100)
    first = meter.refuse_packet()
    assert meter.refuse_packet() != first
    allowances.give_back(meter)
    heir = allowances.take(STRANGER)
    assert heir is meter
    assert heir.tally() == (0, 0)
    assert heir.refuse_packet() == first
