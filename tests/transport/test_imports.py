"""What a server loads, and what it leaves on the disk."""

import json
import subprocess
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType

from cloudlink.transport import aiofastnetlater

SERVE = """
import asyncio, json, sys
from cloudlink.cli import serve
from cloudlink.cli.parser import Parser
from cloudlink.settings import Settings

parser = Parser(prog="cloudlink serve")
serve.add_arguments(parser)
parser.parse_args([])

class Source:
    file = None

async def main():
    server = serve.build(Settings(host="127.0.0.1", port=0), Source())
    await server.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"GET / HTTP/1.1\\r\\nHost: 127.0.0.1\\r\\nConnection: Upgrade\\r\\nUpgrade: websocket\\r\\n"
                 b"Sec-WebSocket-Version: 13\\r\\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\\r\\n\\r\\n")
    assert (await reader.readuntil(b"\\r\\n\\r\\n")).startswith(b"HTTP/1.1 101 ")
    print(json.dumps(sorted(sys.modules)))
    writer.close()
    await server.stop()

asyncio.run(main())
"""

NEVER_NEEDED = {
    "aiofastnet.transport",
    "cerberus",
    "cloudlink.admin.methods",
    "cloudlink.bridge",
    "cloudlink.client",
    "encodings.idna",
    "http.client",
    "nats",
    "prometheus_client",
    "shutil",
    "uvloop",
}

LATER = """
import sys
import cloudlink.transport, picows, aiofastnet
assert "aiofastnet.transport" not in sys.modules
assert not isinstance(object(), aiofastnet.Transport)
assert "aiofastnet.transport" not in sys.modules
assert not hasattr(aiofastnet, "__warningregistry__")
from aiofastnet import create_server
assert create_server.__module__.startswith("aiofastnet")
assert aiofastnet.Transport is sys.modules["aiofastnet.transport"].Transport
assert sys.modules["aiofastnet"] is not aiofastnet
import aiofastnet.utils
try:
    aiofastnet.nothing
except AttributeError as error:
    print(error)
"""


def run(program, folder):
    done = subprocess.run(
        [sys.executable, "-c", program], check=False, cwd=folder, capture_output=True, text=True, timeout=50
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_server_with_a_client_has_not_loaded_what_it_does_not_need(tmp_path):
    assert not NEVER_NEEDED.intersection(json.loads(run(SERVE, tmp_path)))


def test_a_plugin_gets_all_of_a_package_that_is_loaded_later(tmp_path):
    assert run(LATER, tmp_path).strip() == "module 'aiofastnet' has no attribute 'nothing'"


def test_a_package_that_is_loaded_already_is_left_alone(monkeypatch):
    loaded = ModuleType("aiofastnet")
    loaded.__spec__ = ModuleSpec("aiofastnet", None)
    monkeypatch.setitem(sys.modules, "aiofastnet", loaded)
    aiofastnetlater.put_off()
    assert sys.modules["aiofastnet"] is loaded
