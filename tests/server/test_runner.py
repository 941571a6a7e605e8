"""The memory of a program that runs a server."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

AFTER_A_RUSH = """
from pathlib import Path
from cloudlink.server.runner import return_large_buffers

def resident():
    return 4096 * int(Path("/proc/self/statm").read_text().split()[1])

return_large_buffers()
bytearray(8 << 20)  # by default, glibc puts buffers of up to this size into its heap from now on
before = resident()
rush = [bytearray(b"x") * (1 << 20) for _ in range(50)]
later = [bytearray(5000) for _ in range(300)]
del rush
print(resident() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc keeps large buffers")
def test_the_memory_of_large_buffers_is_returned():
    done = subprocess.run([sys.executable, "-c", AFTER_A_RUSH], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 10 << 20
