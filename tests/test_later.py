"""Modules that are loaded when they are first used; each test runs in a Python of its own."""

import subprocess
import sys

import pytest


def python(script):
    done = subprocess.run(
        [sys.executable, "-c", f"import sys\nfrom cloudlink import later\n{script}"],
        check=False,
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


NOT_LOADED = 'assert not {"_ssl", "_hashlib"}.intersection(sys.modules)'


def test_importing_what_uses_openssl_does_not_load_it():
    python(f"""
import asyncio, hashlib, hmac, secrets, ssl
assert hashlib.sha1(b"abc").hexdigest() == "a9993e364706816aba3e25717850c26c9cd0d89d"
assert hashlib.blake2b(b"", digest_size=4).hexdigest() == "1271cf25"
assert hmac.compare_digest(b"a", b"a") and not hmac.compare_digest(b"a", b"b")
assert not hasattr(ssl, "__path__") and ssl.__spec__.name == "ssl"
{NOT_LOADED}
""")


def test_listening_and_connecting_do_not_load_it():
    python(f"""
import asyncio, ssl, socket
async def main():
    server = await asyncio.start_server(lambda _, writer: writer.close(), sock=socket.create_server(("127.0.0.1", 0)))
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    await reader.read()
    writer.close()
asyncio.run(main())
{NOT_LOADED}
assert issubclass(ssl.SSLSocket, socket.socket)
""")


@pytest.mark.parametrize(
    "use",
    [
        "import ssl; ssl.SSLContext",
        "from ssl import SSLSocket; assert SSLSocket.__module__ == 'ssl'",
        "from ssl import *; SSLSocket",
        "import ssl; assert 'SSLSocket' in dir(ssl)",
        "import ssl; ssl.nothing = 1; assert ssl.nothing == 1",
        "import ssl; ssl.OPENSSL_VERSION = 1; assert ssl.OPENSSL_VERSION == 1",
        "import asyncio; asyncio.sslproto.SSLProtocol",
        "import hashlib; hashlib.sha256",
        "import hmac; hmac.new(b'', b'', 'sha256')",
        "from hashlib import *; sha256",
    ],
)
def test_using_a_module_loads_all_of_it(use):
    python(f"""
{use}
assert {{"_ssl", "_hashlib"}}.intersection(sys.modules)
""")


def test_a_module_remains_the_same_object():
    python("""
import asyncio, ssl
early = ssl
import ssl, importlib
ssl.SSLContext
assert ssl is early is asyncio.base_events.ssl is sys.modules["ssl"]
assert type(ssl) is type(sys) and type(ssl.__loader__) is type(asyncio.__loader__)
assert importlib.reload(ssl) is ssl and type(ssl) is type(sys)
""")


def test_a_module_that_cannot_be_loaded_says_so_each_time():
    printed = python("""
sys.modules["_ssl"] = None
import ssl
for _ in range(2):
    try:
        ssl.SSLContext
    except ImportError as error:
        print(error.name)
del sys.modules["_ssl"]
ssl.SSLContext
""")
    assert printed.split() == ["_ssl", "_ssl"]


def test_threads_load_a_module_once():
    python("""
import threading, ssl
found, together = [], threading.Barrier(4)
def use():
    together.wait()
    found.append(ssl.SSLContext)
threads = [threading.Thread(target=use) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert found == [ssl.SSLContext] * 4
""")


def test_a_python_without_its_own_sha1_loads_the_whole_module():
    python("""
sys.modules["_sha1"] = None
import hashlib
assert hashlib.sha1(b"abc").hexdigest() == "a9993e364706816aba3e25717850c26c9cd0d89d"
assert "_hashlib" in sys.modules
""")


def test_a_plugin_gets_all_of_picows_and_aiofastnet():
    printed = python("""
import cloudlink.transport, picows, aiofastnet
assert not isinstance(object(), aiofastnet.Transport)
assert not hasattr(aiofastnet, "__warningregistry__")
assert not {"aiofastnet.transport", "picows.api", "python_socks"}.intersection(sys.modules)
from aiofastnet import create_server
assert create_server.__module__.startswith("aiofastnet")
assert aiofastnet.Transport is sys.modules["aiofastnet.transport"].Transport
assert picows.ws_connect is sys.modules["picows.api"].ws_connect
assert picows.WSListener is sys.modules["picows.picows"].WSListener
import aiofastnet.utils
for module in (aiofastnet, picows):
    try:
        module.nothing
    except AttributeError as error:
        print(error)
""")
    assert printed.splitlines() == [
        f"module {name!r} has no attribute 'nothing'" for name in ("aiofastnet", "picows")
    ]


def test_a_module_that_is_loaded_already_is_left_alone():
    done = subprocess.run(
        [sys.executable, "-c", "import ssl; from cloudlink import later; assert type(ssl) is type(later)"],
        check=False,
        timeout=50,
    )
    assert done.returncode == 0
