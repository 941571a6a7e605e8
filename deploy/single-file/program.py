"""The program in the single file: the command `cloudlink`, and `-m MODULE` as Python has it.

CloudLink starts further processes of itself with `-m` and `sys.executable`, which is the single file here.
"""

from __future__ import annotations

import runpy
import sys

from cloudlink.cli import main

match sys.argv[1:]:
    case ["-m", module, *_]:
        del sys.argv[:2]
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    case _:
        sys.exit(main())
