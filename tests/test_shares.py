"""Nobody may hold more than what it leaves for others."""

import pytest

from cloudlink.shares import Shares


def fill(shares, holder, most, step=1):
    while shares.admits(holder, step, most):
        shares.add(holder, step)
    return shares.of(holder)


@pytest.mark.parametrize(("count", "left"), [(1, 500), (2, 250), (3, 125)])
def test_each_holder_gets_half_of_what_is_there_at_most(count, left):
    shares = Shares()
    for _ in range(3):
        for number in range(count):
            fill(shares, f"{number}", 1000)
    assert shares.largest() == ("0", 500)
    assert 1000 - shares.total == left


def test_an_owner_without_anything_gets_the_rest():
    shares = Shares()
    shares.add("a", 90)
    assert shares.admits("b", 10, 100)
    assert not shares.admits("b", 11, 100)
    assert not shares.admits("a", 1, 100)


def test_nobody_in_particular_is_bounded_by_the_total_alone():
    shares = Shares()
    assert fill(shares, None, 100) == 0
    assert shares.total == 100
    assert len(shares) == 0


def test_an_owner_that_gives_all_back_is_forgotten():
    shares = Shares()
    shares.add("a", 5)
    shares.add("b", 7)
    assert shares.largest() == ("b", 7)
    shares.add("b", -7)
    assert (len(shares), shares.total, shares.largest()) == (1, 5, ("a", 5))
    shares.add("a", -5)
    assert shares.largest() == (None, 0)
