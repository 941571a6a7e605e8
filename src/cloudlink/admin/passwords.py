"""Passwords of accounts: their rules and their hashes (scrypt, RFC 7914).

A hash takes about a quarter of a second of one core and 16 MiB, so servers compute it in a thread of its own.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import unicodedata
from base64 import b64decode, b64encode

SHORTEST = 15
LONGEST = 1024
"""The bounds of a password's length, in characters."""
_COST, _BLOCK, _PARALLEL = 1 << 14, 8, 5
_SALT_SIZE, _KEY_SIZE = 16, 32
_HASH = re.compile(
    r"scrypt:(?P<n>\d{1,8}):(?P<r>\d{1,3}):(?P<p>\d{1,3}):(?P<salt>[A-Za-z0-9+/]+=*):(?P<key>[A-Za-z0-9+/]+=*)"
)
_MOST_MEMORY = 256 << 20
"""The most bytes that checking one hash may take; a hash that needs more matches nothing."""


def problem(password: str) -> str:
    """Return what is wrong with a new password, to follow "The password", empty if nothing is."""
    size = len(_normalized(password))
    if size < SHORTEST:
        return (
            f"must have at least {SHORTEST} characters; four words that do not belong together are a good one"
        )
    if size > LONGEST:
        return f"can have at most {LONGEST} characters"
    if len(set(password)) == 1:
        return "must not be one character over and over"
    return ""


def hash_of(password: str) -> str:
    """Return the hash of a password with a new salt: `scrypt:N:r:p:SALT:KEY`, the last two in Base64."""
    salt = secrets.token_bytes(_SALT_SIZE)
    key = _key(password, salt, _COST, _BLOCK, _PARALLEL, _KEY_SIZE)
    return f"scrypt:{_COST}:{_BLOCK}:{_PARALLEL}:{b64encode(salt).decode()}:{b64encode(key).decode()}"


NOBODY = f"scrypt:{_COST}:{_BLOCK}:{_PARALLEL}:{b64encode(bytes(_SALT_SIZE)).decode()}:{b64encode(bytes(_KEY_SIZE)).decode()}"
"""The hash to check for an account that does not exist: it takes the same time and matches no password."""


def matches(password: str, hashed: str) -> bool:
    """Return whether a password has a hash that `hash_of` returned; False for anything that is not such a hash."""
    match = _HASH.fullmatch(hashed)
    if match is None:
        return False
    cost, block, parallel = int(match["n"]), int(match["r"]), int(match["p"])
    try:
        expected = b64decode(match["key"], validate=True)
        found = _key(password, b64decode(match["salt"], validate=True), cost, block, parallel, len(expected))
    except ValueError:  # parameters that scrypt does not accept, or not Base64
        return False
    return hmac.compare_digest(found, expected)


def _key(password: str, salt: bytes, cost: int, block: int, parallel: int, size: int) -> bytes:
    return hashlib.scrypt(
        _normalized(password).encode("utf-8", "surrogatepass"),
        salt=salt,
        n=cost,
        r=block,
        p=parallel,
        maxmem=_MOST_MEMORY,
        dklen=size,
    )


def _normalized(password: str) -> str:
    # Keyboards differ in how they send the same accented letter.
    return unicodedata.normalize("NFKC", password)
