"""Builds the example projects: `python3 examples/build.py` makes `build/chat.sb3` and the others.

The sources are the folders in `examples/scratch`; `docs/examples.md` explains their format.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from urllib.parse import urlsplit

if sys.version_info < (3, 11):  # noqa: UP036  # before imports that older versions cannot run
    sys.exit("CloudLink needs Python 3.11 or newer; install it, and start this with it.")

from sb3 import SourceError, build

SOURCES = Path(__file__).with_name("scratch")
SERVER = "ws://127.0.0.1:3000/"


def main(arguments: list[str] | None = None) -> int:
    """Build the requested projects; return the exit status."""
    parser = argparse.ArgumentParser(description="Build the example projects as .sb3 files.")
    parser.add_argument("projects", nargs="*", help="folders with sources (all examples unless given)")
    parser.add_argument(
        "--server", default=SERVER, help="the address that the projects connect to (%(default)s)"
    )
    parser.add_argument(
        "--extension",
        help="where the projects load the CloudLink extension from (/extension.js of the server)",
    )
    parser.add_argument(
        "--output", type=Path, default=Path("build"), help="the folder to write to (%(default)s)"
    )
    options = parser.parse_args(arguments)
    extension = options.extension or extension_of(options.server)
    folders = [Path(project) for project in options.projects] or sorted(
        path.parent for path in SOURCES.glob("*/*.toml")
    )
    options.output.mkdir(parents=True, exist_ok=True)
    for folder in folders:
        try:
            project = build(folder, options.server, extension)
        except (SourceError, OSError) as error:
            print(f"{folder.name}: {error}", file=sys.stderr)
            return 1
        file = options.output / f"{folder.resolve().name}.sb3"
        file.write_bytes(project)
        print(f"{file} is ready")
    return 0


def extension_of(server: str) -> str:
    """Return the address of a server's extension."""
    parts = urlsplit(server)
    scheme = {"ws": "http", "wss": "https"}.get(parts.scheme)
    if scheme is None or not parts.netloc:
        sys.exit(f"{server} is not an address of a server; write one such as {SERVER}")
    return f"{scheme}://{parts.netloc}/extension.js"


if __name__ == "__main__":
    sys.exit(main())
