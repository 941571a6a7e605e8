"""Counts that several processes share: here two views of one memory stand for the processes."""

from __future__ import annotations

import os
import sys

import pytest

from tests.support.clock import FakeClock

if sys.platform != "linux":
    pytest.skip("several processes need Linux", allow_module_level=True)

from cloudlink.sharedcounts import SharedCounts, create


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def counts(clock):
    memory = create(3)
    yield [SharedCounts(memory, part, 3, clock) for part in range(3)]
    os.close(memory)


def test_clients_of_all_processes_count(counts):
    counts[0].set_clients(5)
    counts[2].set_clients(7)
    assert [each.clients for each in counts] == [12, 12, 12]
    counts[0].set_clients(4)
    assert counts[1].clients == 11


def test_the_last_place_is_given_once(counts):
    counts[0].set_clients(8)
    assert counts[1].admit_client(10)
    assert counts[2].admit_client(10)
    assert not counts[0].admit_client(10)
    assert counts[0].clients == 10
    counts[1].set_clients(0)
    assert counts[0].admit_client(10)


def test_newcomers_of_all_processes_count_within_a_second(counts, clock):
    clock.now = 7.2
    assert [counts[number % 3].count_newcomer() for number in range(5)] == [1, 2, 3, 4, 5]
    clock.now = 7.9
    assert counts[2].count_newcomer() == 6
    clock.now = 8.0
    assert [counts[1].count_newcomer(), counts[0].count_newcomer()] == [1, 2]
    assert [each.clients for each in counts] == [0, 0, 0]


def test_connections_of_an_address_count_in_all_processes(counts):
    counts[0].acquire("203.0.113.7")
    counts[1].acquire("203.0.113.7")
    counts[1].acquire("203.0.113.7")
    counts[2].acquire("198.51.100.1")
    assert counts[2].held("203.0.113.7") == 3
    assert counts[0].held("192.0.2.1") == 0
    counts[1].release("203.0.113.7")
    assert counts[0].held("203.0.113.7") == 2


def test_busy_addresses_do_not_count_against_others(counts):
    for number in range(2000):
        counts[number % 3].acquire(f"198.51.100.{number}")
    strangers = [counts[0].held(f"203.0.113.{number}") for number in range(500)]
    assert sum(held > 0 for held in strangers) < 25  # with 16384 slots and two hashes, about one in 70
    assert max(strangers) <= 2


def test_all_processes_take_from_one_bucket(counts, clock):
    taken = sum(counts[number % 3].take("203.0.113.7", rate=2, burst=10) for number in range(100))
    assert taken == 10
    clock.now += 3
    taken = sum(counts[number % 3].take("203.0.113.7", rate=2, burst=10) for number in range(100))
    assert taken == 6
    assert counts[0].take("198.51.100.1", rate=2, burst=10)


def test_a_bucket_keeps_no_more_than_the_burst(counts, clock):
    counts[0].take("203.0.113.7", rate=2, burst=10)
    clock.now += 1000
    assert sum(counts[0].take("203.0.113.7", rate=2, burst=10) for _ in range(100)) == 10


def test_what_a_killed_process_had_counted_is_cleared(counts):
    for each in counts:
        each.set_clients(2)
        each.acquire("203.0.113.7")
    counts[0].clear(1)
    assert counts[0].clients == 4
    assert counts[0].held("203.0.113.7") == 2


def test_text_of_any_kind_is_a_key(counts):
    counts[0].acquire("\ud800")
    assert counts[1].held("\ud800") == 1
