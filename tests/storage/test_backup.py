"""Copies of the storage file, made while a server writes to it and restored while none does."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from cloudlink.storage.backup import back_up, restore
from cloudlink.storage.database import ROOMS, Database
from cloudlink.storage.errors import StorageError


@pytest.fixture
def file(tmp_path):
    return tmp_path / "cloudlink.db"


@pytest.fixture
def copy(tmp_path):
    return tmp_path / "copy.db"


def fill(file, value, tables=None):
    with closing(Database(file, patience=5, **({"tables": tables} if tables else {}))) as database:
        database.write({"104": {"☁ score": value}})


def score(file):
    with closing(Database(file, patience=5)) as database:
        return database.load("104")["☁ score"]


def test_a_copy_has_what_a_server_has_just_written(file, copy):
    with closing(Database(file, patience=5)) as server:
        server.write({"104": {"☁ score": b"10"}})
        assert file.with_name("cloudlink.db-wal").stat().st_size > 0
        size = back_up(file, copy)
        server.write({"104": {"☁ score": b"11"}})
    assert copy.stat().st_size == size
    assert {path.name for path in file.parent.iterdir()} == {"cloudlink.db", "copy.db"}
    assert score(copy) == b"10"


def test_a_copy_has_the_rooms_too_and_replaces_an_older_one(file, copy):
    copy.write_text("older")
    fill(file, b"10")
    with closing(Database(file, patience=5, tables=ROOMS)) as database:
        database.write({"lobby": {"round": b"3"}})
    back_up(file, copy)
    with closing(Database(copy, patience=5, tables=ROOMS)) as database:
        assert database.load("lobby") == {"round": b"3"}


def test_restoring_keeps_the_earlier_file_and_the_copy(file, copy):
    fill(file, b"10")
    back_up(file, copy)
    fill(file, b"11")
    kept = restore(copy, file)
    assert (score(file), score(kept), score(copy)) == (b"10", b"11", b"10")
    assert kept == file.with_name("cloudlink.db.before-restore")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize("exists", [True, False])
def test_what_root_restores_belongs_to_the_user_of_the_server(file, copy, exists):
    fill(file, b"10")
    back_up(file, copy)
    os.chown(file if exists else file.parent, 1234, 1235)
    file.chmod(0o640)
    if not exists:
        file.unlink()
    restore(copy, file)
    assert (file.stat().st_uid, file.stat().st_gid) == (1234, 1235)
    if exists:
        assert file.stat().st_mode & 0o777 == 0o640


def test_restoring_where_there_was_no_file(file, copy):
    fill(file, b"10")
    back_up(file, copy)
    file.unlink()
    assert restore(copy, file) is None
    assert score(file) == b"10"


def test_a_file_in_use_is_not_replaced(file, copy):
    with closing(Database(file, patience=5)) as server:
        server.write({"104": {"☁ score": b"10"}})
        back_up(file, copy)
        server.write({"104": {"☁ score": b"11"}})
        with pytest.raises(StorageError, match=r"a server uses .*cloudlink\.db"):
            restore(copy, file)
        server.write({"104": {"☁ score": b"12"}})
    assert score(file) == b"12"
    assert {path.name for path in file.parent.iterdir()} == {"cloudlink.db", "copy.db"}


def test_a_folder_that_cannot_be_written_is_named(file, copy, monkeypatch):
    move = Path.replace

    def refuse(self, target):
        if self == file:
            raise PermissionError(13, "Permission denied")
        return move(self, target)

    fill(file, b"10")
    back_up(file, copy)
    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(StorageError, match=r"cloudlink\.db cannot be written \(Permission denied\)"):
        restore(copy, file)
    assert score(file) == b"10"


def test_a_damaged_file_can_be_replaced(file, copy):
    fill(file, b"10")
    back_up(file, copy)
    file.write_bytes(b"no database at all, only text" * 100)
    kept = restore(copy, file)
    assert score(file) == b"10"
    assert kept.read_bytes().startswith(b"no database")


def test_a_damaged_file_is_not_copied_over_a_good_one(file, copy):
    fill(file, b"10")
    back_up(file, copy)
    data = bytearray(file.read_bytes())
    data[4096:8192] = bytes(range(256)) * 16
    file.write_bytes(data)
    with pytest.raises(StorageError, match=r"cloudlink\.db is damaged"):
        back_up(file, copy)
    assert score(copy) == b"10"
    assert {path.name for path in file.parent.iterdir()} == {"cloudlink.db", "copy.db"}


@pytest.mark.parametrize("action", [back_up, restore])
def test_files_of_others_and_of_newer_versions_are_refused(file, copy, action):
    with closing(sqlite3.connect(file)) as database:
        database.execute("CREATE TABLE x (y)")
    with pytest.raises(StorageError, match="is not a storage file of CloudLink"):
        action(file, copy)
    file.unlink()
    fill(file, b"10")
    with closing(sqlite3.connect(file)) as database:
        database.execute("PRAGMA user_version = 99")
    with pytest.raises(StorageError, match="was written by a newer CloudLink"):
        action(file, copy)
    assert not copy.exists()


def test_what_cannot_be_copied_is_named(file, copy, tmp_path):
    with pytest.raises(StorageError, match=r"there is no file .*cloudlink\.db"):
        back_up(file, copy)
    with pytest.raises(StorageError, match=r"there is no file .*copy\.db"):
        restore(copy, file)
    fill(file, b"10")
    for action in (back_up, restore):
        with pytest.raises(StorageError, match="is the storage file itself"):
            action(file, file)
    with pytest.raises(StorageError, match=r"no.copy\.db cannot be opened"):
        back_up(file, tmp_path / "no" / "copy.db")
    copy.mkdir()
    with pytest.raises(StorageError, match=r"copy\.db cannot be written \(Is a directory\)"):
        back_up(file, copy)
