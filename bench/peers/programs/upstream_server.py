"""Starts upstream CloudLink 0.2.0 on the port given as the only argument.

Runs in the environment of that peer, never in the project's own. It changes no setting of the server.
"""

import importlib
import logging
import sys

logging.basicConfig(level=logging.WARNING)
server = importlib.import_module("cloudlink").server()
importlib.import_module("cloudlink.server.protocols").clpv4(server)
server.run(ip="127.0.0.1", port=int(sys.argv[1]))
