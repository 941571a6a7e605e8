"""`python -m cloudlink`, the same as the command `cloudlink`."""

from __future__ import annotations

import sys

if sys.version_info < (3, 11):  # noqa: UP036  # in a checkout, pip has not checked the version
    sys.exit("CloudLink needs Python 3.11 or newer; install it, and start this with it.")

from cloudlink.cli import main

if __name__ == "__main__":
    sys.exit(main())
