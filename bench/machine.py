"""Facts about the machine of the benchmark: processor, memory, system, date. Only reads."""

from __future__ import annotations

import contextlib
import os
import platform
from datetime import UTC, datetime
from pathlib import Path


def _field(file: str, name: str) -> str:
    with contextlib.suppress(OSError):
        for line in Path(file).read_text().splitlines():
            if line.startswith(name):
                return line.split(":", 1)[1].strip()
    return "unknown"


def busy_seconds() -> float:
    """Return the CPU seconds of all cores since boot, for all processes and including stolen time."""
    user, nice, system, _idle, _wait, irq, softirq, steal = Path("/proc/stat").read_text().split()[1:9]
    return sum(map(int, (user, nice, system, irq, softirq, steal))) / os.sysconf("SC_CLK_TCK")


def describe() -> dict[str, str | int | float]:
    """Return the facts that readers need to judge the figures. Memory is in GiB."""
    memory = _field("/proc/meminfo", "MemTotal").split()[0]
    return {
        "processor": _field("/proc/cpuinfo", "model name"),
        "cores": os.cpu_count() or 0,
        "memory_gib": round(int(memory) / 2**20, 1) if memory.isdigit() else 0,
        "system": f"{platform.system()} {platform.release().split('-')[0]}",
        "python": platform.python_version(),
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "load_before": round(os.getloadavg()[0], 2),
    }
