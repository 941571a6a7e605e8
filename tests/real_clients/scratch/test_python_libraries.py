"""Bots made with the Python libraries for Scratch's cloud variables, against our server."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from pathlib import Path

import pytest
import trustme

from tests.real_clients.environment import python_with
from tests.real_clients.scratch.server import HOST, CloudServer

BOTS = Path(__file__).with_name("bots.py")
PINS = (
    "scratchattach==2.2.6",
    "scratchclient==1.0.1",
    "scratchcloudclient==0.0.3",
    # What these need, and what is needed by that.
    "beautifulsoup4==4.15.0",
    "browser-cookie3==0.20.1",
    "bs4==0.0.2",
    "requests==2.34.2",
    "SimpleWebSocketServer==0.1.2",
    "typing_extensions==4.16.0",
    "websocket-client==1.9.2",
)
TIME_LIMIT = 20.0  # seconds, for one thing to happen

pytestmark = pytest.mark.timeout(300)  # the environment may have to be built first


class Bot:
    """One of the bots of bots.py, as a process."""

    def __init__(self, process):
        self._process = process

    async def says(self, count=1):
        """Wait for this many more lines of its and return them."""
        said = []
        async with asyncio.timeout(TIME_LIMIT):
            while len(said) < count:
                line = await self._process.stdout.readline()
                assert line, "The bot has ended"
                said.append(json.loads(line))
        return said

    async def obeys(self, *command):
        """Give it a command."""
        self._process.stdin.write(json.dumps(command).encode() + b"\n")
        await self._process.stdin.drain()


@contextlib.asynccontextmanager
async def _bot(python, name, address, **environment):
    # No proxy between a bot and this machine, whatever is set up for the others.
    clean = {key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy")}
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *(python, BOTS, name, "104", address),
        stdin=pipe,
        stdout=pipe,
        env=clean | environment,
    )
    try:
        yield Bot(process)
    finally:
        try:
            async with asyncio.timeout(TIME_LIMIT):
                process.stdin.close()
                await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.communicate()


@pytest.fixture
def python():
    return python_with("scratchattach", PINS, "scratchattach")


def test_the_libraries_share_variables_over_tls(python, tmp_path):
    authority, key, chain = trustme.CA(), tmp_path / "key.pem", tmp_path / "chain.pem"
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    certificate = authority.issue_cert(HOST)
    certificate.private_key_pem.write_to_path(key)
    certificate.cert_chain_pems[0].write_to_path(chain)
    trust = {"WEBSOCKET_CLIENT_CA_BUNDLE": str(tmp_path / "authority.pem")}

    async def main():
        async with contextlib.AsyncExitStack() as stack:
            tls = ("--tls-certificate", str(chain), "--tls-key", str(key))
            server = await stack.enter_async_context(CloudServer(tmp_path, *tls))

            async def start(name):
                address = f"wss://{HOST}:{server.port}/"
                return await stack.enter_async_context(_bot(python, name, address, **trust))

            attach = await start("scratchattach")
            await attach.obeys("set", "score", 5)
            assert await attach.says() == [["set", "☁ score", 5]]
            await attach.obeys("set_vars", {"code": "007", "best": 12.5})  # both in one frame
            assert await attach.says(2) == [["set", "☁ code", "007"], ["set", "☁ best", 12.5]]

            client, cloudclient = await start("scratchclient"), await start("scratchcloudclient")
            assert await client.says() == [["current", {"☁ score": 5, "☁ code": "007", "☁ best": 12.5}]]
            assert await cloudclient.says() == [["current", {"score": 5, "code": "007", "best": 12.5}]]

            await client.obeys("set", "score", 6)
            assert await attach.says() == [["set", "☁ score", "6"]]
            assert await cloudclient.says() == [["set", "score", "6"]]
            await cloudclient.obeys("set", "code", "0042")
            assert await attach.says() == [["set", "☁ code", "0042"]]
            assert await client.says() == [["set", "☁ code", "0042"]]
            await attach.obeys("set", "score", -7)
            for bot, name in ((attach, "☁ score"), (client, "☁ score"), (cloudclient, "score")):
                assert await bot.says() == [["set", name, -7]]

    asyncio.run(main())


def test_events_and_get_all_vars_of_scratchattach(python, tmp_path):
    async def main():
        async with (
            CloudServer(tmp_path) as server,
            _bot(python, "scratchattach_events", f"ws://{HOST}:{server.port}/") as bot,
        ):
            await bot.obeys("set_until_read", "score", 5)
            assert sorted(await bot.says(2)) == [["current", {"score": 5}], ["set", "score", 5]]

    asyncio.run(main())


def test_the_session_cookie_of_scratch_is_refused(python, tmp_path):
    async def main():
        async with (
            CloudServer(tmp_path) as server,
            _bot(python, "scratchcloudclient_with_cookie", f"ws://{HOST}:{server.port}/") as bot,
        ):
            [[event, warning, code]] = await bot.says()
            assert (event, code) == ("refused", 4005)
            assert warning

    asyncio.run(main())
