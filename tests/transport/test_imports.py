"""What a server loads, and what it leaves on the disk."""

import json
import subprocess
import sys

SERVE = """
import json, sys
sys.modules["typing_extensions"] = None  # msgspec uses it where it is, but does not need it
from cloudlink.cli import serve
from cloudlink.cli.parser import Parser
from cloudlink.settings import Settings

parser = Parser(prog="cloudlink serve")
serve.add_arguments(parser)
parser.parse_args([])

import cloudlink.server, asyncio

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
    "_hashlib",
    "_ssl",
    "aiofastnet.transport",
    "cerberus",
    "cloudlink.admin.methods",
    "cloudlink.bridge",
    "cloudlink.cli.reload",
    "cloudlink.client",
    "cloudlink.cluster.records",
    "cloudlink.server.administration.relay",
    "cloudlink.server.clusterbroker",
    "encodings.idna",
    "http.client",
    "nats",
    "picows.api",
    "prometheus_client",
    "python_socks",
    "shutil",
    "uvloop",
}


if sys.version_info < (3, 12):  # dataclasses of later versions use `inspect`
    NEVER_NEEDED |= {"_ast", "dis"}


def run(program, folder):
    done = subprocess.run(
        [sys.executable, "-c", program], check=False, cwd=folder, capture_output=True, text=True, timeout=50
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_server_with_a_client_has_not_loaded_what_it_does_not_need(tmp_path):
    assert not NEVER_NEEDED.intersection(json.loads(run(SERVE, tmp_path)))
