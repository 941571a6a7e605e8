"""CloudLink, the realtime server of the Scratch world, and a client for Python.

    from cloudlink import server, client
    import cloudlink                        # cloudlink.connect(...), cloudlink.connect_cloud(...)

`server` and `client` are classes, the public spellings of `Server` and `Client`; the packages of the same names are
imported from as usual (`from cloudlink.server.protocols import clpv4`). Each is loaded when it is first used: a server
does not load the client, nor a bot the server. Names that earlier versions had and this one does not have raise errors
that say what takes their place (`removed`).
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from .version import __version__

if TYPE_CHECKING:
    from .client import client, connect, connect_cloud  # noqa: TC004  # loaded when read: see `_Package`
    from .server import server  # noqa: TC004  # likewise

__all__ = ["__version__", "client", "connect", "connect_cloud", "server"]


def _lazy(package: str, name: str) -> property:
    """Make an attribute of this package that is looked up in one of its packages when it is read.

    Importing `cloudlink.server` anywhere makes Python set `cloudlink.server` to the package; the attribute
    ignores that and remains the class.
    """

    def read(_: ModuleType) -> Any:
        return getattr(importlib.import_module(f"{__name__}.{package}"), name)

    def ignore(_: ModuleType, value: object) -> None:
        if not isinstance(value, ModuleType):
            raise AttributeError(f"cloudlink.{name} cannot be replaced")  # noqa: TRY004  # as for any read-only attribute

    return property(read, ignore)


class _Package(ModuleType):
    """This package, with names that are loaded when they are first used."""

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *__all__})

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(_explain(name) or f"module {__name__!r} has no attribute {name!r}")

    server = _lazy("server", "server")
    client = _lazy("client", "client")
    connect = _lazy("client", "connect")
    connect_cloud = _lazy("client", "connect_cloud")


class _RemovedNames:
    """A finder that explains failed imports of removed names; it never finds a module.

    It is asked last, when no module was found. `from cloudlink import Name` asks it too, and would replace
    the words of an AttributeError by its own.
    """

    @staticmethod
    def find_spec(fullname: str, path: object = None, target: object = None) -> None:  # noqa: ARG004  # the interface
        package, _, name = fullname.partition(".")
        words = _explain(name) if package == __name__ else None  # Python 3.7 has to be able to read this file
        if words is not None:
            raise ImportError(words, name=fullname)


def _explain(name: str) -> str | None:
    from .removed import explain  # noqa: PLC0415  # only mistakes need it

    return explain(name)


sys.modules[__name__].__class__ = _Package
sys.meta_path.append(_RemovedNames)
