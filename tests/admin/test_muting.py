"""Mutes and kicks."""

from __future__ import annotations

from cloudlink.admin.actors import Actor
from tests.admin.conftest import MODERATOR, NOW, OWNER, refusal
from tests.support.sanctioning import list_mutes


def mute(world, target, seconds=60, actor=OWNER, **options):
    return world.sanctions.add_mute(actor, target, seconds=seconds, **options)


def judged(world, player):
    return world.policy.judge(player, player.joined, b'"hi"', "messages")


def test_a_mute_and_its_end(world):
    bob, other = world.host.add("bob"), world.host.add("other", "192.0.2.9")
    outcome = mute(world, {"name": "BOB"}, reason="calm down")
    assert outcome.result == {
        "mute": {
            "id": 1,
            "kind": "name",
            "value": "BOB",
            "reason": "calm down",
            "by": "mia",
            "at": int(NOW),
            "until": int(NOW) + 60,
            "hidden": False,
        },
        "hit": 1,
    }
    assert judged(world, bob).text == "You are muted until 2026-01-31 18:01 UTC: calm down"
    assert judged(world, other) is None
    assert world.sanctions.is_muted(bob)
    world.pass_time(60)
    assert judged(world, bob) is None
    assert list_mutes(world.sanctions, OWNER)["items"] == []
    world.sanctions.tick()
    assert len(world.policy.mutes) == 0
    assert not world.policy.judges_packets


def test_the_list_has_pages_that_skip_what_has_ended(world):
    for number in range(1, 8):
        mute(world, {"name": f"player{number}"}, seconds=60 if number % 3 == 0 else 600)
    world.now += 60  # the third and the sixth have ended, but are not dropped yet
    first = list_mutes(world.sanctions, OWNER, limit=2)
    world.sanctions.remove_mute(OWNER, first["next"])
    second = list_mutes(world.sanctions, OWNER, after=first["next"], limit=2)
    third = list_mutes(world.sanctions, OWNER, after=second["next"], limit=2)
    pages = [[item["id"] for item in page["items"]] for page in (first, second, third)]
    assert pages == [[7, 5], [4, 2], [1]]
    assert [page["total"] for page in (first, second, third)] == [7, 6, 6]
    assert third["next"] is None


def test_a_page_is_bounded_unless_it_says_how_much(world):
    for number in range(201):
        mute(world, {"name": f"player {number}"})
    first = list_mutes(world.sanctions, OWNER)
    assert len(first["items"]) == len(list_mutes(world.sanctions, OWNER, limit=10_000)["items"]) == 200
    assert [item["id"] for item in list_mutes(world.sanctions, OWNER, after=first["next"])["items"]] == [1]


def test_mutes_of_networks_and_of_names_that_come_later(world):
    bob, carl = world.host.add("bob", "192.0.2.7"), world.host.add("", "198.51.100.1")
    mute(world, {"network": "192.0.2.0/24"})
    assert judged(world, bob).text
    assert judged(world, carl) is None
    mute(world, {"name": "carl"})
    carl.username = "carl"
    assert judged(world, carl).text


def test_an_open_mute_counts_more_than_a_hidden_one(world):
    bob = world.host.add("bob", "192.0.2.7")
    mute(world, {"address": "192.0.2.7"}, hidden=True)
    assert judged(world, bob).hidden
    mute(world, {"name": "bob"})
    assert not judged(world, bob).hidden


def test_the_same_target_replaces(world):
    bob = world.host.add("bob")
    mute(world, {"name": "bob"}, hidden=True)
    mute(world, {"name": "b.o.b"})
    assert not judged(world, bob).hidden
    assert len(list_mutes(world.sanctions, OWNER)["items"]) == 1


def test_refusals(world, monkeypatch):
    assert refusal(mute, world, {"name": "bob"}, seconds=604_801) == "invalid"
    assert refusal(mute, world, {"name": "bob"}, seconds=0) == "invalid"
    assert refusal(mute, world, {"client": "9"}) == "not_found"
    assert refusal(world.sanctions.remove_mute, OWNER, 5) == "not_found"
    bob = world.host.add("bob")
    player = Actor("bob", "moderator", "scratch", client=bob.snowflake)
    assert refusal(mute, world, {"client": bob.snowflake}, actor=player) == "protected"
    monkeypatch.setattr("cloudlink.admin.muting.MOST_MUTES", 1)
    mute(world, {"name": "bob"})
    assert refusal(mute, world, {"name": "carl"}) == "too_many"


def test_mutes_outlive_a_restart_but_not_those_of_connections(make_world, tmp_path):
    first = make_world(tmp_path / "admin.db")
    bob = first.host.add("bob")
    mute(first, {"name": "bob"})
    assert mute(first, {"client": bob.snowflake}).saving.result(0)
    second = make_world(tmp_path / "admin.db")
    assert [item["value"] for item in list_mutes(second.sanctions, MODERATOR)["items"]] == ["bob"]
    mute(second, {"name": "carl"})  # the same number as in the other process
    first.store.save([])
    numbers = [item["id"] for item in list_mutes(first.sanctions, OWNER)["items"]]
    assert len(set(numbers)) == len(numbers) == 3
    second.sanctions.remove_mute(OWNER, 1)
    first.store.save([])
    first.store.put("mute", "name:x", {"id": "x"})
    third = make_world(tmp_path / "admin.db")
    assert "cannot be read" in third.sanctions.notices[0]["text"]


def test_a_mute_of_a_client_that_left_is_dropped(world):
    bob = world.host.add("bob")
    mute(world, {"client": bob.snowflake})
    del world.host.clients[bob.snowflake]
    world.pass_time(30)
    world.sanctions.tick()
    assert len(world.policy.mutes) == 0


# Kicks.


def kick(world, **options):
    return world.sanctions.kick(OWNER, **options).result["kicked"]


def test_kicks_by_id_ids_and_name(world):
    players = [world.host.add(name) for name in ("a", "b", "c", "dd", "D-d", "dd")]
    ids = [player.snowflake for player in players]
    assert kick(world, id=ids[0], reason=" rude\n you ") == 1
    assert world.host.closed == [(ids[0], 4004, "You were kicked: rude you")]
    assert kick(world, ids=[ids[1], "999", ids[1]]) == 1
    assert kick(world, name="C") == 1
    assert refusal(world.sanctions.kick, OWNER, name="dd") == "ambiguous"
    assert kick(world, name="dd", all=True) == 2
    assert kick(world, name="dd") == 1  # by the name that looks like it
    assert refusal(world.sanctions.kick, OWNER, name="dd") == "not_found"
    assert refusal(world.sanctions.kick, OWNER, id=ids[0]) == "not_found"
    assert refusal(world.sanctions.kick, OWNER) == "invalid"
    assert refusal(world.sanctions.kick, OWNER, id="1", name="x") == "invalid"
    assert refusal(world.sanctions.kick, OWNER, ids=["1"] * 1001) == "invalid"
    assert world.rows[0]["target"] == f"client:{ids[0]}"
    assert world.rows[0]["reason"] == " rude\\x0a you "
