"""The line in which `cloudlink serve` lists what the server uses: files, plugins, and the names of its certificate.

It only reads.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl

    from cloudlink.settings import Settings

_MESSAGES_OF_A_HANDSHAKE = 10
"""Most steps of each side in a handshake; TLS 1.2 and 1.3 need fewer."""


def banner(settings: Settings, file: Path | None, plugins: int, context: ssl.SSLContext | None) -> str:
    """Return what a server uses, as one line.

    Args:
        settings: The settings in effect.
        file: The settings file, None for none.
        plugins: The number of plugins that run.
        context: The TLS context, None for no TLS.
    """
    parts = [
        f"Settings file: {_full(file) if file else 'none'}",
        f"cloud variables: {_storage(settings)}",
        f"plugins: {plugins or 'none'}{_folder(settings)}",
    ]
    if context is not None:
        parts.append(f"certificate: {certificate_names(context, settings.tls_certificate)}")
    return "; ".join(parts)


def certificate_names(context: ssl.SSLContext, certificate: str) -> str:
    """Return the host names and addresses that a certificate is valid for, or why it is not valid.

    Python's `ssl` reveals the names of a certificate only to a client that has verified it. So a client that trusts
    exactly this certificate performs a handshake with the server's context, in memory.

    Args:
        context: The server's context, with the certificate.
        certificate: The file of the certificate (PEM).
    """
    import ssl  # noqa: PLC0415  # only with TLS

    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    try:
        client.load_verify_locations(certificate)
        seen = client.wrap_bio(to_client, to_server)
        ends = (seen, context.wrap_bio(to_server, to_client, server_side=True))
        for _ in range(_MESSAGES_OF_A_HANDSHAKE):
            for end in ends:
                with contextlib.suppress(ssl.SSLWantReadError):
                    end.do_handshake()
        found = seen.getpeercert() or {}
    except ssl.SSLCertVerificationError as error:
        return f"not valid ({error.verify_message})"
    except (OSError, ValueError):
        return "unknown"
    names = [str(entry[1]) for entry in found.get("subjectAltName", ())]
    return ", ".join(names) or "without host names"


def _full(path: Path) -> str:
    return str(path.expanduser().absolute())


def _storage(settings: Settings) -> str:
    if not settings.cloud:
        return "off"
    return _full(Path(settings.storage)) if settings.storage else "in memory only"


def _folder(settings: Settings) -> str:
    if not settings.plugins_folder:
        return ""
    folder = Path(settings.plugins_folder)
    return f", {'folder' if folder.expanduser().is_dir() else 'no folder'} {_full(folder)}"
