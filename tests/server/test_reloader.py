"""Reading the settings again while the server runs: each acts as it says, and a mistake changes nothing."""

import asyncio
import logging
import signal
import subprocess
import sys
from contextlib import contextmanager

import pytest

from cloudlink import sources
from cloudlink.cli import logs
from cloudlink.errors import StartError
from cloudlink.server.protocols.clpv4.schema import Schema
from cloudlink.server.protocols.scratch.schema import Schema as ScratchSchema
from cloudlink.storage import open_store
from tests.support.memoryclients import MemoryClient, codes, named, turns
from tests.support.rawclients import UPGRADE, ask, connect, request, running
from tests.support.servers import build, listening

PING = {"cmd": "ping", "listener": "p"}


class Reloadable:
    """A server whose settings come from a file that a test rewrites."""

    def __init__(self, folder):
        self.file = folder / "cloudlink.toml"
        self.write("")
        self.server = build()
        # `build` sets values by code, which would win over the file.
        self.server.settings.origins.update(dict.fromkeys(self.server.settings.origins, "default"))
        self.server.reloader.source = self.read

    def write(self, text):
        self.file.write_text('storage = ""\nadmin_storage = ""\n' + text, encoding="utf-8")

    def read(self):
        return sources.load(toml=self.file, environ={}, flags={})

    def reload(self, text):
        self.write(text)
        return self.server.reload()


@pytest.fixture
def host(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    return Reloadable(tmp_path)


def greeting(server):
    return [packet["cmd"] for packet in MemoryClient(server).ask({"cmd": "handshake"})]


def test_the_log_says_what_has_changed(host, caplog):
    host.reload('motd = "hi"\nmetrics_token = "s3cret"\nport = 1')
    assert [record.message for record in caplog.records] == [
        'The settings were read again: changed: motd ("" → "hi"), metrics_token; only a restart changes port.'
    ]


def test_a_mistake_changes_nothing_and_is_logged_in_one_sentence(host, caplog):
    host.write('motd = "hi"\nmax_clients = 0')
    with pytest.raises(StartError, match="max_clients"):
        host.server.reload()
    host.server.reloader.reload_or_log()
    assert host.server.settings.motd == ""
    (record,) = caplog.records
    assert record.levelname == "ERROR"
    assert "nothing has changed" in record.message
    assert "max_clients" in record.message


def test_a_server_without_a_source_reads_its_other_files_only(caplog):
    caplog.set_level(logging.INFO)
    assert build({"motd": "by code"}).reload().shown() == {"changed": {}, "needs_restart": []}
    assert "nothing has changed" in caplog.text


def test_the_message_of_the_day_appears_and_goes(host):
    assert "motd" not in greeting(host.server)
    host.reload('motd = "hi"')
    assert "motd" in greeting(host.server)
    host.reload("")
    assert "motd" not in greeting(host.server)


def test_a_programs_choice_about_the_message_of_the_day_stays():
    server = build()
    server.settings.set("motd", "set by code")
    assert "motd" not in greeting(server)


def test_commands_are_disabled_and_enabled_again(host):
    mia = named(host.server, "mia")
    host.server.disable_command("gvar", Schema)  # by a plugin, which the setting does not undo
    host.reload('disabled_commands = ["ping", "gmsg"]')
    assert codes(mia.ask(PING)) == [110]
    host.reload('disabled_commands = ["gmsg"]')
    assert codes(mia.ask(PING)) == [100]
    commands = host.server.hooks.commands[Schema]
    assert {name for name, command in commands.items() if command.disabled} == {"gmsg", "gvar"}


def test_an_unknown_disabled_command_is_doubted(host, caplog):
    host.reload('disabled_commands = ["gmgs"]')
    assert "does not exist; did you mean gmsg?" in caplog.text


def test_limits_act_on_connected_clients_and_keep_their_buckets(host):
    mia = named(host.server, "mia")
    mia.say(*[PING] * 20)
    host.reload("packet_burst = 10\npacket_rate = 0.001")
    assert 106 not in codes(mia.ask(PING))
    assert codes(mia.ask(*[PING] * 30)).count(100) <= 10


def test_the_blocklist_is_read_again_even_under_the_same_name(host, tmp_path):
    blocked = tmp_path / "blocked.txt"
    blocked.write_text("eve\n")

    def is_let_in(name):
        player = MemoryClient(host.server, {"method": "handshake", "project_id": "1", "user": name})
        return player.closed is None

    line = f'cloud_blocklist = "{blocked.as_posix()}"'
    assert is_let_in("eve")
    host.reload(line)
    assert not is_let_in("eve")
    blocked.write_text("mallory\n")
    assert host.reload(line).shown()["changed"] == {}
    assert is_let_in("eve")
    assert not is_let_in("mallory")
    blocked.write_text("(\n")
    with pytest.raises(StartError, match="Line 1"):
        host.reload(f'{line}\nmotd = "hi"')
    assert host.server.settings.motd == ""
    assert not is_let_in("mallory")


def test_storage_limits_reach_the_stores(tmp_path):
    store = open_store(str(tmp_path / "cloud.db"), max_size=1 << 20, keep_days=1)
    store.limit(65_536, 2)
    assert (store._max_size, store._keep_days) == (65_536, 2)
    store.close()
    server = build()
    (projects,) = [
        engine.projects for schema, engine in server.hooks.engines.items() if schema is ScratchSchema
    ]
    limits = []
    projects.store.limit = lambda *given: limits.append(given)
    server.settings.set("storage_max_size", 70_000)
    server.settings.set("storage_keep_days", 3)
    server.settings.set("storage_bytes_per_hour", 65_536)
    assert limits[:2] == [(70_000, 0.0), (70_000, 3.0)]
    assert projects._budgets._bytes_per_hour == 65_536


def test_a_smaller_file_limit_acts_on_what_is_written_next(tmp_path):
    async def scenario():
        store = open_store(str(tmp_path / "cloud.db"), max_size=1 << 30)
        store.start(asyncio.get_running_loop().call_soon_threadsafe)
        store.save("1", "a", b"1")
        while store.condition.waiting:
            await turns()
        store.limit(1, 0)
        store.save("2", "b", b'"' + b"x" * 5000 + b'"')
        while store.condition.waiting:
            await turns()
        store.close()

    asyncio.run(scenario())
    again = open_store(str(tmp_path / "cloud.db"))
    assert (again.load("1"), again.load("2")) == ({"a": b"1"}, {})
    again.close()


def test_proxies_and_origins_act_on_new_connections(host):
    async def scenario():
        async with running(host.server) as server:
            port = server.port
            await connect(port, UPGRADE | {"X-Forwarded-For": "203.0.113.7"})
            host.reload(
                'real_ip_header = "X-Forwarded-For"\ntrusted_proxies = ["127.0.0.1"]\n'
                'allowed_origins = ["https://games.example"]\nmax_message_size = 2048'
            )
            await connect(
                port, UPGRADE | {"X-Forwarded-For": "203.0.113.7", "Origin": "https://games.example"}
            )
            refused = await ask(port, request(UPGRADE | {"Origin": "https://other.example"}))
            return sorted(client.address for client in host.server.clients_manager), refused

    addresses, refused = asyncio.run(scenario())
    assert addresses == ["127.0.0.1", "203.0.113.7"]
    assert refused.startswith("HTTP/1.1 403")


def test_the_cloud_counts_by_the_new_proxies(host):
    async def scenario():
        async with listening(host.server):
            engine = host.server.hooks.engines[ScratchSchema]
            client = MemoryClient(host.server, address="10.0.0.1").client
            before = engine._address_of(client)
            host.reload('real_ip_header = "X-Forwarded-For"\ntrusted_proxies = ["10.0.0.1"]')
            return before, engine._address_of(client)

    assert asyncio.run(scenario()) == ("10.0.0.1", None)


def test_plugins_are_told_when_their_sections_change(host):
    heard = []

    @host.server.on_reload
    def told():
        heard.append(dict(host.server.plugin_settings("greeter")))

    @host.server.on_reload
    async def told_later():
        heard.append("later")

    @host.server.on_reload
    def fail():
        raise LookupError

    async def scenario():
        async with listening(host.server):
            host.reload('motd = "hi"')
            assert heard == []
            host.reload('[plugin.greeter]\ngreeting = "Hello"')
            await asyncio.sleep(0)
            host.reload("")
            await asyncio.sleep(0)

    asyncio.run(scenario())
    assert heard == [{"greeting": "Hello"}, "later", {}, "later"]
    assert host.server.counters.plugin_errors == 2


@contextmanager
def root_logger():
    root = logging.getLogger()
    level, handlers = root.level, root.handlers[:]
    try:
        yield root
    finally:
        root.setLevel(level)
        root.handlers[:] = handlers


def test_the_log_follows_its_settings(capsys):
    settings = build().settings
    with root_logger() as root:
        logs.set_up(settings)
        settings.set("log_level", "warning")
        logging.getLogger("cloudlink.test").info("not shown")
        settings.set("log_format", "json")
        logging.getLogger("cloudlink.test").warning("shown")
        assert len(root.handlers) == 1
    lines = capsys.readouterr().err.splitlines()
    assert ['"message": "shown"' in line for line in lines] == [True]


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="Windows has no SIGHUP")
def test_a_signal_reloads_a_server_without_a_terminal(tmp_path):
    file = tmp_path / "cloudlink.toml"
    file.write_text('port = 0\nstorage = ""\nadmin = "off"\nadmin_storage = ""\n')
    program = [sys.executable, "-m", "cloudlink", "serve", "--max-clients", "3"]
    with subprocess.Popen(
        program, cwd=tmp_path, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            until(process, "CloudLink is running")
            file.write_text(file.read_text() + 'motd = "hi"\nmax_clients = 5\n')
            process.send_signal(signal.SIGHUP)
            assert 'motd ("" → "hi")' in until(process, "read again")
            file.write_text("nonsense")
            process.send_signal(signal.SIGHUP)
            assert "line 1" in until(process, "not read again")
            file.unlink()
            process.send_signal(signal.SIGHUP)
            assert 'motd ("hi" → "")' in until(process, "read again")
        finally:
            process.terminate()
            process.stderr.read()


def until(process, words):
    for line in process.stderr:
        if words in line:
            return line
    raise AssertionError(f"the server ended before it said {words!r}")
