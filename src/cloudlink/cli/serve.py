"""`cloudlink serve`: starts the server with its plugins and runs it until it is stopped.

It imports the server only after checking the settings, so that a wrong setting is reported first.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from cloudlink.cli import logs, reload
from cloudlink.cli.banner import banner
from cloudlink.cli.flags import add_settings_flags, settings_file, settings_from
from cloudlink.text import printable

if TYPE_CHECKING:
    import argparse

    from cloudlink.cli.parser import Parser

HELP = "Start the server and run it until it is stopped."


def add_arguments(parser: Parser) -> None:
    """Add `--reload` and the flags of the settings."""
    parser.add_argument(
        "--reload",
        action="store_true",
        help="start the server again whenever a file of a plugin changes, for writing plugins",
    )
    add_settings_flags(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run the server; return exit status 0 if it was asked to stop.

    Raises:
        StartError: A setting, a plugin, the port or the certificate prevents the start.
    """
    settings = settings_from(arguments)
    logs.set_up(settings)
    if arguments.reload:
        return reload.run(arguments, settings)

    from cloudlink.server.app import Server  # noqa: PLC0415  # see the module docstring
    from cloudlink.server.plugins import load_all  # noqa: PLC0415
    from cloudlink.server.protocols import Bridge, Clpv4, Scratch  # noqa: PLC0415

    server = Server(settings)
    protocol = Clpv4(server)
    if settings.cloud:
        scratch = Scratch(server)
        if settings.cloud_bridge:
            Bridge(protocol, scratch)
    # The objects that plugins return live as long as the server, even if none of their handlers refers to them.
    logger = logging.getLogger("cloudlink.server")
    plugins = load_all(server, protocol, settings, logger)

    def log_banner(_call_soon: object) -> None:
        line = banner(settings, settings_file(arguments), len(plugins), server.ssl_context)
        logger.info("%s", printable(line))

    server.hooks.protocol_start.append(log_banner)
    server.serve()
    return 0
