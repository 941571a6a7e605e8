"""How plugins are found, loaded and started."""

from __future__ import annotations

import pickle
import sys

import pytest

from cloudlink.errors import StartError
from cloudlink.server.plugins import PluginError, load_plugin

GREET = """
    class Greet:
        def __init__(self, server, protocol):
            self.given = (server, protocol)
"""


@pytest.mark.parametrize("spec", ["greet.py", "./greet.py", "greet.py:Greet", "greet:Greet"])
def test_ways_to_name_one_plugin(write, spec, start):
    write("greet.py", GREET)

    (greet,) = start(spec)

    assert greet.given == ("the server", "the protocol")


def test_a_dotted_attribute_and_a_package(write, start):
    write("games/__init__.py", "")
    write(
        "games/chess.py", "class Board:\n    @staticmethod\n    def referee(server):\n        return server"
    )

    assert start("games.chess:Board.referee") == ["the server"]


def test_an_absolute_path(write, start):
    assert len(start(str(write("far/away/greet.py", GREET)))) == 1


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        ("(server, protocol)", ("the server", "the protocol")),
        ("(server, clpv4)", ("the server", "the protocol")),
        ("(server, protocol=None)", ("the server", "the protocol")),
        ("(server, *rest)", ("the server", "the protocol")),
        ("(server)", ("the server",)),
        ("(server, verbose=False)", ("the server",)),
        ("(server, *, verbose=False)", ("the server",)),
    ],
)
def test_the_arguments_of_a_plugin(write, head, expected, start):
    write(
        "given.py",
        f"def given{head}:\n    return tuple(x for x in locals().values() if str(x)[:3] == 'the')\n",
    )

    (result,) = start("given.py")

    assert expected[0] in result
    if "*rest" not in head:
        assert result == expected


def test_a_plugin_by_name_may_call_its_parameter_as_it_likes(write, start):
    write("odd.py", "def odd(s, p):\n    return s, p\nmade = lambda s: s\nwhat = print\n")

    assert start("odd.py:odd", "odd.py:made") == [("the server", "the protocol"), "the server"]
    assert start("odd.py:what") == [None]


def test_a_file_gives_its_own_public_plugins_in_their_order(write):
    write("helpers.py", "def imported(server):\n    raise AssertionError\n")
    write(
        "many.py",
        """
        import abc
        from helpers import imported

        class Second:
            def __init__(self, server): ...

        def first(server, protocol): ...

        alias = Second

        def _hidden(server): raise AssertionError

        def helper(text): raise AssertionError

        def too_much(server, protocol, more): raise AssertionError

        def no_arguments(): raise AssertionError

        class Base(abc.ABC):
            def __init__(self, server): ...
            @abc.abstractmethod
            def rule(self): ...

        class Oops(Exception): ...

        SETTING = 5
        """,
    )

    assert [plugin.__name__ for plugin in load_plugin("many.py")] == ["Second", "first"]


def test_the_folder_is_loaded_in_order_of_names(write, start):
    for name in ("b.py", "a.py", "_helper.py", "notes.txt", "deeper/c.py"):
        write(f"plugins/{name}", f"def plugin(server):\n    return {name!r}\n")

    assert start() == ["a.py", "b.py"]


def test_a_folder_that_does_not_exist(write, start):
    assert start() == []
    assert start(folder="") == []
    with pytest.raises(StartError) as caught:
        start(folder="mods", origin="flag --plugins-folder")
    assert str(caught.value) == (
        "The plugins folder mods (flag --plugins-folder) does not exist; create it or change plugins_folder."
    )

    write("plugins", "a file")
    with pytest.raises(StartError) as caught:
        start(errors="skip")
    assert str(caught.value) == "The plugins folder plugins (default) cannot be read: Not a directory."


def test_installed_packages(write, monkeypatch, folder, start):
    write("installed/chatty.py", "def chat(server):\n    return 'chat'\n")
    write("installed/chatty-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: chatty\nVersion: 1.0\n")
    write("installed/chatty-1.0.dist-info/entry_points.txt", "[cloudlink.plugins]\ntalk = chatty:chat\n")
    monkeypatch.syspath_prepend(folder / "installed")

    assert start() == ["chat"]

    write("installed/chatty-1.0.dist-info/entry_points.txt", "[cloudlink.plugins]\ntalk = chatty:chta\n")
    with pytest.raises(PluginError) as caught:
        start()
    assert str(caught.value) == (
        "Plugin talk of the installed package chatty was not found: chatty.py has no chta; did you mean chat?"
    )


def test_a_plugin_named_twice_starts_once(write, start):
    write("plugins/__init__.py", "")
    write("plugins/greet.py", GREET)

    assert len(start("plugins/greet.py", "plugins/greet.py:Greet", "plugins.greet:Greet")) == 1


def test_plugins_made_by_one_function_are_not_the_same(write, start):
    write(
        "made.py",
        """
        def make(name):
            def plugin(server):
                return name
            return plugin

        one, two = make("one"), make("two")
        """,
    )

    assert start("made.py:one", "made.py:two") == ["one", "two"]


# The module of a file


def test_a_file_imports_its_neighbours_and_keeps_its_own_name(write, start):
    write("x/shared_words.py", "WORD = 'hello'\n")
    write("x/greet.py", "import shared_words\ndef greet(server):\n    return shared_words.WORD\n")
    write("y/greet.py", "def greet(server):\n    return 'other'\n")

    assert start("x/greet.py", "y/greet.py") == ["hello", "other"]


def test_a_file_does_not_hide_a_module_of_python(write, start):
    write("plugins/colorsys.py", "def plugin(server):\n    return 'mine'\n")
    write("plugins/other.py", "import colorsys\ndef plugin(server):\n    return colorsys.__name__\n")
    sys.modules.pop("colorsys", None)

    assert start() == ["mine", "colorsys"]
    assert hasattr(sys.modules["colorsys"], "rgb_to_hsv")


def test_dataclasses_and_pickle_work_in_a_file(write, start):
    write(
        "my-game 2.py",
        """
        from __future__ import annotations
        from dataclasses import dataclass

        @dataclass
        class Player:
            name: str

        def game(server):
            return Player("Ada")
        """,
    )

    (player,) = start("my-game 2.py")

    assert pickle.loads(pickle.dumps(player)) == player
