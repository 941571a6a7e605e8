"""`cloudlink rooms`, as a host types it."""

from __future__ import annotations

import re
from contextlib import closing
from pathlib import Path

import pytest

from cloudlink.cli import main
from cloudlink.storage.database import ROOMS, Database

FILE = Path("cloudlink.db")

pytestmark = pytest.mark.usefixtures("empty_folder")


@pytest.fixture
def run(capsys):
    """Runs `cloudlink rooms` and returns its status, output and error output."""

    def run(*words):
        status = main(["rooms", *words])
        return (status, *capsys.readouterr())

    return run


@pytest.fixture
def filled(empty_folder):
    fill({"lobby": {"round": b"3", "map": b'{"w":10}'}, "a\x1b room": {"x": b'"\xc2\x9b"'}})
    with closing(Database(FILE, patience=5)) as database:
        database.write({"1234567": {"☁ cloud": b"1"}})


def fill(rooms):
    with closing(Database(FILE, patience=5, tables=ROOMS)) as database:
        database.write(rooms)


def content():
    with closing(Database(FILE, patience=5, tables=ROOMS)) as database:
        return {room: database.load(room) for room in database.rooms()}


@pytest.mark.usefixtures("filled")
def test_list_shows_rooms_and_no_projects(run):
    status, out, err = run("list")
    assert (status, err) == (0, "")
    assert re.fullmatch(
        r'"a\\u001b room"  1 variable    last changed .*\nlobby +2 variables   last changed .*\n', out
    )


@pytest.mark.usefixtures("filled")
def test_list_of_a_room_and_get(run):
    assert run("list", "lobby") == (0, 'map = {"w":10}\nround = 3\n', "")
    assert run("get", "lobby", "map") == (0, '{"w":10}\n', "")
    assert run("get", "a\x1b room", "x") == (0, '"\\u009b"\n', "")


@pytest.mark.usefixtures("filled")
def test_delete(run):
    assert run("delete", "lobby", "round") == (0, "Deleted round of room lobby.\n", "")
    assert content()["lobby"] == {"map": b'{"w":10}'}
    assert run("delete", "lobby") == (0, "Deleted 1 variable of room lobby.\n", "")
    assert set(content()) == {"a\x1b room"}
    with closing(Database(FILE, patience=5)) as database:
        assert database.load("1234567") == {"☁ cloud": b"1"}


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["get", "loby", "map"], "There is no room loby in cloudlink.db; did you mean lobby?"),
        (
            ["list", "1234567"],
            "There is no room 1234567 in cloudlink.db; `cloudlink rooms list` lists all rooms.",
        ),
        (["get", "lobby", "rond"], "Room lobby has no variable rond; did you mean round?"),
        (
            ["delete", "lobby", "zzz"],
            "Room lobby has no variable zzz; `cloudlink rooms list lobby` lists all variables.",
        ),
        ([], "Say what to do, such as `cloudlink rooms list`; see `cloudlink rooms --help`."),
    ],
)
def test_an_error_is_one_sentence(run, words, sentence):
    before = content()
    assert run(*words) == (1, "", f"cloudlink: {sentence}\n")
    assert content() == before


def test_a_file_without_rooms_says_so(run):
    with closing(Database(FILE, patience=5)) as database:
        database.write({"1": {"x": b"1"}})
    assert run("list") == (0, "No room has variables in cloudlink.db.\n", "")


def test_no_file_is_made(run):
    status, out, err = run("list")
    assert (status, out) == (1, "")
    assert "There is no file cloudlink.db" in err
    assert not FILE.exists()
