"""`cloudlink doctor`: connects to a server as a browser would, and reports what is wrong and how to fix it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloudlink.cli import examination
from cloudlink.cli.reach import add_reach_flags, tls_of
from cloudlink.installation import conflict

if TYPE_CHECKING:
    import argparse

HELP = "Find out why a client cannot reach a server."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    add_reach_flags(parser)
    parser.add_argument(
        "--origin",
        default="https://turbowarp.org",
        help='the origin of the page in the browser; "" for none (default: https://turbowarp.org)',
    )
    parser.add_argument(
        "--hold",
        type=float,
        default=0.0,
        metavar="SECONDS",
        help="stay connected this long without sending anything, to find what cuts idle connections (default: 0)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Try all steps, print the results, and return 0 if all is well, 1 if not.

    Raises:
        StartError: The file of `--ca` cannot be used.
    """
    if mixture := conflict():
        examination.report("WRONG", mixture)
        return 1
    from cloudlink.client.diagnose import Plan, examine  # noqa: PLC0415  # the other commands do without it

    plan = Plan(
        arguments.url, arguments.origin, arguments.timeout, arguments.hold, tls_of(arguments), arguments.proxy
    )
    status, _ = examination.run(lambda succeeded: examine(plan, succeeded))
    if status == 0:
        print("All is well.")
    return status
