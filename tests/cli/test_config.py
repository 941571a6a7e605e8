"""The output of `cloudlink config`, and that the page of settings is up to date."""

from __future__ import annotations

import dataclasses
import json
import tomllib
from pathlib import Path

import pytest

from cloudlink.cli import config, main
from cloudlink.options import option, options_of
from cloudlink.settings import OPTIONS, TABLES, Settings
from cloudlink.tables import Table

PAGE = Path(__file__).parents[2] / "docs" / "settings.md"


pytestmark = pytest.mark.usefixtures("empty_folder")


def output(capsys, *words):
    assert main(["config", *words]) == 0
    return capsys.readouterr().out


def lines(text):
    """Return what stands before and after the comment sign, by setting."""
    return {line.split()[0]: line for line in text.splitlines()}


def test_values_and_origins(capsys, monkeypatch):
    Path("cloudlink.toml").write_text('motd = "Hello"\n')
    monkeypatch.setenv("PORT", "4000")

    printed = lines(output(capsys, "--no-implicit-greeting", "--plugin", "a.py", "--plugin", "b.py"))

    assert list(printed) == list(OPTIONS)
    assert printed["motd"].split(maxsplit=2)[2].split("#") == ['"Hello"               ', " cloudlink.toml"]
    assert printed["port"].endswith("= 4000                  # environment PORT")
    assert printed["implicit_greeting"].endswith("= false                 # flag --no-implicit-greeting")
    assert printed["plugins"].endswith('= ["a.py", "b.py"]      # flag --plugin')
    assert len({line.index("=") for line in printed.values()}) == 1
    assert len({line.index("# ") for line in printed.values()}) == 1


def test_the_output_is_itself_a_settings_file(capsys):
    text = output(capsys, "--motd", 'Say "hi" \\ é', "--unique-usernames", "--max-clients", "-1")

    expected = Settings(motd='Say "hi" \\ é', unique_usernames=True)
    assert tomllib.loads(text) == {name: getattr(expected, name) for name in OPTIONS}


def test_json(capsys):
    shown = json.loads(output(capsys, "--json", "--keepalive-interval", "5"))

    assert list(shown) == [*OPTIONS, *TABLES]
    assert shown["keepalive_interval"] == {
        "value": 5.0,
        "unit": "seconds",
        "origin": "flag --keepalive-interval",
    }
    assert shown["host"] == {"value": "127.0.0.1", "unit": "", "origin": "default"}


SECTIONS = """
port = 1

[plugin.greet]
word = "say \\"hé\\" \\u007f"
times = [1, 2.5, inf]
since = 2026-01-31T18:00:00Z
deep = {"odd key" = {a = true}, list = [{b = nan}]}

[plugin."two words"]
"""


def test_sections_of_plugins_are_shown_as_they_stand_in_the_file(capsys):
    Path("cloudlink.toml").write_text(SECTIONS, encoding="utf-8")

    text = output(capsys)

    assert repr(tomllib.loads(text)["plugin"]) == repr(tomllib.loads(SECTIONS)["plugin"])
    assert '[plugin."two words"]  # cloudlink.toml' in text.splitlines()


def test_sections_of_plugins_in_json(capsys):
    Path("cloudlink.toml").write_text("[plugin.greet]\nsince = 2026-01-31\n")

    shown = json.loads(output(capsys, "--json"))

    assert shown["plugin"] == {
        "value": {"greet": {"since": "2026-01-31"}},
        "unit": "",
        "origin": "cloudlink.toml",
    }


def test_ignored_variables_are_listed_with_the_settings(capsys, monkeypatch):
    monkeypatch.setenv("CLOUDLINK_QQQQ", "1")

    assert main(["config", "--json"]) == 0

    out, err = capsys.readouterr()
    assert json.loads(out)
    assert err == (
        "cloudlink: There is no setting for the environment variable CLOUDLINK_QQQQ; it is ignored.\n"
    )


def test_another_file(capsys):
    Path("cloudlink.toml").write_text("port = 1\n")
    Path("other.toml").write_text("port = 2\n")

    assert lines(output(capsys, "--config", "other.toml"))["port"].split() == [
        "port",
        "=",
        "2",
        "#",
        "other.toml",
    ]


PUBLIC = {name: option for name, option in OPTIONS.items() if not option.is_secret}
SECRETS = [name for name in OPTIONS if name not in PUBLIC]
HASH = "scrypt:16384:8:5:c2FsdA==:aGFzaA=="


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_has_no_flag_and_is_not_shown(capsys, monkeypatch, name):
    assert OPTIONS[name].flags == ()
    secret = HASH if name.endswith("_hash") else "a-secret-of-the-host-long-enough"
    monkeypatch.setenv(f"CLOUDLINK_{name.upper()}", secret)
    assert json.loads(output(capsys, "--json"))[name]["value"] == "(hidden)"
    assert secret not in output(capsys)


def test_a_password_in_place_of_its_hash_is_refused_without_being_shown(capsys, monkeypatch):
    monkeypatch.setenv("CLOUDLINK_ADMIN_PASSWORD_HASH", "correct horse battery")
    assert main(["config"]) == 1
    printed = capsys.readouterr().err
    assert "is (hidden), but it must be a hash that `cloudlink admin hash` prints" in printed
    assert "correct horse" not in printed


@pytest.mark.parametrize("option", PUBLIC.values(), ids=PUBLIC.keys())
def test_every_setting_has_flags_that_work(capsys, monkeypatch, option):
    text = {
        bool: "yes",
        list: json.dumps(option.default),
        str: option.default or "x",
    }.get(option.kind, str(option.default))
    if option.kind is list:
        text = {"trusted_proxies": "::1", "allowed_origins": "null", "admin_origins": "null"}.get(
            option.name, "x"
        )
    if option.name == "cluster":
        monkeypatch.setenv("CLOUDLINK_CLUSTER_SECRET", "a secret of the host")
        words = ["--cluster", "nats://127.0.0.1"]
    elif option.name.startswith("tls_"):
        words = ["--tls-certificate", "x", "--tls-key", "x"]
    elif option.kind is bool:
        words = [option.flags[0]]
    elif option.name == "trusted_proxies":
        words = [option.flags[-1], text, "--real-ip-header", "X-Forwarded-For"]
    else:
        words = [option.flags[-1], text]

    shown = json.loads(output(capsys, "--json", *words))

    assert shown[option.name]["origin"] == f"flag {option.flags[0]}"


def test_the_table_has_a_row_for_each_setting(capsys):
    table = output(capsys, "--markdown").splitlines()

    keys = sum(len(options_of(known.entry)) for known in TABLES.values() if known.entry is not None)
    assert len(table) == len(OPTIONS) + len(TABLES) + keys + 2
    assert {line.count(" | ") for line in table} == {5}
    assert table[3].startswith(
        "| `port` | `CLOUDLINK_PORT`, `PORT` | `--port` | whole number from 0 to 65535 | `3000` | "
    )


def test_the_table_has_rows_for_sections_and_their_known_keys(monkeypatch):
    @dataclasses.dataclass
    class Gate:
        width: int = option(3, "How wide it is.", unit="metres", minimum=1)

    monkeypatch.setitem(config.TABLES, "gates", Table("gates", "The gates of a park.", Gate))

    table = config.markdown_table().splitlines()
    assert (
        "| `[plugin.NAME]` | none | none | section of the file, any keys | none | "
        f"{config.TABLES['plugin'].help} |"
    ) in table
    assert table[-2:] == [
        "| `[gates.NAME]` | none | none | section of the file | none | The gates of a park. |",
        (
            "| `[gates.NAME]` `width` | none | none | whole number of metres of at least 1 | `3` | "
            "How wide it is. |"
        ),
    ]


def test_the_page_is_up_to_date():
    between = PAGE.read_text(encoding="utf-8").partition(config.TABLE_BEGIN)[2].partition(config.TABLE_END)[0]

    assert between.strip() == config.markdown_table().strip(), (
        "docs/settings.md is out of date; renew it with: cloudlink config --markdown docs/settings.md"
    )


def test_renewing_a_page_leaves_the_text_around_the_table(capsys):
    page = Path("page.md")
    page.write_text(f"# Before\n{config.TABLE_BEGIN}old\n{config.TABLE_END}After é\n", encoding="utf-8")

    assert output(capsys, "--markdown", "page.md") == ""

    assert page.read_text(encoding="utf-8") == (
        f"# Before\n{config.TABLE_BEGIN}\n{config.markdown_table()}\n{config.TABLE_END}After é\n"
    )


def test_a_page_that_has_no_place_for_the_table(capsys):
    Path("page.md").write_text("# Settings\n")

    assert main(["config", "--markdown", "page.md"]) == 1
    assert main(["config", "--markdown", "none.md"]) == 1
    assert capsys.readouterr().err.splitlines() == [
        "cloudlink: The page page.md lacks the comment lines that enclose the table.",
        "cloudlink: The page none.md cannot be read: No such file or directory.",
    ]
    assert Path("page.md").read_text() == "# Settings\n"
