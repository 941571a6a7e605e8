"""Times in texts that players read."""

from __future__ import annotations

from datetime import UTC, datetime


def moment(at: float) -> str:
    """Return a Unix time as players read it: `2026-01-31 18:00 UTC`, rounded up to a minute."""
    minutes = -(-int(at) // 60)
    return f"{datetime.fromtimestamp(minutes * 60, UTC):%Y-%m-%d %H:%M} UTC"


def sentence(what: str, until: float | None, reason: str) -> str:
    """Return a sentence such as `You are banned until 2026-01-31 18:00 UTC: REASON`; a part without a value is left out."""
    end = "" if until is None else f" until {moment(until)}"
    return f"{what}{end}" + (f": {reason}" if reason else "")
