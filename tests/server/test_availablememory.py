"""How much memory the connections of one process may keep."""

from __future__ import annotations

import pytest

from cloudlink.server import availablememory
from cloudlink.server.availablememory import most_kept

MB = 1 << 20


@pytest.mark.parametrize(
    ("size", "processes", "expected"),
    [(None, 1, 64 * MB), (512 * MB, 1, 32 * MB), (1536 * MB, 1, 48 * MB), (1 << 40, 2, 32 * MB)],
)
def test_the_default_is_a_part_of_the_machine(monkeypatch, size, processes, expected):
    monkeypatch.setattr(availablememory, "memory", lambda: size)
    assert most_kept("auto", processes) == expected
    assert most_kept(10 * MB, 2) == 5 * MB


def test_this_machine_has_memory():
    assert availablememory.memory() is None or availablememory.memory() > 64 * MB
