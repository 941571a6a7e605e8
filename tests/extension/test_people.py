"""Usernames, and who is here."""

import asyncio
import json

from tests.extension.lab import scenario
from tests.extension.project import change

COMINGS = [
    [("cloudlink_whenuserconnects", {}), change("came")],
    [("cloudlink_whenuserdisconnects", {}), change("went")],
]


async def names(user):
    return [one["username"] for one in json.loads(await user.get("returnUserListData"))]


@scenario
async def test_a_username_is_set_and_reported(lab):
    [user] = await lab.users(1)
    await user.joins()
    assert await user.get("getUsernameState") is False
    assert await user.get("returnUsernameDataNew") == ""
    assert await user.get("returnUsernameData") == "{}"
    await user.do("setMyName", NAME="alice")
    await user.until(True, "getUsernameState")
    assert await user.get("returnUsernameDataNew") == "alice"
    own = json.loads(await user.get("returnUserObject"))
    assert own["username"] == "alice"
    assert json.loads(await user.get("returnUsernameData")) == own
    assert json.loads(await user.get("returnUserListData")) == [own]
    assert await user.get("returnStatusCode") == ""


@scenario
async def test_a_username_set_while_connecting_waits(lab):
    script = [
        ("event_whenbroadcastreceived", {"BROADCAST_OPTION": "begin"}),
        ("cloudlink_openSocket", {"IP": lab.address}),
        ("cloudlink_setMyName", {"NAME": "007"}),
        ("cloudlink_sendGData", {"DATA": "early"}),
        change("ran"),
    ]
    [user] = await lab.users(1, [script], variables=("ran",))
    await user.broadcast("begin")
    await user.variable("ran", 1)
    await user.until("007", "returnUsernameDataNew")
    await user.until("early", "returnGlobalData")


@scenario
async def test_after_a_refused_username_another_one_can_be_set(lab):
    [user] = await lab.users(1)
    await user.joins()
    await user.do("setMyName", NAME="")
    await user.until("E:108 | Refused", "returnStatusCode")
    assert await user.get("returnIsNewData", TYPE="Status code") is True
    await user.do("setMyName", NAME="alice")
    await user.until("alice", "returnUsernameDataNew")
    await user.do("setMyName", NAME="someone else")  # nobody is renamed
    await user.do("sendGData", DATA="later")
    await user.until("later", "returnGlobalData")
    assert await user.get("returnUsernameDataNew") == "alice"
    assert await user.get("readQueueSize", TYPE="Status code") == 1


@scenario
async def test_after_a_time_out_another_username_can_be_set(lab):
    [user] = await lab.users(1)
    await user.joins()
    # The server never sees the first try.
    await user.evaluate("sockets[0].send = () => {}; hurry(100)")
    await user.do("setMyName", NAME="lost")
    await user.do("setMyName", NAME="locked")
    await user.evaluate(
        "new Promise((kept) => setTimeout(kept, 11000)).then(() => {delete sockets[0].send; hurry(1)})"
    )
    await user.do("setMyName", NAME="alice")
    await user.until("alice", "returnUsernameDataNew")


@scenario
async def test_the_user_list_grows_and_shrinks(lab):
    alice, bob = await lab.users(2, COMINGS, variables=("came", "went"))
    await alice.joins("alice")
    await bob.joins("bob")
    await alice.variable("came", 1)
    assert await names(alice) == await names(bob) == ["alice", "bob"]
    assert json.loads(await alice.get("recentlyjoined")) == json.loads(await bob.get("returnUserObject"))
    assert await alice.get("recentlyleft") == "{}"
    theirs = await bob.get("returnUserObject")
    await bob.do("closeSocket")
    await alice.variable("went", 1)
    assert await names(alice) == ["alice"]
    assert json.loads(await alice.get("recentlyleft")) == json.loads(theirs)
    assert [await alice.get("countUsers", ROOM=room) for room in ("default", "elsewhere")] == [1, 0]


@scenario
async def test_people_are_found_by_name_id_uuid_and_object(lab):
    alice, bob = await lab.users(2)
    await alice.joins("alice")
    await bob.joins("42")
    await alice.until(True, "checkForID", ID="42")
    bobs = json.loads(await bob.get("returnUserObject"))
    here = [42, bobs["id"], bobs["uuid"], json.dumps(bobs), json.dumps({"username": "42"})]
    gone = [
        "bob",
        "4",
        "",
        "null",
        "{}",
        "[]",
        "Alice",
        json.dumps(bobs | {"uuid": "x"}),
        json.dumps({"id": 1}),
    ]
    assert [await alice.get("checkForID", ID=one) for one in here] == [True] * len(here)
    assert [await alice.get("checkForID", ID=one) for one in gone] == [False] * len(gone)


@scenario
async def test_several_come_and_go_at_once(lab):
    alice, *others = await lab.users(3, COMINGS, variables=("came", "went"))
    await alice.joins("alice")
    await asyncio.gather(*(other.joins("same name") for other in others))
    await alice.until(3, "countUsers", ROOM="default")
    assert sorted(await names(alice)) == ["alice", "same name", "same name"]
    await asyncio.gather(*(other.do("closeSocket") for other in others))
    await alice.until(1, "countUsers", ROOM="default")
    assert await names(alice) == ["alice"]
