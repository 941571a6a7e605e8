"""Snowflakes: unique, growing, and made of time, worker and sequence."""

from __future__ import annotations

import itertools

import pytest

from cloudlink.server.snowflakes import SnowflakeGenerator
from tests.support.clock import FakeClock

NOON = 1_750_000_000_000
"""A moment, in milliseconds since the Unix epoch."""
MILLISECOND = 1_000_000
"""In nanoseconds."""


@pytest.fixture
def clock():
    """The time in nanoseconds, at first noon and nearly a millisecond."""
    return FakeClock(NOON * MILLISECOND + MILLISECOND - 1)


def take(generator, count):
    return list(itertools.islice(generator, count))


def parts(snowflake):
    """Milliseconds, worker and sequence of a snowflake."""
    return snowflake >> 22, snowflake >> 12 & 0x3FF, snowflake & 0xFFF


def test_the_bits_are_time_worker_and_sequence(clock):
    generator = SnowflakeGenerator(clock)
    assert parts(next(generator)) == (NOON, 42, 0)
    assert parts(next(generator)) == (NOON, 42, 1)
    clock.now += 5 * MILLISECOND
    assert parts(next(generator)) == (NOON + 5, 42, 0)


def test_a_snowflake_fits_into_64_bits_for_a_long_time(clock):
    generator = SnowflakeGenerator(clock)
    assert len(str(next(generator))) == 19
    clock.now = 4_000_000_000_000 * MILLISECOND  # the year 2096
    assert next(generator) < 1 << 64


def test_more_than_4096_in_a_millisecond_borrow_from_the_next(clock):
    generator = SnowflakeGenerator(clock)
    ids = take(generator, 10_000)
    assert [parts(one) for one in (ids[4095], ids[4096], ids[8192])] == [
        (NOON, 42, 4095),
        (NOON + 1, 42, 0),
        (NOON + 2, 42, 0),
    ]
    assert ids == sorted(set(ids))
    clock.now += MILLISECOND
    assert next(generator) > ids[-1]


def test_they_grow_when_the_clock_goes_back(clock):
    generator = SnowflakeGenerator(clock)
    before = take(generator, 3)
    clock.now -= 60_000 * MILLISECOND
    behind = take(generator, 5000)
    clock.now += 60_000 * MILLISECOND
    after = take(generator, 3)
    ids = before + behind + after
    assert ids == sorted(set(ids))
    clock.now += 10 * MILLISECOND
    assert parts(next(generator)) == (NOON + 10, 42, 0)


def test_they_are_unique_and_grow_by_the_real_clock():
    ids = take(SnowflakeGenerator(), 20_000)
    assert ids == sorted(set(ids))
    assert {parts(one)[1] for one in ids} == {42}


def test_a_generator_never_ends():
    generator = SnowflakeGenerator(clock)
    assert iter(generator) is generator


def test_processes_of_one_server_differ_in_their_snowflakes():
    def at_one_time(process):
        return next(SnowflakeGenerator(lambda: 1_700_000_000_000_000_000, process))

    assert at_one_time(0) >> 12 & 1023 == 42
    assert len({at_one_time(process) for process in range(1024)}) == 1024
