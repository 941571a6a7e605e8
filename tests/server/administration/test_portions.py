"""What looks at all clients takes them in portions: a turn that touched all of thousands would keep players waiting."""

from __future__ import annotations

import sys
import time
from types import SimpleNamespace

import pytest

from cloudlink import slices
from cloudlink.admin.actors import Actor, AdminError
from cloudlink.admin.grants import Grants
from cloudlink.admin.moderation import Moderation
from cloudlink.admin.questions import list_clients
from cloudlink.server.administration.serverview import ServerView
from cloudlink.server.arrivals import Arrivals
from cloudlink.server.metrics import sample
from cloudlink.slices import SliceQueue
from tests.support.clock import TickingClock
from tests.support.memoryclients import named
from tests.support.servers import build

OWNER = Actor("the-owner", "owner", "cli")
LISTED = {"search": None, "room": None, "protocol": None, "sort": "since", "after": None, "limit": 20}


def listed(**params):
    def work(server):
        process = SimpleNamespace(server=ServerView(server), sanctions=server.sanctions, grants=Grants())
        return list_clients(process, {**LISTED, "is_owner": True, **params})

    return work


def moderated(server):
    process = SimpleNamespace(server=ServerView(server), sanctions=server.sanctions, grants=Grants())
    first = next(process.server.players())
    target = {"target": {"name": "Player 1"}, "seconds": 60}
    return Moderation(process)._methods["mutes.add"](OWNER, first, target)


WORK = {
    "traffic": lambda server: server.clients_manager.count_received(),
    "metrics": sample,
    "state": lambda server: ServerView(server).sample(),
    "list": listed(),
    "reversed": listed(sort="-since"),
    "names": listed(sort="name"),
    "search": listed(search="player"),
    "ban": lambda server: server.sanctions.adding_ban(OWNER, {"name": "nobody"}, seconds=60),
    "preview": lambda server: server.sanctions.preview({"name": "Player 1"}),
    "mute": lambda server: server.sanctions.adding_mute(OWNER, {"name": "nobody"}, seconds=60),
    "moderation": moderated,
    "announcement": lambda server: server.enforcement.announcing("Hi", None, "motd"),
}


@pytest.fixture(scope="module")
def crowded():
    server = build()
    clients = [named(server, f"player {number}").client for number in range(350)]
    return server, clients


def most_held(slices, clients):
    """Run slices to their end; return how many of the clients they held between two of them, at most."""

    def references():
        return [sys.getrefcount(client) for client in clients]

    before, most = references(), 0
    for _ in slices:
        most = max(most, sum(now > then for now, then in zip(references(), before, strict=True)))
    return most


@pytest.mark.parametrize("work", WORK)
def test_no_turn_holds_all_clients(crowded, work):
    server, clients = crowded
    assert 0 < most_held(WORK[work](server), clients) <= 150


def test_a_copy_would_be_noticed(crowded):
    server, clients = crowded

    def copying():
        everybody = set(server.clients_manager)
        yield
        del everybody

    assert most_held(copying(), clients) == len(clients)


def test_plugins_find_a_name_without_looking_for_it(crowded, monkeypatch):
    server, clients = crowded
    walks = []
    monkeypatch.setattr(Arrivals, "walk", lambda *_arguments, **_options: walks.append(1) or iter(()))
    assert server.admin.kick("player 7") == 1
    assert not clients[7].open
    assert server.admin.kick("Play-er 9") == 1
    assert not clients[9].open
    with pytest.raises(AdminError):
        server.admin.kick("nobody")
    mute = server.admin.mute("player 8", 60)
    assert server.sanctions.is_muted(clients[8])
    server.admin.unmute(mute)
    assert not walks


def test_a_ban_by_a_plugin_holds_at_once_and_finds_its_clients_in_turns(crowded, monkeypatch):
    server, clients = crowded
    due = []
    monkeypatch.setattr(slices.time, "perf_counter", TickingClock(1.0))  # a slice in each turn
    monkeypatch.setattr(server.sanctions, "slices", SliceQueue(due.append))
    ban = server.admin.ban("player 300", 60)
    assert server.sanctions.policy.bans.for_name("Player 300", time.time()) is not None
    assert clients[300].open
    turns = 0
    while due:
        due.pop()()
        turns += 1
    assert turns > len(clients) / 150
    assert not clients[300].open
    server.admin.unban(ban)
