"""A folder and an environment in which nothing is set."""

from __future__ import annotations

import pytest

from cloudlink.settings import OPTIONS


@pytest.fixture
def empty_folder(tmp_path, monkeypatch):
    """Work in an empty folder, and without any setting in the environment."""
    monkeypatch.chdir(tmp_path)
    for option in OPTIONS.values():
        for name in option.variables:
            monkeypatch.delenv(name, raising=False)
