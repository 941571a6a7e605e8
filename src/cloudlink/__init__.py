"""CloudLink, the realtime server of the Scratch world, and a client for Python.

    from cloudlink import server, client
    import cloudlink                        # cloudlink.connect(...), cloudlink.connect_cloud(...)

`server` and `client` are classes, the public spellings of `Server` and `Client`; the packages of the same names are
imported from as usual (`from cloudlink.server.protocols import clpv4`). Each is loaded when it is first asked for: a
server does not load the client, nor a bot the server.
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


def _loaded_when_asked_for(package: str, name: str) -> property:
    """Make an attribute of this package that is found in one of its packages when it is read.

    Python sets `cloudlink.server` to the package once that is imported, by whomever; the attribute goes on
    being the class.
    """

    def read(_: ModuleType) -> Any:
        return getattr(importlib.import_module(f"{__name__}.{package}"), name)

    def keep(_: ModuleType, value: object) -> None:
        if not isinstance(value, ModuleType):
            raise AttributeError(f"cloudlink.{name} cannot be replaced")  # noqa: TRY004  # as for any read-only attribute

    return property(read, keep)


class _Package(ModuleType):
    """This package, with names that are loaded when they are asked for."""

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *__all__})

    server = _loaded_when_asked_for("server", "server")
    client = _loaded_when_asked_for("client", "client")
    connect = _loaded_when_asked_for("client", "connect")
    connect_cloud = _loaded_when_asked_for("client", "connect_cloud")


sys.modules[__name__].__class__ = _Package
