"""What differs between two settings, and what is applied of it."""

import re
from pathlib import Path

import pytest

from cloudlink import reloading, sources
from cloudlink.errors import StartError
from cloudlink.settings import OPTIONS, Settings


@pytest.fixture
def load(tmp_path):
    file = tmp_path / "cloudlink.toml"

    def settings(text="", environ=None, **flags):
        file.write_text(text, encoding="utf-8")
        return sources.load(toml=file, environ=environ or {}, flags=flags)

    return settings


def test_what_acts_at_once_is_told_from_what_needs_a_restart(load):
    old = load('motd = "hi"\nport = 4000\n')
    new = load('motd = "hello"\nport = 5000\nmax_clients = 5\nlegacy = false\n')
    changes = reloading.compare(old, new)
    assert changes.shown() == {
        "changed": {"max_clients": [-1, 5], "motd": ["hi", "hello"]},
        "needs_restart": ["port", "legacy"],
    }
    assert (
        str(changes)
        == 'changed: max_clients (-1 → 5), motd ("hi" → "hello"); only a restart changes port, legacy'
    )
    reloading.apply(old, new, changes)
    assert (old.motd, old.max_clients, old.port, old.legacy) == ("hello", 5, 4000, True)
    assert old.origins["max_clients"] == new.origins["max_clients"]
    again = reloading.compare(old, new)
    assert again.shown() == {"changed": {}, "needs_restart": ["port", "legacy"]}


def test_nothing_changes_between_equals(load):
    changes = reloading.compare(load("max_clients = 5"), load("max_clients = 5"))
    assert changes.shown() == {"changed": {}, "needs_restart": []}
    assert str(changes) == "nothing has changed"


def test_variables_and_flags_still_win(load):
    environ = {"CLOUDLINK_MAX_CLIENTS": "7"}
    old = load("max_clients = 5", environ, motd="by flag")
    new = load('max_clients = 6\nmotd = "by file"', environ, motd="by flag")
    assert reloading.compare(old, new).shown()["changed"] == {}


def test_a_value_that_comes_back_to_its_default_changes_too(load):
    old, new = load("max_clients = 5"), load()
    changes = reloading.compare(old, new)
    reloading.apply(old, new, changes)
    assert (old.max_clients, old.origins["max_clients"]) == (-1, "default")


def test_an_origin_that_changes_alone_is_followed(load):
    old, new = load(), load("max_clients = -1")
    reloading.apply(old, new, reloading.compare(old, new))
    assert old.origins["max_clients"] == new.origins["max_clients"] != "default"


def test_what_a_program_has_set_stays(load):
    old, new = load("max_clients = 5"), load("max_clients = 6")
    old.set("max_clients", 99)
    old.set("plugin", {"own": {"x": 1}})
    changes = reloading.compare(old, new)
    reloading.apply(old, new, changes)
    assert (old.max_clients, old.plugin) == (99, {"own": {"x": 1}})
    assert changes.shown()["changed"] == {}


def test_secrets_are_shown_by_name_only(load):
    old = load('metrics_token = "first-secret"\n[plugin.bot]\npassword = "third-secret"')
    new = load('metrics_token = "second-secret"\n[plugin.bot]\npassword = "fourth-secret"\n[plugin.new]\n')
    changes = reloading.compare(old, new)
    assert changes.shown()["changed"] == {
        "metrics_token": ["(hidden)", "(hidden)"],
        "plugin.bot": ["(hidden)", "(hidden)"],
        "plugin.new": [None, "(hidden)"],
    }
    assert "secret" not in str(changes)
    assert str(changes) == "changed: metrics_token, plugin.bot, plugin.new"
    assert changes.sections("plugin") == ["bot", "new"]
    reloading.apply(old, new, changes)
    assert old.plugin == {"bot": {"password": "fourth-secret"}, "new": {}}
    assert old.metrics_token == "second-secret"


def test_observers_learn_what_changed_and_nothing_else(load):
    old, new = load("port = 1"), load("max_clients = 5\nport = 2\n[plugin.bot]")
    heard = []
    old.on_change(heard.append)
    reloading.apply(old, new, reloading.compare(old, new))
    assert heard == ["max_clients", "plugin"]


def test_a_contradiction_with_what_stays_is_found_before_anything_changes(load):
    old = load('real_ip_header = "X-Real-IP"\ntrusted_proxies = ["10.0.0.1"]')
    old.set("trusted_proxies", ["10.0.0.2"])  # by a program, so it stays
    new = load()
    changes = reloading.compare(old, new)
    with pytest.raises(StartError, match="trusted_proxies"):
        reloading.check(old, new, changes)
    assert old.real_ip_header == "X-Real-IP"


def test_every_setting_that_the_server_keeps_a_copy_of_needs_a_restart():
    restart = {name for name, option in OPTIONS.items() if option.limits.needs_restart}
    assert restart >= {"host", "port", "tls_certificate", "tls_key", "event_loop", "storage", "admin_storage"}
    assert restart >= {"legacy", "cloud", "plugins", "plugins_folder", "workers"}
    assert not restart & {
        "motd",
        "max_clients",
        "trusted_proxies",
        "disabled_commands",
        "log_level",
        "metrics",
    }


def test_a_mistake_in_the_file_is_the_sources_to_report(load):
    with pytest.raises(StartError, match="max_clients"):
        load("max_clients = 0")
    assert isinstance(load(), Settings)


def test_the_page_about_administration_names_what_needs_a_restart():
    page = (Path(__file__).parents[1] / "docs" / "admin.md").read_text(encoding="utf-8")
    paragraph = page.partition("These act after a restart only:")[2].partition("Everything else")[0]
    named = set(re.findall(r"`(\w+)`", paragraph))
    assert named == {name for name, option in OPTIONS.items() if option.limits.needs_restart}
