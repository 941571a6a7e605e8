"""Tags of addresses: enough to tell subscribers apart, for those who may not see addresses."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from base64 import b32encode
from typing import TYPE_CHECKING

from cloudlink.addresses import subscriber

if TYPE_CHECKING:
    from cloudlink.admin.store import AdminStore

KIND, KEY = "secret", "tags"
"""The record of the file that holds the key, so that tags outlive a restart."""
_SIZE = 6
_KEY_SIZE = 32


class Tags:
    """Makes tags with a key that nobody knows."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(_KEY_SIZE)

    def load(self, store: AdminStore) -> None:
        """Take the key of the file, if there is one; called between the file's `open` and `start`."""
        kept = dict(store.records(KIND)).get(KEY)
        if isinstance(kept, str) and re.fullmatch(r"[0-9a-f]{64}", kept):
            self._key = bytes.fromhex(kept)

    def keep(self, store: AdminStore) -> None:
        """Put the key into the file."""
        store.put(KIND, KEY, self._key.hex())

    def of(self, address: str) -> str:
        """Return the tag of an address, the same for all addresses of one subscriber."""
        digest = hmac.digest(self._key, subscriber(address).encode("utf-8", "surrogatepass"), hashlib.sha256)
        return b32encode(digest)[:_SIZE].decode().lower()
