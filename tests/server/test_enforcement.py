"""The rules of the host on a server in memory: what CloudLink 4, an old era and the cloud get to see of them."""

from __future__ import annotations

import json
import os
import sys

import pytest

from cloudlink.admin.actors import Actor, AdminError
from cloudlink.server.app import Server
from cloudlink.server.part import Part
from cloudlink.server.protocols import Scratch
from cloudlink.settings import Settings
from cloudlink.slices import finish
from tests.support.memoryclients import EraClient, MemoryClient, codes, named
from tests.support.sanctioning import add_ban, list_mutes
from tests.support.servers import build

OWNER = Actor("mia", "owner", "dashboard")


@pytest.fixture
def server():
    built = build({"cloud": False})
    Scratch(built)
    return built


@pytest.fixture
def sanctions(server):
    return server.sanctions


def client_of(server, name):
    (found,) = server.clients_manager.usernames[name]
    return found


def player(server, project="1", user="carl", **connection):
    return MemoryClient(server, {"method": "handshake", "project_id": project, "user": user}, **connection)


def update(name="☁ x", value="5"):
    return {"method": "set", "name": name, "value": value}


def mute(server, name, **options):
    return server.sanctions.add_mute(OWNER, {"name": name}, seconds=60, **options)


# Without rules.


def test_a_server_without_rules_asks_nobody(server):
    assert server.hooks.packet_policy is None
    add_ban(server.sanctions, OWNER, {"name": "bob"}, seconds=60)
    assert server.hooks.packet_policy is None


def test_the_policy_is_asked_only_while_there_is_a_rule(server, sanctions):
    number = mute(server, "bob").result["mute"]["id"]
    assert server.hooks.packet_policy is server.hooks.policy
    sanctions.remove_mute(OWNER, number)
    assert server.hooks.packet_policy is None
    sanctions.set_room(OWNER, "r", frozen=True)
    assert server.hooks.packet_policy is not None
    sanctions.set_room(OWNER, "r", frozen=False)
    assert server.hooks.packet_policy is None
    one = finish(
        sanctions.adding_filter(OWNER, kind="words", entries=["bad"], action="block", scope=["names"])
    )
    assert server.hooks.packet_policy is None
    sanctions.remove_filter(OWNER, one.result["filter"]["id"])
    finish(sanctions.adding_filter(OWNER, kind="words", entries=["bad"], action="block"))
    assert server.hooks.packet_policy is not None


# Bans.


def test_a_banned_address_is_accepted_and_closed_with_the_reason(server, sanctions):
    add_ban(sanctions, OWNER, {"address": "192.0.2.7"}, seconds=None, reason="spam")
    banned = MemoryClient(server, address="192.0.2.7")
    assert banned.closed == (4004, "You are banned: spam")
    assert banned.heard() == []
    assert len(server.clients_manager) == 0
    assert MemoryClient(server, address="192.0.2.8").closed is None


def test_no_plugin_sees_a_banned_client(server, sanctions):
    seen = []
    server.on_connect(seen.append)
    add_ban(sanctions, OWNER, {"address": "192.0.2.7"}, seconds=None)
    MemoryClient(server, address="192.0.2.7")
    assert seen == []


def test_whoever_is_there_is_disconnected(server, sanctions):
    bob, carl = named(server, "bob"), player(server, user="carl")
    assert add_ban(sanctions, OWNER, {"name": "BOB"}, seconds=None, reason="x").result["hit"] == 1
    assert add_ban(sanctions, OWNER, {"name": "carl"}, seconds=None).result["hit"] == 1
    assert bob.closed == (4004, "This name is banned: x")
    assert carl.closed[0] == 4004
    assert server.counters.disconnected["banned"] == 2


def test_a_banned_name_is_refused_and_the_connection_stays(server, sanctions):
    add_ban(sanctions, OWNER, {"name": "bob"}, seconds=None, reason="rude")
    visitor = MemoryClient(server, {"cmd": "handshake"})
    visitor.heard()
    (answer,) = visitor.ask({"cmd": "setid", "val": "B-o-b", "listener": "n"})
    assert (answer["code_id"], answer["listener"]) == (108, "n")
    assert answer["details"] == "This name is banned: rude"
    assert visitor.closed is None
    assert codes(visitor.ask({"cmd": "setid", "val": "alice"})) == [100]


def test_an_era_without_status_codes_gets_silence(server, sanctions):
    add_ban(sanctions, OWNER, {"name": "bob"}, seconds=None)
    old = EraClient(server, "CL2 early")
    old.frames()
    assert old.tell("<%sn>\nbob") == []
    assert old.closed is None
    assert "bob" not in server.clients_manager.usernames


def test_a_banned_name_of_the_cloud_is_closed_with_4002(server, sanctions):
    add_ban(sanctions, OWNER, {"name": "carl"}, seconds=None, reason="rude")
    assert player(server, user="Carl").closed == (4002, "This name is banned: rude")


def test_a_plugin_cannot_give_a_banned_name(server, sanctions):
    add_ban(sanctions, OWNER, {"name": "bob"}, seconds=None)
    named(server, "alice")
    with pytest.raises(ValueError, match="banned"):
        client_of(server, "alice").set_username("bob")
    player(server, user="carl")
    with pytest.raises(ValueError, match="banned"):
        client_of(server, "carl").set_username("bob")


def test_a_rename_passes_the_rules_as_a_name_does():
    server = build({"allow_rename": True})
    add_ban(server.sanctions, OWNER, {"name": "bob"}, seconds=None)
    mute(server, "carl")
    alice = named(server, "alice")
    assert codes(alice.ask({"cmd": "setid", "val": "bob"})) == [108]
    assert codes(alice.ask({"cmd": "setid", "val": "carl"}))[0] == 100
    alice.heard()
    assert codes(alice.ask({"cmd": "gmsg", "val": 1, "listener": "m"})) == [108]


def test_a_kick(server, sanctions):
    bob, carl = named(server, "bob"), player(server, user="carl")
    sanctions.kick(OWNER, name="bob", reason="rude")
    sanctions.kick(OWNER, id=client_of(server, "carl").snowflake)
    assert bob.closed == (4004, "You were kicked: rude")
    assert carl.closed == (4004, "You were kicked")
    assert server.counters.disconnected["kicked"] == 2
    assert MemoryClient(server).closed is None


# Mutes.

SAYINGS = [
    {"cmd": "gmsg", "val": "hi"},
    {"cmd": "gvar", "name": "n", "val": 1},
    {"cmd": "pmsg", "id": "alice", "val": "hi"},
    {"cmd": "pvar", "id": "alice", "name": "n", "val": 1},
    {"cmd": "direct", "id": "alice", "val": "hi"},
    {"cmd": "greet", "val": "hi"},
]


@pytest.mark.parametrize("packet", SAYINGS, ids=lambda packet: packet["cmd"])
def test_a_muted_client_is_told_and_nobody_else_hears_it(server, packet):
    greeted = []
    server.bind_callback(
        "greet", server.hooks.engines and next(iter(server.hooks.engines)), greeted_by(greeted)
    )
    server.on_message(lambda _client, message: greeted.append(message["cmd"]))
    alice, bob = named(server, "alice"), named(server, "bob")
    mute(server, "bob", reason="calm down")
    alice.heard(), bob.heard(), greeted.clear()
    (answer,) = bob.ask({**packet, "listener": "m"})
    assert (answer["code_id"], answer["listener"]) == (108, "m")
    assert answer["details"].startswith("You are muted until 20")
    assert answer["details"].endswith(" UTC: calm down")
    assert alice.heard() == []
    assert greeted == []
    assert server.counters.dropped["muted"] == 1


def greeted_by(greeted):
    return lambda _client, message: greeted.append(message)


def test_without_a_listener_the_answer_comes_once_a_second(server):
    bob = named(server, "bob")
    mute(server, "bob")
    assert codes(bob.ask(*[{"cmd": "gmsg", "val": n} for n in range(20)])) == [108]


def test_everything_else_goes_on(server):
    bob = MemoryClient(server, {"cmd": "handshake"})
    server.sanctions.add_mute(OWNER, {"address": "127.0.0.1"}, seconds=60)
    bob.heard()
    packets = [
        {"cmd": "ping", "listener": 1},
        {"cmd": "setid", "val": "bob", "listener": 2},
        {"cmd": "link", "val": "room", "listener": 3},
        {"cmd": "unlink", "listener": 4},
    ]
    for packet in packets:
        answers = [answer for answer in bob.ask(packet) if answer["cmd"] == "statuscode"]
        assert codes(answers) == [100]


def test_an_era_without_status_codes_is_muted_in_silence(server):
    alice = named(server, "alice")
    old = EraClient(server, "CL2 early", "bob")
    old.frames()
    alice.heard()
    assert old.tell("<%gs>\nbob\nhello") != []
    alice.heard()
    mute(server, "bob")
    assert old.tell("<%gs>\nbob\nhello") == []
    assert old.tell("<%ps>\nbob\nalice\nhello") == []
    assert alice.heard() == []


def test_the_cloud_ignores_the_muted(server):
    carl, dora = player(server, user="carl"), player(server, user="dora")
    mute(server, "carl")
    carl.say(update())
    assert dora.heard() == []
    assert carl.closed is None
    assert player(server, user="eve").heard() == []


def test_one_connection_may_be_muted(server, sanctions):
    bob, other = named(server, "bob"), named(server, "bobby")
    sanctions.add_mute(OWNER, {"client": client_of(server, "bob").snowflake}, seconds=60)
    assert [item["name"] for item in list_mutes(sanctions, OWNER)["items"]] == ["bob"]
    other.heard(), bob.heard()
    assert codes(bob.ask({"cmd": "gmsg", "val": 1, "listener": 1})) == [108]
    assert codes(other.ask({"cmd": "gmsg", "val": 1, "listener": 1})) == []
    assert other.heard() == []
    bob.leave()
    server.sanctions._mutes_swept_at -= 60
    sanctions.tick()
    assert list_mutes(sanctions, OWNER)["items"] == []


# Hidden mutes.

HIDDEN = [
    *SAYINGS[:-1],
    {"cmd": "gmsg", "val": "hi", "id": {"except": "me"}},
    {"cmd": "gmsg", "val": "hi", "id": {"except": ["alice"]}},
    {"cmd": "gmsg"},
    {"cmd": "gmsg", "val": "hi", "rooms": "elsewhere"},
    {"cmd": "pmsg", "id": "nobody", "val": 1},
    {"cmd": "pmsg", "id": "bob", "val": 1},
    {"cmd": "pmsg", "id": ["alice", "bob"], "val": 1},
    {"cmd": "direct", "id": "bob", "val": 1},
    {"cmd": "direct", "id": "nobody", "val": 1},
    {"cmd": "unknown", "val": 1},
]


@pytest.mark.parametrize("tag", [{}, {"listener": "m"}], ids=["plain", "with listener"])
@pytest.mark.parametrize("packet", HIDDEN, ids=json.dumps)
@pytest.mark.parametrize("settings", [{}, {"message_origin": True}], ids=["", "origin"])
def test_a_hidden_mute_looks_like_success_to_the_sender_alone(packet, tag, settings):
    def conversation(*, hidden):
        server = build({**settings, "room_state": "memory"})
        alice, bob = named(server, "alice"), named(server, "bob")
        if hidden:
            mute(server, "bob", hidden=True)
        alice.heard(), bob.heard()
        text = json.dumps(bob.ask({**packet, **tag}))
        for one in (bob, alice):
            user = client_of(server, "bob" if one is bob else "alice").user
            text = text.replace(user.id, f"{user.username} id").replace(user.uuid, f"{user.username} uuid")
        return text, alice.heard()

    seen, _ = conversation(hidden=False)
    seen_by_hidden, heard = conversation(hidden=True)
    assert seen_by_hidden == seen
    assert heard == []


@pytest.mark.parametrize(
    ("era", "message"),
    [
        ("CL2 early", "<%gs>\nbob\nhello"),
        ("CL2 early", "<%ps>\nbob\nbob\nhello"),
        ("CL2 late", "<%l_g>\n0\nbob\nhello"),
        ("CL3 0.1.5", '{"cmd":"gmsg","val":"x"}'),
        ("CL3 0.1.7", '{"cmd":"gmsg","val":"x"}'),
        ("CL3 0.1.7", '{"cmd":"mine","val":"x","id":"bob"}'),
        ("CL4 0.1.8", '{"cmd":"gmsg","val":"x","listener":1}'),
    ],
)
def test_a_hidden_mute_in_older_eras(server, era, message):
    alice, old = EraClient(server, era, "alice"), EraClient(server, era, "bob")
    if "<%l_" in message:
        alice.tell("<%rl>\nalice\nhall"), old.tell("<%rl>\nbob\nhall")
    old.frames(), alice.frames()
    seen = old.tell(message)
    alice.frames()
    mute(server, "bob", hidden=True)
    assert old.tell(message) == seen
    assert alice.frames() == []


def test_a_hidden_mute_meets_the_refusals_and_masks_that_everybody_meets(server, sanctions):
    add_filter(server, "mask", "bad")
    alice, bob = named(server, "alice"), named(server, "bob")
    mute(server, "bob", hidden=True)
    alice.heard(), bob.heard()
    assert [packet["val"] for packet in bob.ask({"cmd": "gmsg", "val": "bad"})] == ["***"]
    assert alice.heard() == []
    sanctions.set_room(OWNER, "default", frozen=True)
    (answer,) = bob.ask({"cmd": "gmsg", "val": "hi", "listener": 1})
    assert answer["details"] == "This room is quiet."


def test_nothing_of_a_hidden_mute_is_kept():
    server = build({"room_state": "memory"})
    bob = named(server, "bob")
    mute(server, "bob", hidden=True)
    bob.ask({"cmd": "gvar", "name": "n", "val": 1})
    late = named(server, "late")
    assert "gvar" not in [packet["cmd"] for packet in late.ask({"cmd": "link", "val": "default"})]


def test_a_plugins_command_is_silent_under_a_hidden_mute(server):
    greeted = []
    server.bind_callback("greet", next(iter(server.hooks.engines)), greeted_by(greeted))
    bob = named(server, "bob")
    mute(server, "bob", hidden=True)
    assert bob.ask({"cmd": "greet", "val": 1, "listener": 1}) == []
    assert greeted == []


def test_a_hidden_mute_in_the_cloud(server):
    carl, dora = player(server, user="carl"), player(server, user="dora")
    mute(server, "carl", hidden=True)
    assert carl.ask(update()) == []
    assert dora.heard() == []
    assert carl.closed is None


# Rooms.


def test_a_quiet_room(server, sanctions):
    alice, bob = named(server, "alice"), named(server, "bob")
    alice.say({"cmd": "link", "val": "hall"}), bob.say({"cmd": "link", "val": "hall"})
    sanctions.set_room(OWNER, "hall", frozen=True)
    alice.heard(), bob.heard()
    (answer,) = bob.ask({"cmd": "gmsg", "val": 1, "listener": 1})
    assert (answer["code_id"], answer["details"]) == (108, "This room is quiet.")
    assert alice.heard() == []
    assert codes(bob.ask({"cmd": "direct", "id": "alice", "val": 1, "listener": 1})) == []
    assert [packet["cmd"] for packet in alice.heard()] == ["direct"]
    sanctions.set_room(OWNER, "hall", frozen=False)
    bob.ask({"cmd": "gmsg", "val": 1})
    assert [packet["cmd"] for packet in alice.heard()] == ["gmsg"]


def test_quiet_everybody(server, sanctions):
    bob, carl, dora = named(server, "bob"), player(server, user="carl"), player(server, user="dora")
    sanctions.set_room(OWNER, "*", frozen=True)
    bob.heard()
    for packet in SAYINGS[:-1]:
        assert codes(bob.ask({**packet, "id": "bob", "listener": 1})) == [108]
    carl.say(update())
    assert dora.heard() == []
    assert server.counters.dropped["frozen"] == len(SAYINGS)


def test_a_slow_room(server, sanctions):
    bob = named(server, "bob")
    sanctions.set_room(OWNER, "default", slow=30)
    bob.heard()
    assert codes(bob.ask({"cmd": "gmsg", "val": 1, "listener": 1})) == []
    (answer,) = bob.ask({"cmd": "gmsg", "val": 2, "listener": 2})
    assert (answer["code_id"], answer["details"]) == (108, "This room is slow: wait 30 s.")


def test_a_locked_room(server, sanctions):
    bob, late = named(server, "bob"), named(server, "late")
    bob.say({"cmd": "link", "val": "hall"})
    inside = player(server, project="hall", user="carl")
    sanctions.set_room(OWNER, "hall", locked=True)
    bob.heard(), late.heard()
    (answer,) = late.ask({"cmd": "link", "val": ["other", "hall"], "listener": 1})
    assert (answer["code_id"], answer["details"]) == (108, "This room is locked.")
    assert late.heard() == []
    assert 100 in codes(
        [one for one in bob.ask({"cmd": "link", "val": "hall"}) if one["cmd"] == "statuscode"]
    )
    assert player(server, project="hall", user="dora").closed == (4004, "This room is locked.")
    assert inside.closed is None


# Modes.


def test_a_closed_server(server, sanctions):
    bob = named(server, "bob")
    sanctions.set_mode(OWNER, "closed", message="Back at six.")
    assert MemoryClient(server).closed == (1013, "Back at six.")
    assert bob.closed is None
    assert server.not_ready == "closed"
    sanctions.set_mode(OWNER, "open")
    assert MemoryClient(server).closed is None
    assert server.not_ready == ""
    assert server.counters.refused["mode"] == 1


def test_a_guarded_server(server, sanctions):
    old = named(server, "old")
    object.__setattr__(client_of(server, "old"), "birth_time", -100.0)
    sanctions.set_mode(OWNER, "guarded")
    assert server.limits.packet_rate == 60
    assert server.hooks.policy.guard == (10, 1.0)
    new = named(server, "new")
    old.heard(), new.heard()
    assert codes(new.ask({"cmd": "gmsg", "val": 1, "listener": 1})) == [108]
    assert codes(old.ask({"cmd": "gmsg", "val": 1, "listener": 1})) == []
    sanctions.set_mode(OWNER, "open")
    assert server.limits.packet_rate == 250
    assert server.hooks.policy.guard is None


def test_an_announcement_reaches_the_eras_that_have_a_word_for_it(server, sanctions):
    bob, old, cloud = named(server, "bob"), EraClient(server, "CL2 early", "old"), player(server)
    newer = EraClient(server, "CL3 0.1.7", "newer")
    bob.heard(), old.frames(), newer.frames()
    assert finish(sanctions.broadcasting(OWNER, "Back at six.")).result == {"sent": 2}
    assert bob.heard() == [{"cmd": "motd", "val": "Back at six."}]
    assert [json.loads(frame) for frame in newer.frames()] == [
        {"cmd": "direct", "val": {"cmd": "motd", "val": "Back at six."}}
    ]
    assert old.frames() == []
    assert cloud.heard() == []


def test_an_announcement_in_rooms(server, sanctions):
    bob, other = named(server, "bob"), named(server, "other")
    bob.say({"cmd": "link", "val": "hall"})
    bob.heard(), other.heard()
    assert finish(sanctions.broadcasting(OWNER, "Hi", rooms=["hall", "nowhere"])).result == {"sent": 1}
    assert bob.heard() == [{"cmd": "motd", "val": "Hi"}]
    assert finish(sanctions.broadcasting(OWNER, "Hi", rooms=["hall"], kind="gmsg")).result == {"sent": 1}
    assert [(packet["cmd"], packet["val"]) for packet in bob.heard()] == [("gmsg", "Hi")]
    assert other.heard() == []


# Filters.


def add_filter(server, action, *entries, **options):
    kind = options.pop("kind", "words")
    return finish(
        server.sanctions.adding_filter(OWNER, kind=kind, entries=list(entries), action=action, **options)
    )


def test_a_mask_changes_only_the_words(server):
    add_filter(server, "mask", "bad", "fool*")
    seen = []
    server.on_message(lambda _client, message: seen.append(message["val"]))
    alice, bob = named(server, "alice"), named(server, "bob")
    alice.heard(), bob.heard(), seen.clear()
    bob.say('{"cmd":"gmsg","val":{"n":1.0,"bad":["a B.a.d day", "foolish"],"big":1e400}}')
    server.delivery.flush()
    text = alice.connection.take()[-1]
    assert "a ***** day" in text
    assert "****ish" in text
    assert '{"n":1.0,"bad":[' in text
    assert '"big":1e400' in text
    assert seen[0]["bad"] == ["a ***** day", "****ish"]


def test_a_blocked_message(server):
    add_filter(server, "block", "bad")
    alice, bob = named(server, "alice"), named(server, "bob")
    alice.heard(), bob.heard()
    (answer,) = bob.ask({"cmd": "gmsg", "val": "very bad", "listener": 1})
    assert (answer["code_id"], answer["details"]) == (108, "This message is not allowed here.")
    assert alice.heard() == []
    assert server.counters.dropped["filtered"] == 1
    assert codes(bob.ask({"cmd": "gvar", "name": "n", "val": "bad", "listener": 1})) == []


def test_filters_of_other_places(server):
    add_filter(server, "block", "bad", scope=["variables", "rooms"])
    bob, carl, dora = named(server, "bob"), player(server, user="carl"), player(server, user="dora")
    bob.heard()
    assert codes(bob.ask({"cmd": "gvar", "name": "n", "val": "bad", "listener": 1})) == [108]
    assert codes(bob.ask({"cmd": "link", "val": "Bad", "listener": 1})) == [108]
    carl.say(update(value="bad"))
    assert dora.heard() == []
    assert player(server, project="bad", user="eve").closed == (4004, "This room name is not allowed here.")


def test_names_are_filtered(server):
    add_filter(server, "mask", "*bad*")
    visitor = MemoryClient(server, {"cmd": "handshake"})
    visitor.heard()
    (answer,) = visitor.ask({"cmd": "setid", "val": "B_A_D boy"})
    assert (answer["code_id"], answer["details"]) == (108, "This name is not allowed here.")
    assert player(server, user="xbadx").closed == (4002, "This name is not allowed here.")


def test_a_filter_mutes_and_kicks(server, sanctions):
    add_filter(server, "mute", "bad", seconds=30)
    add_filter(server, "kick", "worse")
    bob = named(server, "bob")
    bob.heard()
    assert codes(bob.ask({"cmd": "gmsg", "val": "bad", "listener": 1})) == [108]
    (answer,) = bob.ask({"cmd": "gmsg", "val": "fine", "listener": 1})
    assert "muted" in answer["details"]
    (item,) = list_mutes(sanctions, OWNER)["items"]
    assert (item["kind"], item["by"], item["until"] - item["at"]) == ("client", "server", 30)
    carl = named(server, "carl")
    carl.say({"cmd": "gmsg", "val": "worse"})
    assert carl.closed == (4004, "You were kicked: word filter")


def test_a_notice_lets_the_message_through(server, sanctions):
    add_filter(server, "notice", "bad")
    bob = named(server, "bob")
    bob.heard()
    assert [packet["cmd"] for packet in bob.ask({"cmd": "gmsg", "val": "bad"})] == ["gmsg"]
    bob.ask({"cmd": "gmsg", "val": "bad"})
    assert [notice["text"] for notice in sanctions.notices] == ["Filter 1 found a word in what bob sent."]


# Plugins.


def test_filters_of_plugins(server):
    seen = []

    def shout(client, message):
        seen.append((client.username, message["cmd"]))
        if message["val"] == "no":
            return "block"
        if message["val"] == "quiet":
            return "LOUD"
        if message["val"] == "oops":
            raise RuntimeError
        return None

    server.on_filter(shout)
    server.on_filter(lambda _client, message: f"{message['val']}!" if message["val"] == "LOUD" else None)
    bob = named(server, "bob")
    bob.heard()
    assert seen == [("", "setid")]
    seen.clear()

    def said(val):
        return [packet.get("val", packet.get("code_id")) for packet in bob.ask({"cmd": "gmsg", "val": val})]

    assert said("hello") == ["hello"]
    assert said("quiet") == ["LOUD!"]
    assert said("oops") == ["oops"]
    assert codes(bob.ask({"cmd": "gmsg", "val": "no", "listener": 1})) == [108]
    assert seen[0] == ("bob", "gmsg")
    assert server.counters.plugin_errors == 1


def test_filters_of_plugins_see_masked_messages_and_the_cloud(server):
    add_filter(server, "mask", "bad")
    seen = []
    server.on_filter(lambda _client, message: seen.append(dict(message)))
    named(server, "bob").say({"cmd": "gmsg", "val": "bad"})
    carl, dora = player(server, user="carl"), player(server, user="dora")
    server.on_filter(lambda _client, message: "7" if message.get("value") == "5" else None)
    carl.say(update())
    assert [one.get("val", one.get("value")) for one in seen] == ["bob", "***", "5"]
    assert [packet["value"] for packet in dora.heard()] == ["7"]


def test_filters_of_plugins_refuse_and_change_names(server):
    answers = {"rude": "block", "long": "short"}
    server.on_filter(lambda _client, message: answers.get(message["val"]))
    visitor = MemoryClient(server, {"cmd": "handshake"})
    visitor.heard()
    (answer,) = visitor.ask({"cmd": "setid", "val": "rude", "listener": 1})
    assert (answer["code_id"], answer["details"]) == (108, "This name is not allowed here.")
    visitor.ask({"cmd": "setid", "val": "long"})
    assert visitor.client.username == "short"


def test_a_filter_must_not_be_async(server):
    async def later(client, message):
        pass

    with pytest.raises(TypeError, match="must not be async"):
        server.on_filter(later)
    with pytest.raises(TypeError, match="must take"):
        server.on_filter(lambda client: None)
    with pytest.raises(TypeError, match="without parentheses"):
        server.on_filter()


def test_plugins_ban_mute_and_kick(server):
    actions = []
    server.on_admin_action(actions.append)
    bob, carl = named(server, "bob"), named(server, "carl")
    bob.heard(), carl.heard()
    record = server.admin.mute("carl", 60, "calm")
    assert codes(carl.ask({"cmd": "gmsg", "val": 1, "listener": 1})) == [108]
    server.admin.unmute(record)
    assert codes(carl.ask({"cmd": "gmsg", "val": 1, "listener": 1})) == []
    with pytest.raises(AdminError) as caught:
        server.admin.ban(client_of(server, "bob"), 60)
    assert caught.value.code == "protected"  # it is on this machine
    assert server.admin.kick(client_of(server, "bob"), "rude") == 1
    assert bob.closed == (4004, "You were kicked: rude")
    ban = server.admin.ban("carl", reason="rude")
    assert carl.closed == (4004, "This name is banned: rude")
    assert [one["value"] for one in server.admin.bans()] == ["carl"]
    server.admin.unban(ban)
    assert server.admin.bans() == []
    with pytest.raises(server.admin.Error):
        server.admin.kick("nobody")
    with pytest.raises(TypeError):
        server.admin.kick(5)
    assert [(action["method"], action["outcome"]) for action in actions] == [
        ("mutes.add", "ok"),
        ("mutes.remove", "ok"),
        ("bans.add", "protected"),
        ("clients.kick", "ok"),
        ("bans.add", "ok"),
        ("bans.remove", "ok"),
        ("clients.kick", "not_found"),
    ]
    assert {action["via"] for action in actions} == {"plugin"}


def test_a_flood_bans_the_subscriber():
    server = build({"auto_ban_after": 1, "packet_rate": 1.0, "packet_burst": 5, "flood_patience": 0.0})
    flooder = MemoryClient(server, {"cmd": "handshake"}, address="192.0.2.7")
    flooder.say(*[{"cmd": "ping"}] * 20)
    assert flooder.closed[0] == 1008
    assert MemoryClient(server, address="192.0.2.7").closed[0] == 4004
    server.enforcement.tick()
    assert server.counters.auto_bans == 1


def test_a_rush_guards_the_server():
    server = build({"guard_at": 3.0})
    for _ in range(8):
        MemoryClient(server)
    assert server.sanctions.mode == "guarded"
    assert server.hooks.packet_policy is not None


@pytest.mark.skipif(sys.platform != "linux", reason="several processes need Linux")
def test_processes_of_one_server_count_newcomers_and_knocks_together():
    from cloudlink.sharedcounts import SharedCounts, create  # noqa: PLC0415  # Linux only

    memory = create(2)
    try:
        servers = [
            Server(
                Settings(admin_storage="", storage=""),
                Part(
                    number=number,
                    count=2,
                    speaks=False,
                    is_successor=False,
                    sockets=[],
                    counts=SharedCounts(memory, number, 2, lambda: 5.0),
                    carrier=None,
                    tell_ready=lambda: None,
                    tell_reloaded=lambda: None,
                ),
            )
            for number in range(2)
        ]
        policies = [server.hooks.policy for server in servers]
        assert [policies[number % 2].modes.count_newcomer() for number in range(4)] == [1, 2, 3, 4]
        for server in servers:
            add_ban(server.sanctions, OWNER, {"address": "192.0.2.7"}, seconds=None)
        knocks = [policies[number % 2].is_knocking("192.0.2.7") for number in range(14)]
        assert knocks == [False] * 10 + [True] * 4
    finally:
        os.close(memory)


def test_a_message_that_no_filter_can_decode_is_refused(server):
    server.on_filter(lambda _client, _message: None)
    bob, carl = named(server, "bob"), player(server)
    bob.heard()
    deep = "[" * 20_000 + "]" * 20_000
    assert codes(bob.ask(f'{{"cmd":"gmsg","val":{deep},"listener":1}}')) == [114]
    carl.say(f'{{"method":"set","name":"x","value":{deep}}}')
    assert carl.closed[0] == 4000


def test_rooms_that_the_sender_is_not_in_are_refused_by_the_command(server, sanctions):
    bob = named(server, "bob")
    sanctions.set_room(OWNER, "elsewhere", slow=9)
    bob.heard()
    assert codes(bob.ask({"cmd": "gmsg", "val": 1, "rooms": "hall", "listener": 1})) == [115]
    assert codes(bob.ask({"cmd": "gmsg", "val": 1, "rooms": {}, "listener": 1})) == [101]


def test_what_reaches_nobody_goes_on_in_older_eras(server):
    old = EraClient(server, "CL2 late", "bob")
    mute(server, "bob")
    old.frames()
    assert old.tell("<%rf>\n") != []
    assert old.tell("<%rl>\nbob\nhall") != []
    ping = EraClient(server, "CL4 0.1.8", "carl")
    mute(server, "carl")
    ping.frames()
    assert "I:100" in ping.tell('{"cmd":"ping","listener":1}')[0]
    assert "E:108" in ping.tell('{"cmd":"ping","id":"bob","val":1,"listener":1}')[0]


def test_trouble_with_the_file_is_a_notice(server):
    server.enforcement._notify_of_trouble("The disk is full.")
    server.enforcement._notify_of_trouble("")
    texts = [notice["text"] for notice in server.sanctions.notices]
    assert texts == ["Changes are kept in memory only. The disk is full.", "Changes are saved again."]


def test_the_servers_own_addresses_are_protected(server):
    server.enforcement._own_addresses = ["198.51.100.7"]
    with pytest.raises(AdminError) as caught:
        add_ban(server.sanctions, OWNER, {"address": "198.51.100.7"}, seconds=60)
    assert caught.value.code == "protected"


def test_metrics_know_the_sanctions(server):
    mute(server, "bob")
    add_ban(server.sanctions, OWNER, {"name": "carl"}, seconds=60)
    counters = server.counters
    assert counters.bans() == {"address": 0, "network": 0, "name": 1}
    assert counters.mutes() == 1
    assert counters.stores["admin"]() == (True, 0)


class Loose:
    """A protocol of a plugin."""

    command_key = "what"


def test_the_protocol_of_a_plugin_is_judged_too():
    server = build({"cloud": False})
    said, told = [], []
    server.bind_callback("say", Loose, lambda _client, message: said.append(message["text"]))
    server.on_exception(server.exceptions.Overloaded, Loose)(lambda _client, why: told.append(why))
    add_filter(server, "mask", "bad")
    visitor = MemoryClient(server, '{"what":"say","text":"a bad day"}')
    assert said == ["a *** day"]
    server.sanctions.add_mute(OWNER, {"client": visitor.client.snowflake}, seconds=60)
    visitor.say('{"what":"say","text":"hi"}')
    assert len(said) == 1
    assert told[0].startswith("You are muted until")
    server.sanctions.add_mute(OWNER, {"client": visitor.client.snowflake}, seconds=60, hidden=True)
    visitor.say('{"what":"say","text":"hi"}')
    assert (len(said), len(told)) == (1, 1)
