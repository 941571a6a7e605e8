"""`cloudlink migrate` names every line of old scripts that has to change, and no other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cloudlink.cli import main, migration
from cloudlink.client.classic_removed import REMOVED as OF_CLIENT
from cloudlink.removed import REMOVED
from cloudlink.server.compat import SUCCESSORS

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "migrating.md"

SERVER_018 = """\
from cloudlink import Cloudlink

class Commands:
    def __init__(self, cloudlink):
        self.cloudlink = cloudlink

    async def foo(self, client, message, listener_detected, listener_id, room_id):
        await self.cloudlink.sendCode(client, "OK", listener_detected, listener_id)

cl = Cloudlink()
server = cl.server(logs=True)
server.setMOTD(True, "hi")
server.loadCustomCommands(Commands)
server.run(host="127.0.0.1", port=3000)
"""
SERVER_019 = """\
from cloudlink import cloudlink

class Main:
    def __init__(self):
        self.server = cloudlink().server(logs=True)
        self.server.bind_event(self.server.events.on_connect, self.connected)
        print(self.server.clients.get_all_usernames())
        self.server.run(ip="localhost", port=3000)

    async def connected(self, client):
        await self.server.send_packet_unicast(client, "direct", "hello")
        print(client.id)
"""
CLIENT_017 = """\
from cloudlink import CloudLink
cl = CloudLink()
cl.callback("on_packet", print)
cl.client("ws://127.0.0.1:3000/")
cl.sendPacket({"cmd": "setid", "val": "bot"})
"""
SERVER_017 = """\
import cloudlink.cloudlink
from cloudlink import cloudlink as c
from cloudlink.cloudlink import CloudLink
cl = CloudLink()
cl.server("127.0.0.1", 3000)
"""
CLIENT_019 = """\
import cloudlink
cl = cloudlink.cloudlink()
client = cl.client(logs=True)
async def connected(client):
    await client.send_gmsg("hello")
client.bind_event(client.events.on_connect, connected)
client.run()
"""
SCRIPT_020 = """\
from cloudlink import server
from cloudlink.server.protocols.clpv4.clpv4 import clpv4
server = server()
clpv4 = clpv4(server)
@server.on_connect
async def hello(client):
    await server.execute_unicast(client, {"cmd": "direct", "val": client.rooms})
server.run()
"""
CLIENT_020 = """\
from cloudlink import client
bot = client()
@bot.on_connect
async def connected():
    bot.send_packet({"cmd": "gmsg", "val": "hi"})
    print(bot.command_handlers)
bot.run(host="ws://127.0.0.1:3000/")
"""


def found(source):
    return [(finding.line, finding.name) for finding in migration.read(source).findings]


@pytest.mark.parametrize(
    ("source", "kind", "expected"),
    [
        (
            SERVER_018,
            "a server script for CloudLink 0.1.8",
            [
                *((1, "cloudlink.Cloudlink"), (8, "sendCode"), (10, "Cloudlink"), (11, "cl.server")),
                *((12, "setMOTD"), (13, "loadCustomCommands"), (14, "run")),
            ],
        ),
        (
            SERVER_019,
            "a server script for CloudLink 0.1.9",
            [
                *((1, "cloudlink.cloudlink"), (5, "cloudlink"), (5, "cloudlink().server")),
                *((6, "bind_event"), (7, "get_all_usernames"), (11, "send_packet_unicast")),
            ],
        ),
        (
            CLIENT_017,
            "a client script for CloudLink 0.1.7",
            [(1, "cloudlink.CloudLink"), (2, "CloudLink"), (3, "callback"), (4, "client"), (5, "sendPacket")],
        ),
        (
            SERVER_017,
            "a server script for CloudLink 0.1.7",
            [
                *((1, "cloudlink.cloudlink"), (2, "cloudlink.cloudlink"), (3, "cloudlink.CloudLink")),
                *((4, "CloudLink"), (5, "server")),
            ],
        ),
        (
            CLIENT_019,
            "a client script for CloudLink 0.1.9",
            [
                *((2, "cloudlink.cloudlink"), (3, "cl.client"), (5, "send_gmsg"), (6, "bind_event")),
                (7, "run"),
            ],
        ),
        (
            SCRIPT_020,
            "a server script for CloudLink 0.2.0 or newer",
            [(2, "cloudlink.server.protocols.clpv4.clpv4"), (7, "execute_unicast")],
        ),
        (CLIENT_020, "a client script for CloudLink 0.2.0 or newer", [(6, "command_handlers")]),
    ],
)
def test_the_lines_to_change(source, kind, expected):
    report = migration.read(source)
    assert report.kind == kind
    assert [finding for finding in found(source) if finding not in expected] == []
    assert sorted(set(expected) - set(found(source))) == []


def scripts_that_run():
    """Every script of this repository that is written for 0.2.0 or this version."""
    pages = [*(ROOT / "docs").glob("*.md"), ROOT / "README.md"]
    blocks = [
        block
        for page in pages
        for block in re.findall(
            r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
        )
    ]
    files = [*(ROOT / "examples").rglob("*.py"), *(ROOT / "tests" / "plugins_upstream").glob("*.py")]
    return blocks + [file.read_text(encoding="utf-8") for file in files]


def test_nothing_is_found_in_scripts_that_run():
    sources = scripts_that_run()
    assert len(sources) > 50
    assert [source for source in sources if found(source)] == []


def test_a_plugin_may_use_names_that_are_gone():
    source = "def plugin(server, protocol):\n    print(server.on_connect_events)\n"
    assert found(source) == [(2, "on_connect_events")]
    assert migration.read(source).kind == "a plugin, or not a script for CloudLink"


def test_other_libraries_are_left_alone():
    source = "from game import Cloudlink\ncl = Cloudlink()\ncl.setMOTD('x')\nimport os\nos.stop()\n"
    assert found(source) == []


@pytest.mark.parametrize("name", REMOVED)
def test_every_removed_module_is_found(name):
    package, _, last = f"cloudlink.{name}".rpartition(".")
    sources = [f"import cloudlink.{name}", f"from cloudlink.{name} import x"]
    if name not in ("server.server", "client.client"):  # classes of these names can be imported
        sources.append(f"from {package} import {last}")
    for source in sources:
        assert (1, f"cloudlink.{name}") in found(source), source


@pytest.mark.parametrize(("role", "names"), [("server", SUCCESSORS), ("client", OF_CLIENT)])
def test_every_removed_attribute_is_found(role, names):
    source = f"from cloudlink import {role}\nx = {role}()\n" + "\n".join(f"x.{name}" for name in names)
    assert [name for _, name in found(source)] == list(names)


def test_every_method_in_the_tables_of_the_page_is_known():
    page = PAGE.read_text(encoding="utf-8").partition("## Scripts of 0.1.x")[2]
    known = {name for members in migration._MEMBERS.values() for name in members}
    known |= {name for _, name in migration._MADE} | {"multi_client"}
    rows = re.findall(r"^\| ([^|]*) \| ([^|]*) \| ([^|]*) \| [^|]* \|$", page, re.MULTILINE)
    old = [code for row in rows for cell in row for code in re.findall(r"`([^`]+)`", cell)]
    assert len(old) > 30
    heads = {re.split(r"[(]", re.sub(r"^\w+\(\)\.|^clients\.", "", code))[0] for code in old}
    assert sorted(heads - known) == []


@pytest.fixture
def run(capsys, tmp_path, monkeypatch):
    """Writes files, runs `cloudlink migrate` on them, and returns its status, output and error output."""
    monkeypatch.chdir(tmp_path)

    def run(**files):
        for name, text in files.items():
            Path(f"{name}.py").write_bytes(text if isinstance(text, bytes) else text.encode())
        status = main(["migrate", *(f"{name}.py" for name in files)])
        return (status, *capsys.readouterr())

    return run


def test_the_command_prints_a_line_for_each_change_and_one_for_each_file(run):
    status, out, err = run(old=CLIENT_017, new="from cloudlink import server\nserver().run()\n")
    assert (status, err) == (1, "")
    lines = out.splitlines()
    assert lines[2].startswith("old.py:3: instead of callback: `async for event in c:`")
    assert lines[5:] == [
        "old.py is a client script for CloudLink 0.1.7: 5 changes; docs/migrating.md has whole scripts to compare with.",
        "new.py is a server script for CloudLink 0.2.0 or newer: nothing to change.",
    ]


def test_the_page_shows_what_is_printed(run):
    script = (
        "from cloudlink import Cloudlink\n\ncl = Cloudlink()\nserver = cl.server()\n"
        "server.disableCommands(['gmsg'])\nserver.run(3000, '127.0.0.1')\n"
    )
    [block] = re.findall(
        r"^```console\n\$.*?\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )
    assert run(my_server=script)[1] == block


def test_a_script_is_never_run(run, tmp_path):
    assert run(bomb="from cloudlink import server\nopen('harm', 'w')\n")[0] == 0
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "import os\nprint 'hello'\n",
            r"bad\.py is not Python 3 \(line 2\): .*; if it was written for Python 2, convert it first\.",
        ),
        (b"\xff\xfe\x00", r"bad\.py is not Python 3.*"),
        (b"x = 1\x00", r"bad\.py is not (Python 3|a Python script).*"),
    ],
)
def test_what_cannot_be_read_is_explained(run, text, sentence):
    status, out, err = run(bad=text)
    assert (status, out) == (1, "")
    assert re.fullmatch(f"cloudlink: {sentence}\n", err)


def test_a_missing_file_is_named(capsys):
    assert main(["migrate", "/no/such.py"]) == 1
    assert capsys.readouterr().err == "cloudlink: Cannot read /no/such.py: No such file or directory.\n"
