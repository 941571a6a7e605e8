"""A folder of its own for each test of plugins, and short ways to load what lies in it."""

from __future__ import annotations

import logging
import sys
import textwrap
from types import SimpleNamespace

import pytest

from cloudlink.server.plugins import PluginError, load_all

LOGGER = logging.getLogger("test.plugins")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Work in an empty folder, and leave no module and no path behind."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


@pytest.fixture
def write(folder):
    """Return the function that writes a file of the folder."""

    def write(name, text):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text).lstrip("\n"), encoding="utf-8")
        return path

    return write


@pytest.fixture
def start():
    """Return the function that loads and starts plugins as the settings of that name say."""

    def start(*specs, folder="plugins", errors="stop", origin="default"):
        settings = SimpleNamespace(
            plugins=list(specs),
            plugins_folder=folder,
            plugin_errors=errors,
            origins={"plugins_folder": origin},
        )
        return load_all("the server", "the protocol", settings, LOGGER)

    return start


@pytest.fixture
def sentence(start):
    """Return the function that gives the sentence with which a plugin fails."""

    def sentence(spec):
        with pytest.raises(PluginError) as caught:
            start(spec)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    return sentence
