"""Finds an old distribution `cloudlink` in the folder in which this package is installed.

This package comes from the distribution `cloudlink-server`. The distribution `cloudlink` of PyPI (0.2.0 and older) has a
package of the same name. Installed side by side, each overwrites files of the other, and what runs is a mixture of both.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

_OLD = re.compile(r"cloudlink-(0\.[0-9][^-]*)(-py[^-]*)?\.(dist|egg)-info")


def conflict(folder: Path | None = None) -> str | None:
    """Return sentences about the old distribution and how to remove it, or None if all is well.

    Args:
        folder: The folder that contains the package; None for that of this package. A package in an archive, or in a
            checkout, is alone.
    """
    folder = Path(__file__).parents[1] if folder is None else folder
    try:
        names = os.listdir(folder)  # noqa: PTH208  # a tenth of the time, at every start
    except OSError:
        return None
    for name in names:
        if old := _OLD.fullmatch(name):
            return (
                f"The old CloudLink {old[1]} (cloudlink) and this one (cloudlink-server) are both installed in {folder}, "
                f"and each has overwritten files of the other. Remove both: {sys.executable} -m pip uninstall cloudlink "
                f"cloudlink-server. Then install the one you want; keep the other in an environment of its own."
            )
    return None


def require_alone() -> None:
    """Raise an `ImportError` with these sentences if there is a conflict."""
    sentences = conflict()
    if sentences is not None:
        raise ImportError(sentences)
