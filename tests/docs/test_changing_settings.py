"""The page about plugins says of each setting when it acts: the server and its protocols read it then, and not before."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

from cloudlink.server.app import Server
from cloudlink.server.protocols import Clpv4, Scratch
from cloudlink.settings import OPTIONS, Settings
from tests.support.servers import listening

PAGE = Path(__file__).parents[2] / "docs" / "plugin-reference.md"
WHILE_IT_RUNS = {"keepalive_interval", "keepalive_timeout", "stalled_timeout"}
"""They act at once, but there is nothing to act on before the start."""
ALSO_LATER = {"max_clients", "disabled_commands", "admin"}
"""Read at the start, and again later."""
AT_THE_END = {"shutdown_timeout"}
BY_RUN = {"event_loop", "blocking_warning"}
"""Read by `run` and `serve`, which make the event loop and have it watched."""


class Watched(Settings):
    """Settings that note which of them are read."""

    def __getattribute__(self, name):
        if name in OPTIONS:
            vars(self).setdefault("noted", set()).add(name)
        return super().__getattribute__(name)

    def take_noted(self):
        noted, vars(self)["noted"] = vars(self).get("noted", set()), set()
        return noted


def told():
    """Return the settings that the page names, by the first words of the item of its list."""
    section = PAGE.read_text(encoding="utf-8").partition("### Changing settings\n")[2].partition("\n### ")[0]
    items = re.findall(r"^\* \*\*(.+?)\*\*(.+?)(?=\n\*|\n\n)", section, re.MULTILINE | re.DOTALL)
    return {words: set(re.findall(r"`(\w+)`", text)) & set(OPTIONS) for words, text in items}


@pytest.fixture
def settings(tmp_path):
    blocklist = tmp_path / "blocked.txt"
    blocklist.write_text("nobody\n")
    storage = str(tmp_path / "admin.db")
    watched = Watched(storage="", admin_storage=storage, cloud_http=True, cloud_blocklist=str(blocklist))
    watched.take_noted()
    return watched


async def start_and_stop(server):
    async with listening(server):
        pass


def test_settings_are_read_when_the_page_says(settings):
    page = told()
    server = Server(settings)
    assert settings.take_noted() == page["At once"] - WHILE_IT_RUNS
    Clpv4(server)
    Scratch(server)
    assert settings.take_noted() == page["When its protocols are made"]
    asyncio.run(start_and_stop(server))
    at_start = settings.take_noted() - AT_THE_END
    assert at_start | BY_RUN == page["When the server starts"] | ALSO_LATER | WHILE_IT_RUNS
    assert not page["Only by `cloudlink serve`"] & at_start


def test_settings_that_act_at_once_are_read_when_they_change(settings):
    names = told()["At once"]
    server = Server(settings)
    read_again = {}

    async def change():
        async with listening(server):
            for name in names:
                settings.take_noted()
                settings.set(name, OPTIONS[name].default)
                read_again[name] = name in settings.take_noted()

    asyncio.run(change())
    assert read_again == dict.fromkeys(names, True)


def test_no_setting_but_the_motd_is_named_twice():
    page = told()
    named = [name for names in page.values() for name in names]
    assert [name for name in named if named.count(name) > 1] == ["motd", "motd"]
