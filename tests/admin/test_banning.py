"""Bans: whom they may hit, in the order in which that is tested, and what they do."""

from __future__ import annotations

import pytest

from cloudlink.admin import bans
from cloudlink.admin.actors import AdminError
from cloudlink.slices import finish
from tests.admin.conftest import MODERATOR, NOW, OWNER, at_once, refusal
from tests.support.sanctioning import add_ban

DAY = 86_400


def ban(world, target, seconds=DAY, actor=OWNER, **options):
    return add_ban(world.sanctions, actor, target, seconds=seconds, **options)


def test_a_ban_of_a_client_means_its_subscriber(world):
    bob, other = world.host.add("bob", "192.0.2.7"), world.host.add("alice", "192.0.2.7")
    world.host.add("carl", "192.0.2.8")
    outcome = ban(world, {"client": bob.snowflake}, reason="spam")
    assert outcome.result == {
        "ban": {
            "id": 1,
            "kind": "address",
            "value": "192.0.2.7",
            "reason": "spam",
            "by": "mia",
            "at": int(NOW),
            "until": int(NOW) + DAY,
            "hits": 0,
            "last_hit": None,
        },
        "hit": 2,
    }
    text = "You are banned until 2026-02-01 18:00 UTC: spam"
    assert world.host.closed == [(bob.snowflake, 4004, text), (other.snowflake, 4004, text)]


def test_a_subscriber_of_ipv6_is_a_64(world):
    bob = world.host.add("bob", "2001:db8:1:2::5")
    world.host.add("neighbour", "2001:db8:1:2:aaaa::1")
    world.host.add("other", "2001:db8:1:3::1")
    outcome = ban(world, {"client": bob.snowflake})
    assert (outcome.result["ban"]["value"], outcome.result["hit"]) == ("2001:db8:1:2::/64", 2)


def test_an_ipv4_address_in_ipv6_form_is_the_ipv4_address(world):
    assert ban(world, {"address": "::ffff:192.0.2.7"}).result["ban"]["value"] == "192.0.2.7"
    assert ban(world, {"network": "::ffff:192.0.2.0/120"}).result["ban"]["value"] == "192.0.2.0/24"
    assert world.policy.closing("::ffff:192.0.2.9").code == 4004


def test_a_ban_for_ever(world):
    ban(world, {"address": "192.0.2.7"}, seconds=None, reason="bots")
    assert world.policy.closing("192.0.2.7") == (4004, "You are banned: bots")
    ban(world, {"address": "192.0.2.7"}, seconds=None)
    assert world.policy.closing("192.0.2.7") == (4004, "You are banned")


def test_the_same_target_replaces(world):
    ban(world, {"name": "Bob"})
    ban(world, {"name": "b_o_b"}, reason="again")
    ban(world, {"network": "192.0.2.0/24"})
    ban(world, {"network": "192.0.2.99/24"})
    assert [(item["id"], item["value"]) for item in world.sanctions.list_bans(OWNER)["items"]] == [
        (4, "192.0.2.0/24"),
        (2, "b_o_b"),
    ]


def test_a_ban_ends(world):
    ban(world, {"address": "192.0.2.7"})
    ban(world, {"network": "192.0.2.0/24"}, seconds=2 * DAY)
    world.pass_time(DAY - 1)
    assert "2026-02-01" in world.policy.closing("192.0.2.7").reason
    world.pass_time(1)
    assert "2026-02-02" in world.policy.closing("192.0.2.7").reason
    world.pass_time(DAY)
    assert world.policy.closing("192.0.2.7") is None


def test_an_ended_ban_is_listed_for_30_days(world):
    ban(world, {"address": "192.0.2.7"})
    world.pass_time(30 * DAY)
    world.sanctions.tick()
    assert world.sanctions.list_bans(OWNER)["total"] == 1
    world.pass_time(DAY)
    world.sanctions.tick()
    assert world.sanctions.list_bans(OWNER)["total"] == 0


def test_a_name_is_compared_without_what_is_not_seen(world):
    player = world.host.add("B\u200bo-B")
    assert ban(world, {"name": "bob"}).result["hit"] == 1
    assert world.host.closed[0][0] == player.snowflake
    for name in ("bob", "BOB", "b.o_b", "\uff42\uff4f\uff42", " b o b "):
        assert world.policy.name_refusal(player, name) == "This name is banned until 2026-02-01 18:00 UTC"
    assert world.policy.name_refusal(player, "bobby") == ""


# The tests of targets, in their order.


def test_a_client_behind_an_unknown_proxy_is_protected(world):
    behind = world.host.add("bob", "127.0.0.1", headers={"X-Forwarded-For": "192.0.2.7"})
    with pytest.raises(AdminError, match="real_ip_header") as caught:
        ban(world, {"client": behind.snowflake}, force=True)
    assert caught.value.code == "protected"


def test_a_client_behind_a_trusted_proxy_is_banned_by_its_own_address(make_world):
    world = make_world(real_ip_header="X-Forwarded-For", trusted_proxies=["10.0.0.1"])
    bob = world.host.add("bob", "192.0.2.7", headers={"X-Forwarded-For": "192.0.2.7"})
    assert ban(world, {"client": bob.snowflake}).result["ban"]["value"] == "192.0.2.7"
    assert refusal(ban, world, {"address": "10.0.0.1"}) == "protected"


@pytest.mark.parametrize(
    ("network", "owner", "forced", "moderator"),
    [
        ("198.51.0.0/16", None, None, "too_broad"),
        ("198.50.0.0/15", "too_broad", None, "too_broad"),
        ("198.51.100.0/24", None, None, None),
        ("198.51.100.0/23", None, None, "too_broad"),
        ("2001:db8::/48", None, None, "too_broad"),
        ("2001:db8::/47", "too_broad", None, "too_broad"),
        ("2001:db8::/64", None, None, None),
        ("0.0.0.0/0", "too_broad", "protected", "too_broad"),
        ("::/0", "too_broad", "protected", "too_broad"),
        ("127.0.0.0/8", "too_broad", "protected", "too_broad"),
        ("127.0.0.1/32", "protected", "protected", "protected"),
        ("::1/128", "protected", "protected", "protected"),
    ],
)
def test_how_wide_a_network_may_be(world, network, owner, forced, moderator):
    def outcome(actor, **options):
        try:
            ban(world, {"network": network}, actor=actor, **options)
        except AdminError as error:
            return error.code

    assert outcome(OWNER) == owner
    assert outcome(OWNER, force=True) == forced
    assert outcome(MODERATOR, force=True) == moderator


def test_an_owner_is_protected(world):
    world.sanctions.owner_addresses = lambda: ["198.51.100.7", "unix", "2001:db8::7"]
    assert refusal(ban, world, {"address": "203.0.113.9"}) == "protected"  # the actor's own
    assert refusal(ban, world, {"network": "203.0.113.0/24"}, force=True) == "protected"
    assert refusal(ban, world, {"address": "198.51.100.7"}, actor=MODERATOR) == "protected"
    assert refusal(ban, world, {"address": "2001:db8::8"}) == "protected"
    assert refusal(ban, world, {"network": "198.51.100.0/24"}, actor=MODERATOR) == "protected"
    ban(world, {"address": "203.0.113.10"})  # a moderator is not


def test_a_rogue_moderator(world):
    world.sanctions.owner_addresses = lambda: ["203.0.113.9"]
    assert refusal(ban, world, {"network": "0.0.0.0/0"}, actor=MODERATOR, force=True) == "too_broad"
    assert refusal(ban, world, {"address": "203.0.113.9"}, actor=MODERATOR) == "protected"
    for number in range(5):
        outcome = ban(world, {"name": f"player{number}"}, seconds=None, actor=MODERATOR)
        assert outcome.result["ban"]["until"] == int(NOW) + 604_800
    ban(world, {"name": "a real one"})
    assert world.sanctions.remove_ban(OWNER, by="tom", since=NOW).result == {"removed": 5}
    assert [item["value"] for item in world.sanctions.list_bans(OWNER)["items"]] == ["a real one"]
    assert [row["outcome"] for row in world.rows][:2] == ["too_broad", "protected"]


@pytest.mark.parametrize(
    "target",
    [
        {},
        [],
        "bob",
        {"client": 5},
        {"address": "x"},
        {"address": "192.0.2.0/33"},
        {"network": ""},
        {"name": ""},
        {"name": "x" * 1001},
        {"name": "a", "address": "192.0.2.1"},
        {"planet": "mars"},
    ],
)
def test_a_wrong_target_is_invalid(world, target):
    assert refusal(ban, world, target) == "invalid"


def test_wrong_parameters(world):
    for seconds in (0, -1, float("nan"), 1e12):
        assert refusal(ban, world, {"name": "bob"}, seconds=seconds) == "invalid"
    assert refusal(ban, world, {"name": "bob"}, reason="x" * 201) == "invalid"
    assert refusal(ban, world, {"client": "99"}) == "not_found"
    assert refusal(world.sanctions.remove_ban, OWNER) == "invalid"
    assert refusal(world.sanctions.remove_ban, OWNER, id=1, by="tom", since=0) == "invalid"
    assert refusal(world.sanctions.remove_ban, OWNER, by="tom") == "invalid"
    assert refusal(world.sanctions.remove_ban, OWNER, id=9) == "not_found"


def test_a_client_without_an_address_is_banned_by_name(world):
    bob = world.host.add("bob", "unix")
    assert refusal(ban, world, {"client": bob.snowflake}) == "protected"
    assert ban(world, {"name": "bob"}).result["hit"] == 1


def test_moderators_remove_their_own_only(world):
    number = ban(world, {"name": "bob"}).result["ban"]["id"]
    own = ban(world, {"name": "carl"}, actor=MODERATOR).result["ban"]["id"]
    assert refusal(world.sanctions.remove_ban, MODERATOR, id=number) == "forbidden"
    assert refusal(world.sanctions.remove_ban, MODERATOR, by="mia", since=0) == "forbidden"
    assert world.sanctions.remove_ban(MODERATOR, id=own).result == {"removed": 1}
    assert world.sanctions.remove_ban(OWNER, id=number).result == {"removed": 1}


# Being shown.


def test_a_preview_says_whom_it_hits(world):
    bob = world.host.add("bob", "192.0.2.7")
    for number in range(25):
        world.host.add(f"pupil{number:02}", "192.0.2.7")
    world.host.add("", "192.0.2.7")
    shown = world.sanctions.preview_ban(MODERATOR, {"client": bob.snowflake})
    assert shown["clients"] == 27
    assert len(shown["names"]) == 20
    assert shown["names"][0] == "bob"
    assert world.sanctions.preview_ban(OWNER, {"network": "192.0.2.0/24"})["clients"] == 27
    assert refusal(world.sanctions.preview_ban, MODERATOR, {"address": "192.0.2.7"}) == "forbidden"
    assert world.host.closed == []


def test_moderators_see_tags_and_search_by_name(world):
    bob = world.host.add("bob", "192.0.2.7")
    shown = ban(world, {"client": bob.snowflake}, actor=MODERATOR, reason="192").result["ban"]["value"]
    assert len(shown) == 6
    assert shown == world.sanctions.shown_address(MODERATOR, "192.0.2.7")
    ban(world, {"name": "carl"})
    items = world.sanctions.list_bans(MODERATOR)["items"]
    assert [item["value"] for item in items] == ["carl", shown]
    assert world.sanctions.list_bans(MODERATOR, search="192")["items"] == []
    assert len(world.sanctions.list_bans(MODERATOR, search="C-A")["items"]) == 1


@pytest.mark.parametrize(
    ("mode", "address", "network", "found"),
    [
        ("full", "192.0.2.7", "198.51.100.128/25", 1),
        ("anonymous", "192.0.2.0/24", "198.51.100.0/24", 0),
        ("none", "unknown", "unknown", 0),
    ],
)
def test_owners_see_what_the_setting_says(make_world, mode, address, network, found):
    world = make_world(admin_addresses=mode)
    ban(world, {"address": "192.0.2.7"})
    ban(world, {"network": "198.51.100.128/25"})
    assert [item["value"] for item in world.sanctions.list_bans(OWNER)["items"]] == [network, address]
    assert world.rows[0]["target"] == f"address:{address}"
    assert len(world.sanctions.list_bans(OWNER, search="198.51.100.200")["items"]) == found


def test_pages_of_bans(world):
    for number in range(7):
        ban(world, {"name": f"player{number}"})
    seen, after = [], None
    while True:
        page = world.sanctions.list_bans(OWNER, after=after, limit=3)
        seen.append([item["id"] for item in page["items"]])
        after = page["next"]
        if after is None:
            break
    assert seen == [[7, 6, 5], [4, 3, 2], [1]]
    assert page["total"] == 7


def test_an_address_finds_the_networks_that_hold_it(world):
    ban(world, {"network": "198.51.100.0/24"}, reason="a Bot net")
    ban(world, {"name": "bob"})
    assert len(world.sanctions.list_bans(OWNER, search="198.51.100.77")["items"]) == 1
    assert len(world.sanctions.list_bans(OWNER, search="botnet")["items"]) == 1
    assert world.sanctions.list_bans(OWNER, search="nothing")["items"] == []


# Moving bans.


def test_export_and_import(world, make_world):
    ban(world, {"address": "192.0.2.7"}, reason="spam")
    ban(world, {"name": "bob"}, seconds=None)
    ban(world, {"network": "198.0.0.0/8"}, force=True)
    exported = finish(world.sanctions.exporting_bans(OWNER))
    assert exported["next"] is None
    other = make_world()
    player = other.host.add("bob")
    tried = finish(other.sanctions.importing_bans(OWNER, exported["items"], dry_run=True))
    assert tried.result == {"added": 3, "refused": []}
    assert other.sanctions.list_bans(OWNER)["total"] == 0
    broken = [{"kind": "planet", "value": "mars"}, 5, {"kind": "address", "value": "127.0.0.1"}]
    outcome = finish(other.sanctions.importing_bans(OWNER, exported["items"] + broken))
    assert outcome.result["added"] == 3
    assert [entry["index"] for entry in outcome.result["refused"]] == [3, 4, 5]
    assert other.host.closed[0][0] == player.snowflake
    assert other.policy.closing("192.0.2.7").reason == "You are banned until 2026-02-01 18:00 UTC: spam"
    assert refusal(at_once(other.sanctions.importing_bans), OWNER, [{}] * 1001) == "invalid"


def test_an_export_has_pages_of_1000(world):
    items = [{"kind": "address", "value": f"198.51.{n // 250}.{n % 250}"} for n in range(1000)]
    finish(world.sanctions.importing_bans(OWNER, items))
    ban(world, {"name": "bob"})
    first = finish(world.sanctions.exporting_bans(OWNER))
    assert len(first["items"]) == 1000
    assert len(finish(world.sanctions.exporting_bans(OWNER, after=first["next"]))["items"]) == 1


# Connecting.


def test_a_banned_address_is_told_ten_times_a_minute(world):
    ban(world, {"address": "192.0.2.7"})
    knocks = []
    for _ in range(12):
        knocks.append(world.policy.is_knocking("192.0.2.7"))
        if not knocks[-1]:
            assert world.policy.closing("192.0.2.7").code == 4004
    assert knocks == [False] * 10 + [True] * 2
    assert world.policy.is_knocking("192.0.2.8") is False
    assert world.policy.refused["banned"] == 12
    assert world.sanctions.list_bans(OWNER)["items"][0]["hits"] == 12
    world.pass_time(60)
    assert world.policy.is_knocking("192.0.2.7") is False


def test_a_bounded_number_of_knocking_subscribers_is_counted(world, monkeypatch):
    monkeypatch.setattr("cloudlink.admin.policy._MOST_KNOCKERS", 5)
    ban(world, {"network": "2001:db8::/48"})
    for number in range(12):
        assert world.policy.is_knocking(f"2001:db8:0:{number:x}::1") is False
    assert len(world.policy._knocks) <= 5


def test_many_hits_disconnect_within_a_second(world):
    for _ in range(1000):
        world.host.add("x", "192.0.2.7")
    assert ban(world, {"address": "192.0.2.7"}).result["hit"] == 1000
    turns, began = [len(world.host.closed)], world.monotonic
    while world.host.due:
        delay, callback = world.host.due.pop(0)
        world.pass_time(delay)
        callback()
        turns.append(len(world.host.closed) - sum(turns))
    assert sum(turns) == 1000
    assert max(turns) <= 10
    assert world.monotonic - began < 1


def test_on_a_busy_server_more_are_disconnected_at_a_time(world):
    for _ in range(1000):
        world.host.add("x", "192.0.2.7")
    ban(world, {"address": "192.0.2.7"})
    world.pass_time(0.9)
    world.host.run_due(1)
    assert len(world.host.closed) == 1000


def test_many_bans_look_at_each_client_once(world):
    world.policy.bans.put(bans.Ban(id=0, kind="name", value="eve", by="mia", at=0))
    people = [
        world.host.add(name, address)
        for name, address in (
            ("ann", "192.0.2.1"),
            ("bob", "192.0.2.2"),
            ("B.O.B", "192.0.2.3"),
            ("carl", "198.51.100.9"),
            ("eve", "192.0.2.5"),
            ("", "192.0.2.6"),
        )
    ]
    looks = []
    players = world.host.players
    world.host.players = lambda: looks.append(1) or players()
    items = [
        {"kind": "name", "value": "bob", "reason": "a"},
        {"kind": "network", "value": "198.51.100.0/24", "reason": "b"},
        {"kind": "address", "value": "192.0.2.1", "until": 5},
    ]
    finish(world.sanctions.importing_bans(OWNER, items))
    told = [(snowflake, reason.rpartition(" ")[2]) for snowflake, _, reason in world.host.closed]
    assert told == [(people[1].snowflake, "a"), (people[2].snowflake, "a"), (people[3].snowflake, "b")]
    assert len(looks) == 1


# Automatic bans.


def test_flooders_are_banned(make_world):
    world = make_world(auto_ban_after=3)
    bob = world.host.add("bob", "192.0.2.7")
    for _ in range(2):
        world.sanctions.flooded(bob)
    world.pass_time(601)
    world.sanctions.flooded(bob)
    world.sanctions.flooded(bob)
    assert world.sanctions.list_bans(OWNER)["total"] == 0
    world.sanctions.flooded(bob)
    (item,) = world.sanctions.list_bans(OWNER)["items"]
    assert (item["value"], item["by"], item["reason"]) == ("192.0.2.7", "server", "flooding")
    assert item["until"] == item["at"] + 3600
    assert world.rows[-1]["via"] == "auto"
    assert world.sanctions.auto_bans == 1


@pytest.mark.parametrize("address", ["10.0.0.7", "172.17.0.1", "192.168.1.5", "fd00::1", "127.0.0.1", "unix"])
def test_a_private_address_is_never_banned_automatically(make_world, address):
    world = make_world(auto_ban_after=1)
    world.sanctions.flooded(world.host.add("bob", address))
    assert world.sanctions.list_bans(OWNER)["total"] == 0


def test_without_the_setting_nobody_is_banned_automatically(world):
    for _ in range(50):
        world.sanctions.flooded(world.host.add("bob", "192.0.2.7"))
    assert world.sanctions.list_bans(OWNER)["total"] == 0


def test_a_protected_flooder_is_not_banned(make_world):
    world = make_world(auto_ban_after=1)
    world.sanctions.owner_addresses = lambda: ["192.0.2.7"]
    world.sanctions.flooded(world.host.add("bob", "192.0.2.7"))
    assert world.rows[-1]["outcome"] == "protected"
    assert world.sanctions.auto_bans == 0


# Keeping.


def test_bans_outlive_a_restart_and_their_hits_too(make_world, tmp_path):
    first = make_world(tmp_path / "admin.db")
    outcome = ban(first, {"address": "192.0.2.7"}, reason="spam")
    assert outcome.saving.result(0)
    first.policy.closing("192.0.2.7")
    first.sanctions.finish()
    first.store.close()
    second = make_world(tmp_path / "admin.db")
    (item,) = second.sanctions.list_bans(OWNER)["items"]
    assert (item["id"], item["hits"], item["reason"]) == (1, 1, "spam")
    assert ban(second, {"name": "bob"}).result["ban"]["id"] == 2
    second.sanctions.remove_ban(OWNER, id=1)
    second.store.close()
    assert make_world(tmp_path / "admin.db").sanctions.list_bans(OWNER)["total"] == 1


def test_hits_are_saved_once_a_minute(make_world, tmp_path):
    world = make_world(tmp_path / "admin.db")
    ban(world, {"address": "192.0.2.7"})
    world.policy.closing("192.0.2.7")
    world.sanctions.tick()
    assert dict(world.store.records("ban"))["address:192.0.2.7"]["hits"] == 0
    world.pass_time(60)
    world.sanctions.tick()
    assert dict(world.store.records("ban"))["address:192.0.2.7"]["hits"] == 1


def test_a_running_server_notices_the_changes_of_another_process(make_world, tmp_path):
    server, terminal = make_world(tmp_path / "admin.db"), make_world(tmp_path / "admin.db")
    bob = server.host.add("bob")
    ban(terminal, {"name": "bob"})
    ban(server, {"name": "carl"})  # the same number; writing notices the other change
    assert server.host.closed[0][0] == bob.snowflake
    items = {item["value"]: item["id"] for item in server.sanctions.list_bans(OWNER)["items"]}
    assert items.keys() == {"bob", "carl"}
    assert len(set(items.values())) == 2
    terminal.sanctions.remove_ban(OWNER, by="mia", since=0)
    server.store.save([])
    assert server.policy.bans.for_name("bob", server.now) is None


def test_a_record_that_cannot_be_read_is_left_out(make_world, tmp_path):
    first = make_world(tmp_path / "admin.db")
    first.store.put("ban", "name:x", {"id": "one"})
    first.store.close()
    second = make_world(tmp_path / "admin.db")
    assert second.sanctions.list_bans(OWNER)["total"] == 0
    assert "cannot be read" in second.sanctions.notices[0]["text"]


def test_at_most_100_000(make_world, monkeypatch):
    monkeypatch.setattr("cloudlink.admin.banning.MOST_BANS", 2)
    world = make_world()
    ban(world, {"name": "a"})
    ban(world, {"name": "b"})
    assert refusal(ban, world, {"name": "c"}) == "too_many"
    assert (
        refusal(at_once(world.sanctions.importing_bans), OWNER, [{"kind": "name", "value": "c"}])
        == "too_many"
    )
    ban(world, {"name": "a"})
