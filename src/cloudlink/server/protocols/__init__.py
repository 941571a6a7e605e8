"""The protocols: plugins that come with the server.

`clpv4` is the public spelling of `Clpv4`, CloudLink 4.
"""

from __future__ import annotations

from .clpv4 import Clpv4

clpv4 = Clpv4

__all__ = ["Clpv4", "clpv4"]
