"""TLS certificates for servers under test, issued by an authority that only the test trusts."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any

import trustme

if TYPE_CHECKING:
    from pathlib import Path


class Certificates:
    """A certificate authority, and the files that a server reads.

    Attributes:
        ca: The authority's own certificate, a PEM file.
        certificate: The server's certificate, a PEM file.
        key: The server's key, a PEM file.
        client: The context of a client that trusts the authority, and no other.
    """

    def __init__(self, folder: Path) -> None:
        self.authority = trustme.CA()
        self.ca = folder / "authority.pem"
        self.authority.cert_pem.write_to_path(self.ca)
        self.certificate = folder / "certificate.pem"
        self.key = folder / "key.pem"
        self.client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.authority.configure_trust(self.client)
        self.issue("localhost")

    def issue(self, *names: str, **validity: Any) -> None:
        """Replace the server's files with a new certificate for these names; `validity` is what trustme takes."""
        issued = self.authority.issue_cert(*names, **validity)
        issued.private_key_pem.write_to_path(self.key)
        self.certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))

    @property
    def settings(self) -> dict[str, str]:
        """The settings of a server that reads the files."""
        return {"tls_certificate": str(self.certificate), "tls_key": str(self.key)}
