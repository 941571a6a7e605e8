"""Samples of the metrics of several processes: sent from one to another, and added up to those of the whole server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

Values = dict[tuple[str, ...], float]
"""The values of a metric, by the values of its labels."""
Sample = dict[str, Values]
"""The values of all metrics, by name."""

_SAME = ("build_info", "bans", "mutes", "bridge_up", "bridge_users", "cluster_nodes")
"""Each process has what the others have, or one of them alone has it: the largest value counts."""
_WEAKEST = ("ready", "cluster_up", "storage_up")
"""The server is as well as the worst of its processes."""
_EARLIEST = "process_start_time_seconds"
_LIMITS = ("process_max_fds", "process_virtual_memory_max_bytes")
"""Limits of each process, the same for all."""


class OtherProcess(NamedTuple):
    """The metrics of another process of the server.

    Attributes:
        sample: The values of its metrics.
        rooms: The names of its rooms, by protocol.
        process: The number of its process.
    """

    sample: Sample
    rooms: dict[str, list[str]]
    process: int


def packed(sample: Sample) -> dict[str, list[Any]]:
    """Return a sample as JSON can hold it."""
    return {name: [[*labels, value] for labels, value in values.items()] for name, values in sample.items()}


def unpacked(sample: dict[str, list[Any]]) -> Sample:
    """Return the sample that `packed` was given."""
    return {name: {tuple(labels): value for *labels, value in rows} for name, rows in sample.items()}


def total(samples: Sequence[Sample]) -> Sample:
    """Return the sample of a server, given those of its processes; the first one decides which metrics there are."""
    return {name: _joined(name, [each.get(name, {}) for each in samples]) for name in samples[0]}


def count_rooms(found: Iterable[dict[str, list[str]]]) -> Values:
    """Return the number of rooms of each protocol, given the names that each process has of it."""
    names: dict[str, set[str]] = {}
    for rooms in found:
        for label, some in rooms.items():
            names.setdefault(label, set()).update(some)
    return {(label,): len(some) for label, some in names.items()}


def _joined(name: str, found: Iterable[Values]) -> Values:
    join: Callable[[float, float], float] = max if name in _SAME else min if name in _WEAKEST else _add
    joined: Values = {}
    for values in found:
        for labels, value in values.items():
            joined[labels] = join(joined[labels], value) if labels in joined else value
    return joined


def _add(one: float, other: float) -> float:
    return one + other


def join_process_value(name: str, values: Sequence[float]) -> float:
    """Return the value of one of the metrics `process_…` for several processes."""
    if name == _EARLIEST:
        return min(values)
    return values[0] if name in _LIMITS else sum(values)
