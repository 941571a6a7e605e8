"""Cloud variables against real sockets: our own server, and servers that are none."""

import asyncio
import json

import pytest

from cloudlink.client import (
    CloudChange,
    DisconnectedError,
    NameRefusedError,
    ServerFullError,
    WaitTimeoutError,
    WrongServerError,
    connect_cloud,
)
from cloudlink.client.backoff import Backoff
from tests.support.fakeservers import websocket_server
from tests.support.servers import restartable_server

SCORE = "☁ score"


def run(scenario):
    async def limited():
        async with asyncio.timeout(20):
            await scenario()

    asyncio.run(limited())


def cloud_of(host, username="bot", **options):
    cloud = connect_cloud(host if isinstance(host, str) else host.url, 104, username, **options)
    cloud._backoff = Backoff(0.01, 0.05)
    return cloud


def test_values_are_shared_and_outlive_their_players():
    async def scenario():
        async with restartable_server() as host:
            async with cloud_of(host, "alice") as alice, cloud_of(host, "bob") as bob:
                assert alice.variables == {}
                assert alice.get(SCORE) is None
                assert alice.get(SCORE, 0) == 0
                await alice.set(SCORE, 10)
                await alice.set("☁ board", "0012")
                assert alice.get(SCORE) == 10
                assert [await anext(bob), await anext(bob)] == [
                    CloudChange(SCORE, 10),
                    CloudChange("☁ board", "0012"),
                ]
                assert bob.variables == {SCORE: 10, "☁ board": "0012"}
            async with cloud_of(host, "late") as late:
                assert late.variables == {SCORE: 10, "☁ board": "0012"}

    run(scenario)


def test_after_a_restart_values_are_those_of_the_server(tmp_path):
    async def scenario():
        async with restartable_server(storage=str(tmp_path / "store.db")) as host, cloud_of(host) as cloud:
            await cloud.set(SCORE, 1)
            await asyncio.wait_for(wait_for(host, SCORE), 10)
            await host.stop()
            await host.start()
            async with cloud_of(host, "other") as other:
                assert other.get(SCORE) == 1
                await cloud.wait_until_connected()
                await other.set(SCORE, 2)
                assert await anext(cloud) == CloudChange(SCORE, 2)

    run(scenario)


async def wait_for(host, name):
    """Wait until the server has a variable."""
    async with cloud_of(host, "waiter") as waiter:
        if name in waiter.variables:
            return
        async for change in waiter:
            if change.name == name:
                return


def test_a_refused_name_and_a_refused_value():
    async def scenario():
        async with restartable_server() as host:
            with pytest.raises(NameRefusedError):
                await cloud_of(host, "no spaces please").__aenter__()
            async with cloud_of(host) as cloud:
                with pytest.raises(ValueError, match="digits"):
                    await cloud.set(SCORE, "ten")
                with pytest.raises(TypeError):
                    await cloud.set(SCORE, None)
                assert cloud.variables == {}

    run(scenario)


def test_a_server_that_is_full_or_has_no_cloud():
    async def scenario():
        async with restartable_server(max_clients=1) as host, cloud_of(host):
            with pytest.raises(ServerFullError):
                await cloud_of(host, "second").__aenter__()
        async with restartable_server(cloud=False) as host:
            with pytest.raises(WrongServerError):
                await cloud_of(host).__aenter__()

    run(scenario)


def test_a_silent_server_times_out():
    async def handler(socket):
        socket.transport.pause_reading()
        await over.wait()
        socket.transport.abort()

    over = asyncio.Event()

    async def scenario():
        async with websocket_server(handler) as url:
            with pytest.raises(WaitTimeoutError):
                await cloud_of(url, timeout=0.1).__aenter__()
            over.set()

    run(scenario)


def test_a_closed_one_can_set_nothing():
    async def scenario():
        async with restartable_server() as host, cloud_of(host) as cloud:
            await cloud.close()
            with pytest.raises(DisconnectedError):
                await cloud.set(SCORE, 1)

    run(scenario)


def test_a_server_that_batches_its_values():
    """TurboWarp's server may answer the ping before it sends the values."""

    async def handler(socket):
        await socket.recv()
        await asyncio.sleep(0)
        values = [json.dumps({"method": "set", "name": f"☁ {name}", "value": 1}) for name in "ab"]
        await socket.send("\n".join(values))
        await socket.wait_closed()

    async def scenario():
        async with websocket_server(handler) as url, cloud_of(url) as cloud:
            while len(cloud.variables) < 2:
                await anext(cloud)
            assert cloud.variables == {"☁ a": 1, "☁ b": 1}

    run(scenario)
