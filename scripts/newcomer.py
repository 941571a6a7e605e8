"""Do what README.md and docs/first-game.md say, word by word, as somebody new would; fail where a command does not work.

    python scripts/newcomer.py

Works on a fresh copy of the last commit, with an empty home folder, no caches, and no variables of this shell. Each block of
commands is run; each Python and TOML block that is shown as a file is saved as that file. A server keeps running until
the next one is started. Needs the ports 3000 and 4000, `make`, and the internet or a mirror of PyPI.
"""

from __future__ import annotations

import contextlib
import os
import queue
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = ("README.md", "docs/first-game.md")
BLOCK = re.compile(r"^( *)```(sh|python|toml)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"# ([\w/.]+\.(?:py|toml))\n")
SAVED = re.compile(r"save this as `([\w./]+)`")
STARTED_BY_TEXT = re.compile(r"it with `(\.venv/bin/python \S+\.py)`")
SERVES = re.compile(r"\bserve\b")
RUNNING = re.compile(r"connect to ws://[\w.]+:(\d+)/")
PATIENCE = 180.0  # seconds for one command: the first one installs packages


class NewcomerError(Exception):
    """A command did not do what the page says."""


class Program:
    """A command that keeps running."""

    def __init__(self, command: str, folder: Path, environment: dict[str, str]) -> None:
        self.command = command
        self._said: list[str] = []
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._process = subprocess.Popen(
            ["/bin/sh", "-c", f"exec {command}" if "=" not in command.split(maxsplit=1)[0] else command],
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,  # so that Ctrl-C reaches all of it, as in a terminal
        )
        threading.Thread(target=self._listen, daemon=True).start()

    def until(self, pattern: str | re.Pattern[str]) -> re.Match[str]:
        """Wait for a line; raise `NewcomerError` if it does not come."""
        end = time.monotonic() + PATIENCE
        while True:
            try:
                line = self._lines.get(timeout=max(end - time.monotonic(), 0))
            except queue.Empty:
                line = None
            if line is None:
                raise NewcomerError(
                    f"{self.command} did not say {pattern!r}; it said:\n{''.join(self._said)}"
                )
            if match := re.search(pattern, line):
                return match

    def interrupt(self) -> None:
        """Press Ctrl-C; raise `NewcomerError` unless it ends well."""
        os.killpg(self._process.pid, signal.SIGINT)
        try:
            status = self._process.wait(30)
        except subprocess.TimeoutExpired:
            status = -1
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        # make reports an interrupted command with 2, or dies of the signal as well.
        if status not in (0, *((2, 130, -signal.SIGINT) if "make" in self.command else ())):
            raise NewcomerError(
                f"{self.command} ended with status {status} on Ctrl-C:\n{''.join(self._said)}"
            )

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._said.append(line)
            self._lines.put(line)
        self._lines.put(None)


class Newcomer:
    """Somebody who reads a page and does what it says."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self._folder = folder
        self._environment = environment
        self._server: Program | None = None

    def follow(self, page: str) -> None:
        """Follow a page from its top to its end."""
        text = (self._folder / page).read_text(encoding="utf-8")
        after = 0
        for block in BLOCK.finditer(text):
            before, after = text[after : block.start()], block.end()
            content = "".join(line.removeprefix(block[1]) for line in block[3].splitlines(keepends=True))
            if block[2] == "sh":
                for command in content.splitlines():
                    self.type(command)
                continue
            named = FILE.match(content) or next(iter(reversed(list(SAVED.finditer(before)))), None)
            if named is None:
                raise NewcomerError(f"{page} does not say where this goes:\n{content}")
            file = self._folder / named[1]
            file.parent.mkdir(exist_ok=True)
            file.write_text(content, encoding="utf-8")
            print(f"  saved {named[1]}")
            if started := STARTED_BY_TEXT.search(before):
                self.type(started[1])
        self.type("cloudlink serve --port 4000")  # with all that was saved
        self.stop()

    def type(self, command: str) -> None:
        """Run a command as the page means it."""
        print(f"  $ {command}", flush=True)
        if SERVES.search(command) or command.endswith("foobar.py"):
            self.stop()
            if "pages" in command:  # the reader has packaged a game by hand
                (self._folder / "pages").mkdir(exist_ok=True)
                (self._folder / "pages" / "game.html").write_text("<title>My game</title>", encoding="utf-8")
            self._server = Program(command, self._folder, self._environment)
            port = int(self._server.until(RUNNING)[1])
            fetch(port, "/", "This is a CloudLink server")
            if "pages" in command:
                fetch(port, "/game.html", "My game")
            if command.endswith("foobar.py"):
                self._send_foo(port)
        elif command.endswith("hello.py"):
            client = Program(command, self._folder, self._environment)
            client.until(r"GlobalMessage\(value='Hello, everybody!'")
            client.interrupt()
        else:
            done = subprocess.run(
                ["/bin/sh", "-c", command],
                cwd=self._folder,
                env=self._environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=PATIENCE,
                check=False,
            )
            if done.returncode:
                raise NewcomerError(f"{command} ended with status {done.returncode}:\n{done.stdout}")

    def stop(self) -> None:
        """Stop the server that runs, if there is one."""
        if self._server is not None:
            server, self._server = self._server, None
            server.interrupt()

    def _send_foo(self, port: int) -> None:
        assert self._server is not None
        script = (
            "import asyncio, cloudlink\n"
            "async def main():\n"
            f"    async with cloudlink.connect('ws://127.0.0.1:{port}/') as c:\n"
            "        await c.command('foo')\n"
            "        await asyncio.sleep(0.5)\n"
            "asyncio.run(main())\n"
        )
        subprocess.run([self._folder / ".venv/bin/python", "-c", script], env=self._environment, check=True)
        self._server.until("^Foobar!$")


def fetch(port: int, path: str, wanted: str) -> None:
    """Open a page of a server; raise `NewcomerError` unless a text is on it."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
        if wanted not in answer.read().decode():
            raise NewcomerError(f"http://127.0.0.1:{port}{path} does not show {wanted!r}")


def prepare(place: Path) -> tuple[Path, dict[str, str]]:
    """Make a copy of the last commit, a home, and a `python3` that may install packages; return folder and environment."""
    folder, home, python = place / "cloudlink", place / "home", place / "python"
    folder.mkdir()
    home.mkdir()
    archive = subprocess.run(["git", "archive", "HEAD"], cwd=ROOT, stdout=subprocess.PIPE, check=True)
    subprocess.run(["tar", "-x", "-C", folder], input=archive.stdout, check=True)
    subprocess.run([sys.executable, "-m", "venv", python], check=True)
    environment = {
        "HOME": str(home),
        "PATH": f"{python}/bin:/usr/local/bin:/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "PYTHONUNBUFFERED": "1",  # as at a terminal, where lines are shown at once
        "PIP_NO_CACHE_DIR": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }
    # A mirror of PyPI that this machine needs is part of the machine, not of its user.
    mirrors = {
        name: value for name, value in os.environ.items() if re.fullmatch(r"(?i)pip_.*index.*|.*_proxy", name)
    }
    return folder, environment | mirrors


def main() -> int:
    """Follow the pages; return 1 and say what did not work if something did not."""
    for port in (3000, 4000):
        with contextlib.closing(socket.socket()) as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                print(f"Port {port} is in use: stop the program that listens there, and start this again.")
                return 1
    for page in PAGES:
        print(page)
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as place:
            newcomer = Newcomer(*prepare(Path(place)))
            try:
                newcomer.follow(page)
            except NewcomerError as failure:
                print(f"{page}: {failure}")
                return 1
            finally:
                with contextlib.suppress(NewcomerError):
                    newcomer.stop()
    print("Everything works as written.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
