"""The documentation is correct: its plugins run, its conversations happen, its commands are understood, its links
lead somewhere, and it leaves no part of the plugin API out.

Fenced blocks and what is done with them:

| block | |
|---|---|
| `wire` | a whole scenario in the format of `conversation.py`, played in memory; with `only: socket`, or with a script \
as its plugin, through TCP. A `plugin:` line names a block of the same page |
| `python`, first line `# plugins/name.py` | a whole plugin; the server's own loader must take it |
| `python`, first line `# test_name.py` | tests of the plugins of that page; each function `test_…` is called |
| `python`, first line `# name.py` | a script; it is run, with `Server.run` replaced. Those of `client.md` are \
clients, run by `tests/client/test_page.py` |
| `python`, anything else | must be Python |
| `toml`, first line `# cloudlink.toml` | a settings file |
| `sh` | lines that call `cloudlink` must be understood; nothing is started |

In `plugin-reference.md`, the tables under the heading of a class list all its public names, each in the first column, methods
with their parameters; names that plugins should not use stand in a paragraph that begins "Not for plugins".
"""

from __future__ import annotations

import ast
import asyncio
import errno
import functools
import inspect
import logging
import re
import runpy
import shlex
import textwrap
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cloudlink import cli
from cloudlink.addresses import RealAddress
from cloudlink.cli.flags import settings_from
from cloudlink.server import Server
from cloudlink.server.clients import ClientsExceptions
from cloudlink.server.plugins import ENTRY_POINT_GROUP, load_all
from cloudlink.server.rooms import RoomsExceptions
from cloudlink.settings import OPTIONS, Settings
from cloudlink.sources import load
from cloudlink.storage import open_store
from cloudlink.testing import MemoryClient, MemoryServer
from cloudlink.testing import connection as testing_connection
from cloudlink.transport.detector import ProtocolDetector
from cloudlink.transport.limiter import ConnectionLimiter
from cloudlink.transport.listening import explain
from cloudlink.transport.lobby import NoLobby
from tests.support.memoryclients import MemoryConnection
from tests.support.scenario_drivers import InMemory, OverSocket
from tests.support.scenario_play import play
from tests.support.scenarios import SCENARIOS, parse
from tests.support.servers import HOST, build, listening, protocol_of

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *sorted(DOCS.glob("*.md"))]
CLIENT = DOCS / "client.md"
GETTING_STARTED = DOCS / "getting-started.md"
FIRST_GAME = DOCS / "first-game.md"
PLUGINS = DOCS / "plugins.md"
PLUGIN_REFERENCE = DOCS / "plugin-reference.md"
PROTOCOL = DOCS / "protocol.md"


# The pages.


@dataclass(frozen=True)
class Block:
    """A fenced block: its page, the line of its opening fence, its language, its text."""

    page: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.name}, line {self.line}"

    @property
    def file(self) -> str:
        """The name in a first line `# name.py`; empty without one."""
        match = re.match(r"# (\S+\.\w+)\n", self.text)
        return match[1] if match else ""


def _blocks(page: Path) -> Iterator[Block]:
    start, language, lines = 0, None, []
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        fence = re.match(r" *```(\w*)$", line)
        if fence and language is None:
            start, language, lines = number, fence[1], []
        elif fence:
            yield Block(page, start, language, textwrap.dedent("\n".join(lines)) + "\n")
            language = None
        elif language is not None:
            lines.append(line)
    assert language is None, f"{page.name}: the block of line {start} does not end"


def prose(page: Path) -> str:
    """A page without its blocks."""
    return re.sub(r"^ *```.*?^ *```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def section(page: Path, heading: str) -> str:
    """The prose under a `##` heading."""
    found = re.search(rf"^## {re.escape(heading)}$(.*?)(?=^## |\Z)", prose(page), re.DOTALL | re.MULTILINE)
    assert found, f"{page.name} has no section {heading!r}"
    return found[1]


def one_line(text: str) -> str:
    return " ".join(text.split())


BLOCKS = [block for page in PAGES for block in _blocks(page)]


def blocks(language: str) -> list[Block]:
    return [block for block in BLOCKS if block.language == language]


def each(chosen: list[Block]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("block", chosen, ids=str)


# Plugins and scripts.


def is_plugin(block: Block) -> bool:
    return block.file.startswith("plugins/")


def is_test(block: Block) -> bool:
    return block.file.startswith("test_")


def is_script(block: Block) -> bool:
    return block.file.endswith(".py") and not (is_plugin(block) or is_test(block)) and block.page != CLIENT


def start_plugin(block: Block, folder: Path, server: Server) -> list[object]:
    """Start a plugin as `cloudlink serve` does, with the settings of plugins that its page shows."""
    for table in blocks("toml"):
        if table.page == block.page and "[plugin." in table.text:
            server.settings.set("plugin", tomllib.loads(table.text)["plugin"])
    file = folder / Path(block.file).name
    file.write_text(block.text, encoding="utf-8")
    server.settings.set("plugins", [str(file)])
    server.settings.set("plugins_folder", "")
    return load_all(server, protocol_of(server), server.settings, server.logger)


def run_script(block: Block, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Server:
    """Run a script up to its `server.run()`, and return its server."""
    running: list[Server] = []
    monkeypatch.setattr(Server, "run", lambda self, *_: running.append(self))
    file = folder / block.file
    file.write_text(block.text, encoding="utf-8")
    runpy.run_path(str(file))
    assert len(running) == 1, "the script should end in server.run()"
    return running[0]


PYTHON = blocks("python")


@each([block for block in PYTHON if is_plugin(block)])
def test_plugin_loads(block, tmp_path):
    server = build()
    started = start_plugin(block, tmp_path, server)
    assert len(started) == 1


@each([block for block in PYTHON if is_script(block)])
def test_script_runs(block, tmp_path, monkeypatch):
    assert isinstance(run_script(block, tmp_path, monkeypatch), Server)


@each([block for block in PYTHON if is_test(block)])
def test_tests_pass(block, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("plugins").mkdir()
    for plugin in PYTHON:
        if plugin.page == block.page and is_plugin(plugin):
            Path(plugin.file).write_text(plugin.text, encoding="utf-8")
    Path(block.file).write_text(block.text, encoding="utf-8")
    functions = [value for name, value in runpy.run_path(block.file).items() if name.startswith("test_")]
    assert len(functions) == 1
    functions[0]()


def test_first_script_has_a_log(tmp_path, monkeypatch):
    levels = []
    monkeypatch.setattr(logging, "basicConfig", lambda **options: levels.append(options["level"]))
    run_script(next(block for block in PYTHON if is_script(block)), tmp_path, monkeypatch)
    assert levels == [logging.INFO]


@each(PYTHON)
def test_python_is_python(block):
    ast.parse(block.text)


def test_every_plugin_has_its_own_name():
    names = [block.file for block in PYTHON if block.page in (PLUGINS, PLUGIN_REFERENCE) and block.file]
    assert sorted(set(names)) == sorted(names)


@pytest.mark.parametrize("page", [PLUGINS, FIRST_GAME], ids=lambda page: page.name)
def test_log_line_of_first_plugin(page, tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    first = next(block for block in PYTHON if block.page == page and is_plugin(block))
    file = Path(first.file)
    file.parent.mkdir()
    file.write_text(first.text, encoding="utf-8")
    server = build()
    with caplog.at_level(logging.INFO):
        load_all(server, protocol_of(server), server.settings, server.logger)
    assert [f"`{message}`" in prose(page) for message in caplog.messages] == [True]


# Conversations.


def scenario_of(block: Block, folder: Path):
    """The scenario of a block, with lines counted as in its page, and the blocks of its plugins."""
    head = f"# {block}\n" + "#\n" * (block.line - 2) + "upstream: cannot, it is an example\n"
    file = folder / "block.txt"
    file.write_text(head + block.text, encoding="utf-8")
    scenario = parse(file)
    scenario.path = SCENARIOS / f"{block}.txt"
    known = {Path(python.file).name: python for python in PYTHON if python.page == block.page}
    return scenario, [known[name] for name in scenario.plugins]


@each(blocks("wire"))
def test_conversation_happens(block, tmp_path, monkeypatch):
    scenario, plugins = scenario_of(block, tmp_path)
    scripts = [plugin for plugin in plugins if is_script(plugin)]
    server = run_script(scripts[0], tmp_path, monkeypatch) if scripts else build(scenario.settings)

    async def main():
        kept = [start_plugin(plugin, tmp_path, server) for plugin in plugins if is_plugin(plugin)]
        assert len(kept) + len(scripts) == len(plugins)
        if not scripts and scenario.only != "socket":
            await play(scenario, InMemory(server))
            return
        async with listening(server) as port:
            driver = OverSocket(HOST, port)
            await play(scenario, driver)
            await driver.leave_all()

    asyncio.run(main())


@each(blocks("wire"))
def test_conversation_says_where_it_starts(block):
    head = block.text.partition("\n\n")[0].splitlines()
    assert [line for line in head if line.startswith("given: ")] == head[-1:]


def test_wrong_conversation_is_noticed(tmp_path):
    block = Block(PROTOCOL, 10, "wire", 'given: A handshaken\n\nA > {"cmd":"ping"}\nsilence\n')
    scenario, _ = scenario_of(block, tmp_path)
    with pytest.raises(AssertionError, match=r"protocol\.md, line 10, step at line 13"):
        asyncio.run(play(scenario, InMemory(build())))


# The plugin API.


def _public(obj: object) -> set[str]:
    return {name for name in dir(obj) if not name.startswith("_")}


@functools.cache
def _objects() -> dict[str, object]:
    """One object of each class, by the heading that describes it in plugin-reference.md."""
    server = build()
    protocol = protocol_of(server)
    memory, connection = MemoryServer({}), testing_connection.MemoryConnection("/", {}, "")
    return {
        "The server": server,
        "Exceptions": server.exceptions,
        "The client": server.open_session(MemoryConnection()).client,
        "The clients manager": server.clients_manager,
        "The rooms manager": server.rooms_manager,
        "CloudLink 4": protocol,
        "Status codes": protocol.statuscodes,
        "Checking packets": protocol.schema,
        "The server in memory": memory,
        "A client in memory": MemoryClient(memory.server.open_session(connection), connection, []),
    }


def api(heading: str) -> tuple[object, set[str]]:
    """The object that a heading describes, and its public names."""
    obj = _objects()[heading]
    names = _public(obj)
    if isinstance(obj, Server):
        names |= obj._LAZY.keys()
    return obj, names


HEADINGS = pytest.mark.parametrize(
    "heading",
    [
        "The server",
        "Exceptions",
        "The client",
        "The clients manager",
        "The rooms manager",
        "CloudLink 4",
        "Status codes",
        "Checking packets",
        "The server in memory",
        "A client in memory",
    ],
)


def rows(text: str) -> list[tuple[str, str]]:
    """First column and the rest of every table row."""
    return re.findall(r"^\| (`.*?) \|(.*)\|$", text, re.MULTILINE)


def listed(text: str) -> dict[str, tuple[list[str] | None, str]]:
    """The names in the first columns of the tables: their parameters, None without parentheses, and the row's text."""
    found = {}
    for names, meaning in rows(text):
        for name, parameters in re.findall(r"`(\w+)(\([^)`]*\))?`", names):
            assert name not in found, f"{name} is listed twice"
            found[name] = (re.findall(r"\w+", parameters) if parameters else None, meaning)
    return found


def internal(text: str) -> set[str]:
    return {
        name
        for paragraph in re.findall(r"^Not for plugins, .*?(?=\n\n|\Z)", text, re.DOTALL | re.MULTILINE)
        for name in re.findall(r"`(\w+)`", paragraph)
    }


@HEADINGS
def test_api_is_documented(heading):
    _, names = api(heading)
    text = section(PLUGIN_REFERENCE, heading)
    documented, hidden = listed(text).keys(), internal(text)
    assert not documented & hidden
    assert sorted(documented | hidden) == sorted(names)


@HEADINGS
def test_parameters_are_right(heading):
    obj, _ = api(heading)
    for name, (parameters, _) in listed(section(PLUGIN_REFERENCE, heading)).items():
        value = getattr(obj, name)
        if parameters is None:
            assert not inspect.ismethod(value), f"{name} takes parameters"
        else:
            assert parameters == list(inspect.signature(value).parameters), name


@HEADINGS
def test_rows_say_what_is_to_be_awaited(heading):
    obj, _ = api(heading)
    for name, (_, meaning) in listed(section(PLUGIN_REFERENCE, heading)).items():
        says_so = "`await` it" in meaning or meaning.startswith(" coroutine")
        assert says_so == inspect.iscoroutinefunction(getattr(obj, name)), name


@pytest.mark.parametrize(
    ("heading", "exceptions"),
    [("The clients manager", ClientsExceptions), ("The rooms manager", RoomsExceptions)],
    ids=["clients", "rooms"],
)
def test_exceptions_of_managers_are_documented(heading, exceptions):
    _, meaning = listed(section(PLUGIN_REFERENCE, heading))["exceptions"]
    assert set(re.findall(r"`(\w+)`", meaning)) == _public(exceptions)


def is_code(name, value):
    """Whether a member of the status codes is one; Python 3.13 has tuples of its own in every class."""
    return isinstance(value, tuple) and not name.startswith("_")


def test_status_codes_are_as_the_tables_say():
    codes = api("Status codes")[0]
    for page, heading in ((PLUGIN_REFERENCE, "Status codes"), (PROTOCOL, "1 CloudLink 4")):
        texts = re.findall(r"`([IE]:\d+) \\\| ([\w ]+)`", section(page, heading))
        known = [codes.generate(value)[0] for name, value in vars(codes).items() if is_code(name, value)]
        assert [f"{start} | {text}" for start, text in texts if start][: len(known)] == known


def test_events_are_all_in_the_list_of_events():
    _, names = api("The server")
    events = {name for name in names if name.startswith("on_")}
    assert set(re.findall(r"^\| `(on_\w+)` →", section(PLUGINS, "Events"), re.MULTILINE)) == events


def test_entry_point_of_the_example():
    tables = [tomllib.loads(block.text) for block in blocks("toml") if "entry-points" in block.text]
    assert [list(table["project"]["entry-points"]) for table in tables] == [[ENTRY_POINT_GROUP]]


# Commands, settings, messages.


def _commands() -> list[object]:
    """Every line of an `sh` block that calls `cloudlink`, with the variables it sets."""
    found = []
    for block in blocks("sh"):
        for number, line in enumerate(block.text.splitlines(), block.line + 1):
            words = shlex.split(line, comments=True)
            variables = {}
            while words and re.match(r"[A-Z_]+=", words[0]):
                name, _, variables[name] = words.pop(0).partition("=")
            if words[:3] in (["python", "-m", "cloudlink"], ["python3", "-m", "cloudlink"]):
                words = ["cloudlink", *words[3:]]
            if words[:2] == ["make", "serve"]:
                arguments = [word.removeprefix("ARGS=") for word in words[2:]]
                words = ["cloudlink", "serve", *shlex.split(" ".join(arguments))]
            if words[:1] == ["cloudlink"]:
                words = words[:-1] if words[-1] == "&" else words
                name = f"{block.page.name}, line {number}: {line}"
                found.append(pytest.param(variables, words[1:], id=name))
    return found


@pytest.mark.parametrize(("variables", "words"), _commands())
def test_command_is_understood(variables, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    # The examples are about project 104, whose variables are stored here and were exported before.
    store = open_store("cloudlink.db")
    store.start(lambda function, *arguments: function(*arguments))
    store.save("104", "☁ score", b"10")
    store.close()
    rooms = open_store("cloudlink.db", of_rooms=True)
    rooms.start(lambda function, *arguments: function(*arguments))
    rooms.save("lobby", "round", b"3")
    rooms.close()
    (tmp_path / "my_server.py").write_text("from cloudlink import server\n\nserver().run()\n")
    (tmp_path / "backup.json").write_text('{"104": {"☁ score": 10}}', encoding="utf-8")
    understood = []
    monkeypatch.setattr(
        "cloudlink.cli.serve.run", lambda arguments: understood.append(settings_from(arguments)) or 0
    )
    for name in ("client", "doctor", "bridge", "admin"):
        monkeypatch.setattr(f"cloudlink.cli.{name}.run", lambda arguments: 0)  # nobody is there to be reached
    assert cli.main(words) == 0
    assert words[:1] != ["serve"] or len(understood) == 1


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_targets_of_make_exist(page):
    [line] = re.findall(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    named = re.findall(r"(?:^|`)make ([a-z-]+)", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert set(named) <= set(line.split())


def test_every_marker_of_tests_is_in_the_guide_for_contributors():
    with (ROOT / "pyproject.toml").open("rb") as file:
        markers = tomllib.load(file)["tool"]["pytest"]["ini_options"]["markers"]
    text = one_line(prose(ROOT / "CONTRIBUTING.md"))
    assert [
        name for name, _, _ in (marker.partition(":") for marker in markers) if f"`{name}`" not in text
    ] == []


@each([block for block in blocks("toml") if block.file == "cloudlink.toml"])
def test_settings_file_is_valid(block, tmp_path):
    file = tmp_path / "cloudlink.toml"
    file.write_text(block.text, encoding="utf-8")
    load(toml=file, environ={}, flags={})


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_settings_exist(page):
    named = re.findall(r"[Ss]ettings? `(\w+)`(?: and `(\w+)`)?", one_line(prose(page)))
    assert {name for pair in named for name in pair if name} <= OPTIONS.keys()


def test_messages_are_as_quoted(caplog):
    class Transport:
        def abort(self):
            pass

        def get_extra_info(self, _name):
            return None

    async def greet_with_tls():
        settings = Settings()
        door = ProtocolDetector(
            None,
            None,
            ConnectionLimiter(settings, RealAddress("", ())),
            NoLobby(),
            set(),
            set(),
            0,
            None,
            None,
            None,
        )
        door.connection_made(Transport())
        door.get_buffer(-1)[:3] = b"\x16\x03\x01"
        door.buffer_updated(3)

    with caplog.at_level(logging.WARNING):
        asyncio.run(greet_with_tls())
    assert len(caplog.messages) == 1
    sentences = [
        *caplog.messages,
        explain("127.0.0.1", 3000, OSError(errno.EADDRINUSE, "")),
        explain("127.0.0.1", 443, OSError(errno.EACCES, "")),
        explain("192.168.1.99", 3000, OSError(errno.EADDRNOTAVAIL, "")),
    ]
    text = one_line(prose(GETTING_STARTED))
    assert [sentence for sentence in sentences if f"`{sentence}`" not in text] == []


def test_first_lines_are_as_quoted(caplog):
    async def main():
        async with listening(build()) as port:
            return port

    with caplog.at_level(logging.INFO):
        port = asyncio.run(main())
    assert caplog.messages[0].replace(str(port), "3000") + "\n" in [block.text for block in blocks("text")]


# Links.


def slug(heading: str) -> str:
    """The anchor that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def anchors(page: Path) -> set[str]:
    return {slug(heading) for heading in re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    wrong = []
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.is_file() or (anchor and file.suffix == ".md" and anchor not in anchors(file)):
            wrong.append(target)
    assert wrong == []


def _citations() -> set[str]:
    """The parts of protocol.md that the source code and the tests refer to."""
    found = set()
    for folder in ("src", "tests"):
        files = (path for path in (ROOT / folder).rglob("*.py") if ".env" not in path.parts)
        for file in files:
            text = one_line(file.read_text(encoding="utf-8"))
            found |= set(re.findall(r"\bprotocol(?:\.md)?, section ([\d.]*\d)", text))
            found |= set(re.findall(r"\bdecision (D\d+)", text))
    return found


def test_sections_that_the_code_refers_to_exist():
    text = prose(PROTOCOL)
    sections = set(re.findall(r"^#+ ([\d.]+) ", text, re.MULTILINE))
    decisions = set(re.findall(r"^\| (D\d+) \|", section(PROTOCOL, "Decisions"), re.MULTILINE))
    assert {f"D{number}" for number in range(1, 13)} == decisions
    assert _citations() - sections - decisions == set()
