"""What can keep a server from starting, said so that a person can act on it."""

from __future__ import annotations


class StartError(Exception):
    """The server cannot start; `str(error)` is one sentence that says why and how to mend it.

    The command line prints that sentence without a traceback and exits with status 1, and so does
    `Server.run`.
    """
