"""Folders of static files: which file a path means, which files are never served, and the responses.

Files are opened here and sent piece by piece by the transport, so large files need no memory.
"""

from __future__ import annotations

import logging
import os
import re
import stat
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from cloudlink.logthrottle import LogThrottle

from .response import FOR_ANY_PAGE, JSON, File, Response
from .routes import Route, not_found

if TYPE_CHECKING:
    from .request import Request

logger = logging.getLogger("cloudlink.server")

INDEX = "index.html"
SANDBOX = "sandbox allow-scripts allow-forms allow-popups allow-pointer-lock allow-downloads"
PUBLIC = {
    # A page without an origin of its own can neither access data of this server's own pages nor pose as one of them.
    "Content-Security-Policy": SANDBOX,
    # For a page without an origin, even its own scripts, fonts and data are cross-origin.
    **FOR_ANY_PAGE,
}
"""Headers of responses from plugins and folders (Content Security Policy, `sandbox`; Fetch standard, CORS protocol)."""

_SECRET = re.compile(
    r"\..*|.*\.(?:toml|pem|key|crt|cer|p12|pfx|py[ciowx]?|(?:db|sqlite).*)", re.IGNORECASE | re.DOTALL
)
"""Names of files and folders that are never served."""
_UNSAFE = re.compile(r"[\\:\x00]|//|[. ](?:/|$)")
"""Forbidden in paths: parent folders, and characters that Windows treats as slashes, drives or the end of a name."""
_ENCODED_UNSAFE = re.compile(r"%(?:2f|5c|00)", re.IGNORECASE)

_QUERY = "!$&'()*+,;=:@/?%"
"""Characters of a query that are not escaped (RFC 3986, section 3.4)."""

_TYPES = {
    ".aac": "audio/aac",
    ".avif": "image/avif",
    ".bmp": "image/bmp",
    ".css": "text/css",
    ".csv": "text/csv",
    ".gif": "image/gif",
    ".htm": "text/html",
    ".html": "text/html",
    ".ico": "image/x-icon",
    ".jpeg": "image/jpeg",
    ".jpg": "image/jpeg",
    ".js": "text/javascript",
    ".json": JSON,
    ".m4a": "audio/mp4",
    ".map": JSON,
    ".md": "text/markdown",
    ".mjs": "text/javascript",
    ".mp3": "audio/mpeg",
    ".mp4": "video/mp4",
    ".ogg": "audio/ogg",
    ".otf": "font/otf",
    ".pdf": "application/pdf",
    ".png": "image/png",
    ".sb3": "application/x.scratch.sb3",
    ".sprite3": "application/x.scratch.sprite3",
    ".svg": "image/svg+xml",
    ".ttf": "font/ttf",
    ".txt": "text/plain",
    ".wasm": "application/wasm",
    ".wav": "audio/wav",
    ".webm": "video/webm",
    ".webmanifest": "application/manifest+json",
    ".webp": "image/webp",
    ".woff": "font/woff",
    ".woff2": "font/woff2",
    ".xml": "text/xml",
    ".zip": "application/zip",
}
"""Media types by extension. The standard library's table differs between machines and lacks types that games need."""


def folder_routes(path: str, folder: str | Path, name: str) -> list[Route]:
    """Return the routes that serve a folder: for everything below a path, and for the path without its slash.

    Args:
        path: The path under which the folder is served, such as `/game`; `/` for the server's root.
        folder: The folder, relative to the working directory.
        name: The name of the routes in error messages.

    Raises:
        ValueError: The folder does not exist.
    """
    path = path.rstrip("/")
    served = Folder(path, folder)
    routes = [Route(path + "/*", served.respond, name, PUBLIC, served.exists)]
    return [*routes, Route(path, _redirect, name)] if path else routes


class Folder:
    """Serves the files of one folder below one path."""

    def __init__(self, path: str, folder: str | Path) -> None:
        """Set up the folder; see `folder_routes`."""
        self._above = path.rstrip("/") + "/"
        self._throttle = LogThrottle()
        try:
            self._root = Path(folder).resolve(strict=True)
        except (OSError, ValueError, RuntimeError):
            raise ValueError(
                f"there is no folder {folder}, seen from {Path.cwd()}; make it or name another"
            ) from None
        if not self._root.is_dir():
            raise ValueError(f"{folder} is a file, not a folder; name the folder that it is in")

    def exists(self, request: Request) -> bool:
        """Return whether a request means a file of the folder, or a folder in it that has an `index.html`."""
        return self._find(request) is not None

    def respond(self, request: Request) -> Response:
        """Answer a GET or HEAD request with a file, with 304, or with a redirection to a folder's path with its slash."""
        path = self._find(request)
        if path is None:
            return not_found()
        if path.is_dir():
            return _redirect(request)
        try:
            stream = path.open("rb")
        except OSError as error:  # deleted meanwhile, or not readable
            if self._throttle.should_log(path):
                logger.warning("%s cannot be served: %s.", path, error.strerror)
            return not_found()
        status = os.fstat(stream.fileno())
        headers = {"Cache-Control": "no-cache", "ETag": f'"{status.st_mtime_ns:x}-{status.st_size:x}"'}
        tags = request.headers.tokens("If-None-Match")
        if "*" in tags or headers["ETag"] in (tag.removeprefix("W/") for tag in tags):
            stream.close()
            return Response(status=HTTPStatus.NOT_MODIFIED, headers=headers)
        return Response(File(stream, status.st_size), content_type=content_type(path.name), headers=headers)

    def _find(self, request: Request) -> Path | None:
        """Return the file that a request means, or the folder whose path lacks its slash; None for anything else."""
        path = request.path
        if (
            _UNSAFE.search(path)
            or _ENCODED_UNSAFE.search(request.raw_path)
            or not path.startswith(self._above)
        ):
            return None
        rest = path[len(self._above) :]
        try:
            found = (self._root / rest).resolve(strict=True)
            kind = found.stat().st_mode
            if stat.S_ISDIR(kind):
                index = (found / INDEX).resolve(strict=True)
                if not stat.S_ISREG(index.stat().st_mode):
                    return None
                found = index if not rest or rest.endswith("/") else found
            elif not stat.S_ISREG(kind) or rest.endswith("/"):
                return None
        except (OSError, ValueError, RuntimeError):
            return None  # absent, an invalid name, or a loop of links
        # Check both names: the requested one and the target of a link.
        if not found.is_relative_to(self._root) or any(map(_SECRET.fullmatch, rest.split("/"))):
            return None
        return None if any(map(_SECRET.fullmatch, found.relative_to(self._root).parts)) else found


def content_type(name: str) -> str:
    """Return the media type of a file by its extension."""
    kind = _TYPES.get(Path(name).suffix.lower(), "application/octet-stream")
    return f"{kind}; charset=utf-8" if kind.startswith("text/") else kind


def _redirect(request: Request) -> Response:
    """Redirect a browser to the same path with a slash, so that relative links of a page lead into its folder.

    The target is relative, because a proxy may serve this server below another path.
    """
    last, mark, query = request.path.rpartition("/")[2], *request.target.partition("?")[1:]
    location = f"./{quote(last, errors='replace')}/{mark}{quote(query, _QUERY, errors='replace')}"
    return Response(status=HTTPStatus.PERMANENT_REDIRECT, headers={"Location": location})
