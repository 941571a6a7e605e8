"""An address that connects again and again does not fill the log."""

from __future__ import annotations

import logging

import pytest

from cloudlink.server.connectionlog import ConnectionLog
from tests.support.clock import FakeClock
from tests.support.memoryclients import MemoryClient, named
from tests.support.servers import build

HERE, ELSEWHERE = "203.0.113.7", "203.0.113.8"


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def log(clock):
    return ConnectionLog(str, clock)


def allowed(log, count, address=HERE):
    return sum(log.should_log(address) for _ in range(count))


def test_a_class_is_logged_whole(log):
    assert allowed(log, 450) == 450


def test_beyond_that_a_line_a_second_is_logged_and_others_are_not_affected(log, clock):
    assert allowed(log, 1000) == 500
    assert allowed(log, 10, ELSEWHERE) == 10
    for _ in range(60):
        clock.now += 1
        assert allowed(log, 10) == 1


def test_one_line_a_minute_says_so(log, clock, caplog):
    caplog.set_level(logging.INFO)
    for _ in range(60):
        allowed(log, 1000)
        clock.now += 2
    assert caplog.text.count(f"{HERE} connects so often that only a part of it is logged") == 2


def addresses(count):
    return [f"203.0.113.{number}" for number in range(count)]


def test_many_addresses_share_lines_and_a_line_a_minute_says_what_is_left_out(log, clock, caplog):
    caplog.set_level(logging.INFO)
    logged = sum(allowed(log, 400, address) for address in addresses(10))
    assert 900 <= logged <= 1200
    log.tick()
    assert f"{4000 - logged} more lines about clients of 8 addresses were left out" in caplog.text
    for _ in range(59):
        clock.now += 1
        allowed(log, 100)
        log.tick()
    assert caplog.text.count("were left out") == 1
    clock.now += 1
    log.tick()
    assert caplog.text.count("were left out") == 2
    clock.now += 60
    log.tick()
    assert caplog.text.count("were left out") == 2


def test_a_crowd_of_addresses_does_not_hide_a_quiet_one(log):
    for address in addresses(10):
        allowed(log, 400, address)
    assert allowed(log, 12, "198.51.100.1") == 12


def test_together_all_addresses_log_ten_lines_a_second_in_the_long_run(log, clock):
    for address in addresses(250):
        allowed(log, 10, address)
    logged = 0
    for _ in range(100):
        clock.now += 1
        logged += sum(allowed(log, 1, address) for address in addresses(250))
    assert 900 <= logged <= 1100


def test_refusals_have_a_bound_of_their_own(log, clock):
    allowed(log, 1000)
    assert sum(log.should_log_refusal(HERE) for _ in range(100)) == 30
    assert sum(log.should_log_refusal(ELSEWHERE) for _ in range(100)) == 30
    clock.now += 10
    assert sum(log.should_log_refusal(HERE) for _ in range(100)) == 1
    assert sum(log.should_log_refusal(address) for address in addresses(255) for _ in range(9)) <= 210


def test_quiet_addresses_are_forgotten(log, clock):
    allowed(log, 100)
    clock.now += 1000
    allowed(log, 1, ELSEWHERE)
    assert list(log._visits._of_address) == [ELSEWHERE]


def test_coming_naming_and_leaving_count(caplog):
    caplog.set_level(logging.INFO)
    server = build({})
    for number in range(400):
        named(server, f"n{number}", address=HERE).leave()
    lines = [
        record for record in caplog.records if getattr(record, "event", "") in {"connected", "named", "left"}
    ]
    assert 490 <= len(lines) <= 520
    assert caplog.text.count("only a part of it is logged") == 1
    before = len(caplog.records)
    MemoryClient(server, address=ELSEWHERE)
    assert len(caplog.records) == before + 1
