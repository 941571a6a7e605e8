"""Marks tests by what they need beyond Python, so that `make test-fast` can leave them out.

Hypothesis measures no times here: how long an example takes says more about the machine than about the code.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

HERE = Path(__file__).parent
KINDS = {
    "browser": ("admin/browser", "extension", "examples_scratch/test_playing.py", "web"),
    "real_client": ("real_clients",),
    "crash": ("storage/test_crash.py",),
    "timing": ("fairness",),
    "release": ("test_release.py",),
    "slow": (
        "cli/test_reload.py",
        "carriers/test_nats.py",
        "cli/test_workers.py",
        "cluster/test_conversations.py",
        "client/test_typing.py",
        "legacy/test_properties.py",
        "server/test_signals.py",
        "server/test_watchdog.py",
        "storage/test_storage_properties.py",
        "test_cloud_properties.py",
        "test_properties.py",
    ),
}
"""The files and folders of each kind of test; pyproject.toml describes the markers."""


BROWSERS = {"editor": ("extension", "examples_scratch"), "page": ("admin/browser", "web", "real_clients")}
"""Folders that share one browser, or at least never run two at a time: browsers that play use a whole processor."""


@pytest.hookimpl(tryfirst=True)  # pytest-xdist reads the groups afterwards
def pytest_collection_modifyitems(items):
    """Give each test the marker of its file or folder, and the group that runs in one process."""
    places = [(HERE / name, getattr(pytest.mark, kind)) for kind, names in KINDS.items() for name in names]
    groups = [(HERE / name, group) for group, names in BROWSERS.items() for name in names]
    for item in items:
        for place, mark in places:
            if item.path.is_relative_to(place):
                item.add_marker(mark)
        group = next((group for place, group in groups if item.path.is_relative_to(place)), str(item.path))
        item.add_marker(pytest.mark.xdist_group(group))
