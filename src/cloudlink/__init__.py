"""CloudLink, the realtime server of the Scratch world, and a client for Python.

    from cloudlink import server, client
    import cloudlink                        # cloudlink.connect(...), cloudlink.connect_cloud(...)

`server` and `client` are classes, the public names of `Server` and `Client`; imports from the packages of the same
names work as usual (`from cloudlink.server.protocols import clpv4`). Each is loaded on first use: a server does not
load the client, nor a bot the server. Names that were removed since earlier versions raise errors that name their
replacement (see `removed`).
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
    """Return a property that looks up an attribute in a subpackage each time it is read.

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

    Python calls it last, when no module was found. `from cloudlink import Name` calls it too, and would replace
    the text of an AttributeError by its own.
    """

    @staticmethod
    def find_spec(fullname: str, path: object = None, target: object = None) -> None:  # noqa: ARG004  # the interface
        package, _, name = fullname.partition(".")
        words = _explain(name) if package == __name__ else None  # Python 3.7 must be able to parse this file
        if words is not None:
            raise ImportError(words, name=fullname)


def _explain(name: str) -> str | None:
    from .removed import explain  # noqa: PLC0415  # only mistakes need it

    return explain(name)


sys.modules[__name__].__class__ = _Package
sys.meta_path.append(_RemovedNames)
