"""`python -m cloudlink`, the same as the command `cloudlink`."""

from __future__ import annotations

import sys

from cloudlink.cli import main

if __name__ == "__main__":
    sys.exit(main())
