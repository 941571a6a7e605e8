"""`cloudlink serve --workers`: real processes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import select
import signal
import socket
import sys
import urllib.request
from pathlib import Path

import pytest
from websockets.sync.client import connect

from cloudlink.cli import logs, main, workercount, workers
from cloudlink.errors import StartError
from cloudlink.settings import Settings
from tests.support.process import ServerProcess

if sys.platform != "linux":
    pytest.skip("several processes need Linux", allow_module_level=True)


def children(process):
    return [
        int(each) for each in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    ]


def health(port):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/health") as answer:
        return json.loads(answer.read())


@pytest.fixture(autouse=True)
def _own_log(monkeypatch):
    """Leave this process's log as it is."""
    monkeypatch.setattr(logs, "set_up", lambda _settings: None)


@pytest.fixture
def server():
    with ServerProcess("--workers", "2", "--max-clients", "6") as running:
        yield running


def test_workers_share_the_port_the_count_of_clients_and_their_end(server):
    assert sum("Settings file: " in line for line in server.lines) == 1
    line = server.lines[-1]
    assert line.endswith(" (2 workers)\n")
    assert len(children(server.process)) == 2
    address = f"ws://127.0.0.1:{server.port}/"
    with contextlib.ExitStack() as connected:
        for _ in range(6):
            connected.enter_context(connect(address))
        while (
            health(server.port)["clients"] != 6
        ):  # a worker answers an upgrade just before it counts the client
            pass
        with connect(address) as refused:
            assert "Server is full!" in refused.recv(timeout=10)

    first, second = children(server.process)
    os.kill(first, signal.SIGKILL)
    assert server.wait_for(r"WARNING cloudlink.cluster: Worker 1 ended with signal 9 and is started again\.$")
    os.kill(second, signal.SIGTERM)
    assert server.wait_for(r"WARNING cloudlink.cluster: Worker 2 ended with status 0 and is started again\.$")
    assert server.stop() == 0
    assert server.lines[-1].endswith("INFO cloudlink.server: CloudLink has stopped.\n")
    assert sum("CloudLink has stopped" in line for line in server.lines) == 1
    assert sum("Settings file" in line for line in server.lines) == 1


def test_workers_end_with_the_process_that_started_them(server):
    descriptors = [os.pidfd_open(each) for each in children(server.process)]
    server.process.kill()
    for descriptor in descriptors:
        assert select.select([descriptor], [], [], 20)[0]
        os.close(descriptor)


def test_a_used_port(capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["--workers", "2", "--port", str(port), "--no-storage"]) == 1
    assert f"cloudlink: Port {port} is already in use on 127.0.0.1" in capsys.readouterr().err


def test_a_worker_that_cannot_start_ends_the_start_with_its_sentence(tmp_path, capfd):
    plugin = tmp_path / "bad.py"
    plugin.write_text("raise ValueError('no')\n")
    assert main(["--workers", "2", "--port", "0", "--no-storage", "--plugin", str(plugin)]) == 1
    assert capfd.readouterr().err == f"cloudlink: Plugin {plugin} failed to load at line 1: ValueError: no.\n"


def test_a_worker_that_ends_before_it_is_ready(tmp_path, capfd):
    plugin = tmp_path / "bad.py"
    plugin.write_text("import os\nos._exit(5)\n")
    assert main(["--workers", "2", "--port", "0", "--no-storage", "--plugin", str(plugin)]) == 1
    assert " ended with status 5 before it was ready.\n" in capfd.readouterr().err


def test_the_number_of_workers(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _process: set(range(12)))
    assert workercount.number_of(Settings()) == 1
    assert workercount.number_of(Settings(workers=3)) == 3
    assert workercount.number_of(Settings(workers="auto")) == 12
    monkeypatch.setattr(sys, "platform", "darwin")
    assert workercount.number_of(Settings(workers="auto")) == 1
    with pytest.raises(StartError, match=r"^Several workers need Linux; set workers to 1\.$"):
        workercount.number_of(Settings(workers=2))


def test_nobody_connects_before_the_workers_accept():
    async def main():
        pool = workers.WorkerPool(Settings(port=0, storage="", workers=2), 2, None)
        await pool._open_sockets()
        (reserved,) = pool._reserved
        address = reserved.getsockname()
        with socket.socket() as client, pytest.raises(ConnectionRefusedError):
            client.connect(address)
        second = workers.WorkerPool(Settings(port=address[1], storage="", workers=2), 2, None)
        with pytest.raises(StartError, match=f"Port {address[1]} is already in use"):
            await second._open_sockets()
        pool._close_sockets()
        await second._open_sockets()
        second._close_sockets()

    asyncio.run(main())


SECOND_IS_KILLED = """
import os, signal, time
from pathlib import Path

class Killed:
    def __init__(self, server, protocol):
        try:
            Path("first").mkdir()
        except FileExistsError:
            while not Path("ready").exists():
                time.sleep(0.01)
            if not Path("killed").exists():
                Path("killed").mkdir()
                os.kill(os.getpid(), signal.SIGKILL)
        else:
            @server.on_start
            def ready():
                Path("ready").mkdir()
"""


def test_a_worker_that_is_killed_while_others_serve_already_does_not_end_the_start(tmp_path, monkeypatch):
    (tmp_path / "killed.py").write_text(SECOND_IS_KILLED)
    monkeypatch.chdir(tmp_path)
    with ServerProcess("--workers", "2", "--plugin", "killed.py") as server:
        assert server.lines[-1].endswith(" (2 workers)\n")
        assert sum("ended with signal 9 and is started again." in line for line in server.lines) == 1
        assert health(server.port)["status"] == "ok"
        assert server.stop() == 0
