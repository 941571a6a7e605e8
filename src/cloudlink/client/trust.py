"""TLS contexts that trust the user's own certificate."""

from __future__ import annotations

import ssl


def trusting(file: str) -> ssl.SSLContext:
    """Return a TLS context that trusts a certificate in addition to those that this machine trusts.

    Args:
        file: Path of a PEM file with the certificate of a server, or of the authority that signed it.

    Raises:
        OSError: The file cannot be read, or holds no certificate.
    """
    context = ssl.create_default_context()
    context.load_verify_locations(file)
    return context
