"""Errors about a plugin that fails, and when the server starts anyway."""

from __future__ import annotations

import sys

import pytest

GREET = """
class Greet:
    def __init__(self, server, protocol):
        self.given = (server, protocol)
"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x = 1\n\nfoo()\n", "failed to load at line 3: NameError: name 'foo' is not defined."),
        ("x = 1\ndef plugin(server:\n", "failed to load at line 2: SyntaxError: '(' was never closed."),
        ("def plugin(server):\nreturn\n", None),
        (
            "import no_such_thing\n",
            (
                "failed to load at line 1: the module no_such_thing is missing; "
                f"if it is a package, install it with: {sys.executable} -m pip install no_such_thing."
            ),
        ),
        ("import json.nothing\n", "failed to load at line 1: the module json.nothing is missing."),
        (
            "from json import nothing\n",
            "failed to load at line 1: ImportError: cannot import name 'nothing' from 'json'",
        ),
        ("import sys\nsys.exit(3)\n", "failed to load at line 2: it called exit()."),
        (
            "import json\njson.loads('{')\n",
            "failed to load at line 2: JSONDecodeError: Expecting property name",
        ),
        ("raise ValueError('two\\nlines.')\n", "failed to load at line 1: ValueError: two lines."),
        ("raise ValueError\n", "failed to load at line 1: ValueError."),
        (
            "def plugin(server):\n    def inner():\n        return server.nothing\n    inner()\n",
            "failed to start at line 3: AttributeError: 'str' object has no attribute 'nothing'.",
        ),
        (
            "def helper(text): ...\n",
            (
                "holds no plugin: it needs a class or function that takes (server, protocol) or (server), "
                "with the first parameter named server."
            ),
        ),
    ],
)
def test_a_file_that_fails(write, text, expected, sentence):
    write("greet.py", text)

    said = sentence("greet.py")

    if expected is None:
        assert said.startswith(
            "Plugin greet.py failed to load at line 2: IndentationError: expected an indented"
        )
    elif expected.endswith("."):
        assert said == f"Plugin greet.py {expected}"
    else:
        assert said.startswith(f"Plugin greet.py {expected}")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("server.uper()", "AttributeError: 'str' object has no attribute 'uper'; did you mean upper?"),
        ("raise AttributeError('none of mine.')", "AttributeError: none of mine."),
    ],
)
def test_the_error_for_a_misspelled_attribute_names_a_similar_one(write, sentence, line, expected):
    write("greet.py", f"def plugin(server):\n    {line}\n")

    assert sentence("greet.py") == f"Plugin greet.py failed to start at line 2: {expected}"


RUNS = "from cloudlink.server import Server\nmake = Server\ndef plugin(server):\n    make().run()\n"


def test_a_plugin_that_runs_a_server_is_an_error(write, sentence):
    write("greet.py", RUNS)

    assert sentence("greet.py") == (
        "Plugin greet.py failed to start at line 4: it runs a server of its own; remove that line, "
        "for the server is run when all plugins are loaded."
    )


SCRIPT = """
from cloudlink import server
from cloudlink.server.protocols import clpv4

def main():
    instance = server()
    clpv4(instance)
    instance.run(port=0)

"""


def test_the_error_for_a_running_server_script_says_how_to_run_it(write, sentence):
    path = write("server.py", SCRIPT + "main()\n")

    assert sentence("server.py") == (
        "Plugin server.py failed to load at line 7: it runs a server of its own; remove that line, for the server is "
        f"run when all plugins are loaded; or run this script by itself: {sys.executable} {path}."
    )


@pytest.mark.parametrize(
    "text",
    [
        SCRIPT + 'if __name__ == "__main__":\n    main()\n',
        'import cloudlink\nif __name__ == "__main__":\n    cloudlink.server().run()\n',
        'from cloudlink.server import Server\nif __name__ == "__main__":\n    Server().run()\n',
    ],
)
def test_the_error_for_an_idle_server_script_says_how_to_run_it(write, sentence, text):
    path = write("server.py", text)

    assert sentence("server.py") == (
        f"Plugin server.py is not a plugin but a whole server script: run it with {sys.executable} {path}, "
        "or move its handlers into a class or function that takes (server, protocol) or (server)."
    )


@pytest.mark.parametrize("name", ["Cloudlink", "CloudLink"])
def test_a_script_of_cloudlink_0_1_is_recognized(write, sentence, name):
    write("old.py", f"from cloudlink import {name}\ncl = {name}()\nserver = cl.server()\nserver.run()\n")

    assert sentence("old.py") == (
        "Plugin old.py is a server script of CloudLink 0.1, which does not run here: rewrite it as a plugin, or run it "
        f'with the package it was written for: {sys.executable} -m pip install "cloudlink<0.2" in an environment of its '
        "own, then python old.py there."
    )


@pytest.mark.parametrize(
    "text",
    [
        "from cloudlink import errors\ndef make(text): ...\n",
        "def server(): ...\nserver().run()\n",
        "class Cloudlink: ...\nCloudlink()\nfoo()\n",
    ],
)
def test_other_files_are_not_taken_for_server_scripts(write, sentence, text):
    write("odd.py", text)

    assert "script" not in sentence("odd.py")


def test_a_class_without_self_is_reported(write, sentence):
    write("greet.py", "class Greet:\n    def __init__(server, protocol):\n        pass\n")

    assert sentence("greet.py") == (
        "Plugin greet.py holds no plugin: Greet.__init__ at line 2 must take (self, server, protocol), "
        "not (server, protocol)."
    )


def test_a_neighbour_that_fails_is_named_when_the_mistake_is_in_its_spelling(write, sentence):
    write("helpers.py", "# one\n# two\nx = = 1\n")
    write("greet.py", "import helpers\n")

    assert sentence("greet.py") == (
        "Plugin greet.py failed to load at line 3 of helpers.py: SyntaxError: invalid syntax."
    )


def test_the_last_line_of_the_plugin_itself_is_named(write, sentence):
    write("helpers.py", "\n\n\ndef fail():\n    raise KeyError('x')\n")
    write("greet.py", "import helpers\n\nhelpers.fail()\n")

    assert sentence("greet.py") == "Plugin greet.py failed to load at line 3: KeyError: 'x'."


def test_a_module_that_fails_names_its_file(write, sentence):
    write("games/__init__.py", "")
    write("games/chess.py", "# one\nfoo()\n")

    assert sentence("games.chess:Chess") == (
        "Plugin games.chess:Chess failed to load at line 2 of chess.py: NameError: name 'foo' is not defined."
    )


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (
            "no_such:Thing",
            "was not found: there is no module no_such in this folder or among the installed packages.",
        ),
        (
            "json.no.such:Thing",
            "was not found: there is no module json.no in this folder or among the installed packages.",
        ),
        ("greet:Grete", "was not found: greet.py has no Grete; did you mean Greet?"),
        ("greet.py:Grete", "was not found: greet.py has no Grete; did you mean Greet?"),
        ("greet.py:Greet.zzz", "was not found: greet.py has no zzz."),
        ("greet.py:WORDS", None),
        ("greet.py:WORDS.zzz", "was not found: greet.py has no zzz."),
        (
            "greet",
            "is not written as path/to/file.py, path/to/file.py:Name or package.module:Name; did you mean greet.py?",
        ),
        ("what ever", "is not written as path/to/file.py, path/to/file.py:Name or package.module:Name."),
        ("..up:Thing", "failed to load: TypeError: the 'package' argument is required"),
    ],
)
def test_a_name_that_stands_for_no_plugin(write, spec, expected, sentence):
    write("greet.py", GREET + "WORDS = ['hello']\n")

    said = sentence(spec)

    if expected is None:
        assert said == (
            "Plugin greet.py:WORDS is not a plugin: WORDS is of type list, "
            "but a plugin is a class or function that takes (server, protocol) or (server)."
        )
    else:
        assert said.startswith(f"Plugin {spec} {expected}")


def test_a_file_that_is_not_there(write, folder, sentence):
    write("greet.py", GREET)

    assert sentence("gret.py") == (
        f"Plugin gret.py was not found: there is no file {folder / 'gret.py'}; did you mean greet.py?"
    )
    assert sentence("a/b.py:C") == f"Plugin a/b.py:C was not found: there is no file {folder / 'a/b.py'}."


def test_callables_that_are_no_plugins(write, sentence):
    write("odd.py", "def three(a, b, c): ...\nasync def later(server): ...\n")

    assert sentence("odd.py:three") == (
        "Plugin odd.py:three is not a plugin: it takes (a, b, c), "
        "but a plugin is a class or function that takes (server, protocol) or (server)."
    )
    assert sentence("odd.py:later") == (
        "Plugin odd.py:later is an async function, but a plugin is a plain one "
        "(the handlers inside it may be async)."
    )


def test_an_interrupt_is_not_a_failure(write, start):
    write("greet.py", "raise KeyboardInterrupt\n")

    with pytest.raises(KeyboardInterrupt):
        start("greet.py", errors="skip")


def test_a_file_that_failed_can_be_loaded_once_corrected(write, sentence, start):
    path = write("greet.py", "foo()\n")
    sentence("greet.py")
    path.write_text("def greet(server):\n    return 'mended, and of another length'\n")

    assert start("greet.py") == ["mended, and of another length"]


def test_failures_are_skipped_only_if_configured(write, caplog, start):
    write("plugins/a.py", "foo()\n")
    write("plugins/b.py", "def one(server):\n    foo()\ndef two(server):\n    return 'two'\n")
    write("plugins/c.py", "def plugin(server):\n    return 'c'\n")

    with caplog.at_level("INFO"):
        assert start("gone.py", errors="skip") == ["two", "c"]

    errors = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert [text.split(" ")[1] for text in errors] == ["gone.py", "plugins/a.py", "plugins/b.py"]
    assert errors[2] == (
        "Plugin plugins/b.py failed to start at line 2: NameError: name 'foo' is not defined. "
        "The server starts without this plugin."
    )
    assert [record.getMessage() for record in caplog.records if record.levelname == "INFO"] == [
        "Plugin plugins/b.py (two) is running",
        "Plugin plugins/c.py (plugin) is running",
    ]


def test_the_traceback_is_in_the_log_at_debug_level(write, caplog, sentence):
    write("greet.py", "foo()\n")

    with caplog.at_level("DEBUG"):
        sentence("greet.py")

    (record,) = caplog.records
    assert record.levelname == "DEBUG"
    assert record.exc_info[0] is NameError
