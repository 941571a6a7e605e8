"""The parts of the sources that faults are planted in, and the tests that should notice them.

`tests/` mirrors `src/`: the tests that mirror `server/rooms.py` are those of `tests/server/test_rooms*.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

ROOT = Path(__file__).parents[2]
_SOURCES = "src/cloudlink/"


@dataclass(frozen=True)
class Part:
    """Some modules.

    Attributes:
        modules: Patterns of their files, below `src/cloudlink`.
        tests: The files and folders with the other tests of the part.
    """

    modules: tuple[str, ...]
    tests: tuple[str, ...]


_CL4 = "server/protocols/clpv4"
_RULES = (f"tests/{_CL4}", "tests/test_scenarios.py")

PARTS = {
    "session": Part(
        ("server/session.py", "server/fairshare.py"),
        (
            "tests/server/test_app.py",
            "tests/server/test_overload.py",
            "tests/transport/test_flood.py",
            *_RULES,
        ),
    ),
    "rooms": Part(
        ("server/rooms.py", "server/members.py", "server/presence.py", "server/directory.py"),
        ("tests/server/test_app.py", *_RULES),
    ),
    "clients": Part(
        ("server/clients.py",), ("tests/server/test_app.py", "tests/server/test_compat.py", *_RULES)
    ),
    "limits": Part(
        ("server/limits.py", "buckets.py", "shares.py", "transport/limiter.py"),
        (
            "tests/server/test_overload.py",
            "tests/server/test_limits_log.py",
            "tests/transport/test_flood.py",
            *_RULES,
        ),
    ),
    "delivery": Part(
        ("delivery/*.py",),
        ("tests/delivery", "tests/server/test_app_sending.py", "tests/transport/test_slow_readers.py"),
    ),
    "storage": Part(("storage/*.py",), ("tests/storage", "tests/server/protocols/scratch")),
    "transport": Part(
        ("transport/*.py", "rfc6455.py"),
        ("tests/transport", "tests/test_rfc6455.py", "tests/http"),
    ),
    "dialects": Part((f"{_CL4}/dialects/*.py",), (*_RULES, "tests/legacy")),
    "commands": Part(
        tuple(
            f"{_CL4}/{name}.py"
            for name in (
                "commands",
                "legacycommands",
                "packet",
                "recipients",
                "addressing",
                "channels",
                "engine",
            )
        ),
        (*_RULES, "tests/legacy"),
    ),
    "user lists": Part((f"{_CL4}/userlists.py", f"{_CL4}/userlistcache.py", f"{_CL4}/roomstates.py"), _RULES),
    "cloud": Part(
        ("server/protocols/scratch/*.py", "cloudvalues.py"),
        ("tests/server/protocols/scratch", "tests/test_cloudvalues.py", "tests/test_scenarios.py"),
    ),
    "client": Part(("client/*.py",), ("tests/client",)),
    "text": Part(
        ("jsontext.py", "text.py", "options.py"), ("tests/test_settings.py", "tests/cli/test_config.py")
    ),
}


def files_of(part: str) -> list[Path]:
    """Return the files of a part, in order, except those of a part further up."""
    return sorted(
        file
        for pattern in PARTS[part].modules
        for file in (ROOT / _SOURCES).glob(pattern)
        if file.name != "__init__.py" and part_of(file.relative_to(ROOT).as_posix()) == part
    )


def part_of(file: str) -> str:
    """Return the part that a file belongs to, the first one that names it; the file is relative to the repository."""
    path = Path(file)
    return next(name for name, part in PARTS.items() if any(_matches(path, each) for each in part.modules))


def _matches(path: Path, pattern: str) -> bool:
    whole = Path(_SOURCES, pattern)
    return path.match(str(whole)) and len(path.parts) == len(whole.parts)


def mirrors_of(file: str) -> list[str]:
    """Return the tests that mirror a file; all relative to the repository."""
    path = Path(file.removeprefix(_SOURCES))
    folder = Path("tests") / path.parent
    return [
        found.relative_to(ROOT).as_posix()
        for name in (f"test_{path.stem}.py", f"test_{path.stem}_*.py")
        for found in sorted((ROOT / folder).glob(name))
    ]


def tests_of(parts: Iterable[str]) -> set[str]:
    """Return files and folders with all the tests of some parts, relative to the repository."""
    return {test for part in parts for test in PARTS[part].tests} | {
        test
        for part in parts
        for file in files_of(part)
        for test in mirrors_of(file.relative_to(ROOT).as_posix())
    }
