"""A server of Scratch cloud variables, in memory, for the tests of this folder."""

from __future__ import annotations

import pytest

from cloudlink.server.app import Server
from cloudlink.server.protocols import Bridge, Clpv4, Scratch
from cloudlink.settings import Settings


@pytest.fixture
def build():
    """Return a function that builds a server with the given settings; `server.scratch` is its cloud protocol."""

    def make(**settings):
        server = Server(Settings(storage="", **settings))
        clpv4, server.scratch = Clpv4(server), Scratch(server)
        if server.settings.cloud_bridge:
            Bridge(clpv4, server.scratch)
        return server

    return make
