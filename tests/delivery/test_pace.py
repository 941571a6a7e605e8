"""Frames wait only when the server is busy and waiting gains something."""

from cloudlink.delivery import Pacer

SAMPLE = 0.05


class World:
    """Time and work that pass as they are told to."""

    def __init__(self):
        self.now = 100.0
        self.worked = 5.0

    def pacer(self):
        return Pacer(lambda: self.now, lambda: self.worked)

    def pass_time(self, pacer, seconds, load, frames_per_write):
        """Let time pass in rounds of 10 ms, each of which writes a hundred times."""
        for _ in range(round(seconds / 0.01)):
            self.now += 0.01
            self.worked += 0.01 * load
            pacer.begin()
            pacer.end(round(100 * frames_per_write), 100)


def period(world, pacer):
    """How long the next frame waits if the last writing has just begun."""
    pacer.begin()
    return pacer.delay()


def test_an_idle_server_never_waits():
    world = World()
    pacer = world.pacer()
    assert pacer.delay() == 0
    world.pass_time(pacer, 2, load=0.4, frames_per_write=1)
    assert period(world, pacer) == 0


def test_a_busy_server_waits_a_little_and_a_full_one_longer_but_never_long():
    waits = []
    for load in (0.5, 0.7, 0.9, 1.0):
        world = World()
        pacer = world.pacer()
        world.pass_time(pacer, 3, load, frames_per_write=1.2)
        waits.append(period(world, pacer))
    assert waits == sorted(waits)
    assert 0 < waits[0] < 0.002
    assert 0.005 < waits[1] < 0.012
    assert 0.02 < waits[3] <= 0.05


def test_writes_that_carry_many_frames_never_wait():
    world = World()
    pacer = world.pacer()
    world.pass_time(pacer, 3, load=1.0, frames_per_write=5)
    assert period(world, pacer) == 0


def test_the_wait_counts_from_the_last_writing():
    world = World()
    pacer = world.pacer()
    world.pass_time(pacer, 3, load=0.8, frames_per_write=1)
    whole = period(world, pacer)
    world.now += whole / 2
    assert abs(pacer.delay() - whole / 2) < 1e-9
    world.now += whole
    assert pacer.delay() == 0


def test_a_short_burst_does_not_start_waiting_and_a_rest_ends_it():
    world = World()
    pacer = world.pacer()
    world.pass_time(pacer, 0.1, load=1.0, frames_per_write=1)
    assert period(world, pacer) == 0
    world.pass_time(pacer, 3, load=1.0, frames_per_write=1)
    assert period(world, pacer) > 0
    world.now += 5
    pacer.begin()
    pacer.end(1, 1)
    assert period(world, pacer) == 0
