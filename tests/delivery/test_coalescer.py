"""Frames wait only when the server is busy and waiting brings more of them into one write."""

import pytest

from cloudlink.delivery import ConstantWait, WriteCoalescer

WRITE = 5e-6  # seconds that a write takes


class World:
    """A server that writes so many frames a second; time and work pass as they are told to."""

    def __init__(self):
        self.now = 100.0
        self.worked = 5.0
        self.coalescer = WriteCoalescer(lambda: self.now, lambda: self.worked)

    def play(self, seconds, frames, share, others=0.0):
        """Let time pass in rounds of 10 ms.

        Args:
            seconds: How long.
            frames: Frames per second.
            share: Frames per write, by how long the frames wait.
            others: Share of a core that everything but writing takes.
        """
        for _ in range(round(seconds / 0.01)):
            writes = max(1, round(0.01 * frames / share(self.coalescer.wait)))
            self.coalescer.begin()
            self.now += writes * WRITE
            self.worked += writes * WRITE + 0.01 * others
            self.coalescer.end(round(0.01 * frames), writes)
            self.now += 0.01 - writes * WRITE
        return self.coalescer.wait


def players(wait):
    """Somebody who is sent a hundred frames a second at random times."""
    return 1 + 100 * wait


def alone(_wait):
    return 1


def crowd(_wait):
    return 40


def test_an_idle_server_never_waits():
    world = World()
    assert world.coalescer.wait == 0
    assert world.play(2, frames=20_000, share=players, others=0.2) == 0


@pytest.mark.parametrize(
    ("frames", "shortest", "longest"),
    [(95_000, 0.001, 0.0095), (120_000, 0.009, 0.01), (200_000, 0.009, 0.011), (350_000, 0.011, 0.03)],
)
def test_the_busier_a_server_would_be_the_longer_it_waits_up_to_a_thirtieth_of_a_second(
    frames, shortest, longest
):
    assert shortest <= World().play(3, frames, players) <= longest


def test_the_wait_stays_although_it_frees_most_of_the_time():
    world = World()
    world.play(2, 120_000, players)
    waits = [world.play(0.1, 120_000, players) for _ in range(50)]
    assert max(waits) - min(waits) < 0.001


def test_frames_that_share_writes_anyway_never_wait():
    world = World()
    world.play(1, 1_000_000, crowd, others=0.5)
    assert all(world.play(0.05, 1_000_000, crowd, others=0.5) == 0 for _ in range(100))


def test_waiting_ends_where_a_room_gets_crowded():
    world = World()
    assert world.play(2, 120_000, players) > 0.009
    assert world.play(0.3, 1_000_000, crowd, others=0.5) == 0


def test_waiting_ends_where_it_brings_no_frames_together_and_is_tried_again_after_a_while():
    world = World()
    waits = [world.play(0.05, 100_000, alone, others=0.3) for _ in range(400)]
    assert 0 < sum(wait > 0 for wait in waits) < 40
    assert waits.index(max(waits)) < 10 < 390 - waits[::-1].index(max(waits))


def test_a_short_burst_does_not_start_waiting_and_a_rest_ends_it():
    world = World()
    assert world.play(0.05, 120_000, players) == 0
    assert world.play(3, 120_000, players) > 0
    world.now += 5
    world.coalescer.begin()
    world.coalescer.end(1, 1)
    assert world.coalescer.wait == 0


def test_a_constant_wait_stays_whatever_is_written():
    wait = ConstantWait(0.02)
    for _ in range(1000):
        wait.begin()
        wait.end(1000, 1)
    assert wait.wait == 0.02
