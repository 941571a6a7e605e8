"""CloudLink, the realtime server of the Scratch world.

    from cloudlink import server

`server` is the public spelling of `Server`; the package of the same name, `cloudlink.server`, is
imported as usual (`from cloudlink.server.protocols import clpv4`).
"""

from __future__ import annotations

from .server import server
from .version import __version__

__all__ = ["__version__", "server"]
