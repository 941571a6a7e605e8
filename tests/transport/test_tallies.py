"""What addresses hold and take is counted exactly, and nothing is kept of those that hold nothing."""

from cloudlink.transport.tallies import LocalTallies
from tests.support.clock import FakeClock


def test_what_is_held_is_counted_up_and_down():
    tallies = LocalTallies()
    counts = []
    for _ in range(3):
        tallies.acquire("a")
        counts.append(tallies.held("a"))
    assert counts == [1, 2, 3]
    assert tallies.held("b") == 0
    for _ in range(3):
        tallies.release("a")
        counts.append(tallies.held("a"))
    assert counts[3:] == [2, 1, 0]
    assert "a" not in tallies._held


def test_each_key_has_a_bucket_of_its_own():
    clock = FakeClock()
    tallies = LocalTallies(clock)
    assert [tallies.take("a", 1.0, 2) for _ in range(3)] == [True, True, False]
    assert tallies.take("b", 1.0, 2)
    clock.now += 1
    assert [tallies.take("a", 1.0, 2) for _ in range(2)] == [True, False]
