"""`make release` in a copy of the repository: it changes nothing until everything has worked."""

from __future__ import annotations

import datetime as dt
import shutil
import subprocess
import sys
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
    done = release(repository, "--dry", "9.8.7")
    assert done.returncode == 0, done.stderr
    assert "Installing cloudlink-9.8.7.tar.gz and starting its server" in done.stdout
    assert "Installing cloudlink-9.8.7-py3-none-any.whl and starting its server" in done.stdout
    assert "Version 9.8.7 can be released." in done.stdout
    assert git(repository, "rev-parse", "HEAD") == before
    assert git(repository, "status", "--porcelain") == git(repository, "tag") == ""
    assert len(git(repository, "worktree", "list").splitlines()) == 1


def test_a_release_is_one_commit_with_a_tag(repository):
    assert release(repository, "9.8.7rc1").returncode == 0
    today = dt.datetime.now(tz=dt.UTC).date()
    assert git(repository, "log", "--format=%s", "-1", "v9.8.7rc1") == "Release 9.8.7rc1"
    assert git(repository, "rev-parse", "main") == git(repository, "rev-parse", "v9.8.7rc1^{commit}")
    assert '__version__ = "9.8.7rc1"' in (repository / "src/cloudlink/version.py").read_text()
    assert f"\n## 9.8.7rc1 ({today})\n" in (repository / "CHANGELOG.md").read_text()
    assert {path.name for path in (repository / "dist").iterdir()} == {
        "cloudlink-9.8.7rc1.tar.gz",
        "cloudlink-9.8.7rc1-py3-none-any.whl",
    }


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
