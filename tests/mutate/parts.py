"""The parts of the sources that faults are planted in, and the tests that mirror them.

`tests/` mirrors `src/`: the tests that mirror `server/rooms.py` are those of `tests/server/test_rooms*.py`. If no file has
that name, all tests of that folder do.
"""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]
_SOURCES = "src/cloudlink/"


_CL4 = "server/protocols/clpv4"
_COMMANDS = ("commands", "legacycommands", "packet", "recipients", "addressing", "channels", "engine")

PARTS = {
    "session": ("server/session.py", "server/fairshare.py"),
    "rooms": ("server/rooms.py", "server/members.py", "server/presence.py", "server/directory.py"),
    "clients": ("server/client.py", "server/clients.py", "server/arrivals.py"),
    "limits": ("server/limits.py", "buckets.py", "shares.py", "transport/limiter.py"),
    "delivery": ("delivery/*.py",),
    "storage": ("storage/*.py",),
    "transport": ("transport/*.py", "rfc6455.py"),
    "dialects": (f"{_CL4}/dialects/*.py",),
    "commands": tuple(f"{_CL4}/{name}.py" for name in _COMMANDS),
    "user lists": (f"{_CL4}/userlists.py", f"{_CL4}/userlistcache.py", f"{_CL4}/roomstates.py"),
    "cloud": ("server/protocols/scratch/*.py", "cloudvalues.py"),
    "client": ("client/*.py",),
    "text": ("jsontext.py", "text.py", "options.py"),
}
"""Patterns of the files of each part, below `src/cloudlink`."""


def files_of(part: str) -> list[Path]:
    """Return the files of a part, in order, except those of a part further up."""
    return sorted(
        file
        for pattern in PARTS[part]
        for file in (ROOT / _SOURCES).glob(pattern)
        if file.name != "__init__.py" and part_of(file.relative_to(ROOT).as_posix()) == part
    )


def part_of(file: str) -> str:
    """Return the part that a file belongs to, the first one that names it; the file is relative to the repository."""
    path = Path(file)
    return next(name for name, part in PARTS.items() if any(_matches(path, each) for each in part))


def _matches(path: Path, pattern: str) -> bool:
    whole = Path(_SOURCES, pattern)
    return path.match(str(whole)) and len(path.parts) == len(whole.parts)


def mirrors_of(file: str) -> list[str]:
    """Return the test files that mirror a file, all of its folder if none has its name; relative to the repository."""
    path = Path(file.removeprefix(_SOURCES))
    folder = ROOT / "tests" / path.parent
    names = (f"test_{path.stem}.py", f"test_{path.stem}_*.py")
    found = sorted({file for name in names for file in folder.glob(name)}) or sorted(folder.glob("test_*.py"))
    return [file.relative_to(ROOT).as_posix() for file in found]
