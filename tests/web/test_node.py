"""The JavaScript client in Node.js, with this server and with an unmodified CloudLink 0.2.0."""

import asyncio
import contextlib
import json
import os
import shutil
from pathlib import Path

import pytest

from tests.real_clients.environment import node_modules, unavailable, upstream_python
from tests.real_clients.scratch.server import HOST, CloudServer

HERE = Path(__file__).parent
UPSTREAM = HERE.parents[0] / "real_clients" / "upstream_server.py"
TIME_LIMIT = 30.0

pytestmark = pytest.mark.timeout(300)  # packages may have to be installed first


@pytest.fixture(scope="module")
def environment():
    """The environment variables of a Node.js that has WebSockets."""
    if shutil.which("node") is None:
        unavailable("the JavaScript client needs Node.js, which is not installed")
    modules = node_modules("javascript-client", ("ws@8.18.3",), "the WebSocket package of Node.js")
    return {"PATH": os.environ["PATH"], "WS_MODULE": f"{modules}/ws/wrapper.mjs"}


async def play(environment, address, *more):
    process = await asyncio.create_subprocess_exec(
        *("node", HERE / "play.mjs", address, *more),
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(TIME_LIMIT):
        output, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    return json.loads(output)


@pytest.fixture(scope="module", params=["ours", "upstream"])
def played(request, environment, tmp_path_factory):
    """What came of the conversation in `play.mjs`."""

    async def ours():
        server = CloudServer(tmp_path_factory.mktemp("server"), "--motd", "Welcome!")
        await server.start()
        try:
            return await play(environment, f"ws://{HOST}:{server.port}/", "ours")
        finally:
            await server.stop()

    async def upstream():
        process = await asyncio.create_subprocess_exec(
            *(upstream_python(), UPSTREAM, "0", '{"motd": "Welcome!"}'),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            port = await process.stdout.readline()
            assert port, "CloudLink 0.2.0 did not start"
            return await play(environment, f"ws://{HOST}:{int(port)}/")
        finally:
            process.kill()
            await process.communicate()

    return asyncio.run({"ours": ours, "upstream": upstream}[request.param]())


def kinds(events):
    return [event["type"] for event in events]


def of(events, kind):
    return [event for event in events if event["type"] == kind]


def test_the_first_event_says_who_this_is(played):
    for name, events in played["seen"].items():
        assert events[0]["type"] == "connected"
        assert (events[0]["user"]["username"], events[0]["rooms"], events[0]["again"]) == (
            name,
            ["lobby"],
            False,
        )
        assert [event["value"] for event in of(events, "messageOfTheDay")] == ["Welcome!"]


def test_messages_reach_the_other(played):
    bob = played["seen"]["bob"]
    values = [event["value"] for event in of(bob, "globalMessage")]
    assert values == [{"hello": ["everybody", 1.5, True]}, "there", "mine"]
    assert [(each["name"], each["value"], each["room"]) for each in of(bob, "globalVariable")] == [
        ("score", 7, "lobby")
    ]
    [message], [variable] = of(bob, "privateMessage"), of(bob, "privateVariable")
    assert (message["value"], message["sender"]["username"], message["room"]) == ("psst", "ada", "lobby")
    assert (variable["name"], variable["value"], variable["sender"]["username"]) == ("hp", 3, "ada")
    assert played["results"]["sent"] == [True] * 5


def test_requests_get_their_answers(played):
    results = played["results"]
    if "answer" in results:  # CloudLink 0.2.0 passes no listeners on
        assert (results["answer"]["type"], results["answer"]["value"]) == ("directMessage", 42)
        assert results["late"]["name"] == "WaitTimeoutError"
    assert ["knock", "ada"] in [
        [event["value"], event["sender"]["username"]] for event in of(played["seen"]["bob"], "directMessage")
    ]
    assert (results["copy"]["type"], results["copy"]["value"]) == ("globalMessage", "mine")
    assert (results["refused"]["name"], results["refused"]["code"]) == ("RequestError", 103)
    assert (results["twice"]["name"], results["twice"]["code"]) == ("RequestError", 107)


def test_rooms_and_lists_are_kept(played):
    results = played["results"]
    assert results["users"] == ["ada", "bob"]
    if "linked" in results:  # CloudLink 0.2.0 lets nobody into a second room later
        assert results["linked"] == ["lobby", "den"]
        assert results["unlinked"] == [["lobby"], ["lobby"]]
    assert results["alone"] == ["default"]
    assert results["named"] == "eve"
    bob = played["seen"]["bob"]
    assert [event["user"]["username"] for event in of(bob, "userLeft")] == ["ada"]


def test_a_failing_handler_harms_no_other(played):
    assert played["results"]["reported"] == "a handler failed"
    assert len(of(played["seen"]["bob"], "globalMessage")) == 3


def test_the_end_is_an_event_and_sending_does_nothing_then(played):
    results = played["results"]
    assert kinds(played["seen"]["bob"])[-1] == "closed"
    assert results["closed"]["message"] == "Closed from here."
    assert results["afterwards"][:2] == [False, False]
    assert results["afterwards"][2]["name"] == "DisconnectedError"


def test_cloud_variables(played):
    results = played["results"]
    if "change" not in results:
        pytest.skip("CloudLink 0.2.0 is played without cloud variables")
    assert results["change"] == {"type": "change", "name": "☁ score", "value": "007"}
    assert results["cloud"] == ["007", {"☁ score": "007"}, 0]
    assert results["unfit"] == ["TypeError"] * 6
    assert (results["bad"]["name"], results["bad"]["code"]) == ("DisconnectedError", 4002)


class Lasting:
    """The client of `lasting.mjs`."""

    def __init__(self, process):
        self._process = process

    async def next(self, kind):
        """The next event of a type."""
        async with asyncio.timeout(TIME_LIMIT):
            while line := await self._process.stdout.readline():
                event = json.loads(line)
                if event["type"] == kind:
                    return event
        raise AssertionError((await self._process.stderr.read()).decode())

    async def evaluate(self, script):
        self._process.stdin.write(script.encode() + b"\n")
        return (await self.next("result")).get("value")


@contextlib.asynccontextmanager
async def lasting(environment, address, **options):
    process = await asyncio.create_subprocess_exec(
        *("node", HERE / "lasting.mjs", address, json.dumps(options)),
        env=environment,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield Lasting(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


def test_name_and_rooms_come_back_after_a_restart(environment, tmp_path):
    async def main():
        server = CloudServer(tmp_path)
        await server.start()
        address = f"ws://{HOST}:{server.port}/"
        async with lasting(environment, address, username="ada", rooms=["lobby"]) as client:
            assert (await client.next("connected"))["again"] is False
            await client.evaluate("c.link('den')")
            await server.stop()
            lost = await client.next("disconnected")
            assert lost["reason"] == f"{address}: The server is shutting down (1001)"
            assert 0.25 <= lost["retryIn"] <= 0.5
            assert await client.evaluate("c.send('lost')") is False
            await server.start()
            back = await client.next("connected")
            assert (back["again"], back["user"]["username"], back["rooms"]) == (True, "ada", ["lobby", "den"])
            assert await client.evaluate("c.send('here')") is True
        await server.stop()

    asyncio.run(main())


def test_a_client_can_wait_for_its_server(environment, tmp_path):
    async def main():
        server = CloudServer(tmp_path)
        await server.start()
        await server.stop()
        address = f"ws://{HOST}:{server.port}/"
        async with lasting(environment, address) as client:
            assert (await client.next("failed"))["error"] == f"{address}: the connection failed (1006)"
        async with lasting(environment, address, wait=True) as client:
            await server.start()
            assert (await client.next("connected"))["again"] is False
        await server.stop()

    asyncio.run(main())


def test_a_kicked_client_stays_away(environment):
    async def kick(connection):
        await connection.recv()
        await connection.send('{"cmd": "statuscode", "code": "I:100 | OK", "code_id": 100, "listener": 1}')
        await connection.close(4004, "You were kicked: noise")

    async def main():
        import websockets  # noqa: PLC0415  # as in the other tests of strange servers

        async with websockets.serve(kick, HOST, 0) as server:
            address = f"ws://{HOST}:{server.sockets[0].getsockname()[1]}/"
            async with lasting(environment, address, wait=True) as client:
                failed = await client.next("failed")
                assert failed["error"] == f"{address}: You were kicked: noise (4004)"

    asyncio.run(main())
