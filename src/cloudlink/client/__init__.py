"""A CloudLink client for Python: for asyncio programs and bots, and for scripts written for CloudLink 0.2.0.

import cloudlink                  # cloudlink.connect(...): see `connection`
"""

from __future__ import annotations

from cloudlink.installation import require_alone

from .classic import Client
from .cloudconnection import CloudConnection, connect_cloud
from .connection import Connection, connect
from .errors import (
    ClientError,
    ConnectError,
    DisconnectedError,
    NameRefusedError,
    RequestError,
    ServerFullError,
    StaleValueError,
    WaitTimeoutError,
    WrongServerError,
)
from .events import (
    CloudChange,
    Connected,
    DirectMessage,
    Disconnected,
    Event,
    GlobalMessage,
    GlobalVariable,
    MessageOfTheDay,
    OtherPacket,
    PrivateMessage,
    PrivateVariable,
    StatusCode,
    Unreadable,
    User,
    UserJoined,
    UserLeft,
    UserList,
)

require_alone()

client = Client

__all__ = [
    "Client",
    "ClientError",
    "CloudChange",
    "CloudConnection",
    "ConnectError",
    "Connected",
    "Connection",
    "DirectMessage",
    "Disconnected",
    "DisconnectedError",
    "Event",
    "GlobalMessage",
    "GlobalVariable",
    "MessageOfTheDay",
    "NameRefusedError",
    "OtherPacket",
    "PrivateMessage",
    "PrivateVariable",
    "RequestError",
    "ServerFullError",
    "StaleValueError",
    "StatusCode",
    "Unreadable",
    "User",
    "UserJoined",
    "UserLeft",
    "UserList",
    "WaitTimeoutError",
    "WrongServerError",
    "client",
    "connect",
    "connect_cloud",
]
