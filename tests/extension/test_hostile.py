"""Odd packets, from other people and from a server that is none: no block throws, and every reporter reports something
that Scratch can hold."""

import contextlib
import json

import websockets

from tests.extension.lab import saying, scenario
from tests.extension.project import change
from tests.extension.published import BLOCKS, NEW_BLOCKS, table

DEEP = "[" * 10_000 + "]" * 10_000
VALUES = [
    "null",
    "true",
    "0",
    "-0.0",
    "1e400",
    "9" * 40,
    '""',
    '"x"',
    "[]",
    "{}",
    '{"__proto__": 1}',
    '{"cmd":"vers"}',
    DEEP,
]
COMMANDS = [
    *(
        "gmsg",
        "pmsg",
        "gvar",
        "pvar",
        "direct",
        "statuscode",
        "ulist",
        "server_version",
        "client_obj",
        "client_ip",
    ),
    *("motd", "constructor", "__proto__", "dance"),
]

# Frames that no server should send, at any time.
NO_PACKETS = [
    "",
    "x",
    "null",
    "5",
    '"text"',
    "[]",
    "{",
    "[{}]",
    "\u0000",
    '{"cmd":',
    DEEP,
    f'{{"cmd":{DEEP}}}',
]

# Every block that reports, with arguments that exist and such as do not.
CALLS = {
    opcode: [
        {argument.name: value for argument in arguments}
        for value in (
            "Global data",
            "Global variables",
            "All data",
            "x",
            "",
            "null",
            "{}",
            '{"uuid": null}',
            "[[]]",
        )
    ]
    for opcode, (shape, arguments) in table(BLOCKS + NEW_BLOCKS).items()
    if shape in ("reporter", "Boolean") and opcode not in ("fetchURL", "requestURL")
}
LOOK = """(async () => {
  const strange = [];
  for (const [opcode, calls] of Object.entries(CALLS)) {
    for (const args of calls) {
      for (const value of [await runtime._primitives[`cloudlink_${opcode}`](args, {})]) {
        if (!['string', 'number', 'boolean'].includes(typeof value)) strange.push([opcode, args, typeof value]);
      }
    }
    const reported = await get(opcode, CALLS[opcode][0]);
    if (typeof reported === 'object') strange.push([opcode, 'in the VM']);
  }
  return strange;
})()"""


# Older browsers run out of stack when they write JSON that is nested deeply.
OLD_BROWSER = """{
  const write = JSON.stringify;
  JSON.stringify = (value, ...more) => {
    let level = [value], depth = 0;
    while (level.length) {
      level = level.flatMap((each) => (typeof each === 'object' && each ? Object.values(each) : []));
      if (depth++ > 5000) throw new RangeError('Maximum call stack size exceeded');
    }
    return write(value, ...more);
  };
  window.newBrowser = () => {
    JSON.stringify = write;
  };
} 0"""


@contextlib.asynccontextmanager
async def old_browser(user):
    await user.evaluate(OLD_BROWSER)
    yield
    await user.evaluate("newBrowser()")


async def look(user):
    """Results of reporters that Scratch cannot hold, and errors that they have thrown."""
    return await user.evaluate(LOOK.replace("CALLS", json.dumps(CALLS)))


def odd_packets():
    """Each command with each value at each place."""
    for command in COMMANDS:
        yield f'{{"cmd":"{command}"}}'
        for value in VALUES:
            for key in ("val", "name", "listener", "rooms", "mode", "code", "origin"):
                usual = {"cmd": command, "name": "x", "mode": "add"} | {key: "HERE"}
                yield json.dumps(usual).replace('"HERE"', value)
    for value in VALUES:
        for mode in ("set", "add", "remove"):
            yield f'{{"cmd":"ulist","mode":"{mode}","val":[{value}]}}'
            yield f'{{"cmd":"ulist","mode":"{mode}","val":{{"id":{value},"username":{value},"uuid":{value}}}}}'
        for listener in ("username_cfg", "link", "unlink", "ping_cfg", "handshake_cfg"):
            yield f'{{"cmd":"statuscode","code":"I:100 | OK","listener":"{listener}","val":{value}}}'


@scenario
async def test_a_server_that_is_none_harms_nobody(lab):
    early = [*NO_PACKETS, *odd_packets()]
    greeting = '{"cmd":"server_version","val":"0.2.0"}'
    last = '{"cmd":"gmsg","val":"the end"}'
    [user] = await lab.users(1)
    async with saying(*early, b"\x00\xff", greeting, *early, last) as address, old_browser(user):
        await user.do("setReconnect", BOOL="Enable")
        await user.do("openSocket", IP=address)
        await user.do("setMyName", NAME="alice")
        await user.do("linkToRooms", ROOMS='["red"]')
        await user.until("the end", "returnGlobalData")
        assert await look(user) == []
        assert await user.get("returnLinkData") == "2"
        await user.do("closeSocket")
    assert await look(user) == []


@scenario
async def test_nobody_else_can_speak_for_the_server(lab):
    [alice] = await lab.users(
        1, [[("cloudlink_onConnect", {}), change("connected")]], variables=("connected",)
    )
    await alice.joins()
    own = json.loads(await alice.get("returnUserObject"))
    async with websockets.connect(lab.address) as mallory:

        async def send(**packet):
            await mallory.send(json.dumps(packet))

        for listener in ("username_cfg", "link", "ping_cfg", "unlink"):
            for val in (
                {"cmd": "vers", "val": "9"},
                {"cmd": "motd", "val": "9"},
                {"username": "eve"},
                None,
                "x",
            ):
                await send(cmd="direct", id=own["id"], val=val, listener=listener)
        await send(cmd="gvar", name="__proto__", val={"polluted": True})
        await send(cmd="gmsg", val="the end")
        await alice.until("the end", "returnGlobalData")
    assert await alice.get("returnServerVersion") == "0.2.0"
    assert await alice.get("returnMOTD") == "Welcome!"
    assert await alice.get("getUsernameState") is False
    assert await alice.get("getRoomState") is False
    assert await alice.evaluate("({}).polluted === undefined") is True
    assert await alice.evaluate("valueOf('connected')") == 1
    assert await look(alice) == []
    await alice.do("setMyName", NAME="alice")
    await alice.until("alice", "returnUsernameDataNew")


@scenario
async def test_nobody_can_fill_the_memory(lab):
    frames = [
        json.dumps({"cmd": "gvar", "name": str(n), "val": "v", "listener": str(n)}) for n in range(10_500)
    ]
    frames += [json.dumps({"cmd": "gmsg", "val": f"{n}" + "x" * 500_000}) for n in range(40)]
    greeting = '{"cmd":"server_version","val":"0.2.0"}'
    async with saying(greeting, *frames, '{"cmd":"pmsg","val":"the end"}') as address:
        [user] = await lab.users(1)
        await user.do("openSocket", IP=address)
        await user.until("the end", "returnPrivateData")
        assert await user.get("readQueueSize", TYPE="Global variables") == 10_000
        assert await user.get("returnVarData", TYPE="Global variables", VAR="10") == ""
        assert await user.get("returnVarData", TYPE="Global variables", VAR="10499") == "v"
        assert await user.get("returnListenerData", ID="10") == ""
        assert await user.get("readQueueSize", TYPE="Global data") == 16
        assert (await user.get("getNextPacket", TYPE="Global data")).startswith('{"cmd":"gmsg","val":"24x')
        await user.do("closeSocket")


@scenario
async def test_nothing_that_is_sent_without_a_connection_stops_a_script(lab):
    [user] = await lab.users(1)
    commands = {
        opcode: arguments
        for opcode, (shape, arguments) in table(BLOCKS + NEW_BLOCKS).items()
        if shape == "command" and not opcode.startswith("openSocket")
    }
    for opcode, arguments in commands.items():
        for value in ("", "null", "[null]", '{"uuid": {}}', DEEP):
            await user.evaluate(
                f"runtime._primitives['cloudlink_{opcode}']({json.dumps({one.name: value for one in arguments})}, {{}}); 0"
            )
    assert await look(user) == []
    assert await user.evaluate("sockets.length") == 0
    # And while connecting to somebody who says nothing.
    async with saying() as address, old_browser(user):
        await user.do("openSocket", IP=address)
        for opcode, arguments in commands.items():
            if opcode != "closeSocket":
                values = json.dumps({one.name: DEEP for one in arguments})
                await user.evaluate(f"runtime._primitives['cloudlink_{opcode}']({values}, {{}}); 0")
        assert await user.get("returnLinkData") == "1"
        await user.evaluate("hurry(20)")
        assert await look(user) == []
        await user.do("closeSocket")
        await user.until("3", "returnLinkData")


@scenario
async def test_a_server_that_never_greets_is_given_up(lab):
    async with saying() as address:
        [user] = await lab.users(1)
        await user.evaluate("hurry(20)")
        await user.do("openSocket", IP=address)
        await user.until("4", "returnLinkData")
        assert await user.get("getComFailedConnectionState") is True


@scenario
async def test_values_that_this_browser_cannot_encode_are_not_sent(lab):
    [user] = await lab.users(1)
    await user.joins()
    async with old_browser(user):
        await user.do("sendGData", DATA=DEEP)
        await user.do("sendGData", DATA="after")
        await user.until("after", "returnGlobalData")
    assert await user.get("readQueueSize", TYPE="Global data") == 1
