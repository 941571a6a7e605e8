"""The administration of a server: connects `cloudlink.admin`, which is pure, with its parts."""

from __future__ import annotations

from .administration import Administration

__all__ = ["Administration"]
