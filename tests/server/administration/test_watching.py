"""What administrators see of what clients say, and what they cannot see."""

from __future__ import annotations

import pytest

from cloudlink.admin.topics import Topics
from cloudlink.server.administration.watching import Watching
from cloudlink.server.events import Message
from tests.support.clock import FakeClock
from tests.support.memoryclients import named
from tests.support.servers import build


class Watcher:
    """An admin socket that keeps its events."""

    def __init__(self):
        self.events = []

    def send_event(self, name, data, *, replaces=False):
        self.events.append((name, data))

    def take(self):
        taken, self.events = self.events, []
        return taken


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def server():
    return build()


@pytest.fixture
def topics(server, clock):
    topics = Topics(clock)
    Watching(server.hub, topics)
    return topics


@pytest.fixture
def watcher():
    return Watcher()


def test_the_traffic_of_a_client(server, topics, watcher):
    alice, bob = named(server, "alice"), named(server, "bob")
    topic = f"watch:client:{alice.client.snowflake}"
    topics.subscribe(watcher, topic)
    alice.say({"cmd": "gmsg", "val": "x" * 300}, {"cmd": "gvar", "name": "score", "val": 5})
    alice.say(
        {"cmd": "pmsg", "val": "secret", "id": "bob"},
        {"cmd": "pvar", "name": "n", "val": "secret", "id": "bob"},
    )
    bob.say({"cmd": "gmsg", "val": "not watched"})
    events = watcher.take()
    assert {name for name, _ in events} == {topic}
    assert [data["kind"] for _, data in events] == [
        "message",
        "variable",
        "private message",
        "private variable",
    ]
    message, variable, *private = (data for _, data in events)
    assert (message["text"], message["bytes"], message["name"]) == ('"' + "x" * 199, 302, "alice")
    assert (variable["variable"], variable["text"], variable["room"]) == ('"score"', "5", "default")
    assert [data["bytes"] for data in private] == [8, 8]
    assert "secret" not in repr(private)


def test_the_traffic_of_a_room(server, topics, watcher):
    alice, bob = named(server, "alice"), named(server, "bob")
    bob.say({"cmd": "link", "val": ["den"]})
    topics.subscribe(watcher, "watch:room:den")
    alice.say({"cmd": "gmsg", "val": "elsewhere"})
    bob.say({"cmd": "gmsg", "val": "here", "rooms": ["den"]})
    ((name, data),) = watcher.take()
    assert (name, data["text"], data["id"]) == ("watch:room:den", '"here"', bob.client.snowflake)


def test_twenty_a_second_are_shown_and_the_others_counted(server, topics, watcher, clock):
    alice = named(server, "alice")
    topics.subscribe(watcher, "watch:room:default")
    for _ in range(50):
        alice.say({"cmd": "gmsg", "val": 1})
    assert len(watcher.take()) == 20
    clock.now += 1
    alice.say({"cmd": "gmsg", "val": 1})
    assert watcher.take()[0][1]["left_out"] == 30
    alice.say({"cmd": "gmsg", "val": 1})
    assert watcher.take()[0][1]["left_out"] == 0


def test_the_hub_is_followed_only_while_somebody_watches(server, topics, watcher):
    other = Watcher()
    nobody = dict(server.hub._subscribers)
    topics.subscribe(watcher, "watch:room:a")
    topics.subscribe(other, "watch:room:a")
    topics.subscribe(other, "watch:room:b")
    assert Message in server.hub._subscribers
    topics.forget(other)
    assert Message in server.hub._subscribers
    topics.unsubscribe(watcher, "watch:room:a")
    assert server.hub._subscribers == nobody
