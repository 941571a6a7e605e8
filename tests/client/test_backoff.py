"""Delays between tries."""

from cloudlink.client.backoff import Backoff


def test_delays_double_up_to_the_longest():
    backoff = Backoff(1, 5, random=lambda: 1.0)
    assert [backoff.next() for _ in range(5)] == [1, 2, 4, 5, 5]


def test_chance_takes_up_to_half_of_each():
    backoff = Backoff(1, 5, random=lambda: 0.0)
    assert [backoff.next() for _ in range(4)] == [0.5, 1, 2, 2.5]


def test_after_success_the_first_delay_comes_again():
    backoff = Backoff(1, 5, random=lambda: 1.0)
    backoff.next()
    backoff.next()
    backoff.reset()
    assert backoff.next() == 1


def test_many_clients_do_not_come_back_at_once():
    assert len({Backoff().next() for _ in range(20)}) > 15
