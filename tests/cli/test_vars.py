"""`cloudlink vars` on a stored file."""

import io
import json
import sys

import pytest

from cloudlink.cli import main
from cloudlink.storage import open_store


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    put("104", "☁ score", b"10")
    put("104", "☁ best", b'"007"')
    put("105", "☁ score", b"1")
    return tmp_path / "cloudlink.db"


def put(project, name, value):
    store = open_store("cloudlink.db")
    store.start(lambda function, *arguments: function(*arguments))
    store.save(project, name, value)
    store.close()


def stored(project):
    store = open_store("cloudlink.db")
    try:
        return store.load(project)
    finally:
        store.close()


def test_list_tells_projects_and_variables(file, capsys):
    assert main(["vars", "list"]) == 0
    assert "104" in (projects := capsys.readouterr().out)
    assert "105" in projects
    assert main(["vars", "list", "104"]) == 0
    out = capsys.readouterr().out
    assert "☁ score" in out
    assert '"007"' in out


def test_get_prints_json_and_says_which_name_was_meant(file, capsys):
    assert main(["vars", "get", "104", "score"]) == 0
    captured = capsys.readouterr()
    assert captured.out.strip() == "10"
    assert "☁ score" in captured.err


@pytest.mark.parametrize(
    ("value", "flags", "expected"),
    [("11", [], b"11"), ("11", ["--text"], b'"11"'), ("1.50", [], b"1.50")],
)
def test_set_keeps_numbers_and_text(file, value, flags, expected):
    assert main(["vars", "set", "104", "score", value, *flags]) == 0
    assert stored("104")["☁ score"] == expected


def test_delete_takes_one_or_all(file):
    assert main(["vars", "delete", "104", "best"]) == 0
    assert stored("104") == {"☁ score": b"10"}
    assert main(["vars", "delete", "104"]) == 0
    assert stored("104") == {}
    assert stored("105") == {"☁ score": b"1"}


def test_what_is_exported_can_be_imported(file, capsys, tmp_path):
    assert main(["vars", "export", "--output", "backup.json"]) == 0
    backup = json.loads((tmp_path / "backup.json").read_text(encoding="utf-8"))
    assert backup == {"104": {"☁ score": 10, "☁ best": "007"}, "105": {"☁ score": 1}}
    for project in backup:
        main(["vars", "delete", project])
    assert main(["vars", "import", "backup.json"]) == 0
    assert stored("104") == {"☁ score": b"10", "☁ best": b'"007"'}
    assert stored("105") == {"☁ score": b"1"}


def test_import_from_standard_input_is_all_or_nothing(file, monkeypatch, capsys):
    wrong = '{"104": {"☁ score": 99, "☁ bad": {"a": 1}}}'
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(wrong.encode()), encoding="utf-8"))
    assert main(["vars", "import", "-"]) == 1
    assert "☁ bad" in capsys.readouterr().err
    assert stored("104")["☁ score"] == b"10"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["get", "14", "score"], "104"),
        (["get", "104", "scor"], "score"),
        (["list", "--file", "nowhere.db"], "nowhere.db"),
        (["import", "nowhere.json"], "nowhere.json"),
    ],
)
def test_mistakes_are_one_sentence_and_exit_status_1(file, arguments, sentence, capsys):
    action, *rest = arguments
    words = ["vars", *(["--file", rest[1]] if rest[:1] == ["--file"] else []), action]
    words += [] if rest[:1] == ["--file"] else rest
    assert main(words) == 1
    err = capsys.readouterr().err.strip()
    assert sentence in err
    assert len(err.splitlines()) == 1
