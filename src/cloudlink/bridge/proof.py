"""The mutual proof of a shared secret, with which a connection between two servers begins (protocol, section 5.1).

The caller proves first, so that a stranger who calls learns nothing that depends on the secret. Both sides choose
a nonce for each connection, so that a recorded proof is worth nothing later, and each side's proof holds its role, so
that it cannot be sent back.

    caller                          called
    {"bridge":1,"nonce":N1}    →
                               ←    {"nonce":N2}
    {"proof":P}                →
                               ←    {"proof":P2}

A caller that only tries whether all is well (`cloudlink bridge test`) adds `"trial":true` to its first message.
Pure: texts in, texts out.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from typing import TYPE_CHECKING, Any

from cloudlink import jsontext
from cloudlink.closecodes import CloseCode

if TYPE_CHECKING:
    from collections.abc import Mapping

VERSION = 1
"""The version of the protocol between bridges."""
WRONG = "The bridge secret is wrong"
"""Close reason for a proof that no bridge's secret explains."""
LONGEST = 1024
"""Most characters of a message before the proof is complete."""

_SALT = b"cloudlink bridge 1"
_COST = {"n": 1 << 14, "r": 8, "p": 1}
"""Parameters of scrypt: about 50 ms and 16 MiB, once for each bridge when the server starts."""
_NONCE = re.compile(r"[0-9a-f]{32,128}")
_CALLER, _CALLED = "caller", "called"


class HandshakeError(Exception):
    """The other side does not prove the secret, or does not follow the protocol.

    Attributes:
        code: Close code.
        reason: Close reason.
    """

    def __init__(self, reason: str, code: int = CloseCode.PROTOCOL_ERROR) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


def key_of(secret: str) -> bytes:
    """Return the key that a secret stands for; slow on purpose, so that a recorded proof is hard to guess from."""
    return hashlib.scrypt(secret.encode(), salt=_SALT, dklen=32, **_COST)


def _proof(key: bytes, role: str, caller_nonce: str, called_nonce: str) -> str:
    return hmac.digest(key, f"{role}|{caller_nonce}|{called_nonce}".encode(), "sha256").hex()


class CallerHandshake:
    """The calling side: `first` is sent, then each answer of the other side goes to `received`."""

    def __init__(self, key: bytes, nonce: str = "", *, is_trial: bool = False) -> None:
        """Set up the calling side.

        Args:
            key: The key of the secret.
            nonce: For tests; empty for a random one.
            is_trial: Whether the connection ends after the called side has said what it shares.
        """
        self._key = key
        self._is_trial = is_trial
        self._nonce = nonce or secrets.token_hex(16)
        self._expected = ""
        self.is_done = False

    @property
    def first(self) -> str:
        """The first message."""
        trial = {"trial": True} if self._is_trial else {}
        return _dumps({"bridge": VERSION, "nonce": self._nonce, **trial})

    def received(self, text: str) -> str:
        """Handle a message of the called side.

        Returns:
            The text to answer with, empty if the proof is complete.

        Raises:
            HandshakeError: The other side does not know the secret, or does not speak this protocol.
        """
        message = _message(text)
        if self._expected:
            if not hmac.compare_digest(_text(message, "proof"), self._expected):
                raise HandshakeError("The other side does not know the secret", CloseCode.POLICY_VIOLATION)
            self.is_done = True
            return ""
        nonce = _text(message, "nonce")
        if not _NONCE.fullmatch(nonce):
            raise HandshakeError("The other side does not speak the protocol of bridges")
        self._expected = _proof(self._key, _CALLED, self._nonce, nonce)
        return _dumps({"proof": _proof(self._key, _CALLER, self._nonce, nonce)})


class CalledHandshake:
    """The called side, which knows several bridges and learns from the proof which of them calls.

    Attributes:
        bridge: The name of the bridge, empty until the proof is complete.
        is_trial: Whether the caller only tries whether all is well.
    """

    def __init__(self, keys: Mapping[str, bytes], nonce: str = "") -> None:
        """Set up.

        Args:
            keys: The keys by bridge.
            nonce: For tests; empty for a random one.
        """
        self._keys = keys
        self._nonce = nonce or secrets.token_hex(16)
        self._caller_nonce = ""
        self.bridge = ""
        self.is_trial = False

    def received(self, text: str) -> str:
        """Handle a message of the caller, and return the text to answer with.

        Raises:
            HandshakeError: The caller does not know a secret, or does not follow the protocol.
        """
        message = _message(text)
        if not self._caller_nonce:
            if message.get("bridge") != VERSION:
                raise HandshakeError(f"This server speaks version {VERSION} of the protocol of bridges")
            nonce = _text(message, "nonce")
            if not _NONCE.fullmatch(nonce):
                raise HandshakeError("A nonce has 32 to 128 hexadecimal digits")
            self._caller_nonce = nonce
            self.is_trial = message.get("trial") is True
            return _dumps({"nonce": self._nonce})
        proof = _text(message, "proof")
        found = ""
        for name, key in self._keys.items():
            if hmac.compare_digest(proof, _proof(key, _CALLER, self._caller_nonce, self._nonce)):
                found = name
        if not found:
            raise HandshakeError(WRONG, CloseCode.POLICY_VIOLATION)
        self.bridge = found
        return _dumps({"proof": _proof(self._keys[found], _CALLED, self._caller_nonce, self._nonce)})


def is_first_message(data: bytes) -> bool:
    """Return whether the first message of a connection is that of a calling bridge, of any version."""
    if len(data) > LONGEST or not data.lstrip().startswith(b"{"):
        return False
    try:
        return "bridge" in (jsontext.pick(data, "bridge") or {})
    except jsontext.JSONTextError:
        return False


def _message(text: str) -> dict[str, Any]:
    if len(text) > LONGEST:
        raise HandshakeError("A message of the handshake is too long")
    try:
        message = jsontext.loads(text.encode(errors="replace"))
    except jsontext.JSONTextError:
        message = None
    if not isinstance(message, dict):
        raise HandshakeError("A message of the handshake is not a JSON object")
    return message


def _text(message: Mapping[str, Any], key: str) -> str:
    """Return a text of a message, empty if it is missing or not ASCII, which `compare_digest` needs."""
    value = message.get(key)
    return value if isinstance(value, str) and value.isascii() else ""


def _dumps(message: dict[str, object]) -> str:
    return jsontext.dumps(message).decode()
