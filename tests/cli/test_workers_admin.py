"""The administration of a server of two workers: real processes, and clients of both."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import socket
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from cloudlink.cli import admin as admin_command
from cloudlink.cli import main
from tests.support.process import ServerProcess

if sys.platform != "linux":
    pytest.skip("several processes need Linux", allow_module_level=True)

_UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
WORKER_BITS = 12  # of a snowflake, below the number of its process


class Admin:
    """The terminal's admin socket, on whichever worker takes the connection."""

    def __init__(self, server):
        key = json.loads(server.key.read_text())["key"]
        self.socket = server.open("/admin/ws", {"Authorization": f"Bearer {key}"})
        self.events = []

    def ask(self, method, **params):
        """Return the result, or the code of the error."""
        self.socket.send(json.dumps({"id": 1, "method": method, "params": params}))
        while True:
            frame = json.loads(self.socket.recv(timeout=10))
            if "event" not in frame:
                return frame["result"] if "result" in frame else frame["error"]["code"]
            self.events.append(frame)

    def answer(self, patience):
        """Return the result of a request, None if there is none within some seconds."""
        try:
            while "event" in (frame := json.loads(self.socket.recv(timeout=patience))):
                pass
        except TimeoutError:
            return None
        return frame["result"]

    def wait_for(self, name, is_right):
        """Return the data of the next event of a name that is right."""
        while True:
            for frame in self.events:
                if frame["event"] == name and is_right(frame["data"]):
                    self.events.remove(frame)
                    return frame["data"]
            frame = json.loads(self.socket.recv(timeout=10))
            self.events.append(frame)


class Player:
    """A client of CloudLink 4."""

    def __init__(self, server, name):
        self.name = name
        self.socket = server.open("/")
        self.say({"cmd": "handshake", "val": {"language": "x", "version": {}}}, {"cmd": "setid", "val": name})
        self.user = self.hear(lambda packet: packet.get("code_id") == 100 and "val" in packet)["val"]

    @property
    def id(self):
        return self.user["id"]

    @property
    def worker(self):
        return int(self.id) >> WORKER_BITS & 0x3FF

    def say(self, *packets):
        for packet in packets:
            self.socket.send(json.dumps(packet))

    def hear(self, is_right):
        """Return the next packet that is right."""
        while True:
            packet = json.loads(self.socket.recv(timeout=10))
            if is_right(packet):
                return packet

    def ask(self, packet):
        """Return the status of a packet."""
        self.say({**packet, "listener": "x"})
        return self.hear(lambda heard: heard.get("listener") == "x")

    def end(self):
        """Wait for the end of the connection; return the code and the reason."""
        try:
            self.hear(lambda _: False)
        except ConnectionClosed as closed:
            return closed.rcvd.code, closed.rcvd.reason


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("admin")
    settings = folder / "cloudlink.toml"
    settings.write_text('motd = "one"\n')
    arguments = ["--workers", "2", "--config", str(settings), "--admin-storage", str(folder / "admin.db")]
    with ServerProcess(*arguments) as running, contextlib.ExitStack() as connections:

        def open_socket(path, headers=None):
            address = f"ws://127.0.0.1:{running.port}{path}"
            return connections.enter_context(
                connect(address, additional_headers=headers, max_size=None, close_timeout=1)
            )

        running.open = open_socket
        running.read_on()
        running.settings, running.key = settings, folder / "admin.key"
        yield running


@pytest.fixture
def admin(server):
    admin = Admin(server)
    yield admin
    admin.socket.close()


@pytest.fixture
def pair(server):
    """Two players, of different workers."""
    players = [Player(server, "p0")]
    while players[-1].worker == players[0].worker:
        players.append(Player(server, f"p{len(players)}"))
    for each in players[1:-1]:
        each.socket.close()
    yield players[0], players[-1]
    for each in players:
        each.socket.close()


def listed(admin, *players):
    """Wait until exactly these players are connected; the list shows them."""
    wanted = {player.name for player in players}
    while True:
        found = admin.ask("clients.list", sort="name")
        if {one["name"] for one in found["items"]} == wanted and "missing" not in found:
            return found


def children(server):
    path = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children")
    return [int(each) for each in path.read_text().split()]


def until(is_so):
    """Wait until it is so: the other worker is told a moment later. Faster questions would be throttled."""
    while not is_so():
        time.sleep(0.1)


def fetch(server, path):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.port}{path}") as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, ""


def test_players_of_both_workers_are_shown_and_reached(admin, pair):
    found = listed(admin, *pair)
    assert found["total"] == 2
    page = admin.ask("clients.list", sort="name", limit=1)
    rest = admin.ask("clients.list", sort="name", limit=1, after=page["next"])
    assert [one["id"] for one in (*page["items"], *rest["items"])] == [player.id for player in pair]
    assert len({one["net"] for one in found["items"]}) == 1
    assert admin.ask("rooms.get", name="*")["clients"] == admin.ask("stats.get")["clients"] == 2
    assert admin.ask("broadcast", text="Hi")["sent"] == 2
    for player in pair:
        assert admin.ask("clients.get", id=player.id)["name"] == player.name
        assert player.hear(lambda packet: packet["cmd"] == "motd" and packet["val"] == "Hi")
        assert admin.ask("bans.preview", target={"name": player.name})["clients"] == 1
    assert admin.ask("clients.kick", id=pair[0].id, reason="x")["kicked"] == 1
    assert pair[0].end() == (4004, "You were kicked: x")
    assert admin.ask("bans.add", target={"name": pair[1].name}, seconds=60, reason="x")["hit"] == 1
    assert pair[1].end()[0] == 4004
    assert admin.ask("bans.remove", by="console", since=0)["removed"] == 1


def test_players_of_both_workers_may_moderate(admin, pair):
    for one, other in (pair, pair[::-1]):
        for player in pair:
            player.ask({"cmd": "link", "val": ["arena"]})
        mute = {
            "cmd": "moderate",
            "val": {
                "method": "mutes.add",
                "params": {"target": {"name": other.name}, "seconds": 60, "reason": ""},
            },
        }
        admin.ask("subscribe", topics=["audit"])
        assert one.ask(mute)["code_id"] == 109
        assert admin.ask("clients.grant", id=one.id, minutes=5)["id"] == one.id
        answer = one.ask(mute)
        assert (answer["code_id"], answer["val"]) == (100, {"hit": 1})
        assert other.ask({"cmd": "gmsg", "val": 1})["code_id"] == 108
        admin.wait_for("audit", lambda row, one=one: (row["via"], row["actor"]) == ("scratch", one.name))
        until(lambda other=other: [mute["name"] for mute in admin.ask("mutes.list")["items"]] == [other.name])
        admin.ask("mutes.remove", id=admin.ask("mutes.list")["items"][0]["id"])
        assert admin.ask("clients.revoke", id=one.id) == {}


def test_watching_and_the_log(admin, pair):
    topics = ["log", "notices", "stats", *(f"watch:client:{player.id}" for player in pair)]
    assert set(admin.ask("subscribe", topics=topics)["topics"]) == set(topics)
    for player in pair:
        player.say({"cmd": "gmsg", "val": f"I am {player.name}"})
        seen = admin.wait_for(f"watch:client:{player.id}", lambda _: True)
        assert seen["text"] == f'"I am {player.name}"'
        admin.wait_for("log", lambda line, player=player: player.id in line["text"])
    assert admin.wait_for("stats", lambda data: data["clients"] == 2)


def test_commands_and_modes(server, admin, pair):
    assert admin.ask("commands.disable", name="gmsg") == {}
    until(lambda: [player.ask({"cmd": "gmsg", "val": 1}).get("code_id") for player in pair] == [110, 110])
    assert admin.ask("commands.enable", name="gmsg") == {}
    until(lambda: [player.ask({"cmd": "gmsg", "val": 1})["cmd"] for player in pair] == ["gmsg", "gmsg"])
    assert admin.ask("server.mode", mode="closed")["mode"] == "closed"
    until(lambda: {fetch(server, "/ready")[0] for _ in range(10)} == {503})
    assert admin.ask("server.mode", mode="open")["mode"] == "open"
    until(lambda: {fetch(server, "/ready")[0] for _ in range(10)} == {200})


def test_metrics_of_any_worker_are_those_of_the_server(server, admin, pair):
    listed(admin, *pair)
    for _ in range(6):
        text = fetch(server, "/metrics")[1]
        assert 'cloudlink_clients{protocol="cl4"} 2.0' in text
        assert 'cloudlink_rooms{protocol="cl4"} 1.0' in text
        assert text.count("\nprocess_resident_memory_bytes ") == 1
        assert json.loads(fetch(server, "/health")[1])["clients"] == 2


def test_settings_are_read_again_by_both_and_by_those_that_are_started_later(server, admin, pair):
    server.settings.write_text('motd = "two"\n')
    assert admin.ask("config.reload")["changed"] == {"motd": ["one", "two"]}

    def greeting():
        """The text that a newcomer gets, and the number of its worker."""
        newcomer = Player.__new__(Player)
        newcomer.socket = server.open("/")
        newcomer.say({"cmd": "handshake"})
        text = newcomer.hear(lambda packet: packet["cmd"] == "motd")["val"]
        newcomer.say({"cmd": "setid", "val": "x"})
        newcomer.user = newcomer.hear(lambda packet: packet.get("code_id") == 100 and "val" in packet)["val"]
        newcomer.socket.close()
        return text, newcomer.worker

    def greetings():
        found = {greeting()}
        while len({worker for _, worker in found}) < 2:
            found.add(greeting())
        return {text for text, _ in found}

    until(lambda: greetings() == {"two"})
    first, second = children(server)
    os.kill(second, signal.SIGKILL)
    while len(now := children(server)) < 2 or second in now or first not in now:
        pass
    assert greetings() == {"two"}


def test_a_rush_over_both_workers_guards_the_server(server, admin):
    server.settings.write_text(
        "guard_at = 19.0\n"
    )  # one worker alone has so many out of 24 once in 600 times
    admin.ask("config.reload")
    until(lambda: fetch(server, "/ready")[0] == 200)
    for _ in range(20):
        rush = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(24)]
        for each in rush:
            each.sendall(_UPGRADE)
        for each in rush:
            each.recv(1)
            each.close()
        if admin.ask("stats.get")["mode"] == "guarded":
            break
    assert admin.ask("stats.get")["mode"] == "guarded"
    assert admin.ask("server.mode", mode="open")["mode"] == "open"
    server.settings.write_text('motd = "two"\n')
    admin.ask("config.reload")


def test_a_stuck_worker_is_named(server, admin):
    while "missing" in admin.ask("clients.list"):
        pass  # it was just started
    # Those that the kernel gave to the worker that is stuck are not answered.
    admins = [Admin(server) for _ in range(8)]
    _, second = children(server)
    os.kill(second, signal.SIGSTOP)
    try:
        for each in admins:
            each.socket.send('{"id":1,"method":"clients.list"}')
        found = next(answer for each in itertools.cycle(admins) if (answer := each.answer(0.2)))
    finally:
        os.kill(second, signal.SIGCONT)
    (name,) = found["missing"]
    assert name.endswith("-2")
    assert found["total"] == len(found["items"])


def test_the_terminal_names_who_did_not_answer(monkeypatch, capsys):
    monkeypatch.setattr(
        admin_command,
        "_ask",
        lambda _: ({"items": [], "missing": ["n-2", "n-3"], "processes": 4}, ["nobody"]),
    )
    assert main(["admin", "clients"]) == 0
    told = capsys.readouterr()
    assert told.out == "nobody\n"
    assert told.err == "cloudlink: 2 of 4 processes did not answer, so this is not all: n-2, n-3\n"
