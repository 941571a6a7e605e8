"""The error that prevents the start of a server, with a sentence that says how to fix it."""

from __future__ import annotations


class StartError(Exception):
    """The server cannot start; `str(error)` is one sentence that says why and how to fix it.

    The command line and `Server.run` print that sentence without a traceback and exit with
    status 1.
    """
