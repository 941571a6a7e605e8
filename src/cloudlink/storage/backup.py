"""Copies of the whole storage file: made while a server uses it, and put back while none does.

A copy holds every table of the file, is one file without a log beside it, and replaces its target in one step.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from typing import TYPE_CHECKING

from cloudlink.storage.database import APPLICATION_ID, VERSION
from cloudlink.storage.errors import StorageError, as_storage_error, damaged

if TYPE_CHECKING:
    from pathlib import Path

_PATIENCE = 5.0
"""Seconds to wait for a lock."""
_LOGS = ("-wal", "-shm", "-journal")
"""What SQLite appends to the names of the files beside a database."""


def back_up(path: Path, copy: Path) -> int:
    """Copy the storage file, and return the size of the copy in bytes.

    Args:
        path: The storage file; a server may use it, and waits for nothing.
        copy: The file to write. It is replaced when the new copy is complete and checked.

    Raises:
        StorageError: The file is not CloudLink's or is damaged, or the copy cannot be written.
    """
    _require_file(path)
    if copy.resolve() == path.resolve():
        raise StorageError(f"{copy} is the storage file itself", "name another file for the copy")
    return _copy(path, copy)


def restore(copy: Path, path: Path) -> Path | None:
    """Put a copy in place of the storage file, with the owner and the rights of that one.

    Args:
        copy: A copy that `back_up` made; it stays.
        path: The storage file, which need not exist.

    Returns:
        The file to which the earlier storage file was moved, None if there was none.

    Raises:
        StorageError: The copy is not CloudLink's, is newer than this version or damaged, a server uses the file, or the
            file cannot be written.
    """
    _require_file(copy)
    if copy.resolve() == path.resolve():
        raise StorageError(f"{copy} is the storage file itself", "name the copy to restore")
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    _copy(copy, draft)
    try:
        _give_away(draft, path if path.exists() else path.parent)
        kept = _set_aside(path)
        draft.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            draft.unlink()
        raise
    return kept


def _give_away(draft: Path, model: Path) -> None:
    """Give a file the owner of another one or of a folder, so that a server can use what root has restored."""
    state = model.stat()
    if model.is_file():
        draft.chmod(state.st_mode & 0o777)
    if hasattr(os, "chown"):
        with contextlib.suppress(PermissionError):
            os.chown(draft, state.st_uid, state.st_gid)


def _require_file(path: Path) -> None:
    if not path.is_file():
        raise StorageError(f"there is no file {path}", "check its name")


def _copy(source: Path, target: Path) -> int:
    draft = target.with_name(f"{target.name}.{os.getpid()}.part")
    try:
        with (
            contextlib.closing(_opened(source)) as old,
            contextlib.closing(sqlite3.connect(draft, isolation_level=None)) as new,
        ):
            _check(old, source)
            old.backup(new)
            new.execute("PRAGMA journal_mode = DELETE")
            if new.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
                raise damaged(source)
        draft.replace(target)
    except (sqlite3.Error, OSError) as error:
        broken = isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError)
        raise _explained(error, source if broken else target) from None
    finally:
        for end in ("", *_LOGS):
            with contextlib.suppress(OSError):
                draft.with_name(draft.name + end).unlink()
    return target.stat().st_size


def _opened(path: Path) -> sqlite3.Connection:
    # SQLite opens a file on a read-only disk for reading all the same.
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=_PATIENCE, isolation_level=None
    )


def _check(database: sqlite3.Connection, path: Path) -> None:
    if database.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
        raise StorageError(f"{path} is not a storage file of CloudLink", "name another file")
    if database.execute("PRAGMA user_version").fetchone()[0] > VERSION:
        raise StorageError(f"{path} was written by a newer CloudLink", "update this one")


def _set_aside(path: Path) -> Path | None:
    """Move the storage file out of the way, with everything that its log holds; it must not be in use."""
    if not path.exists():
        return None
    kept = path.with_name(f"{path.name}.before-restore")
    try:
        with contextlib.closing(_opened(path)) as database:
            # Leaving the mode that servers use needs the file for this connection alone, and empties the log.
            database.execute("PRAGMA busy_timeout = 0")
            database.execute("PRAGMA journal_mode = DELETE")
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise StorageError(f"a server uses {path}", "stop it first") from None
        raise _explained(error, path) from None
    except sqlite3.DatabaseError:
        pass  # a damaged file is a reason to restore; it is kept with its log
    try:
        path.replace(kept)
        for end in _LOGS:
            log = path.with_name(path.name + end)
            if log.exists():
                log.replace(kept.with_name(kept.name + end))
    except OSError as error:
        raise _explained(error, path) from None
    return kept


def _explained(error: sqlite3.Error | OSError, path: Path) -> StorageError:
    if isinstance(error, OSError):
        return StorageError(f"{path} cannot be written ({error.strerror})", "check its folder and its disk")
    return as_storage_error(error, path)
