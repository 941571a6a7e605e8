"""When a limit acts, the log says so, and an attacker cannot fill the log with that."""

from __future__ import annotations

import logging

import pytest

from tests.support.memoryclients import MemoryClient, named
from tests.support.servers import build

LIMITS = {
    "identity_burst": 3,
    "identity_rate": 0.001,
    "max_rooms_per_client": 2,
    "room_name_max_length": 10,
    "variable_name_max_length": 10,
    "username_max_length": 10,
    "max_names_per_packet": 2,
    "max_copies_per_packet": 1,
    "cloud_max_variables_per_room": 2,
    "cloud_max_bytes_per_room": 1024,
    "cloud_max_clients_per_room": 1,
    "cloud_updates_per_second": 1.0,
    "cloud_update_burst": 1,
    "cloud_value_max_length": 2000,
    "cloud_bridge": True,
}
LONG = "x" * 11


def player(server, project=1):
    return MemoryClient(server, {"method": "handshake", "project_id": project, "user": "eve"})


def value(name, number=1):
    return {"method": "set", "name": name, "value": number}


@pytest.fixture
def server(caplog):
    caplog.set_level(logging.INFO, logger="cloudlink")
    return build(LIMITS)


@pytest.mark.parametrize(
    ("packet", "line"),
    [
        ({"cmd": "link", "val": ["a", "b", "c"]}, "A packet can list at most 2 names."),
        ({"cmd": "link", "val": LONG}, "A room name can have at most 10 characters."),
        ({"cmd": "gvar", "name": LONG, "val": 1}, "A variable name can have at most 10 characters."),
        (
            {"cmd": "pmsg", "id": ["alice", "bob"], "val": 1},
            "A private packet can be sent on at most 1 times.",
        ),
    ],
)
def test_a_refusal_of_a_client_is_logged_once(server, caplog, packet, line):
    named(server, "bob")
    alice = named(server, "alice")
    alice.say(packet, packet)
    assert caplog.text.count(line) == 1
    assert f"{alice.client} was refused: {line}" in caplog.text


def test_long_names_too_many_rooms_and_too_many_changes_are_logged(server, caplog):
    MemoryClient(server, {"cmd": "setid", "val": LONG})
    named(server, "bob").say({"cmd": "link", "val": ["a", "b"]}, {"cmd": "link", "val": ["c"]})
    named(server, "eve").say(*[{"cmd": "link", "val": "a"}] * 5)
    for line in (
        "A username can have at most 10 characters.",
        "A client can be in at most 2 rooms.",
        "The name or the rooms are changed too often; try again later.",
    ):
        assert caplog.text.count(line) == 1


def test_another_client_has_a_line_of_its_own(server, caplog):
    for name in ("alice", "bob"):
        named(server, name).say({"cmd": "link", "val": LONG})
    assert caplog.text.count("A room name can have at most 10 characters.") == 2


def test_mistakes_that_no_limit_forbids_are_not_logged(server, caplog):
    named(server, "alice").say({"cmd": "link"}, {"cmd": "nothing"}, {"cmd": "pmsg", "id": "z", "val": 1})
    player(server).say({"method": "set", "name": 5, "value": 1}, value("a", "text"), value("a", None))
    assert "refused" not in caplog.text


@pytest.mark.parametrize("wrong", ["x" * 2000, ["1" * 3000], {"a": "1" * 3000}, None, "", 10**400])
def test_a_cloud_value_that_is_wrong_but_not_too_long_is_not_logged(server, caplog, wrong):
    player(server).say(value("a", wrong), {"method": "set", "name": "a"})
    assert "refused" not in caplog.text


@pytest.mark.parametrize(
    "wrong", ["x" * 2001, "1" * 2001, int("1" * 2001), -int("1" * 2000), "\u00e9" * 24_000]
)
def test_a_cloud_value_that_is_too_long_is_logged(server, caplog, wrong):
    player(server).say(value("a", wrong))
    assert caplog.text.count("was refused: A value can have at most 2000 characters.") == 1


@pytest.mark.parametrize(
    ("packets", "line"),
    [
        (
            [value("a"), value("b"), value("c")],
            "is disconnected: There are too many variables in this project.",
        ),
        ([value("a", "1" * 1500)], "is disconnected: The variables of this project are too long together."),
        ([value(LONG)], "was refused: A variable name can have at most 10 characters."),
        ([value("a", "1" * 2001)], "was refused: A value can have at most 2000 characters."),
        ([value("a")] * 3, "was refused: More than 1 cloud updates a second; the latest are passed on."),
    ],
)
def test_a_forbidden_action_of_a_cloud_player_is_logged(server, caplog, packets, line):
    player(server).say(*packets)
    assert caplog.text.count(line) == 1


def test_a_full_project_is_logged(server, caplog):
    player(server)
    assert player(server).closed
    assert caplog.text.count("is disconnected: There are too many players in this project.") == 1


def test_a_value_that_the_bridge_leaves_out_is_logged_once(server, caplog):
    player(server, "r").say(value("a"))
    alice = named(server, "alice")
    alice.say({"cmd": "link", "val": "r"}, *[{"cmd": "gvar", "name": name, "val": 1} for name in "bcde"])
    assert caplog.text.count("Project 'r' has more variables in its CloudLink room") == 1


def test_a_silent_client_is_disconnected_with_a_log_line(server, caplog):
    silent = MemoryClient(server)
    silent.session.close_if_silent("Nothing was sent within 30 seconds")
    assert f"{silent.client} is disconnected: Nothing was sent within 30 seconds." in caplog.text


def test_an_address_that_connects_again_and_again_gets_few_lines_about_refusals(server, caplog):
    for _ in range(100):
        client = MemoryClient(server, {"cmd": "gvar", "name": LONG, "val": 1}, address="203.0.113.7")
        client.leave()
    logged = caplog.text.count("was refused: A variable name can have at most 10 characters.")
    assert 30 <= logged <= 40
    server.clients_manager.log.tick()
    assert f"{100 - logged} more lines about clients of 1 address were left out." in caplog.text
