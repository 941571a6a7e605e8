"""Keeps the package aiofastnet out of memory until somebody uses it.

picows imports aiofastnet, which takes 2.3 MB, and asks it about each connection; servers use asyncio's transports instead.
Importing this module before picows puts a stand-in in its place, which loads the package when anything but that one class
is asked for, as by a plugin.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec

_NAME = "aiofastnet"


class _NoTransport:
    """The class of aiofastnet's transports while there cannot be any."""


class _Later(ModuleType):
    """The stand-in."""

    def __init__(self, spec: ModuleSpec) -> None:
        super().__init__(_NAME)
        self.__spec__ = spec
        self.__loader__ = spec.loader
        self.__file__ = spec.origin
        self.__path__ = spec.submodule_search_locations or []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # tools look for these in every module
            raise AttributeError(f"module {_NAME!r} has no attribute {name!r}")
        if sys.modules.get(_NAME) is self:
            if name == "Transport":
                return _NoTransport
            del sys.modules[_NAME]
        return getattr(importlib.import_module(_NAME), name)


def put_off() -> None:
    """Put the stand-in in place, unless the package is loaded already or missing."""
    if _NAME not in sys.modules and (spec := importlib.util.find_spec(_NAME)) is not None:
        sys.modules[_NAME] = _Later(spec)


put_off()
