"""Connecting, disconnecting, and what the server tells about itself."""

import json

from tests.extension.lab import address_of, scenario
from tests.extension.project import change
from tests.real_clients.scratch.server import HOST

COUNT_CLOSES = [
    [("cloudlink_onClose", {}), change("closed")],
    [("cloudlink_onConnect", {}), change("opened")],
]
COUNTERS = ("closed", "opened")


@scenario
async def test_connecting_and_what_the_server_tells(lab):
    [user] = await lab.users(1, COUNT_CLOSES, variables=COUNTERS)
    assert await user.get("returnLinkData") == "0"
    assert await user.get("getComState") is False
    for opcode in ("returnServerVersion", "returnMOTD", "returnClientIP", "roundTripTime"):
        assert await user.get(opcode) == ""
    assert await user.get("returnUserObject") == "{}"
    assert await user.get("returnVersionData") == "TurboWarp 1.0.0"

    await user.do("openSocket", IP=lab.address)
    await user.until("2", "returnLinkData")
    await user.variable("opened", 1)
    assert await user.get("getComState") is True
    assert await user.get("returnServerVersion") == "0.2.0"
    assert await user.get("returnMOTD") == "Welcome!"
    assert await user.get("returnClientIP") == HOST
    assert json.loads(await user.get("returnUserObject")).keys() == {"id", "uuid"}

    await user.do("closeSocket")
    await user.until("3", "returnLinkData")
    await user.variable("closed", 1)
    assert await user.get("getComState") is False
    assert await user.get("getComLostConnectionState") is False
    assert await user.get("getComFailedConnectionState") is False
    assert await user.get("returnMOTD") == ""


@scenario
async def test_two_connects_in_one_frame_open_one_socket(lab):
    [user] = await lab.users(1)
    arguments = json.dumps({"IP": lab.address})
    await user.evaluate(f"Promise.all([run('openSocket', {arguments}), run('openSocket', {arguments})])")
    await user.until(True, "getComState")
    await user.do("openSocket", IP=lab.address)
    assert await user.evaluate("sockets.length") == 1


@scenario
async def test_disconnect_followed_at_once_by_connect_connects(lab):
    script = [
        ("event_whenbroadcastreceived", {"BROADCAST_OPTION": "again"}),
        ("cloudlink_closeSocket", {}),
        ("cloudlink_openSocket", {"IP": lab.address}),
    ]
    [user] = await lab.users(1, [*COUNT_CLOSES, script], variables=COUNTERS)
    await user.joins("alice")
    await user.broadcast("again")
    await user.variable("opened", 2)
    await user.variable("closed", 1)
    assert await user.get("returnLinkData") == "2"
    assert await user.get("returnUsernameDataNew") == ""
    assert await user.evaluate("sockets.map((socket) => socket.readyState)") == [3, 1]


@scenario
async def test_a_connection_that_cannot_start_fails_and_says_so(lab):
    [user] = await lab.users(1, COUNT_CLOSES, variables=COUNTERS)
    for count, url in enumerate(("", "no address", "ftp://127.0.0.1/", "ws://127.0.0.1:1/"), 1):
        await user.do("openSocket", IP=url)
        await user.variable("closed", count)
        assert await user.get("returnLinkData") == "4"
        assert await user.get("getComFailedConnectionState") is True
        assert await user.get("getComLostConnectionState") is False
    await user.evaluate("window.allowed = false")
    await user.do("openSocket", IP=lab.address)
    await user.variable("closed", 5)
    assert await user.get("getComFailedConnectionState") is True
    await user.evaluate("window.allowed = true")
    await user.joins("alice")


@scenario
async def test_disconnecting_while_connecting_is_no_failure(lab):
    script = [
        ("event_whenbroadcastreceived", {"BROADCAST_OPTION": "try"}),
        ("cloudlink_openSocket", {"IP": lab.address}),
        ("cloudlink_closeSocket", {}),
    ]
    [user] = await lab.users(1, [*COUNT_CLOSES, script], variables=COUNTERS)
    await user.broadcast("try")
    await user.variable("closed", 1)
    assert await user.get("returnLinkData") == "3"


@scenario
async def test_a_permission_that_comes_too_late_opens_nothing(lab):
    [user] = await lab.users(1, COUNT_CLOSES, variables=COUNTERS)
    await user.evaluate("window.allowed = new Promise((kept) => {window.allow = kept}); 0")
    await user.evaluate(f"run('openSocket', {json.dumps({'IP': lab.address})}); 0")
    await user.evaluate("frames(3)")
    await user.do("closeSocket")
    await user.variable("closed", 1)
    await user.evaluate("window.allow(true); frames(3)")
    assert await user.get("returnLinkData") == "3"
    assert await user.evaluate("sockets.length") == 0
    await user.evaluate("window.allowed = true")
    await user.joins("alice")


@scenario
async def test_addresses_as_people_copy_them(lab):
    [user] = await lab.users(1)
    host = f"{HOST}:{lab.server.port}"
    for url in (host, f" ws://{host} ", f"http://{host}/"):
        await user.do("openSocket", IP=url)
        await user.until(True, "getComState")
        await user.do("closeSocket")
        await user.until(False, "getComState")


@scenario
async def test_the_server_list_has_the_own_machine_and_other_numbers_fail(lab):
    [user] = await lab.users(1)
    assert json.loads(await user.get("returnServerList")) == {
        "0": {"id": "Localhost", "url": "ws://127.0.0.1:3000/"}
    }
    await user.do("openSocketPublicServers", ID=0)  # whatever runs there on this machine, or nothing
    assert await user.evaluate("sockets.map(({url}) => url)") == ["ws://127.0.0.1:3000/"]
    await user.load()
    for number in (1, "constructor", ""):
        await user.do("openSocketPublicServers", ID=number)
        assert await user.get("returnLinkData") == "4"
    assert await user.evaluate("sockets.length") == 0


@scenario
async def test_a_lost_connection_is_distinguished_from_a_closed_one(lab):
    async with lab.another_server() as server:
        [user] = await lab.users(1, COUNT_CLOSES, variables=COUNTERS)
        await user.joins("alice", address_of(server))
        await server.kill()
        await user.variable("closed", 1)
        assert await user.get("returnLinkData") == "4"
        assert await user.get("getComLostConnectionState") is True
        assert await user.get("getComFailedConnectionState") is False
        assert await user.get("returnUsernameDataNew") == ""
        assert await user.get("returnUserListData") == "[]"


@scenario
async def test_a_server_that_stops_in_order_closes(lab):
    async with lab.another_server() as server:
        [user] = await lab.users(1, COUNT_CLOSES, variables=COUNTERS)
        await user.joins("alice", address_of(server))
        await server.stop()
        await user.variable("closed", 1)
        assert await user.get("returnLinkData") == "3"


@scenario
async def test_another_project_starts_without_a_connection(lab):
    [user] = await lab.users(1)
    await user.joins("alice")
    await user.load()
    assert await user.get("returnLinkData") == "0"
    assert await user.get("recentlyjoined") == "{}"
    assert await user.evaluate("sockets.length") == 0


@scenario
async def test_the_round_trip_time_is_measured_while_it_is_looked_at(lab):
    [user] = await lab.users(1)
    await user.joins()
    assert await user.get("roundTripTime") == ""
    for _ in range(100):
        if (time := await user.get("roundTripTime")) != "":
            break
    assert 0 <= time < 2000
    assert await user.get("returnStatusCode") == ""
    assert await user.get("readQueueSize", TYPE="All data") == 0


@scenario
async def test_packets_are_logged_when_wanted(lab):
    [user] = await lab.users(1)
    await user.joins()
    user.page.console.clear()
    await user.do("changeLogToConsole", BOOL="Enable")
    await user.do("sendGData", DATA="logged")
    await user.until("logged", "returnGlobalData")
    await user.do("changeLogToConsole", BOOL="Disable")
    await user.do("sendGData", DATA="silent")
    await user.until("silent", "returnGlobalData")
    lines = [line for line in user.page.console if line.startswith("CloudLink ")]
    assert [line.partition("{")[0] for line in lines] == ["CloudLink sends ", "CloudLink receives "]
    assert "logged" in lines[0]
    await user.do("changeIPFetcher", url="Meower")
