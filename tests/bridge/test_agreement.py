"""Three bridged servers: whatever happens, lists and variables agree within 5 s after it stops."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.bridge.memory import World

ROOMS = ("arena", "lobby")
HOSTS = st.sampled_from("abc")
PAIRS = st.sampled_from([("a", "b"), ("a", "c"), ("b", "c")])
NUMBER = st.integers(0, 3)
STEPS = st.one_of(
    st.tuples(st.just("join"), HOSTS, st.sampled_from(("ann", "bob")), st.sampled_from(ROOMS)),
    st.tuples(st.just("move"), HOSTS, NUMBER, st.sampled_from(ROOMS)),
    st.tuples(st.just("leave"), HOSTS, NUMBER),
    st.tuples(st.just("rename"), HOSTS, NUMBER, st.sampled_from(("ann", "cid"))),
    st.tuples(st.just("set"), HOSTS, NUMBER, st.sampled_from("xy"), st.integers(0, 9)),
    st.tuples(st.just("cloud"), HOSTS, st.sampled_from(("☁ x", "☁ y")), st.integers(0, 9)),
    st.tuples(st.just("connect"), PAIRS),
    st.tuples(st.just("cut"), PAIRS),
    st.tuples(st.just("deliver"), PAIRS, st.integers(1, 3)),
    st.tuples(st.just("tick"), HOSTS),
    st.tuples(st.just("wait"), st.sampled_from((0.05, 0.5, 2.0, 4.0))),
)


def play(world: World, kind: str, *details: Any) -> None:
    if kind in ("connect", "cut", "deliver"):
        getattr(world, kind)(*details)
        return
    if kind == "wait":
        world.pass_time(details[0])
        return
    host = world.hosts[details[0]]
    if kind == "tick":
        host.bridges.tick()
    elif kind == "join":
        host.join(details[1], details[2])
    elif kind == "cloud":
        host.cloud.say({"method": "set", "name": details[1], "value": details[2]})
    elif details[1] < len(host.players):
        player = host.players[details[1]]
        if kind == "leave":
            host.players.remove(player)
            player.session.close()
        elif kind == "move":
            player.say({"cmd": "unlink"}, {"cmd": "link", "val": details[2]})
        elif kind == "rename":
            player.say({"cmd": "setid", "val": details[2]})
        else:
            player.say({"cmd": "gvar", "name": details[2], "val": details[3]})


@pytest.mark.slow  # random histories
@settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(STEPS, max_size=50))
@example(  # a user leaves while the connection is broken for a moment
    [
        ("join", "a", "ann", "arena"),
        ("wait", 0.5),
        ("cut", ("a", "b")),
        ("leave", "a", 0),
        ("connect", ("a", "b")),
    ]
)
def test_lists_and_variables_agree_when_everything_stops(steps):
    world = World()
    observers = {name: host.join("observer", *ROOMS) for name, host in world.hosts.items()}
    for host in world.hosts.values():
        host.players.clear()  # the observers stay
    for pair in world.pairs:
        world.connect(pair)
    for step in steps:
        play(world, *step)

    for pair in world.pairs:
        world.connect(pair)
    world.pass_time(5.0)

    for room in ROOMS:
        own = {name: locals_in(host, room) for name, host in world.hosts.items()}
        for name, host in world.hosts.items():
            expected = own[name] + [
                f"{other}/{user}" for other in own if other != name for user in own[other]
            ]
            assert host.names(room) == sorted(expected)
            observer = observers[name]
            observer.listen()
            assert sorted(observer.lists[room].values()) == sorted(expected)
            assert host.values(room) == world.hosts["a"].values(room)
            seen = {each: value for (place, each), value in observer.values.items() if place == room}
            assert seen == {each: json.loads(value) for each, value in host.values(room).items()}
    clouds = [host.scratch.projects.variables("104") for host in world.hosts.values()]
    assert clouds == [clouds[0]] * 3


def locals_in(host, room):
    return [name for name in host.names(room) if "/" not in name]


def test_a_message_reaches_every_server_of_the_ring_once():
    world = World()
    players = {name: host.join(f"{name}-player", "arena") for name, host in world.hosts.items()}
    for pair in world.pairs:
        world.connect(pair)
    world.pass_time(0.5)

    for number in range(100):
        players["abc"[number % 3]].ask({"cmd": "gmsg", "val": number})
    world.clock.now += 1
    heard = {name: [] for name in players}
    for _ in range(40):
        world.clock.now += 0.05
        for host in world.hosts.values():
            host.bridges.tick()
        for pair in world.pairs:
            world.deliver(pair)
        for name, player in players.items():
            heard[name] += [packet["val"] for packet in player.heard() if packet["cmd"] == "gmsg"]

    assert {name: sorted(values) for name, values in heard.items()} == {
        name: list(range(100)) for name in "abc"
    }
