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


def test_quiet_addresses_are_forgotten(log, clock):
    allowed(log, 100)
    clock.now += 1000
    allowed(log, 1, ELSEWHERE)
    assert list(log._buckets) == [ELSEWHERE]


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
