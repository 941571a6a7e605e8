"""Sockets and WebSockets: the only package that uses picows.

Incoming bytes become whole messages for a session; frames from `cloudlink.delivery` are sent.
The same port answers the few HTTP requests of a browser or a health check.
"""

from __future__ import annotations

from cloudlink import later  # noqa: F401  # before picows is imported

from .endpoint import Endpoint
from .sockets import raise_open_files_limit
from .tls import load_certificates
from .urls import url_for_others, where_to_connect

__all__ = ["Endpoint", "load_certificates", "raise_open_files_limit", "url_for_others", "where_to_connect"]
