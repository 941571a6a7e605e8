"""CloudLink 4 (protocol, section 1)."""

from __future__ import annotations

from .protocol import Clpv4

clpv4 = Clpv4

__all__ = ["Clpv4", "clpv4"]
