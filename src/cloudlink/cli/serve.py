"""`cloudlink serve`: starts the server with its plugins and runs it until it is stopped.

It imports the server only after checking the settings, so that a wrong setting is reported first.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING

from cloudlink.cli import logs
from cloudlink.cli.banner import banner
from cloudlink.cli.flags import add_settings_flags, source_of
from cloudlink.cli.workercount import number_of
from cloudlink.text import printable

if TYPE_CHECKING:
    import argparse

    from cloudlink.cli.flags import Source
    from cloudlink.cli.parser import Parser
    from cloudlink.server.app import Server
    from cloudlink.server.part import Part
    from cloudlink.server.protocols import Clpv4, Scratch
    from cloudlink.settings import Settings

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
    source = source_of(arguments)
    settings = source.read()
    logs.set_up(settings)
    if arguments.reload:
        from cloudlink.cli import reload  # noqa: PLC0415  # for writing plugins

        return reload.run(arguments, settings)

    count = number_of(settings)
    if count > 1:
        from cloudlink.cli import workers  # noqa: PLC0415  # see the module docstring

        return workers.run(settings, count, source)
    settings.set("workers", 1, settings.origins["workers"])
    build(settings, source).serve()
    return 0


def build(settings: Settings, source: Source, part: Part | None = None) -> Server:
    """Return a server with its protocols and plugins.

    Args:
        settings: The settings.
        source: Where the settings come from, to read them again.
        part: What this process is of a server of several processes, None for a server of one.

    Raises:
        StartError: A plugin cannot be loaded.
    """
    from cloudlink.server.app import Server  # noqa: PLC0415  # see the module docstring
    from cloudlink.server.plugins import load_all  # noqa: PLC0415
    from cloudlink.server.protocols import Bridge, Clpv4, Scratch  # noqa: PLC0415

    server = Server(settings, part)
    server.reloader.source = source.read if part is not None else partial(_with_one_process, source)
    protocol = Clpv4(server)
    scratch = Scratch(server) if settings.cloud else None
    if scratch is not None and settings.cloud_bridge:
        Bridge(protocol, scratch)
    _add_bridges(server, protocol, scratch)
    # The objects that plugins return live as long as the server, even if none of their handlers refers to them.
    logger = logging.getLogger("cloudlink.server")
    plugins = load_all(server, protocol, settings, logger)

    def log_banner(_call_soon: object) -> None:
        line = banner(settings, source.file, len(plugins), server.ssl_context)
        logger.info("%s", printable(line))

    if part is None or part.speaks:
        server.hooks.protocol_start.append(log_banner)
    return server


def _add_bridges(server: Server, protocol: Clpv4, scratch: Scratch | None) -> None:
    """Add the bridges, now or as soon as a reload brings the first one."""

    def add(_changes: object = None) -> None:
        if server.settings.bridges and server.hooks.bridges is None:
            from cloudlink.bridge import Bridges  # noqa: PLC0415  # few servers have any

            Bridges(server, protocol, scratch)

    server.reloader.done.append(add)
    add()


def _with_one_process(source: Source) -> Settings:
    """Read the settings again for a server of one process, for which `workers` may be `auto` too."""
    settings = source.read()
    settings.set("workers", number_of(settings), settings.origins["workers"])
    return settings
