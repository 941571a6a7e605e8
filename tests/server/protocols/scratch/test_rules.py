"""Valid project ids, usernames and variable names."""

from __future__ import annotations

import json
import re

import pytest

from cloudlink.errors import StartError
from cloudlink.server.protocols.scratch.rules import (
    UserRules,
    is_new_name,
    name_for_log,
    project_id,
)

# Projects.


@pytest.mark.parametrize(
    ("raw", "project"),
    [
        ('"104"', "104"),
        ("104", "104"),
        ("104.0", "104"),
        ("1.5", "1.5"),
        ("-7", "-7"),
        ("", "undefined"),
        ("null", "null"),
        ("true", "true"),
        ("false", "false"),
        ('" "', " "),
        ('"\\u2601"', "☁"),
        ('"%s"' % ("x" * 999), "x" * 999),
    ],
)
def test_project_ids(raw, project):
    assert project_id(raw.encode()) == project


@pytest.mark.parametrize(
    "raw", ['""', '"%s"' % ("x" * 1000), "1" * 1000, "[]", '["104"]', "{}", '{"id":"104"}']
)
def test_an_invalid_project_id(raw):
    assert project_id(raw.encode()) is None


def test_length_of_a_project_id_counts_characters_not_bytes():
    assert project_id(json.dumps("☁" * 999, ensure_ascii=False).encode()) == "☁" * 999


# Users.


@pytest.mark.parametrize(
    "user", ["a", "x" * 20, "Az_-09", "player1234", "_", "-", "scratchy", "griffpatch", "cat"]
)
def test_usernames_that_can_be_used(user):
    assert UserRules().allow(user)


@pytest.mark.parametrize("user", ["", "x" * 21, "a b", "é", "a\n", "٣", None, 5, 1.5, True, [], ["a"], {}])
def test_an_invalid_username(user):
    assert not UserRules().allow(user)


@pytest.mark.parametrize(
    "user",
    [
        "scratch",
        "ScratchCat",
        "SCRATCHTEAM",
        "s-c_r-a_t-c-h",
        "_Scratch_Team_",
        "Scratch-Admin",
        "scratchmoderators",
    ],
)
def test_names_reserved_for_scratch_itself(user):
    assert not UserRules().allow(user)


def test_patterns_fit_the_whole_name_in_any_spelling():
    users = UserRules([re.compile("bad.*"), re.compile("worse")])
    refused = ["bad", "BADDER", "b-a-d", "Bad_One", "worse", "_W_O_R_S_E_"]
    assert [user for user in refused if users.allow(user)] == []
    assert [user for user in ("notbad", "worse1", "wors") if not users.allow(user)] == []
    assert not users.allow("ScratchTeam")


@pytest.mark.parametrize("user", ["Zoë ☁", "a b", "x" * 100, "cat"])
def test_any_text_may_be_a_name_where_the_host_says_so(user):
    assert UserRules().allow(user, longest=100)


@pytest.mark.parametrize("user", ["", "x" * 101, "a\nb", "\x1b[2J", 5, None])
def test_not_everything_is_a_name_even_then(user):
    assert not UserRules().allow(user, longest=100)


def test_reserved_and_blocked_names_stay_so():
    users = UserRules([re.compile("bad.*")])
    assert not users.allow("ScratchTeam", longest=100)
    assert not users.allow("bad ☁", longest=100)


def test_a_list_of_blocked_names_is_one_expression_a_line(tmp_path):
    file = tmp_path / "blocked.txt"
    file.write_text("# Troublemakers\nEve\n\n  mallory[0-9]*  \n#trent\n   \nÄ+|o\n", encoding="utf-8")
    users = UserRules.from_file(file)
    assert [user for user in ("eve", "EVE", "e_v_e", "Mallory", "mallory77", "O") if users.allow(user)] == []
    assert [user for user in ("eve1", "trent", "alice", "malloryx") if not users.allow(user)] == []


def test_a_pattern_may_have_the_hyphens_of_a_name(tmp_path):
    file = tmp_path / "blocked.txt"
    file.write_text("Bad_Name\n.*-bot\n", encoding="utf-8")
    users = UserRules.from_file(file)
    assert [user for user in ("bad_name", "BAD_NAME", "my-bot") if users.allow(user)] == []
    assert users.allow("robot")


def test_without_a_list_only_reserved_names_are_blocked():
    users = UserRules.from_file(None)
    assert users.allow("eve")
    assert not users.allow("ScratchTeam")


def test_an_empty_list_blocks_nobody_else(tmp_path):
    file = tmp_path / "blocked.txt"
    file.write_text("", encoding="utf-8")
    assert UserRules.from_file(file).allow("eve")


def test_a_line_that_is_not_an_expression_is_reported_with_its_number(tmp_path):
    file = tmp_path / "blocked.txt"
    file.write_text("eve\n\nmallory(\n", encoding="utf-8")
    with pytest.raises(
        StartError, match=rf"^Line 3 of {re.escape(str(file))} is not a regular expression: .+\.$"
    ):
        UserRules.from_file(file)


def test_a_missing_list_is_reported(tmp_path):
    with pytest.raises(
        StartError,
        match=r"^Cannot read the list of blocked usernames .*nowhere\.txt: .*create .* setting cloud_blocklist\.$",
    ):
        UserRules.from_file(tmp_path / "nowhere.txt")


def test_a_list_that_is_not_text_is_reported(tmp_path):
    file = tmp_path / "blocked.txt"
    file.write_bytes(b"eve\n\xff\xfe")
    with pytest.raises(
        StartError,
        match=r"^Cannot read the list of blocked usernames .* setting cloud_blocklist names: .*UTF-8",
    ):
        UserRules.from_file(file)


# Names.


@pytest.mark.parametrize("name", ["☁ a", ":cloud: a", "☁  ", "☁ " + "x" * 8])
def test_names_that_a_variable_can_be_given(name):
    assert is_new_name(name, 10)


@pytest.mark.parametrize("name", ["", "a", "☁", "☁ ", "☁a", ":cloud:", ":cloud: ", " ☁ a", "☁ " + "x" * 9])
def test_names_that_a_variable_cannot_be_given(name):
    assert not is_new_name(name, 10)


@pytest.mark.parametrize(
    ("user", "shown"),
    [
        ("player12", "player"),
        ("player123456789", "player"),
        ("player1", "player1"),
        ("player1234567890", "player1234567890"),
        ("Player1234", "Player1234"),
        ("player1234x", "player1234x"),
        ("alice", "alice"),
    ],
)
def test_guests_have_no_number_in_the_log(user, shown):
    assert name_for_log(user, anonymous_guests=True) == shown
    assert name_for_log(user, anonymous_guests=False) == user


def test_blank_lines_and_comments_in_the_blocklist_block_nobody(tmp_path):
    file = tmp_path / "blocked"
    file.write_text("\n  \n# (nobody\nbad\n")
    rules = UserRules.from_file(file)
    for name in ("__", "_-_", "nobody"):
        assert rules.allow(name)
    assert not rules.allow("b_a-D")
