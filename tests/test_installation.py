"""An old CloudLink in the same folder of packages is noticed."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

from cloudlink import cli, installation
from cloudlink.cli import doctor

ROOT = Path(__file__).parents[1]
OLD = [
    ("cloudlink-0.2.0.dist-info", "0.2.0"),
    ("cloudlink-0.1.9.2.dist-info", "0.1.9.2"),
    ("cloudlink-0.1.7-py3.8.egg-info", "0.1.7"),
]
OTHERS = [
    "cloudlink",
    "cloudlink_server-1.0.0.dist-info",
    "cloudlink-1.0.0.dist-info",
    "cloudlink-0.2.0.dist-info.bak",
    "not-cloudlink-0.2.0.dist-info",
]


@pytest.mark.parametrize(("name", "version"), OLD)
def test_an_old_version_is_named_with_its_folder_and_the_way_out(tmp_path, name, version):
    (tmp_path / name).mkdir()
    sentences = installation.conflict(tmp_path)
    assert sentences is not None
    assert f"The old CloudLink {version} (cloudlink)" in sentences
    assert str(tmp_path) in sentences
    assert "pip uninstall cloudlink cloudlink-server" in sentences


def test_other_packages_are_no_conflict(tmp_path):
    for name in OTHERS:
        (tmp_path / name).mkdir()
    assert installation.conflict(tmp_path) is None


def test_a_package_in_an_archive_is_alone(tmp_path):
    (tmp_path / "cloudlink.pyz").write_bytes(b"")
    assert installation.conflict(tmp_path / "cloudlink.pyz") is None


def test_this_installation_has_none():
    assert installation.conflict() is None


@pytest.fixture
def mixture(monkeypatch):
    """A conflict, whatever is installed here."""
    for package in ("cloudlink.server", "cloudlink.client"):
        importlib.import_module(package)
    for module in (installation, cli, doctor):
        monkeypatch.setattr(module, "conflict", lambda: "Two versions are installed.")


@pytest.mark.usefixtures("mixture")
@pytest.mark.parametrize("name", ["cloudlink.server", "cloudlink.client"])
def test_importing_either_half_fails(name):
    package = importlib.import_module(name)
    with pytest.raises(ImportError, match=r"Two versions are installed\."):
        package.__loader__.exec_module(package)


@pytest.mark.usefixtures("mixture")
def test_commands_fail_with_the_sentence(capsys):
    assert cli.main(["config"]) == 1
    assert capsys.readouterr() == ("", "cloudlink: Two versions are installed.\n")
    assert cli.main(["doctor", "ws://127.0.0.1:1/"]) == 1
    assert capsys.readouterr() == ("WRONG  Two versions are installed.\n", "")
    assert cli.main(["--version"]) == 0


def test_nothing_tells_people_to_install_the_old_package():
    """PyPI's `cloudlink` is the old one; only `cloudlink<1` and the like may be named, and extras are of the new name."""
    wrong = []
    for folder, pattern in (("src", "*.py"), ("docs", "*.md"), ("examples", "*.py"), ("deploy", "**/*")):
        for file in (ROOT / folder).rglob(pattern):
            if file.is_file():
                text = file.read_text(encoding="utf-8", errors="replace")
                found = re.findall(r"install[^\n`&;]*[ '\"]cloudlink(?![-_<\w./ ])[^\n]*", text)
                wrong += [(file.name, line) for line in found + re.findall(r"\bcloudlink\[\w+\]", text)]
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert wrong == []
    assert readme.count("pip install cloudlink`") == 1
