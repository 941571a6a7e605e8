"""How much one client may send, and what is done about more."""

from __future__ import annotations

import dataclasses
import math

import pytest

from cloudlink.server.limits import LIMITS, Limits, Traffic
from cloudlink.server.meter import Meter, Verdict
from cloudlink.settings import OPTIONS, Settings
from tests.support.clock import FakeClock


@pytest.fixture
def clock():
    return FakeClock()


def meter(clock, **limits):
    return Meter(Limits(**limits), clock)


def test_limits_are_those_of_the_settings():
    limits = Limits.of(Settings(packet_rate=7.0, max_rooms_per_client=3))
    assert limits.packet_rate == 7.0
    assert limits.max_rooms_per_client == 3
    for name in LIMITS - {"packet_rate", "max_rooms_per_client"}:
        assert getattr(limits, name) == OPTIONS[name].default


def test_without_limits_everything_is_infinite():
    limits = Limits.of(Settings(limits=False, packet_rate=7.0))
    assert {getattr(limits, field.name) for field in dataclasses.fields(Limits)} == {math.inf}


def test_without_limits_everything_is_admitted(clock):
    unlimited = Meter(Limits.of(Settings(limits=False, packet_burst=1)), clock)
    assert all(unlimited.admit(10**9) for _ in range(10_000))


def test_packets_are_counted(clock):
    counted = meter(clock, packet_rate=10, packet_burst=5)
    assert [counted.admit(1) for _ in range(7)] == [True] * 5 + [False] * 2
    clock.now += 0.25
    assert [counted.admit(1) for _ in range(4)] == [True] * 3 + [False]


def test_bytes_are_counted(clock):
    counted = meter(clock, byte_rate=100, byte_burst=1000)
    assert [counted.admit(size) for size in (400, 400, 400, 1)] == [True, True, True, False]
    clock.now += 1.9
    assert not counted.admit(1)
    clock.now += 0.2
    assert counted.admit(1)


def test_one_packet_may_be_larger_than_the_burst(clock):
    counted = meter(clock, byte_rate=100, byte_burst=50)
    assert counted.admit(1000)
    clock.now += 9.4
    assert not counted.admit(1)
    clock.now += 0.2
    assert counted.admit(1)


def test_a_refusal_after_quiet_is_the_first_one_and_is_answered(clock):
    refused = meter(clock, flood_patience=10)
    assert refused.refuse_packet() == Verdict(first=True, answer=True, close=False)
    assert refused.refuse_packet() == Verdict(first=False, answer=False, close=False)


def test_refusals_are_answered_at_most_once_a_second(clock):
    refused = meter(clock, flood_patience=math.inf)
    answers = 0
    for _ in range(500):
        answers += refused.refuse_packet().answer
        clock.now += 0.01
    assert answers == 5


def test_an_unanswerable_packet_leaves_the_answer_to_the_next(clock):
    refused = meter(clock, flood_patience=math.inf)
    assert refused.refuse_packet(answerable=False) == Verdict(first=True, answer=False, close=False)
    assert refused.refuse_packet() == Verdict(first=False, answer=True, close=False)
    assert refused.refuse_packet() == Verdict(first=False, answer=False, close=False)


def test_only_the_first_refusal_of_a_flood_is_worth_a_line(clock):
    refused = meter(clock, flood_patience=math.inf)
    firsts = 0
    for _ in range(100):
        firsts += refused.refuse_packet().first
        clock.now += 1.9
    assert firsts == 1
    clock.now += 2.1
    assert refused.refuse_packet().first


def test_whoever_goes_on_beyond_patience_is_closed(clock):
    refused = meter(clock, flood_patience=10)
    verdicts = []
    for _ in range(12):
        verdicts.append(refused.refuse_packet().close)
        clock.now += 1
    assert verdicts == [False] * 10 + [True] * 2


def test_whoever_calms_down_gets_patience_anew(clock):
    refused = meter(clock, flood_patience=10)
    for _ in range(5):
        for _ in range(9):
            assert not refused.refuse_packet().close
            clock.now += 1
        clock.now += 2
    assert refused.refuse_packet() == Verdict(first=True, answer=True, close=False)


def test_without_patience_the_first_refusal_closes(clock):
    assert meter(clock, flood_patience=0).refuse_packet().close


def test_patience_without_end_never_closes(clock):
    refused = meter(clock)
    for _ in range(1000):
        assert not refused.refuse_packet().close
        clock.now += 1.5


def test_one_clients_largest_burst_disconnects_nobody_else():
    # Beside one message of any size, a queue holds `max_queued_bytes`: somebody who has not read yet has room for it.
    settings = Settings()
    assert settings.byte_burst <= settings.max_queued_bytes + settings.max_message_size


def test_what_was_received_is_counted_without_extra_charges(clock):
    some = meter(clock, packet_rate=1, packet_burst=3, byte_rate=1000, byte_burst=1000)
    some.count_free(5)
    assert some.admit(10)
    assert some.charge_bytes(500)
    assert some.admit(20)
    assert some.admit_packet()
    assert not some.admit(7)
    assert some.received == Traffic(4, 35)
