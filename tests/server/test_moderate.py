"""The command `moderate`: for those with a grant, and as unknown as any other word to everybody else."""

import asyncio
import json
from concurrent.futures import Future

import pytest

from cloudlink.admin.actors import AdminError
from cloudlink.server.protocols.clpv4.schema import Schema
from tests.support.memoryclients import EraClient, MemoryClient, named, turns
from tests.support.servers import build, listening, protocol_of

KICK = {"cmd": "moderate", "val": {"method": "clients.kick", "params": {"name": "bob", "reason": "spam"}}}


def play(scenario, **settings):
    server = build({"admin_storage": "", **settings})

    async def main():
        async with listening(server):
            return await scenario(server)

    return asyncio.run(main())


async def told(client, *packets):
    """Send packets, let the server take its turns, and return what the client hears."""
    await turns()
    client.heard()
    for packet in packets:
        client.session.receive((packet if isinstance(packet, str) else json.dumps(packet)).encode())
        await turns()
    return client.heard()


def grant(server, client, minutes=5):
    server.administration.wire.core.grants.give(client.client.snowflake, minutes)


def test_a_player_with_a_grant_kicks_and_is_answered():
    async def scenario(server):
        mia, bob = named(server, "mia"), named(server, "bob")
        grant(server, mia)
        received = await told(mia, {**KICK, "listener": "k"})
        return received, bob.closed, dict(server.counters.actions)

    answers, closed, actions = play(scenario)
    (answer,) = [packet for packet in answers if packet["cmd"] == "statuscode"]
    assert (answer["code_id"], answer["val"], answer["listener"]) == (100, {"kicked": 1}, "k")
    assert closed == (4004, "You were kicked: spam")
    assert actions == {"clients.kick": 1}


@pytest.mark.parametrize("val", [KICK["val"], {}, None, 5, "x", [1], "missing"])
def test_without_a_grant_the_command_is_unknown_byte_for_byte(val):
    async def scenario(server):
        heard, seen = [], []

        @server.on_error
        def note(client, errors):
            seen.append(str(errors))

        for word in ("moderate", "moderatf"):
            client = named(server, "mia")
            await turns()
            client.heard()
            packet = {"cmd": word, "listener": "x"} | ({} if val == "missing" else {"val": val})
            client.session.receive(json.dumps(packet).encode())
            await turns()
            server.delivery.flush()
            heard.append([frame.replace(word, "WORD") for frame in client.connection.take()])
            client.leave()
        return heard, [text.replace("moderatf", "moderate") for text in seen]

    (with_word, without), seen = play(scenario)
    assert with_word == without != []
    assert seen[0] == seen[1]


def test_a_refusal_is_told_in_one_sentence():
    async def scenario(server):
        mia = named(server, "mia")
        grant(server, mia)
        return [await told(mia, {"cmd": "moderate", "val": val, "listener": 1}) for val in ({}, KICK["val"])]

    for answers in play(scenario):
        (answer,) = answers
        assert (answer["code"], answer["listener"]) == ("E:108 | Refused", 1)
        assert answer["details"].endswith(".")


def test_val_that_cannot_be_decoded_is_a_mistake_like_any_other():
    async def scenario(server):
        mia = named(server, "mia")
        grant(server, mia)
        long = '"' + "x" * (1 << 16) + '"'  # longer values are decoded only when they are needed
        return await told(mia, '{"cmd":"moderate","val":[1e400,' + long + '],"listener":"k"}')

    (answer,) = play(scenario)
    assert (answer["code_id"], answer["listener"]) == (114, "k")


def test_other_words_are_unknown_to_players_with_a_grant():
    async def scenario(server):
        mia = named(server, "mia")
        grant(server, mia)
        return await told(mia, {**KICK, "cmd": "kick"})

    (answer,) = play(scenario)
    assert answer["code_id"] == 109


def test_without_administration_nobody_moderates():
    server = build({})
    assert server.hooks.moderation is None
    (answer,) = named(server, "mia").ask(KICK)
    assert answer["code_id"] == 109


class Elsewhere:
    """Moderation that other processes of the server take part in: the result comes later."""

    def __init__(self):
        self.later = Future()

    def may_moderate(self, client):
        return True

    def run(self, client, val):
        return self.later


def answered_later(finish):
    """What a player hears before and after the other processes have answered."""

    async def scenario(server):
        mia = named(server, "mia")
        server.hooks.moderation = elsewhere = Elsewhere()
        before = await told(mia, {**KICK, "listener": "k"})
        finish(elsewhere.later)
        await turns()
        return before, mia.heard()

    before, after = play(scenario)
    assert before == []
    (answer,) = after
    assert answer["listener"] == "k"
    return answer


def test_a_result_of_other_processes_is_answered_when_it_comes():
    answer = answered_later(lambda later: later.set_result({"kicked": 2}))
    assert (answer["code_id"], answer["val"]) == (100, {"kicked": 2})


def test_a_refusal_of_other_processes_is_answered_when_it_comes():
    answer = answered_later(
        lambda later: later.set_exception(AdminError("not_found", "Nobody has this name."))
    )
    assert (answer["code"], answer["details"]) == ("E:108 | Refused", "Nobody has this name.")


def test_a_failure_of_other_processes_is_an_internal_error_and_logged(caplog):
    answer = answered_later(lambda later: later.set_exception(OSError("no connection")))
    assert answer["code_id"] == 105
    assert "A player's command moderate failed." in caplog.text
    assert "no connection" in caplog.text


def test_a_disabled_command_is_disabled_for_moderators_too():
    async def scenario(server):
        mia = named(server, "mia")
        grant(server, mia)
        return await told(mia, KICK)

    (answer,) = play(scenario, disabled_commands=["moderate"])
    assert answer["code_id"] == 110


def test_a_plugins_own_command_wins():
    async def scenario(server):
        heard = []

        @server.on_command(cmd="moderate", schema=protocol_of(server).schema)
        def mine(client, message):
            heard.append(message["val"])

        mia, bob = named(server, "mia"), named(server, "bob")
        grant(server, mia)
        await told(mia, KICK)
        return heard, bob.closed

    assert play(scenario) == ([KICK["val"]], None)


def test_players_of_older_eras_moderate_too_and_those_on_cloud_variables_cannot():
    async def scenario(server):
        old = EraClient(server, "CL3 0.1.5", "old")
        player = MemoryClient(server, {"method": "handshake", "project_id": "1", "user": "sam"})
        for client in (old, player):
            grant(server, client)
        ann, bob = named(server, "ann"), named(server, "bob")
        await told(player, {"method": "moderate", "val": {**KICK["val"], "params": {"name": "ann"}}})
        await told(old, KICK)
        return ann.closed, bob.closed is not None, player.closed is not None

    assert play(scenario) == (None, True, True)


def test_the_right_ends_with_the_server():
    server = build({"admin_storage": ""})

    async def main():
        async with listening(server):
            assert server.hooks.moderation is not None
        return server.hooks.moderation

    assert asyncio.run(main()) is None
    assert "moderate" not in server.hooks.commands[Schema]
