"""HTTP on the WebSocket port, as values: requests, responses, and the routes from one to the other.

Nothing here opens a socket or knows the event loop; `cloudlink.transport` reads requests and writes responses. Plugins
import `Request` and `Response` from here.
"""

from __future__ import annotations

from .headers import Headers
from .request import Request
from .response import File, Response
from .routes import Routes, WebSocketRoute

__all__ = ["File", "Headers", "Request", "Response", "Routes", "WebSocketRoute"]
