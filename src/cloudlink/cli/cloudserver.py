"""Reads the database in which TurboWarp's cloud-server keeps cloud variables, if it keeps any (`database: 'sqlite'`).

It is a SQLite file `db/cloud-server-1.db` with one row for each project: its id, and its variables as a JSON object.
The file is only read, also while that server runs.
"""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

from cloudlink.errors import StartError

_PATIENCE = 5.0
"""Seconds to wait for a lock."""


def read(source: str) -> dict[str, bytes]:
    """Return the variables of each project as JSON text.

    Args:
        source: The file.

    Raises:
        StartError: It is another kind of SQLite file, or cannot be read.
    """
    address = f"{Path(source).absolute().as_uri()}?mode=ro"
    try:
        with contextlib.closing(sqlite3.connect(address, uri=True, timeout=_PATIENCE)) as database:
            columns = [row[1] for row in database.execute("PRAGMA table_info(variables)")]
            if columns != ["id", "data"]:
                raise StartError(
                    f"{source} is a database, but not one of TurboWarp's cloud-server; nothing was written. "
                    f"A copy of CloudLink's own storage file is restored with `cloudlink vars restore`."
                )
            rows = database.execute("SELECT id, data FROM variables ORDER BY id").fetchall()
    except sqlite3.Error as error:
        raise StartError(f"{source} cannot be read ({error}); nothing was written.") from None
    return {str(project): str(data).encode() for project, data in rows}
