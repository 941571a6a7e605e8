"""`make release` in a copy of the repository: it changes nothing until everything has worked.

The packages are tried on this Python only; `make release DRY=1` tries them on every one.
"""

from __future__ import annotations

import datetime as dt
import importlib
import os
import re
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
GIT = ("git", "-c", "user.name=Tester", "-c", "user.email=tester@example.org", "-c", "commit.gpgsign=false")

pytestmark = pytest.mark.timeout(300)  # packages are fetched, and two environments made


def git(repository, *arguments):
    done = subprocess.run([*GIT, *arguments], cwd=repository, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A repository of one commit, with the files of this one."""
    if not (ROOT / ".git").exists():
        pytest.skip("the tests do not run in a checkout")
    copy = tmp_path / "copy"
    for name in git(ROOT, "ls-files", "--cached", "--others", "--exclude-standard").splitlines():
        if not name.startswith(("tests/", "bench/")) and (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, copy / name)
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "Tester")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "tester@example.org")
    git(copy, "init", "--quiet", "--initial-branch=main")
    git(copy, "add", "--all")
    git(copy, "commit", "--quiet", "--message", "Begin")
    return copy


def release(repository, *arguments):
    return subprocess.run(
        [sys.executable, "scripts/release.py", *arguments],
        cwd=repository,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_dry_run_does_everything_and_changes_nothing(repository):
    before = git(repository, "rev-parse", "HEAD")
    done = release(repository, "--dry", "--this-python", "9.8.7")
    assert done.returncode == 0, done.stderr
    here = "{}.{}".format(*sys.version_info)
    for package in ("cloudlink_server-9.8.7.tar.gz", "cloudlink_server-9.8.7-py3-none-any.whl"):
        assert f"Installing {package} on Python {here} and starting its server" in done.stdout
    assert "Version 9.8.7 can be released." in done.stdout
    assert git(repository, "rev-parse", "HEAD") == before
    assert git(repository, "status", "--porcelain") == git(repository, "tag") == ""
    assert len(git(repository, "worktree", "list").splitlines()) == 1


def test_a_release_is_one_commit_with_a_tag(repository):
    assert release(repository, "--this-python", "9.8.7rc1").returncode == 0
    today = dt.datetime.now(tz=dt.UTC).date()
    assert git(repository, "log", "--format=%s", "-1", "v9.8.7rc1") == "Release 9.8.7rc1"
    assert git(repository, "rev-parse", "main") == git(repository, "rev-parse", "v9.8.7rc1^{commit}")
    assert '__version__ = "9.8.7rc1"' in (repository / "src/cloudlink/version.py").read_text()
    assert f"\n## 9.8.7rc1 ({today})\n" in (repository / "CHANGELOG.md").read_text()
    assert {path.name for path in (repository / "dist").iterdir()} == {
        "cloudlink_server-9.8.7rc1.tar.gz",
        "cloudlink_server-9.8.7rc1-py3-none-any.whl",
    }


def test_each_package_is_tried_on_each_python(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    module = importlib.import_module("release")
    tried = []
    monkeypatch.setattr(module, "try_out", lambda *arguments: tried.append(arguments))
    packages, pythons = [Path("a.tar.gz"), Path("a.whl")], {"3.11": Path("old"), "3.12": Path("new")}
    module.try_out_everywhere(packages, pythons, "9.8.7", tmp_path)
    assert {one[:2] for one in tried} == {
        (package, python) for package in packages for python in pythons.values()
    }
    assert len({one[3] for one in tried}) == 4


def test_the_pythons_of_this_machine_are_found():
    done = subprocess.run(
        [sys.executable, ROOT / "scripts/interpreters.py"],
        env={
            **os.environ,
            "PATH": str(Path(sys._base_executable).resolve().parent),
            "PYENV_ROOT": "/nowhere",
        },
        capture_output=True,
        text=True,
        check=True,
    )
    [line] = [
        line for line in done.stdout.splitlines() if line.startswith("{}.{} ".format(*sys.version_info))
    ]
    assert Path(line.partition(" ")[2]).resolve() == Path(sys._base_executable).resolve()


def test_the_single_file_serves_and_runs_modules(tmp_path):
    """It loads a plugin that uses a part of the standard library which CloudLink does not use."""
    subprocess.run(
        [sys.executable, ROOT / "deploy/single-file/single_file.py", "--output", tmp_path], check=True
    )
    program = tmp_path / ("cloudlink.exe" if sys.platform == "win32" else "cloudlink")
    (tmp_path / "plugins").mkdir()
    plugin = "import colorsys\n\ndef hues(server):\n    server.logger.info('Hue %s', colorsys.rgb_to_hsv(1, 0, 0))\n"
    (tmp_path / "plugins" / "hues.py").write_text(plugin)
    command = (program, "-m", "cloudlink", "serve", "--port", "0", "--no-storage")
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, env={}) as server:
        log = ""
        for line in server.stderr:
            log += line
            if address := re.search(r"connect to ws://(\S+)/", line):
                break
        try:
            assert address, log
            for path, text in (("/", b"CloudLink server"), ("/extension.js", b"Scratch"), ("/health", b"ok")):
                with urllib.request.urlopen(f"http://{address[1]}{path}", timeout=10) as answer:
                    assert text in answer.read()
        finally:
            server.terminate()
        assert "Hue (0.0, 1.0, 1)" in log


@pytest.mark.parametrize("version", ["v1.2.3", "1.2", "1.2.3.dev0", "01.2.3", "1.2.3rc0", ""])
def test_a_version_has_three_numbers(repository, version):
    done = release(repository, "--dry", version)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"{version!r} is not a version: write VERSION=1.2.3" in done.stderr


def test_a_tag_is_not_used_twice(repository):
    git(repository, "tag", "v9.8.7")
    assert "The tag v9.8.7 exists" in release(repository, "9.8.7").stderr


def test_changes_must_be_committed(repository):
    (repository / "README.md").write_text("changed")
    assert "Some files differ from the last commit" in release(repository, "9.8.7").stderr


def test_a_changelog_without_new_changes_is_not_released(repository):
    text = (repository / "CHANGELOG.md").read_text(encoding="utf-8")
    (repository / "CHANGELOG.md").write_text(text.replace(" (unreleased)", ""), encoding="utf-8")
    git(repository, "commit", "--quiet", "--all", "--message", "Forget the heading")
    assert "CHANGELOG.md must have one heading" in release(repository, "9.8.7").stderr
    assert len(git(repository, "worktree", "list").splitlines()) == 1
