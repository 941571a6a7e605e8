"""What clients see of a server of two real processes, with the times that are promised: two workers, and two nodes.

A is a client of the first process, B one of the second. `test_servers` has the same without processes and without time.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import signal
import sys
import time
from pathlib import Path

import pytest

from cloudlink.settings import Settings
from tests.support.pairs import Nodes, Workers
from tests.support.visitors import Visitor, exchanged, fresh, until

if sys.platform != "linux":
    pytest.skip("several processes need Linux", allow_module_level=True)

SOON = 1.0
KINDS = (Workers, Nodes)
OPEN = ("--no-limits", "--cloud-bridge", "--plugin", str(Path(__file__).with_name("shouting.py")))
STRICT_CLIENTS, STRICT_CONNECTIONS = 16, 6
STRICT = (
    *("--unique-usernames", "--max-clients", str(STRICT_CLIENTS)),
    *("--max-connections-per-address", str(STRICT_CONNECTIONS)),
    *("--real-ip-header", "X-Forwarded-For", "--trusted-proxy", "127.0.0.1"),
)
_addresses = itertools.count(1)


@pytest.fixture(scope="module")
def all_pairs(tmp_path_factory):
    """Two workers and two nodes of each sort; all of them start at the same time. Their logs must not have a traceback."""
    with contextlib.ExitStack() as stack:
        found = {}
        for sort, arguments in (("open", OPEN), ("strict", STRICT)):
            found[sort] = []
            for kind in KINDS:
                found[sort].append(kind(tmp_path_factory.mktemp(f"{sort}-{kind.kind}"), *arguments))
                stack.callback(found[sort][-1].end)
        everything = [pair for pairs in found.values() for pair in pairs]

        async def start():
            await asyncio.gather(*(pair.start() for pair in everything))

        asyncio.run(start())
        yield found
    assert not any("Traceback" in pair.log() for pair in everything)


@pytest.fixture
def pairs(all_pairs):
    """Processes without limits."""
    return all_pairs["open"]


@pytest.fixture
def strict_pairs(all_pairs):
    """Processes where names are unique and places are few."""
    return all_pairs["strict"]


class Party:
    """The clients of one test at one pair, which leave at its end."""

    def __init__(self, pair):
        self.pair = pair
        self.guests = []

    async def named(self, number, name, *rooms):
        return self.added(await Visitor.named(self.pair.places[number], name, *rooms))

    async def of_project(self, number, project, name):
        return self.added(await Visitor.of_project(self.pair.places[number], project, name))

    def added(self, visitor):
        self.guests.append(visitor)
        return visitor


def play(pairs, scenario):
    """Run a scenario at all pairs at the same time. It is a function of a party, in which nobody is yet, and a pair."""

    async def at(pair):
        party = Party(pair)
        try:
            await scenario(party, pair)
        except Exception as error:
            error.add_note(f"at two {pair.kind}")
            raise
        finally:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(5):
                    await asyncio.gather(*(guest.leave() for guest in party.guests))

    async def main():
        results = await asyncio.gather(*(at(pair) for pair in pairs), return_exceptions=True)
        for result in results:
            if result is not None:
                raise result

    asyncio.run(main())


async def two(party, room):
    """Alice on the first process and bob on the second, in a room whose list both have."""
    alice = await party.named(0, fresh("alice"), room)
    bob = await party.named(1, fresh("bob"), room)
    await until(SOON, lambda: alice.lists(room, "add"))
    alice.forget()
    bob.forget()
    return alice, bob


async def heard_of(visitor, other, name):
    """Return when a client on another process, which has a name, has heard of everything that a visitor did."""
    mark = fresh("mark")

    def is_heard():
        visitor.say({"cmd": "direct", "id": name, "val": mark})
        return mark in str(other.frames)

    await until(SOON, is_heard)
    mark = fresh("last")
    visitor.say({"cmd": "direct", "id": name, "val": mark})
    await until(SOON, lambda: mark in str(other.frames))


# 1


def test_lists(pairs):
    async def scenario(party, pair):
        room, (a, b) = fresh("arena"), (fresh("a"), fresh("b"))
        alice, bob = await party.named(0, a, room), await party.named(1, b)
        await heard_of(alice, bob, b)
        answer = await bob.ask({"cmd": "link", "val": [room]})
        assert answer["code_id"] == 100
        assert bob.lists(room, "set") == [[a, b]]
        assert bob.packets[-1] == answer
        await until(SOON, lambda: alice.lists(room, "add"), "the add")
        await exchanged(alice, bob, room=room)
        assert alice.lists(room, "add") == [b]
        assert bob.lists(room, "add") == []

    play(pairs, scenario)


# 2


def test_messages(pairs):
    async def scenario(party, pair):
        room = fresh("arena")
        alice, bob = await two(party, room)
        alice.tell(f'{{"cmd":"gmsg","val":1.0,"rooms":"{room}","listener":"x"}}')
        await until(SOON, lambda: bob.frames, "a message")
        assert bob.frames == [f'{{"cmd":"gmsg","val":1.0,"rooms":"{room}"}}']
        bob.forget()
        alice.tell(*(f'{{"cmd":"gmsg","val":{number},"rooms":"{room}"}}' for number in range(1000)))
        await until(SOON, lambda: len(bob.frames) >= 1000, "1000 messages")
        await exchanged(alice, bob, room=room)
        assert [each["val"] for each in bob.packets][:1000] == list(range(1000))
        assert len(bob.of("gmsg")) == 1002
        bob.forget()
        longest = "x" * (Settings().max_message_size - 100)
        alice.say({"cmd": "gmsg", "val": longest, "rooms": room})
        await until(SOON, lambda: bob.frames, "the longest message")
        assert bob.packets[0]["val"] == longest

    play(pairs, scenario)


# 3


def test_link_and_message_in_one_segment(pairs):
    async def scenario(party, pair):
        room, c = fresh("arena"), fresh("carol")
        bob = await party.named(1, fresh("bob"), room)
        carol = await party.named(0, c)
        await heard_of(bob, carol, c)
        carol.forget()
        carol.say({"cmd": "link", "val": [room]}, {"cmd": "gmsg", "val": "hello", "rooms": room})
        await until(SOON, lambda: bob.of("gmsg"), "link and message")
        assert len(carol.lists(room, "set")[0]) == 2  # bob was in its list, so he gets the message
        assert [each["cmd"] for each in bob.packets] == ["ulist", "gmsg"]
        assert bob.lists(room, "add") == [c]

    play(pairs, scenario)


# 4


def test_private_messages(pairs):
    async def scenario(party, pair):
        room = fresh("arena")
        alice = await party.named(0, fresh("alice"), room)
        bob = await party.named(1, fresh("bob"), room)
        await until(SOON, lambda: alice.of("ulist", mode="add"))
        [user] = [each["val"] for each in alice.of("ulist", mode="add")]
        answer = await bob.ask({"cmd": "link", "val": [room]})
        [origin] = [each for each in bob.of("ulist", mode="set")[-1]["val"] if each != user]
        assert answer["code_id"] == 100
        for who in (user["username"], user["uuid"], user["id"], user):
            for cmd in ("pmsg", "pvar"):
                bob.forget()
                answer = await alice.ask({"cmd": cmd, "id": who, "val": 1, "name": "v", "rooms": room})
                assert answer["code_id"] == 100
                await until(SOON, lambda: bob.frames)
                [packet] = bob.packets
                assert (packet["cmd"], packet["val"], packet["origin"]) == (cmd, 1, origin)
        bob.forget()
        alice.say({"cmd": "direct", "id": user["username"], "val": 2, "listener": "back"})
        await until(SOON, lambda: bob.frames, "direct")
        assert (bob.packets[0]["listener"], bob.packets[0]["origin"]) == ("back", origin)
        nobody = await alice.ask({"cmd": "pmsg", "id": fresh("zoe"), "val": 1})
        assert nobody["code_id"] == 103
        twin = await party.named(0, user["username"], room)
        await until(SOON, lambda: len(bob.of("ulist", mode="add")) == 1)
        both = await twin.ask({"cmd": "pmsg", "id": user["username"], "val": 1, "rooms": room})
        assert both["code_id"] == 104
        assert "found 2 matches" in both["details"]

    play(pairs, scenario)


# 5


def test_variables_that_are_set_at_once(pairs):
    async def scenario(party, pair):
        room = fresh("arena")
        alice, bob = await two(party, room)
        carol, dave = await party.named(0, fresh("carol"), room), await party.named(1, fresh("dave"), room)
        for who in (alice, bob):
            who.tell(
                *(f'{{"cmd":"gvar","name":"v","val":"{id(who)} {n}","rooms":"{room}"}}' for n in range(1000))
            )
        everybody = (alice, bob, carol, dave)

        def last_values():
            return [(who.of("gvar") or [{"val": None}])[-1]["val"] for who in everybody]

        await exchanged(alice, bob, room=room)  # what follows was set before
        await until(2.0, lambda: len(set(last_values())) == 1, "2000 variables")
        await exchanged(*everybody, room=room)
        [value] = set(last_values())
        assert value.endswith(" 999")

    play(pairs, scenario)


# 6


def test_a_killed_process(pairs):
    async def scenario(party, pair):
        room = fresh("arena")
        alice, bob = await two(party, room)
        dave = await party.named(1, d := fresh("dave"), room)
        await until(SOON, lambda: alice.lists(room, "add") == [d])
        ann = await party.of_project(1, d, "ann")
        ann.say({"method": "set", "name": "☁ score", "value": 1})
        await asyncio.sleep(1)  # from then on the value must be safe
        pair.signal(1, signal.SIGKILL)
        await until(pair.notices, lambda: len(alice.lists(room, "remove")) == 2, "the removes")
        await until(SOON, lambda: bob.closed and dave.closed)
        await pair.whole()
        again = await party.named(1, fresh("bob"), room)
        await until(SOON, lambda: len(alice.lists(room, "add")) == 2)
        await exchanged(alice, again, room=room)
        await again.ask({"cmd": "link", "val": [room]})
        assert len(again.lists(room, "set")[-1]) == 2  # no ghosts
        assert len(alice.lists(room, "remove")) == 2
        await expect_values(party, d, {"☁ score": 1})

    play(pairs, scenario)


def test_a_stopped_process(pairs):
    async def scenario(party, pair):
        room = fresh("arena")
        alice, bob = await two(party, room)
        pair.signal(1, signal.SIGSTOP)
        try:
            await until(4.0, lambda: alice.lists(room, "remove"), "the remove")
            await asyncio.sleep(0.3)
        finally:
            pair.signal(1, signal.SIGCONT)
        await until(2.0, lambda: alice.lists(room, "add"), "the add")
        await exchanged(alice, bob, room=room)
        assert len(alice.lists(room, "remove")) == len(alice.lists(room, "add")) == 1
        assert len(bob.lists(room, "add")) == len(bob.lists(room, "remove"))

    play(pairs, scenario)


# 7


def test_nats_that_is_restarted_at_once(pairs):
    async def scenario(party, pair):
        room = fresh("arena")
        alice, bob = await two(party, room)
        pair.nats.kill()
        await asyncio.to_thread(pair.nats.start)
        restarted = time.monotonic()
        mark = fresh("after")

        def has_arrived():
            alice.say({"cmd": "gmsg", "val": mark, "rooms": room})
            return mark in str(bob.frames)

        await until(3.0, has_arrived, "a message after the restart")
        await asyncio.sleep(max(0, restarted + 3.2 - time.monotonic()))  # who is not heard is gone by then
        await exchanged(alice, bob, room=room)
        assert alice.of("ulist") == bob.of("ulist") == []

    play([pair for pair in pairs if pair.kind == "nodes"], scenario)


def test_nats_that_is_away(pairs):
    async def scenario(party, pair):
        room = fresh("arena")
        alice, bob = await two(party, room)
        carol = await party.named(0, fresh("carol"), room)
        await until(SOON, lambda: len(bob.lists(room, "add")) == 1)
        alice.forget()
        pair.nats.kill()
        killed = time.monotonic()
        try:
            await exchanged(alice, carol, room=room)  # everything local goes on
            for who in (alice, bob):
                await until(4.0, lambda who=who: who.lists(room, "remove"))
            assert time.monotonic() - killed > 2.5  # and not earlier
            await until(SOON, lambda: pair.health().get("status") == "degraded", "the health check")
            cluster = pair.health()["cluster"]
            assert (cluster["bus"], cluster["nodes"], cluster["clients_here"]) == ("down", 1, 2)
            await exchanged(alice, carol, room=room)
            alice.say({"cmd": "gvar", "name": "v", "val": "alone", "rooms": room})
            bob.say({"cmd": "gmsg", "val": "lost", "rooms": room})
            await until(SOON, lambda: carol.of("gvar") and bob.of("gmsg", val="lost"))
        finally:
            await asyncio.to_thread(pair.nats.start)
        await until(3.0, lambda: bob.of("gvar", val="alone"), "the variable heals")
        await until(
            3.0, lambda: alice.lists(room, "add") and len(bob.lists(room, "add")) == 3, "the lists heal"
        )
        await until(SOON, lambda: pair.health()["cluster"]["bus"] == "up")
        await exchanged(alice, bob, carol, room=room)
        assert alice.of("gmsg", val="lost") == []
        assert pair.health()["status"] == "ok"
        for line in (
            "The cluster is cut off: NATS does not answer; this node goes on alone.",
            "The cluster is back: it sees 1 others.",
        ):
            await until(2.0, lambda line=line: all(line in server.log.read_text() for server in pair.servers))

    play([pair for pair in pairs if pair.kind == "nodes"], scenario)


# 8


def test_unique_names(strict_pairs):
    async def scenario(party, pair):
        name = fresh("alice")
        watcher = await party.named(1, fresh("watcher"))
        await party.named(0, name)
        await until(SOON, lambda: name in watcher.lists("default", "add"))
        late = party.added(await Visitor.at(pair.places[1]))
        late.say({"cmd": "handshake"})
        await until(SOON, lambda: late.frames)
        answer = await late.ask({"cmd": "setid", "val": name})
        assert answer["code_id"] == 112
        for _ in range(100):
            if await _both_take(party, pair, fresh("zoe")):
                return
        raise AssertionError("two never took a name at once")

    play(strict_pairs, scenario)


async def _both_take(party, pair, name):
    """Have two take a name at once; return whether both were let have it at first. One has it in the end."""
    pairs = [await Visitor.at(place) for place in pair.places]
    for each in pairs:
        each.say({"cmd": "handshake"})
    await until(SOON, lambda: all(each.frames for each in pairs))
    for each in pairs:
        each.say({"cmd": "setid", "val": name, "listener": "me"})
    await until(SOON, lambda: all(each.closed or each.of("statuscode", listener="me") for each in pairs))
    had = [each for each in pairs if each.closed or each.of("statuscode", listener="me", code_id=100)]
    if len(had) == 2:
        await until(SOON, lambda: any(each.closed for each in pairs), "one of two is closed")
        await exchanged_or_gone(pairs)
        assert sorted(str(each.closed) for each in pairs) == sorted(
            ["None", str((1008, f"The username {name} is taken."))]
        )
    for each in pairs:
        await each.leave()
    return len(had) == 2


async def exchanged_or_gone(visitors):
    """Return when whoever is still connected has everything."""
    for visitor in visitors:
        if visitor.closed is None:
            await visitor.client.barrier()


# 9


def test_cloud_variables(pairs):
    async def scenario(party, pair):
        project = fresh("9")
        ann, ben = await party.of_project(0, project, "ann"), await party.of_project(1, project, "ben")
        await until(SOON, lambda: pair.health()["clients"] >= 2)
        ann.say({"method": "set", "name": "☁ score", "value": 1})
        await until(SOON, lambda: ben.frames, "a set")
        ben.say({"method": "set", "name": "☁ best", "value": "007"})
        await until(SOON, lambda: ann.frames)
        assert (ann.sets(), ben.sets()) == ([("☁ best", "007")], [("☁ score", 1)])
        expected = {"☁ score": 1, "☁ best": "007"}
        await expect_values(party, project, expected)
        await asyncio.sleep(1)  # from then on the values must be safe
        for number in (1, 0):
            pair.signal(number, signal.SIGKILL)
        await pair.whole()
        await expect_values(party, project, expected)

    play(pairs, scenario)


async def expect_values(party, project, expected):
    """Check that newcomers of a project on both processes get all values in their first frame."""
    for number in (1, 0):
        newcomer = await party.of_project(number, project, "late")
        await until(SOON, lambda newcomer=newcomer: newcomer.frames)
        assert dict(json_lines(newcomer.frames[0])) == expected


def json_lines(frame):
    return [(each["name"], each["value"]) for each in map(json.loads, frame.splitlines())]


# 10


def test_the_bridge_to_cloud_variables(pairs):
    async def scenario(party, pair):
        project = str(int(fresh("1").replace("-", "0")))
        alice, bob = await two(party, project)
        ann, ben = await party.of_project(0, project, "ann"), await party.of_project(1, project, "ben")
        await until(SOON, lambda: pair.health()["clients"] >= 4)
        everybody = (ann, ben, alice, bob)
        alice.say({"cmd": "gvar", "name": "score", "val": 5, "rooms": project})
        await until(SOON, lambda: bob.of("gvar") and ann.sets() and ben.sets(), "a gvar to all")
        ben.say({"method": "set", "name": "☁ score", "value": 6})
        await until(
            SOON,
            lambda: alice.of("gvar", val=6) and bob.of("gvar", val=6) and len(ann.sets()) == 2,
            "a set to all",
        )
        await exchanged(alice, bob, room=project)
        for each in everybody:
            await each.client.barrier()
        assert [[value for _, value in each.sets()] for each in (ann, ben)] == [[5, 6], [5]]
        assert [[each["val"] for each in who.of("gvar")] for who in (alice, bob)] == [[5, 6], [5, 6]]

    play(pairs, scenario)


def test_snowflakes(pairs):
    async def scenario(party, pair):
        room = fresh("arena")
        await two(party, room)
        third = await party.named(0, fresh("carol"))
        await third.ask({"cmd": "link", "val": [room]})
        users = third.of("ulist", mode="set")[-1]["val"]
        workers = {int(user["id"]) >> 12 & 1023 for user in users}
        assert len(workers) == 2
        if pair.kind == "workers":
            assert workers == {42, 43}

    play(pairs, scenario)


# 11


def test_plugins(pairs):
    async def scenario(party, pair):
        alice, bob = await two(party, fresh("arena"))
        alice.say({"cmd": "shout", "val": [1.5, None]})
        await until(SOON, lambda: bob.of("direct"), "a message of a plugin")
        [packet] = bob.of("direct")
        assert packet["val"]["val"] == [1.5, None]
        assert alice.of("direct") == []  # who publishes does not get it
        answers = [(await who.ask({"cmd": "where"}))["val"] for who in (alice, bob)]
        (one, names), (other, others) = answers
        assert one != other
        assert len(names) == len(others) == 1
        assert names != others

    play(pairs, scenario)


# 12


def test_older_dialects(pairs):
    async def scenario(party, pair):
        alice = await party.named(1, a := fresh("alice"))
        old = party.added(await Visitor.of_era(pair.places[0], "CL3 0.1.5", o := fresh("olga")))
        await until(SOON, lambda: o in alice.lists("default", "add"))
        old.forget()
        alice.say({"cmd": "gmsg", "val": "hi"})
        await until(SOON, lambda: old.frames, "a message to an old client")
        assert (old.packets[0]["cmd"], old.packets[0]["val"]) == ("gmsg", "hi")
        assert "rooms" not in old.packets[0]
        answer = await alice.ask({"cmd": "link", "val": ["default"]})
        assert answer["code_id"] == 100
        assert {a, o} <= set(alice.lists("default", "set")[-1])

    play(pairs, scenario)


def test_channels_of_cloudlink_2(pairs):
    async def scenario(party, pair):
        names = [fresh("ann"), fresh("ben"), fresh("cid")]
        ann, ben, cid = [
            party.added(await Visitor.of_era(pair.places[number], "CL2 late", name))
            for number, name in zip((0, 1, 0), names, strict=True)
        ]
        for who, name in ((ann, names[0]), (ben, names[1])):
            who.tell(f"<%rl>\n{name}\nshow")
        await until(SOON, lambda: all(name in str(each.frames) for each in (ann, ben, cid) for name in names))
        for each in (ann, ben, cid):
            await each.client.barrier()
            each.forget()
        ann.tell(f"<%l_g>\n0\n{names[0]}\nhello", f"<%l_p>\n0\n{names[0]}\n{names[1]}\nprivate")
        await until(SOON, lambda: len(ben.frames) >= 2, "a message of a channel")
        assert [json.loads(frame)["data"]["data"] for frame in ben.frames] == ["hello", "private"]
        await cid.client.barrier()
        assert cid.frames == []

    play(pairs, scenario)


def test_places_and_connections_of_an_address(strict_pairs):
    async def scenario(party, pair):
        room = fresh("arena")
        there = await two(party, room)
        address = f"198.51.100.{next(_addresses)}"
        accepted = [0, 0]
        for _ in range(STRICT_CONNECTIONS):
            for number, place in enumerate(pair.places):
                with contextlib.suppress(ConnectionRefusedError):
                    party.added(await Visitor.at(place, headers={"X-Forwarded-For": address}))
                    accepted[number] += 1
                await exchanged(*there, room=room)  # from then on the other process knows
        assert STRICT_CONNECTIONS <= sum(accepted) <= 1.5 * STRICT_CONNECTIONS
        assert all(accepted)
        for number, place in enumerate(pair.places):
            while True:
                headers = {"X-Forwarded-For": f"198.51.100.{next(_addresses)}"}
                visitor = party.added(await Visitor.at(place, headers=headers))
                await visitor.client.barrier()
                if visitor.closed is not None:
                    break
                accepted[number] += 1
            assert (visitor.frames, visitor.closed) == (["Server is full!"], (1000, "Server is full!"))
        if pair.kind == "workers":
            assert sum(accepted) + len(there) == STRICT_CLIENTS
        else:
            assert [each + 1 for each in accepted] == [STRICT_CLIENTS] * 2  # each node has places of its own

    play(strict_pairs, scenario)


# 13


def test_a_rolling_restart(pairs):
    async def scenario(party, pair):
        project, room = fresh("13"), fresh("arena")
        expected = {"☁ first": 1}
        first = await party.of_project(0, project, "first")
        first.say({"method": "set", "name": "☁ first", "value": 1})
        await expect_values(party, project, expected)
        for number in (1, 0):
            await restart_one(party, pair, number, room, project)
            expected[f"☁ v{number}"] = number
        await expect_values(party, project, expected)

    play(pairs, scenario)


async def restart_one(party, pair, number, room, project):
    """Stop a process and start it again, while somebody is there and at the other one."""
    alice = await party.named(1 - number, fresh("alice"), room)
    bob = await party.named(number, b := fresh("bob"), room)
    ann = await party.of_project(number, project, "ann")
    await until(SOON, lambda: alice.lists(room, "add") and ann.frames)
    ann.say({"method": "set", "name": f"☁ v{number}", "value": number})
    await ann.client.barrier()
    pair.signal(number, signal.SIGTERM)
    await until(SOON, lambda: alice.lists(room, "remove") == [b], "the remove")
    await until(SOON, lambda: bob.closed)
    assert bob.closed == (1001, "The server is shutting down")
    await ended(pair)
    assert alice.closed is None
    await exchanged(alice, room=room)
    assert {each["cmd"] for each in alice.packets} <= {"ulist", "gmsg"}
    await alice.leave()


async def ended(pair):
    """Wait until what was asked to stop has stopped and has been started again."""
    if pair.kind == "nodes":
        await until(10.0, lambda: not all(server.is_running for server in pair.servers))
    await pair.whole()
