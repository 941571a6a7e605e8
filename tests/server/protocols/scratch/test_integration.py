"""Cloud variables on a running server: over sockets, with a file, with plugins and the command line."""

from __future__ import annotations

import asyncio
import json
import logging
import sqlite3
from contextlib import closing
from urllib.parse import quote

import pytest

from cloudlink.cli import main as command_line
from cloudlink.server.protocols import scratch
from tests.support.scenario_drivers import OverSocket
from tests.support.servers import HOST, build, listening

TIME_LIMIT = 10.0  # seconds


class Cloud(OverSocket):
    """Players, by letter."""

    def __init__(self, port):
        super().__init__(HOST, port)

    async def joins(self, who, project="104", user="player1234"):
        await self.connect(who)
        await self.say(who, method="handshake", project_id=project, user=user)
        await self.settle()

    async def say(self, who, **packet):
        await self.send(who, json.dumps(packet).encode())

    async def set(self, who, name, value):
        await self.say(who, method="set", name=name, value=value)
        await self.settle()

    def told(self, who):
        return [json.loads(line) for frame in self.take(who) for line in frame.split("\n")]

    async def hears(self, who):
        """Wait until something comes."""
        client = self.clients[who]
        if not client.frames:
            client.arrived.clear()
            async with asyncio.timeout(TIME_LIMIT):
                await client.arrived.wait()
        return self.told(who)


def run(scenario, **settings):
    """Run a scenario with players on a server of its own."""

    async def main():
        server = build(settings)
        async with listening(server) as port:
            cloud = Cloud(port)
            cloud.server = server
            await scenario(cloud)
            await cloud.leave_all()

    asyncio.run(main())


def a_set(name, value):
    return {"method": "set", "name": name, "value": value}


# What stays.


def test_values_survive_the_server(tmp_path):
    file = str(tmp_path / "cloud.db")

    async def before(cloud):
        await cloud.joins("A")
        await cloud.set("A", "☁ a", "007")
        await cloud.set("A", "☁ b", 1.50)

    async def after(cloud):
        await cloud.joins("A")
        assert cloud.take("A") == [
            '{"method":"set","name":"☁ a","value":"007"}\n{"method":"set","name":"☁ b","value":1.5}'
        ]

    run(before, storage=file)
    run(after, storage=file)


def test_nothing_survives_without_storage(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    async def before(cloud):
        await cloud.joins("A")
        await cloud.set("A", "☁ a", 1)

    async def after(cloud):
        await cloud.joins("A")
        assert cloud.take("A") == []

    run(before)
    run(after)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("file", ["", "cloud.db"])
def test_a_project_that_was_left_for_long_is_in_the_file_alone(tmp_path, file):
    async def scenario(cloud):
        await cloud.joins("A")
        await cloud.set("A", "☁ a", 1)
        await cloud.disconnect("A")
        for tick in cloud.server.hooks.protocol_tick:
            tick()
        await cloud.joins("B")
        assert cloud.told("B") == ([a_set("☁ a", 1)] if file else [])

    run(scenario, storage=file and str(tmp_path / file), cloud_room_lifetime=0.0)


def test_the_latest_of_the_collected_values_is_sent_in_time():
    async def scenario(cloud):
        await cloud.joins("A")
        await cloud.joins("B")
        lines = [json.dumps(a_set(name, value)) for name, value in (("☁ a", 1), ("☁ b", 2), ("☁ a", 3))]
        await cloud.send("A", "\n".join(lines).encode())
        told = await cloud.hears("B")
        if len(told) < 2:
            told += await cloud.hears("B")
        await cloud.settle()
        assert told + cloud.told("B") == [a_set("☁ a", 3), a_set("☁ b", 2)]
        assert cloud.told("A") == []

    run(scenario, cloud_batch_interval=0.02)


def test_changes_of_the_host_reach_players_and_the_bridge(tmp_path, capsys):
    file = str(tmp_path / "cloud.db")
    backup = tmp_path / "backup.json"
    backup.write_text('{"104":{"☁ a":1}}', encoding="utf-8")

    def vars_(*words):
        assert command_line(["vars", *words, "--file", file]) == 0
        return capsys.readouterr().out

    async def scenario(cloud):
        await asyncio.to_thread(vars_, "import", str(backup))
        await cloud.joins("A")
        assert cloud.told("A") == [a_set("☁ a", 1)]
        await cloud.connect("B")
        await cloud.say("B", cmd="setid", val="bob")
        await cloud.say("B", cmd="link", val="104")
        await cloud.settle()
        cloud.take("B")
        await asyncio.to_thread(vars_, "set", "104", "a", "99")
        assert await cloud.hears("A") == [a_set("☁ a", 99)]
        await cloud.settle()
        assert cloud.take("B") == ['{"cmd":"gvar","name":"☁ a","val":99,"rooms":"104"}']
        await asyncio.to_thread(vars_, "delete", "104", "a")
        await asyncio.to_thread(vars_, "set", "104", "b", "2")
        assert await cloud.hears("A") == [a_set("☁ b", 2)]
        await cloud.joins("C")
        assert cloud.told("C") == [a_set("☁ b", 2)]

    run(scenario, storage=file, cloud_bridge=True)


def test_variables_beyond_the_limit_of_a_project_are_not_sent(tmp_path):
    file = tmp_path / "cloud.db"
    backup = tmp_path / "backup.json"
    backup.write_text(json.dumps({"104": {f"☁ {number:03}": number for number in range(200)}}))

    async def scenario(cloud):
        await cloud.joins("A")
        words = ["vars", "import", str(backup), "--file", str(file)]
        assert await asyncio.to_thread(command_line, words) == 0
        told = []
        while len(told) < 128:
            told += await cloud.hears("A")
        await cloud.settle()
        told += cloud.told("A")
        assert told == [a_set(f"☁ {number:03}", number) for number in range(128)]
        await cloud.joins("B")
        assert sorted(packet["value"] for packet in cloud.told("B")) == list(range(128))

    run(scenario, storage=str(file))
    run(lambda cloud: _joins_and_is_told(cloud, 128), storage=str(file))
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("SELECT count(*) FROM variables").fetchone() == (200,)


async def _joins_and_is_told(cloud, count):
    await cloud.joins("A")
    assert len(cloud.told("A")) == count


# GET /cloud/<project id>.


async def get(port, path, method="GET"):
    reader, writer = await asyncio.open_connection(HOST, port)
    writer.write(f"{method} {path} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
    async with asyncio.timeout(TIME_LIMIT):
        answer = (await reader.read()).decode()
    writer.close()
    head, _, body = answer.partition("\r\n\r\n")
    return int(head.split()[1]), head.lower(), body


def test_a_project_can_be_shown_to_web_pages(tmp_path):
    odd = "☁ /../?a=1#\x00'; --"

    async def scenario(cloud):
        await cloud.joins("A")
        await cloud.joins("B", project=odd)
        await cloud.set("A", "☁ a", "007")
        await cloud.send("A", b'{"method":"set","name":"\\ud83d","value":1.50}')
        await cloud.send("A", b'{"method":"set","name":"null","value":1e300}')
        await cloud.set("B", '☁ "b"', -0.0)
        status, head, body = await get(cloud.port, "/cloud/104?x=1")
        assert status == 200
        assert "content-type: application/json" in head
        assert "access-control-allow-origin: *" in head
        assert body == '{"☁ a":"007","\\ud83d":1.50,"null":1e300}'
        status, head, nothing = await get(cloud.port, "/cloud/104", "HEAD")
        assert (status, nothing) == (200, "")
        assert f"content-length: {len(body.encode())}" in head
        assert json.loads((await get(cloud.port, f"/cloud/{quote(odd, safe='')}"))[2]) == {'☁ "b"': -0.0}
        for path in (
            "/cloud/105",
            "/cloud/",
            "/cloud",
            "/cloud/%ff",
            f"/cloud/{'x' * 3000}",
            "/cloud/../104",
        ):
            assert (await get(cloud.port, path))[0] == 404

    run(scenario, cloud_http=True, storage=str(tmp_path / "cloud.db"))


def test_a_stored_project_is_shown_though_nobody_plays_it(tmp_path):
    file = str(tmp_path / "cloud.db")

    async def before(cloud):
        await cloud.joins("A")
        await cloud.set("A", "☁ a", 1)

    async def after(cloud):
        assert (await get(cloud.port, "/cloud/104"))[2] == '{"☁ a":1}'

    run(before, storage=file)
    run(after, storage=file, cloud_http=True)


def test_projects_are_shown_only_if_the_host_wants_it():
    async def scenario(cloud):
        await cloud.joins("A")
        await cloud.set("A", "☁ a", 1)
        assert (await get(cloud.port, "/cloud/104"))[0] == 404

    run(scenario)


# Users.


def test_names_on_the_hosts_list_are_refused(tmp_path):
    file = tmp_path / "blocked.txt"
    file.write_text("# Troublemakers\nbad.*\n", encoding="utf-8")

    async def scenario(cloud):
        await cloud.joins("A", user="B-a_D1")
        assert cloud.closed("A")[0] == 4002
        await cloud.joins("B", user="good")
        assert cloud.closed("B") is None

    run(scenario, cloud_blocklist=str(file))


@pytest.mark.parametrize("anonymous", [True, False])
def test_guests_have_no_number_in_the_log(anonymous, caplog):
    caplog.set_level(logging.DEBUG, "cloudlink")

    async def scenario(cloud):
        await cloud.joins("A", user="player1234")
        await cloud.joins("B", user="x" * 20)
        for _ in range(20):
            await cloud.say("A", method="set", name="☁ a", value="no number")
        await cloud.settle()
        assert cloud.closed("A")[0] == 1008

    run(scenario, cloud_anonymous_guests=anonymous, packet_burst=10, packet_rate=1.0, flood_patience=0.0)
    assert ("player1234" in caplog.text) is not anonymous
    assert "player" in caplog.text
    assert "sends too much" in caplog.text
    assert "x" * 20 in caplog.text


# Plugins.


def test_plugins_handle_the_methods_of_the_protocol():
    heard = []

    async def scenario(cloud):
        server = cloud.server
        schema = scratch.schema
        failed = asyncio.Event()

        @server.on_command(cmd="set", schema=schema)
        async def changed(client, message):
            heard.append((client.username, message))

        @server.on_command(cmd="greet", schema=schema)
        async def greet(client, message):
            server.send_packet(client, a_set("☁ greeting", message["value"]))

        @server.on_command(cmd="create", schema=schema)
        async def fails(client, message):
            raise RuntimeError("on purpose")

        @server.on_exception(server.exceptions.InternalError, schema)
        async def internal(client, details):
            failed.set()

        @server.on_exception(server.exceptions.ValidationError, schema)
        async def invalid(client, details):
            heard.append(("invalid", details))

        @server.on_protocol_disconnect(schema)
        async def left(client):
            heard.append(("left", client.username))

        server.disable_command("delete", schema)

        await cloud.joins("A", user="alice")
        await cloud.joins("B", user="bob")
        await cloud.set("A", "☁ a", "1")
        assert cloud.told("B") == [a_set("☁ a", "1")]
        await cloud.say("A", method="greet", value="7")
        assert await cloud.hears("A") == [a_set("☁ greeting", "7")]
        await cloud.say("A", method="create", name="☁ b", value=2)
        async with asyncio.timeout(TIME_LIMIT):
            await failed.wait()
        await cloud.settle()
        assert cloud.told("B") == [a_set("☁ b", 2)], "the plugin's failure harms nobody"
        await cloud.say("A", method="delete", name="☁ a")
        await cloud.settle()
        assert cloud.closed("A") is None
        await cloud.say("A", method="handshake", project_id="104", user="again")
        await cloud.settle()
        assert cloud.closed("A")[0] == 4000
        cloud.present.discard("A")
        assert heard == [
            ("alice", a_set("☁ a", "1")),
            ("invalid", {"": ["The handshake was done before"]}),
            ("left", "alice"),
        ]

    run(scenario)


def test_plugins_are_shown_only_what_took_effect():
    heard = []

    async def scenario(cloud):
        @cloud.server.on_message
        async def anything(client, message):
            heard.append(message["method"])

        @cloud.server.on_command(cmd="set", schema=scratch.schema)
        async def changed(client, message):
            heard.append(message["name"])

        await cloud.joins("A")
        for name, value in (("☁ a", "text"), ("☁ b", None), (5, 1), ("x" * 1025, 1)):
            await cloud.set("A", name, value)
        await cloud.say("A", method="rename", name="☁ a", new_name="☁ b")
        await cloud.set("A", "☁ c", 1)
        await cloud.send("A", b'{"method":"set","name":"x","value":1,"n":1e400,"pad":"%b"}' % (b"x" * 70_000))
        await cloud.settle()
        assert cloud.closed("A")[0] == 4000, "nobody can be shown what cannot be decoded"
        cloud.present.discard("A")
        assert heard == ["handshake", "☁ c", "set"]

    run(scenario)


def test_a_plugin_may_close_a_project():
    async def scenario(cloud):
        @cloud.server.on_command(cmd="handshake", schema=scratch.schema)
        async def arrived(client, message):
            if message["project_id"] == "666":
                await client.close(4004, "This project is not played here")

        await cloud.joins("A")
        await cloud.joins("B", project="666")
        assert cloud.closed("B") == (4004, "This project is not played here")
        assert cloud.closed("A") is None
        cloud.present.discard("B")

    run(scenario)


def test_plugins_see_the_rules_of_the_protocol():
    server = build()
    schema = scratch.schema
    right = {"method": "set", "name": "☁ a", "value": "1"}
    for packet, rules in (
        (right, schema.set),
        (right | {"value": 1.5}, schema.set),
        ({"method": "handshake", "project_id": 1, "user": "x"}, schema.handshake),
        ({"method": "rename", "name": "a", "new_name": "b"}, schema.rename),
        ({"method": "delete", "name": "a"}, schema.delete),
    ):
        assert server.validator(rules, allow_unknown=True).validate(packet), packet
    for packet, rules in (
        (right | {"value": None}, schema.set),
        (right | {"name": 5}, schema.set),
        ({"method": "handshake", "project_id": 1, "user": "x" * 21}, schema.handshake),
        ({"method": 5}, schema.default),
    ):
        assert not server.validator(rules, allow_unknown=True).validate(packet), packet
