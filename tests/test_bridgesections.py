"""The sections `[bridges.NAME]`: what stops the start, and that secrets are not shown."""

from __future__ import annotations

import json

import pytest

from cloudlink.bridgesections import is_private, secret_variable
from cloudlink.cli import main
from cloudlink.errors import StartError
from cloudlink.settings import Settings
from cloudlink.sources import load

SECRET = "a secret of sixteen"
PEER = {"secret": SECRET, "rooms": ["arena"]}
UPSTREAM = {"kind": "upstream", "url": "ws://old.example/", "rooms": ["arena"]}
CLOUD = {"kind": "cloud", "url": "wss://c.example/", "projects": ["104"], "contact": "me@example.org"}


def check(bridges, **settings):
    made = Settings(**settings)
    made.set("bridges", bridges)
    made.check()
    return made


@pytest.mark.parametrize(
    "section",
    [
        PEER,
        {**PEER, "url": "wss://b.example/"},
        {**PEER, "url": "ws://127.0.0.1:3000/"},
        {**PEER, "url": "ws://[::1]:3000/"},
        {**PEER, "url": "ws://192.168.1.7/"},
        {**PEER, "url": "ws://b.example/"},  # judged when it is connected to
        {"secret": SECRET, "projects": ["104=205"]},
        UPSTREAM,
        CLOUD,
    ],
)
def test_sections_that_are_right(section):
    check({"b": section})


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        ({"rooms": ["arena"]}, "The bridge b needs a secret of at least 16 characters"),
        ({**PEER, "secret": "too short"}, "The bridge b needs a secret of at least 16 characters"),
        ({"secret": SECRET}, "The bridge b shares nothing"),
        ({**PEER, "url": "ws://8.8.8.8/"}, "write wss:// instead of ws://"),
        ({**PEER, "url": "http://b.example/"}, "has the url http://b.example/, which is not an address"),
        ({**PEER, "url": "ws://[::1"}, "which is not an address"),
        (
            {**PEER, "contact": "x"},
            "The bridge b has contact, which a bridge of the kind cloudlink cannot use",
        ),
        ({**PEER, "rooms": ["a", "a"]}, "The bridge b has a twice in rooms"),
        ({**PEER, "rooms": ["a=c", "b=c"]}, "The bridge b has c twice in rooms"),
        ({**CLOUD, "contact": " "}, "The bridge b needs contact"),
        ({**CLOUD, "contact": "a\nb"}, "a contact with control characters"),
        ({**CLOUD, "url": ""}, "The bridge b needs url"),
        ({**CLOUD, "projects": []}, "The bridge b shares nothing"),
        ({**CLOUD, "username": "with a space"}, "a username that cloud servers refuse"),
        ({**CLOUD, "rooms": ["a"]}, "The bridge b has rooms, which a bridge of the kind cloud cannot use"),
        ({**UPSTREAM, "rooms": []}, "The bridge b shares nothing"),
        (
            {**UPSTREAM, "secret": SECRET},
            "The bridge b has secret, which a bridge of the kind upstream cannot",
        ),
    ],
)
def test_sections_that_stop_the_start(section, expected):
    with pytest.raises(StartError) as refused:
        check({"b": section})

    assert expected in str(refused.value)


def test_names_of_bridges_are_short_and_plain():
    for name in ("B", "a_b", "b/c", "", "x" * 21):
        with pytest.raises(StartError, match="needs another name"):
            check({name: PEER})


def test_two_bridges_that_wait_with_the_same_secret_stop_the_start():
    with pytest.raises(StartError, match="The bridges b and c wait to be called with the same secret"):
        check({"b": PEER, "c": PEER})
    check({"b": PEER, "c": {**PEER, "url": "wss://c.example/"}})


def test_projects_need_cloud_variables():
    with pytest.raises(
        StartError, match="The bridge b shares projects, but this server has no cloud variables"
    ):
        check({"b": CLOUD}, cloud=False)


@pytest.mark.parametrize("entry", ["", "=", "=b", "a="])
def test_an_entry_without_a_name_is_refused(entry):
    with pytest.raises(StartError, match=r"has \[bridges\.b\] with rooms"):
        check({"b": {**PEER, "rooms": [entry]}})


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("127.0.0.1", True),
        ("10.1.2.3", True),
        ("fe80::1%eth0", True),
        ("::ffff:192.168.0.1", True),
        ("::ffff:8.8.8.8", False),
        ("8.8.8.8", False),
    ],
)
def test_private_addresses(address, expected):
    assert is_private(address) is expected


def test_the_environment_sets_secrets(tmp_path):
    assert secret_variable("b-2") == "CLOUDLINK_BRIDGE_B_2_SECRET"
    path = tmp_path / "cloudlink.toml"
    path.write_text('[bridges.b-2]\nrooms = ["arena"]\n')

    settings = load(toml=path, environ={"CLOUDLINK_BRIDGE_B_2_SECRET": SECRET}, flags={})
    assert settings.bridges["b-2"].secret == SECRET
    assert settings.warnings == []

    with pytest.raises(StartError, match="did you mean CLOUDLINK_BRIDGE_B_2_SECRET"):
        load(toml=path, environ={"CLOUDLINK_BRIDGE_B2_SECRET": SECRET}, flags={})


def test_secrets_are_not_shown(tmp_path, capsys):
    path = tmp_path / "cloudlink.toml"
    path.write_text(f'[bridges.b]\nsecret = "{SECRET}"\nrooms = ["arena"]\n')

    assert main(["config", "--config", str(path)]) == 0
    assert main(["config", "--json", "--config", str(path)]) == 0
    output = capsys.readouterr().out
    assert SECRET not in output
    assert 'secret = "(hidden)"' in output
    assert json.loads(output[output.index("\n{") :])["bridges"]["value"]["b"]["secret"] == "(hidden)"


def test_a_cluster_may_have_bridges():
    check({"b": PEER}, cluster="nats://127.0.0.1:4222", cluster_secret=SECRET)
