"""Frames wait only when the server would be busy all the time, and only as long as it takes to change that."""

import random
from itertools import pairwise

import pytest

from cloudlink.delivery import ConstantWait, WriteCoalescer
from cloudlink.delivery.coalescer import Controller, Sample

WRITE = 5e-6  # seconds that a write takes


class World:
    """A server on one core, in rounds of 10 ms or, if there is more to do, longer; time passes as the work takes."""

    def __init__(self, noise=0.0):
        self.now = 100.0
        self.worked = 5.0
        self.coalescer = WriteCoalescer(lambda: self.now, lambda: self.worked)
        self.noise = random.Random(1)
        self.strength = noise
        self.busy = 0.0

    def play(self, seconds, frames, share, others=0.0):
        """Let time pass.

        Args:
            seconds: How long.
            frames: Frames per second.
            share: Frames per write, by how long the frames wait.
            others: Share of a core that everything but writing takes.
        """
        end, busy, began = self.now + seconds, 0.0, self.now
        waits, length = [], 0.01
        while self.now < end:
            count = length * frames * (1 + self.strength * self.noise.uniform(-1, 1))
            writes = max(1, round(count / share(self.coalescer.wait)))
            work = writes * WRITE + length * others
            self.now += writes * WRITE
            self.worked += work
            self.coalescer.note(round(count), writes)
            self.now += max(length, work) - writes * WRITE
            length = min(
                max(0.01, work), 0.05
            )  # peers that are read late send no more than their buffers hold
            busy += work
            waits.append(self.coalescer.wait)
        self.busy = busy / (self.now - began)
        return waits


def players(wait):
    """Somebody who is sent a hundred frames a second at random times."""
    return 1 + 100 * wait


def alone(_wait):
    return 1


def crowd(_wait):
    return 40


@pytest.mark.parametrize("demand", [0.1, 0.42, 0.6, 0.8, 0.9])
def test_nothing_waits_while_there_is_time(demand):
    world = World(noise=0.1)
    assert set(world.play(5, demand / 2 / WRITE, players, others=demand / 2)) == {0}


@pytest.mark.parametrize("others", [0.1, 0.3, 0.5])
@pytest.mark.parametrize("demand", [1.0, 1.1, 1.2, 1.6])
def test_then_frames_wait_as_little_as_keeps_the_thread_from_being_busy_all_the_time(demand, others):
    world = World()
    writing = demand - others
    world.play(5, writing / WRITE, players, others)
    wait = world.play(1, writing / WRITE, players, others)[-1]
    expected = min((writing / (0.94 - others) - 1) / 100, 0.04)
    assert wait == pytest.approx(expected, rel=0.1)
    assert world.busy < 0.95


def test_a_thread_with_no_time_left_for_writing_waits_for_many_frames_but_not_for_ever():
    world = World()
    assert world.play(5, 100_000, players, others=0.95)[-1] == pytest.approx(0.04, rel=0.1)


@pytest.mark.parametrize("demand", [1.05, 1.2, 1.6])
def test_the_wait_does_not_swing(demand):
    world = World(noise=0.1)
    world.play(3, (demand - 0.3) / WRITE, players, others=0.3)
    waits = world.play(10, (demand - 0.3) / WRITE, players, others=0.3)
    mean = sum(waits) / len(waits)
    assert max(waits) - min(waits) < 0.5 * mean + 0.001
    assert mean > 0.001


def test_waiting_ends_soon_after_a_burst():
    world = World()
    world.play(2, 200_000, players, others=0.3)
    assert world.coalescer.wait > 0
    waits = world.play(1, 20_000, players, others=0.1)
    assert set(waits[40:]) == {0}


def test_a_short_burst_does_not_start_waiting_and_a_rest_ends_it():
    world = World()
    assert world.play(0.1, 200_000, players)[-1] == 0
    assert world.play(3, 250_000, players)[-1] > 0
    world.now += 5
    world.coalescer.note(1, 1)
    assert world.coalescer.wait == 0


def test_after_a_rest_only_the_time_since_counts():
    now = worked = 0.0
    coalescer = WriteCoalescer(lambda: now, lambda: worked)

    def samples_until_it_waits():
        nonlocal now, worked
        for number in range(100):
            if coalescer.wait:
                return number
            now += 0.0625  # exactly, unlike 0.05
            worked += 0.0625
            coalescer.note(3000, 1000)
        return None

    at_first = samples_until_it_waits()
    now += 5
    coalescer.note(3, 1)
    assert coalescer.wait == 0
    assert samples_until_it_waits() == at_first


def test_a_constant_wait_stays_whatever_is_written():
    wait = ConstantWait(0.02)
    for _ in range(1000):
        wait.note(1000, 1)
    assert wait.wait == 0.02


def test_frames_that_share_writes_anyway_never_wait():
    assert set(World().play(5, 4_000_000, crowd, others=0.45)) == {0}


def test_waiting_ends_where_a_room_gets_crowded():
    world = World()
    assert world.play(2, 200_000, players, others=0.2)[-1] > 0.003
    assert set(world.play(0.5, 1_000_000, crowd, others=0.5)[20:]) == {0}


def test_waiting_ends_where_it_brings_no_frames_together_and_is_tried_again_after_a_while():
    world = World()
    waits = world.play(20, 140_000, alone, others=0.3)
    tried = [number for number, wait in enumerate(waits) if wait > 0]
    assert 0 < len(tried) < 0.15 * len(waits)
    assert tried[-1] - tried[0] > len(waits) / 2


@pytest.mark.parametrize("programs", [1, 10, 100])
def test_programs_that_wait_for_each_answer_are_not_slowed(programs):
    """Each asks again when it has its answer, so that the thread is always busy; waiting would only delay them."""
    now = worked = answers = 0.0
    coalescer = WriteCoalescer(lambda: now, lambda: worked)
    service = 40e-6
    while now < 30:
        began = now
        for _ in range(programs):
            now += WRITE
            coalescer.note(1, 1)
            now += service - WRITE
            worked += service
        answers += programs
        # The next round begins when the first answer has been let go.
        now = max(now, began + service + coalescer.wait)
    assert answers > 0.95 * 30 / service


@pytest.mark.parametrize("rate", [15, 50])
def test_clients_that_are_sent_little_wait_too_where_they_are_many(rate):
    world = World()
    waits = world.play(3, 200_000, lambda wait: 1 + rate * wait, others=0.4)
    assert min(waits[-10:]) > 0.01


def test_a_controller_keeps_the_wait_that_leaves_a_little_time():
    controller = Controller()
    controller.update(Sample(0.0, 1.0, 1.0, 160_000))
    assert controller.wait == 0.001
    waits = []
    for number in range(1, 200):
        busy = 0.4 + 0.8 / (1 + 100 * controller.wait)
        controller.update(Sample(number * 0.05, min(busy, 1.0), 1 + 100 * controller.wait, 160_000))
        waits.append(controller.wait)
    assert waits[150:] == pytest.approx([(0.8 / (0.94 - 0.4) - 1) / 100] * 49, rel=0.02)
    assert all(after >= before - 1e-5 for before, after in pairwise(waits))


@pytest.mark.parametrize(
    ("busy", "samples"), [(1.0, 100), (0.97, 100), (0.95, 3), (0.91, 3), (0.89, 1), (0.6, 1)]
)
def test_waiting_goes_on_while_the_thread_has_fallen_behind(busy, samples):
    """It sends less than before because it is slow, not because somebody waits for answers: then it would be idle."""
    controller = Controller()
    controller.update(Sample(0.0, 1.0, 1.0, 200_000))
    for number in range(1, 10):
        controller.update(Sample(number * 0.05, busy, 1.1, 150_000))
        assert (controller.wait > 0) is (number < samples)


def test_a_thread_that_catches_up_waits_as_long_as_it_may():
    """What had to wait comes together in few writes then; that is no reason to wait less."""
    controller = Controller()
    for number in range(20):
        controller.update(Sample(number * 0.05, 1.0, 1 + 10 * (controller.wait > 0.005), 200_000))
    assert controller.wait == 0.04


def test_a_crowd_that_has_gone_shortens_no_wait():
    controller = Controller()
    for number in range(20):
        controller.update(Sample(number * 0.05, 1.0, 30.0 if controller.wait else 1.0, 200_000))
        assert controller.wait <= 0.001
    for number in range(20, 60):
        controller.update(Sample(number * 0.05, 1.0, 1 + 100 * controller.wait, 200_000))
    assert controller.wait == 0.04


def test_waiting_goes_on_if_it_only_seems_to_bring_nothing_together_now_and_then():
    controller = Controller()
    for number in range(100):
        share = 1.0 if number % 3 == 2 else 3.0
        controller.update(Sample(number * 0.05, 1.0, share, 200_000))
        assert controller.wait > 0


def test_waiting_goes_on_if_another_program_takes_some_of_the_time():
    now = worked = 0.0
    coalescer = WriteCoalescer(lambda: now, lambda: worked)

    def sample(length, frames):
        nonlocal now, worked
        now += length
        worked += 0.05
        coalescer.note(frames, 1000)

    while not coalescer.wait:
        sample(0.05, 1100)
    sample(0.06, 900)
    assert coalescer.wait > 0
    for _ in range(3):
        sample(0.1, 900)
    assert coalescer.wait == 0
