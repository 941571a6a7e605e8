"""How many processes a server has; apart from `workers`, which a server of one process does not load."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from cloudlink.errors import StartError

if TYPE_CHECKING:
    from cloudlink.settings import Settings

_MOST = 128


def number_of(settings: Settings) -> int:
    """Return how many processes the settings ask for.

    Raises:
        StartError: It is more than one, and this system is not Linux.
    """
    is_linux = sys.platform == "linux"
    if settings.workers == "auto":
        return min(_MOST, len(os.sched_getaffinity(0))) if is_linux else 1
    if settings.workers > 1 and not is_linux:
        raise StartError("Several workers need Linux; set workers to 1.")
    return settings.workers
