"""Bots made with the Python libraries for Scratch's cloud variables, against our server."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
import trustme

from tests.real_clients.scratch.libraries import bot, library_python
from tests.real_clients.scratch.server import HOST, CloudServer

pytestmark = pytest.mark.timeout(300)  # the environment may have to be built first


@pytest.fixture
def python():
    return library_python()


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
                return await stack.enter_async_context(bot(python, name, address, **trust))

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
            for each, name in ((attach, "☁ score"), (client, "☁ score"), (cloudclient, "score")):
                assert await each.says() == [["set", name, -7]]

    asyncio.run(main())


def test_events_and_get_all_vars_of_scratchattach(python, tmp_path):
    async def main():
        async with (
            CloudServer(tmp_path) as server,
            bot(python, "scratchattach_events", f"ws://{HOST}:{server.port}/") as attach,
        ):
            await attach.obeys("set_until_read", "score", 5)
            assert sorted(await attach.says(2)) == [["current", {"score": 5}], ["set", "score", 5]]

    asyncio.run(main())


def test_the_session_cookie_of_scratch_is_refused(python, tmp_path):
    async def main():
        async with (
            CloudServer(tmp_path) as server,
            bot(python, "scratchcloudclient_with_cookie", f"ws://{HOST}:{server.port}/") as attach,
        ):
            [[event, warning, code]] = await attach.says()
            assert (event, code) == ("refused", 4005)
            assert warning

    asyncio.run(main())
