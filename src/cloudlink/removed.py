"""The removed public names of earlier versions of CloudLink, and what takes their place.

This module only has the sentences; `cloudlink` raises them as an ImportError or an AttributeError. docs/migrating.md
lists the same names in tables, and the methods of the removed classes.
"""

from __future__ import annotations

_SERVER = "`from cloudlink import server` and `server()`"
_CLIENT = "`import cloudlink` and `cloudlink.connect(...)`"
_BOTH = f"{_SERVER} for a server, {_CLIENT} for a client"
_CODES = "`protocol.statuscodes`, `protocol.send_statuscode` and `protocol.valid`"

# By the name after `cloudlink.`: the last version that had it, and its successor.
REMOVED = {
    # 0.1.5 and 0.1.7
    "CloudLink": ("0.1.7", _BOTH),
    "API": ("0.1.7", _BOTH),
    "CLTLS": ("0.1.7", "`server.enable_ssl(certfile, keyfile)`, or the settings tls_certificate and tls_key"),
    # 0.1.8
    "Cloudlink": ("0.1.8", _BOTH),
    "serverRootHandlers": ("0.1.8", "`@server.on_connect`, `@server.on_disconnect`"),
    "serverInternalHandlers": ("0.1.8", "`@server.on_command(cmd=..., schema=clpv4.schema)`"),
    "websocket_server": ("0.1.8", _SERVER),
    "client.client": ("0.1.8", _CLIENT),
    "client.clientRootHandlers": ("0.1.8", "the events of `cloudlink.connect(...)`"),
    "client.clientInternalHandlers": ("0.1.8", "the events of `cloudlink.connect(...)`"),
    "server.serverRootHandlers": ("0.1.8", "`@server.on_connect`, `@server.on_disconnect`"),
    "server.serverInternalHandlers": ("0.1.8", "`@server.on_command(cmd=..., schema=clpv4.schema)`"),
    # 0.1.9
    "cloudlink": ("0.1.9", _BOTH),
    "async_client": ("0.1.9", _CLIENT),
    "old_client": ("0.1.9", _CLIENT),
    "supporter": ("0.1.9", _CODES),
    "server.server": ("0.1.9", _SERVER),
    "server.protocols.cl_methods": ("0.1.9", "`from cloudlink.server.protocols import clpv4`"),
    "server.protocols.scratch_methods": ("0.1.9", "`from cloudlink.server.protocols import scratch`"),
    # 0.2.0
    "async_iterables": ("0.2.0", "`server.async_iterable`, or a plain `for`"),
    "server.modules": ("0.2.0", "`server.clients_manager` and `server.rooms_manager`"),
    "server.protocols.clpv4.clpv4": ("0.2.0", "`from cloudlink.server.protocols import clpv4`"),
    "server.protocols.scratch.scratch": ("0.2.0", "`from cloudlink.server.protocols import scratch`"),
    "client.protocol": ("0.2.0", "the attribute `protocol` of `client()`"),
    "client.schema": ("0.2.0", "nothing: the client checks what it receives itself"),
    "client.exceptions": ("0.2.0", "the attribute `exceptions` of `client()`"),
}


def explain(name: str) -> str | None:
    """Return the sentences about a removed name; None for other names.

    Args:
        name: The name after `cloudlink.`, dots included.
    """
    if name not in REMOVED:
        return None
    version, successor = REMOVED[name]
    return (
        f"cloudlink.{name} was part of CloudLink {version} and was removed. Its successor is {successor}; "
        f"docs/migrating.md shows how to change a script. The old version: pip install 'cloudlink<1'."
    )
