"""Whether, and how soon, to reconnect after a connection has ended or failed. Pure functions.

A server closes a connection for good with 1000 or 1008, and with 4000 to 4099 on CloudLink 4 connections: the client was
asked to leave, kicked or banned. On cloud connections 4000 to 4005 have meanings of their own (protocol, section 3.1).
"""

from __future__ import annotations

from cloudlink.client.errors import (
    ClientError,
    ConnectError,
    DisconnectedError,
    NameRefusedError,
    RequestError,
)
from cloudlink.closecodes import CloseCode

_FINAL = frozenset({CloseCode.NORMAL, CloseCode.POLICY_VIOLATION})
_KICKED = range(4000, 4100)
_FINAL_FOR_CLOUD = _FINAL | {CloseCode.CLOUD_USERNAME, CloseCode.CLOUD_PROJECT, CloseCode.CLOUD_SECURITY}
_LATER_FOR_CLOUD = (CloseCode.CLOUD_ERROR, CloseCode.CLOUD_OVERLOADED)
_LATER = 60.0
"""Minimum seconds before reconnecting to a cloud server that was full or did not understand a packet."""
_ID_CONFLICT = 112


def is_final(error: ClientError) -> bool:
    """Return whether an error means that a CloudLink 4 client must not connect again, or need not."""
    if isinstance(error, DisconnectedError):
        return error.code in _FINAL or error.code in _KICKED
    if isinstance(error, ConnectError):
        return error.close_code in _KICKED
    if isinstance(error, NameRefusedError):
        # After a reconnection the name may still be held by the connection that broke.
        return error.code != _ID_CONFLICT
    return isinstance(error, RequestError)


def is_final_for_cloud(error: ClientError) -> bool:
    """Return whether an error means that a client of cloud variables must not connect again, or need not."""
    if isinstance(error, DisconnectedError):
        return error.code in _FINAL_FOR_CLOUD
    return isinstance(error, NameRefusedError)


def shortest_delay_for_cloud(error: ClientError) -> float:
    """Return the minimum seconds before a client of cloud variables reconnects after an error; usually 0."""
    code = error.code if isinstance(error, DisconnectedError) else getattr(error, "close_code", None)
    return _LATER if code in _LATER_FOR_CLOUD else 0.0


def may_come_up(error: ClientError) -> bool:
    """Return whether waiting may help a first connection that failed: the server may be starting."""
    return not (isinstance(error, ConnectError) and error.permanent)
