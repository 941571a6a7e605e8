"""Sanctions in memory: a host of fake players, and clocks that tests move."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import pytest

from cloudlink import slices
from cloudlink.admin.actors import Actor, AdminError
from cloudlink.admin.host import protected_by
from cloudlink.admin.names import fold
from cloudlink.admin.policy import Policy
from cloudlink.admin.sanctions import Sanctions
from cloudlink.admin.store import AdminStore
from cloudlink.settings import Settings
from cloudlink.slices import finish

NOW = 1_769_882_400.0
"""2026-01-31 18:00 UTC."""
OWNER = Actor("mia", "owner", "dashboard", "203.0.113.9")
MODERATOR = Actor("tom", "moderator", "dashboard", "203.0.113.10")


def refusal(call, *arguments, **options):
    """The code of the error with which a call is refused."""
    with pytest.raises(AdminError) as caught:
        call(*arguments, **options)
    return caught.value.code


def judged(world, player, rooms=("r",)):
    """What the policy says about a message of a player to rooms."""
    return world.policy.judge(player, rooms, b"1", "messages")


def at_once(method):
    """A function that does at once what a method of the sanctions does in slices."""
    return lambda *arguments, **options: finish(method(*arguments, **options))


class FakeHost:
    """A host whose players are plain objects; `closed` lists what was closed, and `due` what is to be called."""

    siblings = ""

    def __init__(self, settings):
        self.settings = settings
        self.clients = {}
        self.closed = []
        self.due = []
        self.announced = []
        self.modes = []
        self.is_stopped = False
        self.ids = itertools.count(1)

    def add(self, username="", address="192.0.2.1", headers=None, rooms=("default",), birth_time=-1000.0):
        player = SimpleNamespace(
            snowflake=str(next(self.ids)),
            username=username,
            address=address,
            birth_time=birth_time,
            request_headers=headers or {},
            joined=dict.fromkeys(rooms),
        )
        self.clients[player.snowflake] = player
        return player

    def players(self):
        return iter(list(self.clients.values()))

    def named(self, name):
        return [player for player in self.clients.values() if player.username == name]

    def alike(self, name):
        return [player for player in self.clients.values() if fold(player.username) == fold(name)]

    def player(self, snowflake):
        return self.clients.get(snowflake)

    def disconnect(self, player, code, reason, cause):
        self.closed.append((player.snowflake, code, reason))
        self.clients.pop(player.snowflake, None)

    def protected_networks(self):
        return protected_by(self.settings)

    def trusts_proxies(self):
        return bool(self.settings.trusted_proxies)

    def announcing(self, text, rooms, kind):
        self.announced.append((text, rooms, kind))
        yield
        return len(self.clients)

    def mode_changed(self, mode):
        self.modes.append(mode)

    def later(self, delay, callback):
        self.due.append((delay, callback))

    def stop(self):
        self.is_stopped = True

    def run_due(self, most=1000):
        """Call everything that is due, also what that makes due; return the delays."""
        delays = []
        while self.due and len(delays) < most:
            delay, callback = self.due.pop(0)
            delays.append(delay)
            callback()
        return delays


class World:
    """Sanctions with everything around them."""

    def __init__(self, path="", **settings):
        self.now = NOW
        self.monotonic = 0.0
        self.settings = Settings(admin_storage=str(path), **settings)
        self.host = FakeHost(self.settings)
        self.store = AdminStore(path, patience=0.02, look_every=0.02)
        self.store.open()
        self.sanctions = Sanctions(
            self.settings, self.store, self.host, Policy(lambda: self.now, lambda: self.monotonic)
        )
        self.sanctions.load()
        self.rows = []
        self.sanctions.audit.watch(self.rows.append)

    @property
    def policy(self):
        return self.sanctions.policy

    def pass_time(self, seconds):
        self.now += seconds
        self.monotonic += seconds


@pytest.fixture
def make_world(monkeypatch):
    monkeypatch.setattr(
        slices, "_TURN", 60.0
    )  # what is done in slices is done at once, also on a busy machine
    worlds = []

    def make(path="", **settings):
        worlds.append(World(path, **settings))
        return worlds[-1]

    yield make
    for world in worlds:
        world.store.close()


@pytest.fixture
def world(make_world):
    return make_world()
