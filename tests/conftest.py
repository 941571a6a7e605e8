"""Marks tests by what they need beyond Python, so that `make test-fast` can leave them out.

Hypothesis measures no times here: how long an example takes says more about the machine than about the code.
"""

from __future__ import annotations

import functools
import gc
import logging
import signal
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
        "attacks",
        "bridge/test_processes.py",
        "cli/test_reload.py",
        "carriers/test_nats.py",
        "cli/test_workers.py",
        "cli/test_workers_admin.py",
        "cluster/test_behaviours.py",
        "cluster/test_administration.py",
        "cluster/test_conversations.py",
        "cluster/test_operation.py",
        "cluster/test_strangers.py",
        "client/test_typing.py",
        "legacy/test_properties.py",
        "mutate/test_running.py",
        "server/test_signals.py",
        "server/test_watchdog.py",
        "storage/test_storage_properties.py",
        "test_cloud_properties.py",
        "test_properties.py",
    ),
}
"""The files and folders of each kind of test; pyproject.toml describes the markers."""


SLOW_TO_INSTALL = ("extension", "admin/browser")
"""Folders whose tests get more time: what they need may have to be installed first."""


BROWSERS = {"editor": ("extension", "examples_scratch"), "page": ("admin/browser", "web", "real_clients")}
"""Folders that share one browser, or at least never run two at a time: browsers that play use a whole processor."""


def pytest_configure():
    """Let Ctrl-C work: a shell that runs the tests in the background has it ignored, by the servers that they start, too."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items):
    for item in items:
        for mark in _marks(item.path):
            item.add_marker(mark)


def pytest_collection_finish():
    """Keep the garbage collector from looking again and again at all tests and what they import: they stay anyway."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _levels():
    """Restore the levels of the loggers: some tests run whole programs in this process, and those set them."""
    names = ["", *(name for name in logging.root.manager.loggerDict if name.startswith("cloudlink"))]
    levels = {name: logging.getLogger(name).level for name in names}
    yield
    for name, level in levels.items():
        if logging.getLogger(name).level != level:
            logging.getLogger(name).setLevel(level)


@functools.cache
def _marks(path):
    kinds = [getattr(pytest.mark, kind) for kind, names in KINDS.items() if _is_in(path, names)]
    return [*kinds, pytest.mark.timeout(300)] if _is_in(path, SLOW_TO_INSTALL) else kinds


def _is_in(path, names):
    return any(path.is_relative_to(HERE / name) for name in names)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Run each file, and each group of browsers, in one of the processes of `pytest -n`; tests of packages each in any.

    pytest-xdist's own groups (`--dist loadgroup`) have no effect with pytest 9.2.
    """
    from xdist.scheduler import LoadScopeScheduling  # noqa: PLC0415  # only where there are several processes

    class Scheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            return _group(config.rootpath, nodeid.partition("::")[0]) or nodeid

    return Scheduling(config, log)


@functools.cache
def _group(root, file):
    """Return the name of the group that a file belongs to, None if each test of it is a group of its own."""
    path = root / file
    if _is_in(path, KINDS["release"]):
        return None
    return next((group for group, names in BROWSERS.items() if _is_in(path, names)), file)
