"""Clients in the order of their ids: a walk through all of them is right while they come and go."""

from __future__ import annotations

from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudlink.server import arrivals
from cloudlink.server.arrivals import Arrivals

STEPS = st.lists(st.one_of(st.just("come"), st.just("take"), st.integers(0, 30)), max_size=60)


@pytest.fixture(autouse=True, scope="module")
def _small_portions():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(arrivals, "_PORTION", 3)
        yield


class Numbered:
    """A client that is nothing but an id, and counts how often that is asked for."""

    def __init__(self, number):
        self.number = number
        self.asked = 0

    @property
    def snowflake(self):
        self.asked += 1
        return str(self.number)


def crowd(*numbers):
    clients = Arrivals()
    for number in numbers:
        clients.add(Numbered(number))
    return clients


def numbers(walk):
    return [client.number for client in walk]


@pytest.mark.parametrize("reverse", [False, True])
@given(first=st.integers(0, 12), steps=STEPS)
def test_a_walk_yields_each_client_once_whoever_comes_and_goes(reverse, first, steps):
    clients, here = Arrivals(), []

    def come():
        here.append(Numbered(come.number))
        clients.add(here[-1])
        come.number += 1

    come.number = 1
    for _ in range(first):
        come()
    there = {client.number for client in here}  # all the time
    walk, taken = clients.walk(reverse=reverse), []
    for step in steps:
        if step == "come":
            come()
        elif step == "take":
            taken += numbers(islice(walk, 1))
        elif here:
            gone = here.pop(step % len(here))
            clients.remove(gone)
            there.discard(gone.number)
        assert len(clients) == len(here)
    taken += numbers(walk)
    assert taken == sorted(set(taken), reverse=reverse)
    assert there <= set(taken)
    assert numbers(clients.walk(reverse=reverse)) == sorted(numbers(here), reverse=reverse)


@given(st.sets(st.integers(0, 20)), st.integers(-1, 21))
def test_a_walk_from_a_place_on(some, place):
    clients = crowd(*some)
    assert numbers(clients.walk(place)) == [number for number in sorted(some) if number > place]
    assert numbers(clients.walk(place, reverse=True)) == [
        number for number in sorted(some, reverse=True) if number < place
    ]


def test_ids_that_are_out_of_order():
    clients = crowd(5, 3, 4)
    assert numbers(clients.walk()) == [3, 4, 5]


def test_a_step_of_a_walk_touches_few_clients():
    clients = crowd(*range(1000))
    everybody = list(clients.walk())
    for client in everybody:
        client.asked = 0
    next(clients.walk(499))
    assert 0 < sum(client.asked > 0 for client in everybody) <= 10  # those of a binary search
