"""Snowflakes: unique, growing, and made of time, worker and sequence."""

from __future__ import annotations

import itertools

import pytest

from cloudlink.server import snowflakes
from cloudlink.server.snowflakes import SnowflakeGenerator

NOON = 1_750_000_000_000
"""A moment, in milliseconds since the Unix epoch."""


class Clock:
    """The time, as told."""

    def __init__(self):
        self.milliseconds = NOON

    def time_ns(self):
        return self.milliseconds * 1_000_000 + 999_999


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(snowflakes, "time", clock)
    return clock


def take(generator, count):
    return list(itertools.islice(generator, count))


def parts(snowflake):
    """Milliseconds, worker and sequence of a snowflake."""
    return snowflake >> 22, snowflake >> 12 & 0x3FF, snowflake & 0xFFF


def test_the_bits_are_time_worker_and_sequence(clock):
    generator = SnowflakeGenerator()
    assert parts(next(generator)) == (NOON, 42, 0)
    assert parts(next(generator)) == (NOON, 42, 1)
    clock.milliseconds += 5
    assert parts(next(generator)) == (NOON + 5, 42, 0)


def test_a_snowflake_fits_into_64_bits_for_a_long_time(clock):
    generator = SnowflakeGenerator()
    assert len(str(next(generator))) == 19
    clock.milliseconds = 4_000_000_000_000  # the year 2096
    assert next(generator) < 1 << 64


def test_more_than_4096_in_a_millisecond_borrow_from_the_next(clock):
    generator = SnowflakeGenerator()
    ids = take(generator, 10_000)
    assert [parts(one) for one in (ids[4095], ids[4096], ids[8192])] == [
        (NOON, 42, 4095),
        (NOON + 1, 42, 0),
        (NOON + 2, 42, 0),
    ]
    assert ids == sorted(set(ids))
    clock.milliseconds += 1
    assert next(generator) > ids[-1]


def test_they_grow_when_the_clock_goes_back(clock):
    generator = SnowflakeGenerator()
    before = take(generator, 3)
    clock.milliseconds -= 60_000
    behind = take(generator, 5000)
    clock.milliseconds += 60_000
    after = take(generator, 3)
    ids = before + behind + after
    assert ids == sorted(set(ids))
    clock.milliseconds += 10
    assert parts(next(generator)) == (NOON + 10, 42, 0)


def test_they_are_unique_and_grow_by_the_real_clock():
    ids = take(SnowflakeGenerator(), 20_000)
    assert ids == sorted(set(ids))
    assert {parts(one)[1] for one in ids} == {42}


def test_a_generator_never_ends():
    generator = SnowflakeGenerator()
    assert iter(generator) is generator
