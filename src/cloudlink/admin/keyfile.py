"""The key file: with it, `cloudlink admin` reaches the server that runs on this machine.

Each start makes a new key. Whoever can read the file may do everything, so it is readable for its user alone.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from cloudlink.errors import StartError

if TYPE_CHECKING:
    from cloudlink.settings import Settings

logger = logging.getLogger("cloudlink.admin")

DEFAULT = "cloudlink-admin.key"
"""The file if the setting `admin_storage` is empty."""
_SIZE = 32
"""Random bytes of a key."""


def path_of(settings: Settings) -> Path:
    """Return the key file of a server with these settings."""
    return Path(settings.admin_storage).with_suffix(".key") if settings.admin_storage else Path(DEFAULT)


class Key(NamedTuple):
    """The contents of a key file.

    Attributes:
        url: The address of the admin socket.
        key: The key.
        certificate: The file of the server's certificate, empty without TLS.
    """

    url: str
    key: str
    certificate: str


def read(path: Path) -> Key | None:
    """Return what a key file says, None if there is none.

    Raises:
        StartError: It cannot be read, or is not a key file.
    """
    try:
        entry = json.loads(path.read_text(encoding="utf-8"))
        return Key(str(entry["url"]), str(entry["key"]), str(entry.get("certificate", "")))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StartError(
            f"The key file {path} cannot be read: {error.strerror}. Run this as the user who runs the server."
        ) from None
    except (ValueError, LookupError, TypeError, AttributeError):
        raise StartError(f"{path} is not a key file of a CloudLink server.") from None


class KeyFile:
    """The key file of one start of a server."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._text = ""

    def write(self, url: str, certificate: str) -> str:
        """Write the file and return its key; without the file, a warning is logged and there is no key.

        Args:
            url: The address of the admin socket, for programs on this machine.
            certificate: The file of the server's certificate, empty without TLS.
        """
        key = secrets.token_urlsafe(_SIZE)
        entry = {"url": url, "key": key}
        if certificate:
            entry["certificate"] = str(Path(certificate).absolute())
        self._text = json.dumps(entry) + "\n"
        try:
            self._replace()
        except OSError as error:
            logger.warning(
                "The terminal (`cloudlink admin`) cannot reach this server, because %s cannot be written: %s.",
                self._path,
                error.strerror or error,
            )
            return ""
        return key

    def _replace(self) -> None:
        # A new file each time: the old one may be a link, or readable for others.
        new = self._path.with_name(f"{self._path.name}.{os.getpid()}")
        descriptor = os.open(new, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(self._text)
            new.replace(self._path)
        except OSError:
            new.unlink(missing_ok=True)
            raise

    def remove(self) -> None:
        """Remove the file, unless another server has written its own there since."""
        with contextlib.suppress(OSError):
            if self._text and self._path.read_text(encoding="utf-8") == self._text:
                self._path.unlink()
        self._text = ""
