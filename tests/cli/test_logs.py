"""How log lines look on the command line."""

from __future__ import annotations

import json
import logging
import re

import pytest

from cloudlink.cli import logs
from cloudlink.settings import Settings
from tests.support.memoryclients import MemoryClient, named
from tests.support.servers import build


@pytest.fixture(autouse=True)
def logging_as_before(monkeypatch):
    root = logging.getLogger()
    level = root.level
    # A list of its own, so that setting logging up does not close pytest's handlers.
    monkeypatch.setattr(root, "handlers", [])
    yield
    root.setLevel(level)


def log():
    return logging.getLogger("cloudlink.server")


def error_with_traceback():
    try:
        _ = 1 / 0
    except ZeroDivisionError:
        log().exception("Handler failed")


def test_text(capsys):
    logs.set_up(Settings())
    log().info("%s connected", "127.0.0.1")
    log().debug("not shown")

    err = capsys.readouterr().err
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d INFO cloudlink\.server: 127\.0\.0\.1 connected\n", err
    )


def test_text_shows_a_traceback_on_lines_of_its_own(capsys):
    logs.set_up(Settings())
    error_with_traceback()

    lines = capsys.readouterr().err.splitlines()
    assert lines[0].endswith("ERROR cloudlink.server: Handler failed")
    assert lines[1] == "    Traceback (most recent call last):"
    assert lines[-1] == "    ZeroDivisionError: division by zero"


def test_a_name_cannot_begin_a_line_or_steer_the_terminal(capsys):
    logs.set_up(Settings())
    log().info("name %s", "a\nb\x1b[2J\u2028é")

    err = capsys.readouterr().err
    assert err.endswith("name a\\x0ab\\x1b[2J\\u2028é\n")


def test_a_traceback_cannot_pass_for_a_record_or_steer_the_terminal(capsys):
    def fail():
        raise ValueError("x\n2026-01-31 18:00:00 INFO cloudlink.server: all is well\x1b[2J\r\u202e")

    logs.set_up(Settings())
    try:
        fail()
    except ValueError:
        log().exception("Handler failed", stack_info=True)

    first, *others = capsys.readouterr().err[:-1].split("\n")
    assert first.endswith("Handler failed")
    assert all(line.startswith("    ") for line in others)
    assert "    2026-01-31 18:00:00 INFO cloudlink.server: all is well\\x1b[2J\\x0d\\u202e" in others


def test_json_is_one_object_a_line(capsys):
    logs.set_up(Settings(log_format="json"))
    log().warning("a\nb é")
    error_with_traceback()

    first, second = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    assert list(first) == ["time", "level", "logger", "message"]
    assert (first["level"], first["logger"], first["message"]) == ("warning", "cloudlink.server", "a\nb é")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", first["time"])
    assert second["message"] == "Handler failed"
    assert second["exception"].endswith("ZeroDivisionError: division by zero")


@pytest.fixture
def records(capsys):
    """The log of a server as JSON objects, with what is said about addresses."""

    def about(visit, **settings):
        logs.set_up(Settings(log_format="json", **settings))
        visit(build())
        return [json.loads(line) for line in capsys.readouterr().err.splitlines()]

    return about


def come_and_go(server):
    alice = named(server, "alice")
    alice.leave()


def test_json_says_which_client_a_line_is_about(records):
    found = records(come_and_go)

    client = found[0]["client"]
    assert [{key: line.get(key) for key in ("event", "client", "name", "address")} for line in found] == [
        {"event": "connected", "client": client, "name": None, "address": "127.0.0.1"},
        {"event": "named", "client": client, "name": "alice", "address": "127.0.0.1"},
        {"event": "left", "client": client, "name": "alice", "address": "127.0.0.1"},
    ]
    assert client in found[0]["message"]


@pytest.mark.parametrize(("mode", "address"), [("anonymous", "127.0.0.0"), ("none", None)])
def test_json_shows_addresses_as_the_setting_says(records, mode, address):
    found = records(come_and_go, log_addresses=mode)

    assert {line.get("address") for line in found} == {address}


def test_json_does_not_name_guests(records):
    def visit(server):
        MemoryClient(server, {"method": "handshake", "project_id": 1, "user": "player1234"})

    assert [line["name"] for line in records(visit) if "name" in line] == ["player"]


def test_json_of_every_end_and_refusal(records):
    def visit(server):
        server.settings.packet_burst, server.settings.packet_rate = 1, 0.001
        server.settings.flood_patience = 0
        named(server, "flooder").say(*[{"cmd": "ping"}] * 5)
        MemoryClient(server).session.close_if_silent("Nothing was said")
        server.settings.max_clients = 1
        MemoryClient(server)
        MemoryClient(server)

    events = [line.get("event") for line in records(visit)]

    assert [event for event in events if event not in ("connected", "named")] == [
        "flood",
        "flood_end",
        "left",
        "silent",
        "left",
        "turned_away",
    ]


def test_text_stays_readable(capsys):
    logs.set_up(Settings())
    come_and_go(build())

    lines = capsys.readouterr().err.splitlines()
    assert [re.sub(r".* INFO |\d{10,}", "", line) for line in lines] == [
        "cloudlink.server: 127.0.0.1 connected as .",
        "cloudlink.server: Client  'alice' has this name now.",
        "cloudlink.server: Client  'alice' left after 0:00:00.",
    ]


@pytest.mark.parametrize(("level", "shown"), [("debug", 4), ("info", 3), ("warning", 2), ("error", 1)])
def test_level(capsys, level, shown):
    logs.set_up(Settings(log_level=level))
    for write in (log().debug, log().info, log().warning, log().error):
        write("line")

    assert capsys.readouterr().err.count("line") == shown
