"""Python's garbage collector, switched off where a test asks what is freed without it."""

from __future__ import annotations

import contextlib
import gc
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def without_garbage_collector() -> Iterator[None]:
    """Run the collector once, and then not again within the block."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
