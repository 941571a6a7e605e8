"""Servers that are not this one: CloudLink 0.2.0 itself, and what its forerunners said."""

import asyncio
import json
from pathlib import Path

from tests.extension.lab import saying, scenario
from tests.extension.project import change
from tests.real_clients.environment import upstream_python
from tests.real_clients.scratch.server import HOST

UPSTREAM = Path(__file__).parents[1] / "real_clients" / "upstream_server.py"
CAME_AND_WENT = [
    [("cloudlink_whenuserconnects", {}), change("came")],
    [("cloudlink_whenuserdisconnects", {}), change("went")],
]


def packets(*values):
    return [json.dumps(value) for value in values]


def test_cloudlink_020(lab):
    python = upstream_python()

    async def main():
        process = await asyncio.create_subprocess_exec(
            *(python, UPSTREAM, "0", "{}"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            port = await process.stdout.readline()
            assert port, "CloudLink 0.2.0 did not start"
            alice, bob = await lab.users(2, CAME_AND_WENT, variables=("came", "went"))
            for user, name in ((alice, "alice"), (bob, "42")):
                await user.joins(name, f"ws://{HOST}:{int(port)}/")
            await alice.variable("came", 1)
            await alice.do("sendPData", DATA="psst", ID="42")
            await bob.until("psst", "returnPrivateData")
            for user in (alice, bob):
                await user.do("linkToRooms", ROOMS='["5", "b"]')
                await user.until(True, "getRoomState")
            await alice.do("selectRoomsInNextPacket", ROOMS="5")
            await alice.do("createListener", ID="mine")
            await alice.do("sendGData", DATA="hello")
            await bob.until("hello", "returnGlobalData")
            await alice.until(True, "returnIsNewListener", ID="mine")
            await bob.do("closeSocket")
            await alice.variable("went", 1)
            await alice.until(1, "countUsers", ROOM="b")
            assert json.loads(await alice.get("returnUserListData"))[0]["username"] == "alice"
        finally:
            process.kill()
            await process.wait()

    lab.run(main())


@scenario
async def test_lists_without_uuids_of_019(lab):
    users = [{"username": name, "id": number} for number, name in enumerate(("alice", "bob", "bob"))]
    frames = packets(
        {"cmd": "server_version", "val": "0.1.9.2"},
        {"cmd": "ulist", "mode": "set", "val": users[:2], "rooms": "default"},
        {"cmd": "ulist", "mode": "add", "val": users[2], "rooms": "default"},
        {"cmd": "ulist", "mode": "add", "val": users[2], "rooms": "default"},
        {"cmd": "ulist", "mode": "remove", "val": users[1], "rooms": "default"},
        {"cmd": "ulist", "mode": "remove", "val": {"username": "carol", "id": 9}, "rooms": "default"},
        {"cmd": "gmsg", "val": "the end"},
    )
    async with saying(*frames) as address:
        [user] = await lab.users(1, CAME_AND_WENT, variables=("came", "went"))
        await user.do("openSocket", IP=address)
        await user.until("the end", "returnGlobalData")
        assert json.loads(await user.get("returnUserListData")) == [users[0], users[2]]
        assert await user.get("checkForID", ID=2) is True
        await user.variable("came", 1)
        await user.variable("went", 1)
        await user.do("closeSocket")


@scenario
async def test_lists_of_018_and_the_greeting_of_017(lab):
    frames = packets(
        {"cmd": "ulist", "val": "alice;bob;"},
        {"cmd": "direct", "val": {"cmd": "motd", "val": "Hello!"}},
        {"cmd": "direct", "val": {"cmd": "vers", "val": "0.1.7"}},
        {"cmd": "statuscode", "val": "I:100 | OK"},
        {"cmd": "direct", "val": {"cmd": "vers", "val": "a value of the project's own"}},
    )
    async with saying(*frames) as address:
        [user] = await lab.users(1)
        await user.do("openSocket", IP=address)
        await user.until('{"cmd":"vers","val":"a value of the project\'s own"}', "returnDirectData")
        assert await user.get("returnServerVersion") == "0.1.7"
        assert await user.get("returnMOTD") == "Hello!"
        assert await user.get("returnUserListData") == '["alice","bob"]'
        assert await user.get("checkForID", ID="bob") is True
        assert await user.get("checkForID", ID="b") is False
        assert await user.get("returnStatusCode") == "I:100 | OK"
        await user.do("closeSocket")
    users = [{"username": "alice", "id": 0}]
    async with saying(
        *packets({"cmd": "server_version", "val": "0.1.8.3"}, {"cmd": "ulist", "val": users})
    ) as address:
        await user.do("openSocket", IP=address)
        await user.until(json.dumps(users, separators=(",", ":")), "returnUserListData")
        await user.do("closeSocket")


@scenario
async def test_another_user_cannot_greet(lab):
    frames = packets(
        {"cmd": "direct", "val": {"cmd": "vers", "val": "0.2.9"}, "origin": {"id": "1", "uuid": "u"}},
        {"cmd": "server_version", "val": "0.2.0"},
        {"cmd": "server_version", "val": "0.2.8"},
        {"cmd": "gmsg", "val": "the end"},
    )
    async with saying(*frames) as address:
        [user] = await lab.users(1)
        await user.do("openSocket", IP=address)
        await user.until("the end", "returnGlobalData")
        assert await user.get("returnServerVersion") == "0.2.0"
        await user.do("closeSocket")


@scenario
async def test_a_name_that_the_server_still_holds_is_asked_for_again(lab):
    """The lost connection of a player whose Wi-Fi dropped may live on at the server for a while."""
    greeting = {"cmd": "server_version", "val": "0.2.0"}
    refused = {"cmd": "statuscode", "code": "E:112 | ID conflict", "listener": "username_cfg"}
    tries = []

    def answers(told):
        packet = json.loads(told)
        if packet["cmd"] != "setid":
            return packets({"cmd": "statuscode", "code": "I:100 | OK", "listener": packet["listener"]})
        tries.append(packet["val"])
        if len(tries) in (2, 3):
            return packets(refused)
        user = {"username": packet["val"], "id": "1", "uuid": "u"}
        return packets({"cmd": "statuscode", "code": "I:100 | OK", "listener": "username_cfg", "val": user})

    script = [[("cloudlink_whenConnectionBack", {}), change("back")]]
    async with saying(*packets(greeting), answers=answers) as address:
        [user] = await lab.users(1, script, variables=("back",))
        await user.evaluate("hurry(10)")
        await user.do("setReconnect", BOOL="Enable")
        await user.joins("alice", address)
        await user.do("linkToRooms", ROOMS="red")
        await user.until(True, "getRoomState")
        await user.evaluate(
            "sockets[0].dispatchEvent(new CloseEvent('close', {wasClean: false, code: 1006}))"
        )
        await user.variable("back", 1)
        assert await user.get("returnUsernameDataNew") == "alice"
        assert await user.get("getRoomState") is True
        assert tries == ["alice"] * 4
        await user.do("closeSocket")
