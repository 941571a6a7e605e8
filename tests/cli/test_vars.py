"""`cloudlink vars`, as a host types it, and the page that teaches it."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pty
import re
import shlex
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from cloudlink.cli import main, storagefile, varsjson
from cloudlink.storage.database import Database
from cloudlink.storage.sqlite import SqliteStore
from tests.storage.stores import QUICK, Turns
from tests.support.clock import FakeClock

PAGE = Path(__file__).parents[2] / "docs" / "storage.md"
FILE = Path("cloudlink.db")


pytestmark = pytest.mark.usefixtures("empty_folder")


@pytest.fixture
def run(capsys):
    """Runs `cloudlink vars` and returns its status, output and error output."""

    def run(*words):
        status = main(["vars", *words])
        return (status, *capsys.readouterr())

    return run


@pytest.fixture
def said(run):
    """Runs what must succeed without a word on standard error, and returns its output."""

    def said(*words):
        status, out, err = run(*words)
        assert err == ""
        assert status == 0
        return out

    return said


@pytest.fixture
def refused(run):
    """Runs what must fail, and returns its sentence."""

    def refused(*words):
        status, out, err = run(*words)
        assert (status, out, err.count("\n")) == (1, "", 1)
        return err.removeprefix("cloudlink: ").strip()

    return refused


def fill(projects, file=FILE, wall_clock=time.time):
    with closing(Database(file, patience=5, wall_clock=wall_clock)) as database:
        database.write(projects)


def content(file=FILE):
    with closing(Database(file, patience=5, create=False)) as database:
        return {room: database.load(room) for room in database.rooms()}


# The actions.


def test_list(said):
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(1_800_000_000))
    projects = {"12": {"☁ a": b"1", "☁ b": b'"' + b"1" * 100 + b'"'}, "3456": {"☁ a": b"1"}}
    fill(projects, wall_clock=FakeClock(1_800_000_000))

    assert said("list").splitlines() == [
        f"12    2 variables   last changed {when}",
        f"3456  1 variable    last changed {when}",
    ]
    assert said("list", "12").splitlines() == ["☁ a = 1", f'☁ b = "{"1" * 59}…']


def test_a_long_id_does_not_push_the_others_away(said):
    fill({"1" * 999: {"a": b"1"}, "2": {"a": b"1"}})
    one, other = said("list").splitlines()
    assert one.startswith("1" * 999 + "  1 variable")
    assert other.startswith("2" + " " * 41 + "1 variable")


def test_list_of_nothing(said):
    fill({})
    assert said("list") == "No project has variables in cloudlink.db.\n"


def test_get(run):
    fill({"12": {"☁ a": b"1.0", "b": b'"10"'}})
    assert run("get", "12", "☁ a") == (0, "1.0\n", "")
    assert run("get", "12", "b") == (0, '"10"\n', "")
    assert run("get", "12", "a") == (0, "1.0\n", "cloudlink: The variable is ☁ a.\n")


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("5", b"5"),
        ("-5", b"-5"),
        ("1.0", b"1.0"),
        ("1e308", b"1e308"),
        ("9" * 40, b"9" * 40),
        ("007", b'"007"'),
        ("1.", b'"1."'),
        ("NaN", b'"NaN"'),
        ("true", b'"true"'),
        ("", b'""'),
        ("Hi there", b'"Hi there"'),
        ('"10"', b'"10"'),
        ('"10', b'"\\"10"'),
        ("\udcff", b'"\\udcff"'),
    ],
)
def test_set_takes_numbers_and_text(run, word, value):
    fill({})
    assert run("set", "12", "☁ a", word)[0] == 0
    assert content() == {"12": {"☁ a": value}}


@pytest.mark.parametrize(("word", "value"), [("5", b'"5"'), ('"a"', b'"\\"a\\""')])
def test_set_as_text(run, word, value):
    fill({})
    assert run("set", "--text", "12", "☁ a", word)[0] == 0
    assert content() == {"12": {"☁ a": value}}


NO_NUMBER = (
    "cloudlink: Stored all the same, but Scratch projects themselves can set only numbers, "
    "because the setting cloud_text_values is off.\n"
)


@pytest.mark.parametrize(
    ("words", "warning"),
    [
        ("hello", NO_NUMBER),
        ("-", NO_NUMBER),
        ("1e5 --text", NO_NUMBER),
        ("hello --file cloudlink.db", NO_NUMBER),
        ("5", ""),
        ("1e5", ""),
        ("0042 --text", ""),
    ],
)
def test_set_warns_of_what_scratch_cannot_set_itself(run, words, warning):
    fill({"12": {"☁ a": b"1"}})
    status, out, err = run("set", "12", "a", *words.split())
    assert (status, err) == (0, warning)
    assert out.startswith("Set ☁ a of project 12 to ")


def test_set_warns_of_no_text_where_the_settings_allow_it(said):
    fill({})
    Path("cloudlink.toml").write_text("cloud_text_values = true\n")
    said("set", "12", "a", "hello")


def test_set_needs_no_valid_settings_file_if_the_file_is_named(run):
    fill({})
    Path("cloudlink.toml").write_text("nonsense = true\n")
    assert run("set", "12", "a", "hello", "--file", "cloudlink.db")[::2] == (0, NO_NUMBER)


def test_set_finds_the_variable_or_makes_it(said):
    fill({"12": {":cloud: a": b"1", "plain": b"1"}})
    assert said("set", "12", "a", "2") == "Set :cloud: a of project 12 to 2.\n"
    assert said("set", "12", "plain", "3") == "Set plain of project 12 to 3.\n"
    assert said("set", "12", "b", "4") == "Set ☁ b of project 12 to 4; the variable is new.\n"
    assert said("set", "34", ":cloud: b", "--", '"-4"') == (
        'Set :cloud: b of project 34 to "-4"; the project is new.\n'
    )
    assert content() == {
        "12": {":cloud: a": b"2", "plain": b"3", "☁ b": b"4"},
        "34": {":cloud: b": b'"-4"'},
    }


def test_delete(said):
    fill({"12": {"☁ a": b"1", "☁ b": b"1", "☁ c": b"1"}, "34": {"☁ a": b"1"}})
    assert said("delete", "12", "a") == "Deleted ☁ a of project 12.\n"
    assert content()["12"].keys() == {"☁ b", "☁ c"}
    assert said("delete", "12") == "Deleted 2 variables of project 12.\n"
    assert content() == {"34": {"☁ a": b"1"}}


AWKWARD = {
    "12": {"☁ a": b"1.0", "\ud800": b'"\\ud800"', "a\0\x7f\x1b[31m": b"1e300", "☁ 😀": '"é\x9b"'.encode()},
    "": {"": b'""'},
    "quote\"'": {"☁ a": b"123456789012345678901234567890", "☁ b": b"-0.0"},
}


def test_export_and_import_lose_nothing(said):
    fill(AWKWARD)
    assert said("export", "--output", "out.json") == "Wrote 7 variables of 3 projects to out.json.\n"
    assert said("import", "out.json", "--file", "new.db") == (
        "Wrote 7 variables of 3 projects to new.db, which is new.\n"
    )
    assert content(Path("new.db")) == AWKWARD
    assert [path.name for path in sorted(Path.cwd().iterdir())] == ["cloudlink.db", "new.db", "out.json"]


def in_a_terminal(*words):
    """Run `cloudlink vars` in a terminal of its own and return the characters that this terminal got."""
    main_end, terminal = pty.openpty()
    command = [sys.executable, "-m", "cloudlink", "vars", *words]
    process = subprocess.Popen(command, stdin=terminal, stdout=terminal, stderr=terminal)
    os.close(terminal)
    got = b""
    with contextlib.suppress(OSError):  # what Linux says when the other end is closed
        while piece := os.read(main_end, 4096):
            got += piece
    assert process.wait() == 0
    os.close(main_end)
    return got.decode()


@pytest.mark.parametrize(
    "words", [["export"], ["export", "--output", "/dev/stdout"], ["list"], ["list", "12"]]
)
def test_a_terminal_gets_no_control_characters(words):
    fill(AWKWARD)
    text = in_a_terminal(*words)

    assert not [c for c in text.replace("\r\n", "") if not c.isprintable()]
    if words[0] == "export" and "--output" not in words:
        assert json.loads(text) == json.loads(varsjson.text_of(AWKWARD))


def test_an_error_sentence_has_no_control_characters(refused):
    fill({"abc\x9b\u202e": {"☁ a\x9b": b"1"}})

    assert refused("list", "abc") == (
        "There is no project abc in cloudlink.db; did you mean abc\\x9b\\u202e?"
    )


def test_export_of_one_project(said):
    fill(AWKWARD)
    assert json.loads(said("export", "")) == {"": {"": ""}}


def test_export_of_nothing(said):
    fill({})
    assert said("export") == "{}\n"


def test_import_from_standard_input(said, monkeypatch):
    fill({"12": {"☁ a": b"1", "☁ b": b"1"}})
    data = '\ufeff{"12": {"☁ a" : 2.50 }, "34": {}}'.encode()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    assert said("import", "-") == "Wrote 1 variable of 2 projects to cloudlink.db.\n"
    assert content() == {"12": {"☁ a": b"2.50", "☁ b": b"1"}}


def test_a_running_server_notices_changes(said, file_of_a_server):
    store, turns = file_of_a_server
    news = []
    store.watch(lambda *change: news.append(change))
    store.save("12", "☁ a", b"1")
    turns.run_until(lambda: not len(store._queue))
    said("set", "12", "a", "2")
    turns.run_until(lambda: news)
    assert store.load("12") == {"☁ a": b"2"}
    said("delete", "12")
    turns.run_until(lambda: len(news) > 1)
    assert news == [("12", "☁ a", b"2"), ("12", "☁ a", None)]


@pytest.fixture
def file_of_a_server(empty_folder):
    turns = Turns()
    store = SqliteStore(str(FILE), timing=QUICK)
    store.start(turns.call_soon)
    yield store, turns
    store.close()


# Where the file is.


def test_the_file_is_that_of_the_settings(said, monkeypatch):
    for name in ("one", "two", "three"):
        fill({name: {"☁ a": b"1"}}, Path(f"{name}.db"))
    Path("cloudlink.toml").write_text('storage = "one.db"\n')
    Path("other.toml").write_text('storage = "two.db"\n')

    assert said("list").startswith("one ")
    assert said("list", "--config", "other.toml").startswith("two ")
    assert said("--config", "other.toml", "list").startswith("two ")
    assert said("list", "--file", "three.db").startswith("three ")
    assert said("--file", "three.db", "list").startswith("three ")
    monkeypatch.setenv("CLOUDLINK_STORAGE", "three.db")
    assert said("list").startswith("three ")


def test_no_storage_is_an_empty_name(capsys):
    for words in (["--no-storage"], ["--storage", ""]):
        assert main(["config", "--json", *words]) == 0
        shown = json.loads(capsys.readouterr().out)["storage"]
        assert (shown["value"], shown["origin"]) == ("", "flag --storage")


# Mistakes.


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("", "Say what to do, such as `cloudlink vars list`; see `cloudlink vars --help`."),
        ("list 21", "There is no project 21 in cloudlink.db; `cloudlink vars list` lists all projects."),
        ("list 1234", "There is no project 1234 in cloudlink.db; did you mean 12345?"),
        ("get 1234 a", "There is no project 1234 in cloudlink.db; did you mean 12345?"),
        ("delete 1234", "There is no project 1234 in cloudlink.db; did you mean 12345?"),
        ("export 1234", "There is no project 1234 in cloudlink.db; did you mean 12345?"),
        ("get 12345 scoer", "Project 12345 has no variable scoer; did you mean score?"),
        (
            "delete 12345 q",
            "Project 12345 has no variable q; `cloudlink vars list 12345` lists all variables.",
        ),
        ("get 12345 x", "There are both ☁ x and :cloud: x; give the whole name, in quotes."),
        ("set 12345 x 1", "There are both ☁ x and :cloud: x; give the whole name, in quotes."),
        (
            "get 12345",
            "The following arguments are required: NAME; `cloudlink vars get --help` lists all flags.",
        ),
        ("set 12345 a 1e400", "No variable can hold the number 1e400; --text takes it as text."),
        ("list --fil x", "There is no flag --fil; did you mean --file?"),
        ("list --file no.db", "There is no file no.db; name the storage file of your server with --file."),
        ("import good.json --file no/a.db", "The folder no does not exist: make it, or name another file."),
        (
            "list --file in.json",
            "in.json is not a storage file of CloudLink: move it away, or name another file with the setting storage.",
        ),
        ("import no.json", "There is no file no.json."),
        ("import .", ". cannot be read: Is a directory."),
        (
            "import in.json",
            'in.json is not an export of CloudLink: the project "34" must be an object of names and values; nothing was written.',
        ),
        (
            "export --output ./cloudlink.db",
            "cloudlink.db is the storage file itself; name another file with --output.",
        ),
        ("export --output no/a.json", "no/a.json cannot be written: No such file or directory."),
        ("export --output /dev/full", "/dev/full cannot be written: No space left on device."),
    ],
)
def test_mistakes(refused, words, expected):
    fill({"12345": {"☁ score": b"1", "☁ x": b"1", ":cloud: x": b"2"}, "999": {"☁ é": '"é"'.encode()}})
    Path("in.json").write_text('{"12": {"☁ a": 2}, "34": 5}')
    Path("good.json").write_text('{"12": {"☁ a": 2}}')
    before = content()
    assert refused(*words.split()) == expected
    assert content() == before


def test_memory_only(refused, monkeypatch):
    monkeypatch.setenv("CLOUDLINK_STORAGE", "")
    assert refused("list") == (
        "The setting storage is empty (environment CLOUDLINK_STORAGE), so variables are kept in memory only; "
        "name a file with --file."
    )


@pytest.mark.parametrize("value", ['{"b": 1}', "[1]", "true", "null", "1e400", "-1e999"])
def test_a_value_that_scratch_has_not(refused, value):
    fill({"12": {"☁ a": b"1"}})
    Path("in.json").write_text(f'{{"12": {{"☁ a": 2, "☁ bad": {value}}}}}')
    assert refused("import", "in.json") == (
        'in.json is not an export of CloudLink: the variable "☁ bad" of project "12" must be a finite number or text; '
        "nothing was written."
    )
    assert content() == {"12": {"☁ a": b"1"}}


def test_broken_json(refused):
    Path("in.json").write_text('{"12": {"☁ a": 2}')
    assert refused("import", "in.json").endswith("(char 17); nothing was written.")
    assert not FILE.exists()


def test_a_lock_is_waited_for_a_while(refused, monkeypatch):
    monkeypatch.setattr(storagefile, "_PATIENCE", 0.05)
    fill({"12": {"☁ a": b"1"}})
    with closing(sqlite3.connect(FILE, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        assert (
            refused("set", "12", "a", "2") == "Another program keeps cloudlink.db locked: end that program."
        )
    assert content() == {"12": {"☁ a": b"1"}}


def test_an_export_that_fails_leaves_the_old_one(refused, monkeypatch):
    fill({"12": {"☁ a": b"1"}})
    Path("out.json").write_text("old")

    def failing(self, *_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", failing)
    assert refused("export", "--output", "out.json") == "out.json cannot be written: No space left on device."
    assert {path.name: path.read_text() for path in Path.cwd().glob("out*")} == {"out.json": "old"}


# Printing.


def test_names_of_strangers_cannot_steer_the_terminal(said, run):
    fill({"\x1b[2J": {"☁ \x07": b"1", "☁ \u202e": b"2", "\x7f": '"\x9b"'.encode()}})
    assert said("list").startswith('"\\u001b[2J"  3 variables')
    assert said("list", "\x1b[2J").splitlines() == [
        '"\\u007f" = "\\u009b"',
        '"\\u2601 \\u0007" = 1',
        '"\\u2601 \\u202e" = 2',
    ]
    assert run("get", "\x1b[2J", "\x7f") == (0, '"\\u009b"\n', "")
    assert run("get", "\x1b[2J", "\x07")[2] == 'cloudlink: The variable is "\\u2601 \\u0007".\n'


def test_a_terminal_without_clouds(monkeypatch):
    fill({"12": {"☁ a": '"é😀"'.encode()}})
    printed = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(printed, encoding="cp1252", newline="\n"))
    assert main(["vars", "list", "12"]) == 0
    assert main(["vars", "export"]) == 0
    sys.stdout.flush()
    first, _, rest = printed.getvalue().partition(b"\n")
    assert first == b'\\u2601 a = "\\u00e9\\ud83d\\ude00"'
    assert json.loads(rest) == {"12": {"☁ a": "é😀"}}


def test_half_a_pair_is_escaped():
    assert varsjson.quoted("☁ \ud800") == '"\\u2601 \\ud800"'


# Files of others, copies.


def cloud_server(rows):
    """Write a database as TurboWarp's cloud-server does."""
    with closing(sqlite3.connect("cloud-server-1.db")) as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("CREATE TABLE variables (id TEXT PRIMARY KEY NOT NULL, data TEXT NOT NULL)")
        database.executemany("INSERT INTO variables VALUES (?, ?)", rows)
        database.commit()


def test_the_database_of_a_cloud_server_is_imported(said):
    cloud_server([("104", '{"☁ score":"10","☁ best":12.50}'), ("p4-@a/b", '{"☁ x":""}')])
    assert said("import", "cloud-server-1.db") == (
        "Wrote 3 variables of 2 projects to cloudlink.db, which is new.\n"
    )
    assert content() == {"104": {"☁ score": b'"10"', "☁ best": b"12.50"}, "p4-@a/b": {"☁ x": b'""'}}


def test_a_cloud_server_with_wrong_rows_is_refused_whole(refused):
    cloud_server([("104", '{"☁ score":"10"}'), ("105", '{"☁ score":[1]}')])
    assert 'the variable "☁ score" of project "105" must be' in refused("import", "cloud-server-1.db")
    assert not Path("cloudlink.db").exists()


def test_other_databases_are_refused(refused):
    fill({"104": {"☁ score": b"10"}})
    assert refused("import", "cloudlink.db") == (
        "cloudlink.db is a database, but not one of TurboWarp's cloud-server; nothing was written. "
        "A copy of CloudLink's own storage file is restored with `cloudlink vars restore`."
    )
    Path("cloud-server-1.db").write_bytes(b"SQLite format 3\0, but damaged")
    assert refused("import", "cloud-server-1.db").startswith("cloud-server-1.db cannot be read (")


def test_a_copy_is_made_and_restored(said, refused):
    fill({"104": {"☁ score": b"10"}})
    assert said("backup", "copy.db").startswith("Copied cloudlink.db to copy.db (")
    fill({"104": {"☁ score": b"11"}})
    assert said("restore", "copy.db").startswith("Restored cloudlink.db from copy.db. The earlier file is")
    assert content() == {"104": {"☁ score": b"10"}}
    assert refused("restore", "copi.db") == "There is no file copi.db: check its name."
    assert refused("backup", "no/copy.db").startswith("no/copy.db cannot be opened: ")
    with closing(Database(FILE, patience=5)):
        assert refused("restore", "copy.db") == "A server uses cloudlink.db: stop it first."


# The page.


def test_the_page_prints_what_is_printed(run):
    """The console blocks of the page are one session, beginning with these variables."""
    fill(
        {
            "1234567": {"☁ best": b"5120", "☁ champion": b'"1801140813"', "☁ visits": b"77"},
            "7654321": {"☁ a": b"1"},
        }
    )
    blocks = re.findall(
        r"^```console\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    lines = "".join(blocks).splitlines()
    session = []
    for command in (line for line in lines if line.startswith("$ ")):
        words = shlex.split(command)
        assert words[1:3] == ["cloudlink", "vars"]
        _, out, err = run(*words[3:])
        session += [command, *err.splitlines(), *out.splitlines()]
    assert [_timeless(line) for line in session] == [_timeless(line) for line in lines]


def _timeless(line):
    return re.sub(r"last changed .*", "last changed", line)
