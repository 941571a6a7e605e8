"""Scratch cloud variables (protocol, section 3)."""

from __future__ import annotations

from .protocol import Scratch

scratch = Scratch

__all__ = ["Scratch", "scratch"]
