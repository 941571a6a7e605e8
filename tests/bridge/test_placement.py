"""Which node runs the bridges: one, whatever happens, and soon after the one that did is gone."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from cloudlink.bridge.placement import PATIENCE, Claim, Placement
from tests.support.clock import FakeClock

NAMES = "abcd"


class World:
    """Nodes that hear each other's claims; cuts and deaths are noticed as in a cluster."""

    def __init__(self, names=NAMES):
        self.clock = FakeClock()
        self.nodes = {name: Placement(name, self.clock) for name in names}
        self.alive = set(names)
        self.cuts = set()
        self.meet()

    def sees(self, one, other):
        return one != other and {one, other} <= self.alive and frozenset((one, other)) not in self.cuts

    def meet(self):
        """Have everybody notice who is there."""
        for one, node in self.nodes.items():
            for other in self.nodes:
                if one != other:
                    (node.arrived if self.sees(one, other) else node.departed)(other)

    def speak(self, one):
        """Have a node decide, and the others hear its claim."""
        if one in self.alive:
            self.nodes[one].decide(can_run=True)
            for other, node in self.nodes.items():
                if self.sees(one, other):
                    node.heard(one, self.nodes[one].claim)

    def settle(self):
        """Let everybody speak until nothing changes."""
        for _ in range(4):
            for name in sorted(self.alive):
                self.speak(name)

    @property
    def running(self):
        return sorted(name for name in self.alive if self.nodes[name].is_running)


def test_the_lowest_node_runs_the_bridges():
    world = World()
    world.settle()
    assert world.running == ["a"]
    assert {node.runner for node in world.nodes.values()} == {"a"}


def test_a_lone_node_runs_them_at_once():
    world = World("a")
    assert world.nodes["a"].decide(can_run=True)
    assert world.running == ["a"]


def test_a_node_that_starts_moves_nothing():
    world = World()
    world.alive = {"b", "c", "d"}
    world.meet()
    world.settle()
    assert world.running == ["b"]
    world.alive.add("a")
    world.meet()
    world.settle()
    assert world.running == ["b"]


def test_the_next_one_takes_over_without_waiting():
    world = World()
    world.settle()
    world.alive.remove("a")
    world.meet()
    world.settle()
    assert world.running == ["b"]
    assert world.nodes["b"].term == 2


def test_a_node_that_knows_no_bridges_is_not_waited_for_long():
    world = World("abc")
    for node in ("b", "c"):
        world.nodes[node].heard("b" if node == "c" else "c", Claim(True, False, 0))
    world.nodes["b"].decide(can_run=True)
    assert world.nodes["b"].runner == ""
    world.clock.now += PATIENCE
    world.nodes["b"].decide(can_run=True)
    assert world.nodes["b"].is_running


def test_a_node_that_stops_gives_them_up():
    world = World("ab")
    world.settle()
    assert world.nodes["a"].decide(can_run=False)
    world.nodes["b"].heard("a", world.nodes["a"].claim)
    world.nodes["b"].decide(can_run=True)
    assert (world.nodes["a"].is_running, world.nodes["b"].is_running) == (False, True)


def test_a_node_that_did_not_run_believes_no_old_messages():
    world = World("ab")
    world.settle()
    node = world.nodes["a"]
    node.lapse()
    node.heard("b", Claim(True, False, 1))  # said before `b` took over
    assert not node.decide(can_run=True)
    node.heard("b", Claim(True, True, 2))
    world.clock.now += PATIENCE
    assert not node.decide(can_run=True)
    node.departed("b")
    assert node.decide(can_run=True)


def test_a_node_that_was_stopped_gives_way_to_its_successor():
    world = World("ab")
    world.settle()
    world.cuts.add(frozenset("ab"))
    world.nodes["b"].departed("a")  # `a` does not run, and so notices nothing
    world.speak("b")
    assert world.running == ["a", "b"]
    world.cuts.clear()
    world.nodes["b"].arrived("a")
    world.nodes["b"].heard("a", Claim(True, True, 1))
    world.speak("b")
    world.speak("a")
    assert world.running == ["b"]


@settings(max_examples=60)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("speak"), st.sampled_from(NAMES)),
            st.tuples(st.just("toggle"), st.sampled_from(NAMES)),
            st.tuples(st.just("cut"), st.sets(st.sampled_from(NAMES), min_size=2, max_size=2)),
            st.tuples(st.just("heal"), st.none()),
            st.tuples(st.just("notice"), st.none()),
        ),
        max_size=40,
    )
)
def test_exactly_one_runs_them_after_whatever_happened(steps):
    world = World()
    for step, what in steps:
        world.clock.now += 0.1
        if step == "speak":
            world.speak(what)
        elif step == "toggle":
            world.alive ^= {what}
            if what in world.alive:  # a new process
                world.nodes[what] = Placement(what, world.clock)
        elif step == "cut":
            world.cuts.add(frozenset(what))
        elif step == "heal":
            world.cuts.clear()
        else:
            world.meet()
    world.cuts.clear()
    world.meet()
    world.settle()
    assert len(world.running) == min(1, len(world.alive))
    assert {world.nodes[name].runner for name in world.alive} == set(world.running)
