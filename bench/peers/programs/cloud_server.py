"""CloudLink with cloud projects that already have a variable, by which a client recognises that it has joined.

Run as `cloud_server.py PORT PROJECTS [FLAGS]`; the file of the variables lives as long as the server.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from cloudlink.cli import main
from cloudlink.storage import open_store

port, projects, *flags = sys.argv[1:]
with tempfile.TemporaryDirectory() as folder:
    file = str(Path(folder) / "variables.db")
    store = open_store(file)
    store.start(lambda function, *arguments: function(*arguments))
    for number in range(int(projects)):
        store.save(f"room-{number:05}", "ready", b"1")
    store.close()
    main(["serve", "--port", port, "--storage", file, "--plugins-folder", "", "--cloud-text-values", *flags])
