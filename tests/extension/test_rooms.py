"""Rooms."""

import json

from tests.extension.lab import scenario
from tests.extension.test_messages import pair


async def rooms_of(user):
    queue = json.loads(await user.get("getAndClearPacketQueue", TYPE="Global data"))
    return [(packet["val"], packet["rooms"]) for packet in queue]


@scenario
async def test_linking_and_unlinking(lab):
    alice, bob = await pair(lab)
    assert await alice.get("getRoomState") is False
    await alice.do("linkToRooms", ROOMS='["red", "blue"]')
    await alice.until(True, "getRoomState")
    assert await alice.get("returnStatusCode") == ""
    await alice.do("sendGData", DATA="to my rooms")
    await alice.until("to my rooms", "returnGlobalData")
    await alice.until(2, "readQueueSize", TYPE="Global data")
    assert sorted(await rooms_of(alice)) == [("to my rooms", "blue"), ("to my rooms", "red")]
    assert await bob.get("returnGlobalData") == ""
    await alice.do("unlinkFromRooms")
    await alice.until(False, "getRoomState")
    await alice.do("sendGData", DATA="back")
    await bob.until("back", "returnGlobalData")


@scenario
async def test_the_selector_picks_rooms_for_one_packet(lab):
    alice, bob = await pair(lab)
    await alice.do("selectRoomsInNextPacket", ROOMS="red")  # not in any room yet
    await alice.do("linkToRooms", ROOMS='["red", "blue", "5"]')
    await bob.do("linkToRooms", ROOMS="blue")
    await bob.until(True, "getRoomState")
    await alice.until(True, "getRoomState")
    await alice.do("selectRoomsInNextPacket", ROOMS='["red"]')
    await alice.do("selectRoomsInNextPacket", ROOMS='["blue"]')  # one is selected already
    await alice.do("runCMDnoID", CMD="ping", DATA="")  # no message: the selection waits
    await alice.do("sendGData", DATA="only red")
    await alice.do("selectRoomsInNextPacket", ROOMS="[5]")
    await alice.do("sendGData", DATA="only 5")
    await alice.do("sendGData", DATA="all")
    await bob.until("all", "returnGlobalData")
    assert await rooms_of(bob) == [("all", "blue")]
    await alice.until("all", "returnGlobalData")
    assert (await rooms_of(alice))[:2] == [("only red", "red"), ("only 5", "5")]


@scenario
async def test_counting_the_users_of_each_room(lab):
    alice, bob, carol = await lab.users(3)
    for user, name in ((alice, "alice"), (bob, "bob"), (carol, "carol")):
        await user.joins(name)
    await alice.until(3, "countUsers", ROOM="default")
    for user in (alice, bob):
        await user.do("linkToRooms", ROOMS='["red", "blue"]')
        await user.until(True, "getRoomState")
    await carol.do("linkToRooms", ROOMS='["blue"]')
    await alice.until(3, "countUsers", ROOM="blue")
    assert await alice.get("countUsers", ROOM="red") == 2
    assert await alice.get("countUsers", ROOM="default") == 0
    await bob.do("closeSocket")
    await alice.until(1, "countUsers", ROOM="red")
    await alice.until(2, "countUsers", ROOM="blue")
    await alice.do("unlinkFromRooms")
    await alice.until(1, "countUsers", ROOM="default")
    await alice.until(0, "countUsers", ROOM="blue")


@scenario
async def test_linking_again_adds_rooms_and_the_same_rooms_are_ignored(lab):
    [alice] = await lab.users(1)
    await alice.joins("alice")
    for rooms in ('["a"]', '["a"]', '["b"]'):
        await alice.do("linkToRooms", ROOMS=rooms)
    await alice.do("sendGData", DATA="x")
    await alice.until("x", "returnGlobalData")
    await alice.until(1, "countUsers", ROOM="b")
    await alice.until(2, "readQueueSize", TYPE="Global data")
    assert sorted(await rooms_of(alice)) == [("x", "a"), ("x", "b")]
    sent = [frame for frame in alice.page.sent if '"link"' in frame]
    assert [json.loads(frame)["val"] for frame in sent] == [["a"], ["b"]]


@scenario
async def test_after_a_refused_link_another_one_works(lab):
    async with lab.another_server("--max-rooms-per-client", "2") as server:
        [alice] = await lab.users(1)
        await alice.joins("alice", f"ws://127.0.0.1:{server.port}/")
        await alice.do("linkToRooms", ROOMS='["a", "b", "c", "d"]')
        await alice.until("E:108 | Refused", "returnStatusCode")
        assert await alice.get("getRoomState") is False
        await alice.do("linkToRooms", ROOMS='["a"]')
        await alice.until(True, "getRoomState")


@scenario
async def test_leaving_and_entering_in_one_script_ends_inside(lab):
    script = [
        ("event_whenbroadcastreceived", {"BROADCAST_OPTION": "again"}),
        ("cloudlink_unlinkFromRooms", {}),
        ("cloudlink_linkToRooms", {"ROOMS": "red"}),
        ("cloudlink_sendGData", {"DATA": "inside"}),
    ]
    [alice] = await lab.users(1, [script])
    await alice.joins("alice")
    await alice.do("linkToRooms", ROOMS="red")
    await alice.until(True, "getRoomState")
    await alice.broadcast("again")
    await alice.until("inside", "returnGlobalData")
    assert await rooms_of(alice) == [("inside", "red")]
    await alice.until(True, "getRoomState")
