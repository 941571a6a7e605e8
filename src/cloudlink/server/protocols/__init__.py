"""The built-in protocols, which are plugins of the server.

`clpv4` is the public spelling of `Clpv4`, CloudLink 4, and `scratch` that of `Scratch`, cloud variables.
"""

from __future__ import annotations

from .bridge import Bridge
from .clpv4 import Clpv4
from .scratch import Scratch

clpv4 = Clpv4
scratch = Scratch

__all__ = ["Bridge", "Clpv4", "Scratch", "clpv4", "scratch"]
