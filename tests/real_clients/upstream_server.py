"""Runs CloudLink 0.2.0's own server. Started by the Python of its environment, never by ours.

Arguments: a port, 0 for a free one, the settings as JSON, then plugins as `path/to/file.py:Class`. Prints its port once it
listens.
"""

# ruff: noqa: T201  # printing is how it tells that it is ready

import importlib.util
import json
import sys

from cloudlink import server
from cloudlink.server.protocols import clpv4, scratch

port, settings, *plugins = sys.argv[1:]
settings = json.loads(settings)
host = server()
host.logging.basicConfig(level=host.logging.ERROR)
protocol = clpv4(host)
cloud = scratch(host) if settings.pop("cloud", False) else None

host.max_clients = settings.pop("max_clients", -1)
protocol.motd_message = settings.pop("motd", "")
protocol.enable_motd = bool(protocol.motd_message)
protocol.real_ip_header = settings.pop("real_ip_header", None)
protocol.warn_if_multiple_username_matches = settings.pop("warn_ambiguous_names", True)
host.version = settings.pop("reported_version", host.version)
for command in settings.pop("disabled_commands", []):
    host.disable_command(command, protocol.schema)
settings.pop("implicit_greeting", False)  # CloudLink 0.2.0 never greets anybody before the handshake
if settings:
    sys.exit(f"CloudLink 0.2.0 has no such settings: {settings}")

for number, plugin in enumerate(plugins):
    file, _, name = plugin.partition(":")
    spec = importlib.util.spec_from_file_location(f"plugin{number}", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    getattr(module, name)(host, protocol)


class ServeAndTell(host.ws.serve):
    """The library's way of listening, which tells where."""

    async def __aenter__(self):
        listening = await super().__aenter__()
        print(listening.sockets[0].getsockname()[1], flush=True)
        return listening


host.ws.serve = ServeAndTell
host.run(ip="127.0.0.1", port=int(port))
