"""Every method of the admin socket: who may call it, what it takes, and what it answers."""

from __future__ import annotations

import json
import random
from concurrent.futures import Future

import pytest

from cloudlink.admin.actors import AdminError, ErrorCode
from cloudlink.admin.methods import METHODS
from cloudlink.admin.serverview import Sample
from cloudlink.admin.store import AdminStore
from cloudlink.slices import finish
from tests.support.adminwire import CONSOLE, NEW_PASSWORD, PASSWORD, Administrators, FakePlayer, from_net

BOB = {"target": {"name": "bob"}}
WORDS = {"kind": "words", "entries": ["darn"], "action": "mask"}
GOOD = {
    "login": {"name": "mia", "password": PASSWORD},
    "resume": {"token": "x"},
    "setup": {"code": "x", "name": "mia", "password": PASSWORD},
    "setup.link": {},
    "logout": {},
    "touch": {},
    "me": {},
    "password.set": {"old": PASSWORD, "new": NEW_PASSWORD},
    "sessions.list": {},
    "sessions.end": {"id": 1},
    "subscribe": {"topics": ["stats"]},
    "unsubscribe": {"topics": ["stats"]},
    "stats.get": {},
    "stats.history": {"minutes": 5},
    "plugins.list": {},
    "bridges.list": {},
    "bridges.pause": {"name": "south"},
    "bridges.resume": {"name": "south"},
    "clients.list": {
        "search": "a",
        "limit": 5,
        "sort": "-name",
        "room": "r",
        "protocol": "cl4",
        "after": "1 bob",
    },
    "clients.get": {"id": "1"},
    "rooms.list": {},
    "rooms.get": {"name": "default"},
    "cloud.projects": {},
    "cloud.get": {"project": "104"},
    "clients.kick": {"id": "1", "reason": "spam"},
    "mutes.add": {**BOB, "seconds": 60, "reason": "spam", "hidden": True},
    "rooms.set": {"name": "den", "locked": True, "frozen": False, "slow": 5, "seconds": 60},
    "mutes.list": {},
    "mutes.remove": {"id": 1},
    "bans.preview": BOB,
    "bans.add": {**BOB, "seconds": None, "reason": "spam", "force": False},
    "bans.list": {"search": "b"},
    "bans.remove": {"id": 1},
    "filters.list": {},
    "filters.test": {"text": "darn"},
    "broadcast": {"text": "hi", "rooms": ["default"], "as": "gmsg"},
    "server.mode": {"mode": "guarded"},
    "audit.list": {},
    "bans.export": {},
    "bans.import": {"items": [], "dry_run": True},
    "filters.add": WORDS,
    "filters.remove": {"id": 1},
    "clients.grant": {"id": "1", "minutes": 5},
    "clients.revoke": {"id": "1"},
    "server.drain": {"seconds": 5, "message": "bye", "stop": False},
    "config.get": {},
    "config.reload": {},
    "commands.list": {},
    "commands.disable": {"name": "hello"},
    "commands.enable": {"name": "hello"},
    "cloud.set": {"project": "104", "name": "☁ x", "value": "5"},
    "cloud.delete": {"project": "104", "name": "☁ x"},
    "accounts.list": {},
    "accounts.add": {"name": "tom", "password": PASSWORD, "role": "viewer"},
    "accounts.set": {"name": "tom", "role": "owner"},
    "accounts.remove": {"name": "tom"},
    "accounts.unlock": {"name": "tom"},
}
"""Parameters that are right for each method."""
EVERYBODY = {"login", "resume", "setup"}
VIEWERS = {
    "logout", "touch", "me", "password.set", "sessions.list", "sessions.end", "subscribe", "unsubscribe", "stats.get",
    "stats.history", "plugins.list", "bridges.list", "clients.list", "clients.get", "rooms.list", "rooms.get", "cloud.projects", "cloud.get",
}  # fmt: skip
MODERATORS = {
    "clients.kick", "mutes.add", "rooms.set", "mutes.list", "mutes.remove", "bans.preview", "bans.add", "bans.list",
    "bans.remove", "filters.list", "filters.test", "broadcast", "server.mode", "audit.list", "bridges.pause",
    "bridges.resume",
}  # fmt: skip


@pytest.fixture
def administrators():
    made = Administrators()
    made.server.add(FakePlayer(1, "bob"), FakePlayer(2, "Alice", "den"), FakePlayer(3), FakePlayer(4, "bob"))
    return made


@pytest.fixture
def owner(administrators):
    return administrators.log_in("owner")


@pytest.fixture
def moderator(administrators):
    return administrators.log_in("moderator")


@pytest.fixture
def viewer(administrators):
    return administrators.log_in("viewer")


def test_the_tables_here_are_complete():
    assert GOOD.keys() == METHODS.keys()


@pytest.mark.parametrize("method", sorted(METHODS))
def test_who_may_call_it(administrators, method):
    administrators.add_account("tom", "viewer")
    needed = 0 if method in VIEWERS else 1 if method in MODERATORS else 2
    for rank, role in enumerate(("viewer", "moderator", "owner")):
        if method in EVERYBODY:
            continue
        socket = administrators.log_in(role)
        administrators.rows.clear()
        answer = socket.request(method, **GOOD[method])
        code = answer.get("error", {}).get("code")
        assert (code == "forbidden") == (rank < needed), answer
        assert code not in ("invalid", "internal", "unknown_method"), answer
        if code == "forbidden":
            assert administrators.lines == [(f"the-{role}", method, "", "forbidden")]
    if method not in EVERYBODY:
        assert administrators.connect().refused(method, **GOOD[method]) == "not_logged_in"


@pytest.mark.parametrize("method", sorted(METHODS))
def test_wrong_parameters_are_named(administrators, method):
    administrators.add_account("tom", "viewer")
    socket = administrators.connect() if method in EVERYBODY else administrators.connect(CONSOLE)
    for key, param in METHODS[method].params.items():
        for wrong in ([], {}, "x" * 60_000, -1, 1e300, None, True, [[]], {"a": 1}, ["x"] * 6000):
            if param.check(wrong) or (wrong is None and param.accepts_null):
                continue
            if len(json.dumps(wrong)) > 8000 and method in EVERYBODY:
                continue
            administrators.pass_time(1)
            error = socket.error(method, **{**GOOD[method], key: wrong})
            assert error["code"] == "invalid", (key, wrong)
            assert error["data"] == {"key": key}
            assert f"`{key}`" in error["message"]
        if param.is_required:
            params = {other: value for other, value in GOOD[method].items() if other != key}
            assert socket.error(method, **params)["data"] == {"key": key}
    assert socket.error(method, **GOOD[method], nonsense=1)["data"] == {"key": "nonsense"}


# Clients.


def test_clients_come_in_pages(administrators, viewer):
    first = viewer.ask("clients.list", limit=3)
    assert [one["id"] for one in first["items"]] == ["1", "2", "3"]
    assert (first["total"], first["next"]) == (4, "3")
    last = viewer.ask("clients.list", limit=3, after=first["next"])
    assert ([one["id"] for one in last["items"]], last["next"]) == (["4"], None)
    assert viewer.ask("clients.list", after="99") == {"items": [], "total": 4, "next": None}


def test_a_page_goes_on_after_a_client_that_has_left(administrators, viewer):
    following = viewer.ask("clients.list", limit=2)["next"]
    del administrators.server.found["2"]
    assert [one["id"] for one in viewer.ask("clients.list", limit=2, after=following)["items"]] == ["3", "4"]


@pytest.mark.parametrize(
    ("sort", "ids"),
    [
        ("since", ["1", "2", "3", "4"]),
        ("-since", ["4", "3", "2", "1"]),
        ("name", ["2", "1", "4", "3"]),
        ("-name", ["3", "4", "1", "2"]),
    ],
)
def test_clients_are_sorted(viewer, sort, ids):
    assert [one["id"] for one in viewer.ask("clients.list", sort=sort)["items"]] == ids
    found, after = [], None
    for _ in range(4):
        page = viewer.ask("clients.list", sort=sort, limit=1, **({"after": after} if after else {}))
        found += [one["id"] for one in page["items"]]
        after = page["next"]
    assert (found, after) == (ids, None)


@pytest.mark.parametrize(
    ("params", "ids"),
    [
        ({"search": "BO"}, ["1", "4"]),
        ({"search": "2"}, ["2"]),
        ({"search": "zz"}, []),
        ({"room": "den"}, ["2"]),
        ({"protocol": "scratch"}, []),
        ({"search": "a", "room": "den", "protocol": "cl4"}, ["2"]),
    ],
)
def test_clients_are_searched(viewer, params, ids):
    result = viewer.ask("clients.list", **params)
    assert [one["id"] for one in result["items"]] == ids
    assert (result["total"], result["next"]) == (len(ids), None)


@pytest.mark.parametrize("after", ["x", "-1", "1.5", "\u0661", "9" * 32])
def test_a_wrong_place_in_a_list_is_named(viewer, after):
    assert viewer.error("clients.list", after=after)["data"] == {"key": "after"}


def test_only_owners_see_addresses(owner, moderator, viewer):
    assert owner.ask("clients.get", id="1")["address"] == "203.0.113.7"
    for socket in (moderator, viewer):
        shown = socket.ask("clients.get", id="1")
        assert "address" not in shown
        assert "203.0.113.7" not in json.dumps(shown)
        assert len(shown["net"]) == 6
    assert viewer.refused("clients.get", id="99") == "not_found"


def test_kicking(administrators, moderator):
    assert moderator.refused("clients.kick", name="bob") == "ambiguous"
    assert moderator.ask("clients.kick", name="bob", all=True, reason="spam")["kicked"] == 2
    assert administrators.server.closed[0] == ("1", 4004, "You were kicked: spam")
    assert moderator.refused("clients.kick", id="1") == "not_found"
    assert moderator.refused("clients.kick") == "invalid"
    assert moderator.ask("clients.kick", ids=["2", "3", "99"])["kicked"] == 2
    assert administrators.lines[-1] == ("the-moderator", "clients.kick", "", "ok")


def test_grants_end_with_their_time_or_their_connection(administrators, owner):
    until = owner.ask("clients.grant", id="1", minutes=10)["until"]
    assert until == administrators.wall_clock.now + 600
    assert owner.ask("clients.get", id="1")["role"] == "moderator"
    assert owner.ask("clients.get", id="2")["role"] == ""
    owner.ask("clients.revoke", id="1")
    assert owner.refused("clients.revoke", id="1") == "not_found"
    owner.ask("clients.grant", id="1", minutes=10)
    administrators.pass_time(600)
    assert owner.ask("clients.get", id="1")["role"] == ""
    owner.ask("clients.grant", id="2", minutes=10)
    del administrators.server.found["2"]
    administrators.pass_time(1)
    assert len(administrators.core.grants) == 0
    assert owner.refused("clients.grant", id="2", minutes=10) == "not_found"


# Sanctions.


def test_a_ban_from_preview_to_removal(administrators, moderator):
    assert moderator.ask("bans.preview", **BOB) == {"clients": 2, "names": ["bob"]}
    result = moderator.ask("bans.add", **BOB, seconds=60, reason="spam")
    assert (result["hit"], result["saved"]) == (2, False)
    assert result["ban"]["by"] == "the-moderator"
    (item,) = moderator.ask("bans.list")["items"]
    assert item["id"] == result["ban"]["id"]
    assert moderator.ask("bans.remove", id=item["id"])["removed"] == 1
    assert moderator.ask("bans.list")["items"] == []


def test_bans_are_removed_by_id_or_by_actor_and_time(owner):
    for params in ({}, {"id": 1, "by": "x"}, {"by": "x"}, {"since": 5}, {"id": 1, "by": "x", "since": 5}):
        assert owner.refused("bans.remove", **params) == "invalid"


def test_what_a_rogue_moderator_did_can_be_undone(administrators, owner, moderator):
    began = administrators.wall_clock.now
    for number in range(5):
        result = moderator.ask(
            "bans.add", target={"address": f"198.51.100.{number}"}, seconds=None, reason=""
        )
        assert result["ban"]["until"] == began + administrators.settings.admin_moderator_max_ban
    assert (
        moderator.refused("bans.add", target={"network": "0.0.0.0/0"}, seconds=60, reason="") == "too_broad"
    )
    assert (
        moderator.refused("bans.add", target={"address": "127.0.0.1"}, seconds=60, reason="") == "protected"
    )
    assert owner.ask("bans.remove", by="the-moderator", since=began)["removed"] == 5


def test_an_owner_who_is_logged_in_cannot_be_banned(administrators, moderator):
    elsewhere = from_net("203.0.113.50")
    administrators.log_in("owner", elsewhere)
    assert (
        moderator.refused("bans.add", target={"address": "203.0.113.50"}, seconds=60, reason="")
        == "protected"
    )
    administrators.core.sessions.end_of("the-owner")
    moderator.ask("bans.add", target={"address": "203.0.113.50"}, seconds=60, reason="")


def test_mutes(owner):
    result = owner.ask("mutes.add", target={"client": "1"}, seconds=60, reason="", hidden=True)
    assert result["mute"]["hidden"]
    assert owner.ask("clients.get", id="1")["muted"]
    (item,) = owner.ask("mutes.list")["items"]
    owner.ask("mutes.remove", id=item["id"])
    assert not owner.ask("clients.get", id="1")["muted"]


def test_filters(owner, moderator):
    one = owner.ask("filters.add", **WORDS)["filter"]
    assert moderator.ask("filters.list")["items"][0]["id"] == one["id"]
    assert moderator.ask("filters.test", text="oh darn it")["masked"] == "oh **** it"
    owner.ask("filters.remove", id=one["id"])
    assert owner.refused("filters.remove", id=one["id"]) == "not_found"


def test_bans_move_to_another_server(owner):
    owner.ask("bans.add", **BOB, seconds=None, reason="spam")
    items = owner.ask("bans.export")["items"]
    other = Administrators().log_in("owner")
    assert other.ask("bans.import", items=items, dry_run=True)["added"] == 1
    assert other.ask("bans.list")["items"] == []
    assert other.ask("bans.import", items=[*items, {"kind": "x"}])["refused"][0]["index"] == 1
    assert other.ask("bans.list")["items"][0]["value"] == "bob"


def test_modes_and_announcements(administrators, owner, moderator):
    assert moderator.refused("server.mode", mode="closed") == "forbidden"
    assert moderator.ask("server.mode", mode="guarded")["mode"] == "guarded"
    assert owner.ask("stats.get")["mode"] == "guarded"
    assert owner.ask("server.drain", seconds=60, message="Bye")["mode"] == "draining"
    assert owner.ask("server.mode", mode="open")["mode"] == "open"
    moderator.ask("broadcast", text="Hello", rooms=["den"])
    assert administrators.server.announced == [("Bye", None, "motd"), ("Hello", ["den"], "motd")]


def test_moderators_see_their_own_lines_of_the_audit(owner, moderator):
    owner.ask("bans.add", **BOB, seconds=None, reason="")
    moderator.ask("clients.kick", id="2")
    assert {row["actor"] for row in moderator.ask("audit.list")["items"]} == {"the-moderator"}
    page = owner.ask("audit.list", limit=2)
    assert [row["method"] for row in page["items"]] == ["clients.kick", "bans.add"]
    assert owner.ask("audit.list", limit=2, after=page["next"])["items"][0]["method"] == "login"


# Rooms and cloud variables.


def test_rooms(administrators, owner, viewer):
    owner.ask("rooms.set", name="empty", locked=True)
    owner.ask("rooms.set", name="*", slow=5)
    result = viewer.ask("rooms.list")
    assert [(room["name"], room["clients"], room["locked"]) for room in result["items"]] == [
        ("default", 3, False),
        ("den", 1, False),
        ("empty", 0, True),
    ]
    assert (result["total"], result["next"], result["all"]["slow"]) == (3, None, 5)
    page = viewer.ask("rooms.list", limit=2)
    assert page["next"] == 2
    assert [room["name"] for room in viewer.ask("rooms.list", limit=2, after=2)["items"]] == ["empty"]
    assert [room["name"] for room in viewer.ask("rooms.list", search="DE")["items"]] == ["default", "den"]
    assert viewer.ask("rooms.get", name="den")["clients"] == 1
    assert viewer.ask("rooms.get", name="empty")["clients"] == 0
    assert viewer.ask("rooms.get", name="*")["clients"] == 4
    assert viewer.refused("rooms.get", name="nowhere") == "not_found"
    assert owner.error("rooms.set", name="default", locked=True)["data"] == {"key": "locked"}


def test_cloud_variables(administrators, owner, viewer):
    owner.ask("cloud.set", project="104", name="☁ x", value="5")
    owner.ask("cloud.set", project="104", name="☁ long", value="9" * 3000)
    assert viewer.ask("cloud.projects", search="10")["items"][0]["variables"] == 2
    shown = {one["name"]: one for one in viewer.ask("cloud.get", project="104")["items"]}
    assert shown["☁ x"]["value"] == "5"
    assert (len(shown["☁ long"]["value"]), shown["☁ long"]["length"]) == (2000, 3000)
    owner.ask("cloud.delete", project="104", name="☁ x")
    assert owner.refused("cloud.delete", project="104", name="☁ x") == "not_found"
    assert viewer.refused("cloud.get", project="105") == "not_found"
    assert ("the-owner", "cloud.set", "project:104", "ok") in administrators.lines
    assert "9999" not in json.dumps(administrators.rows)


# The server.


def test_the_settings_are_read_again_or_not_at_all(administrators, owner):
    assert owner.ask("config.reload")["changed"] == {"motd": ["", "hi"]}
    administrators.server.reloads = [AdminError("invalid", "cloudlink.toml has a mistake in line 3.")]
    assert owner.refused("config.reload") == "invalid"
    assert [line[3] for line in administrators.lines if line[1] == "config.reload"] == ["ok", "invalid"]
    assert owner.ask("config.get")["items"][0]["name"] == "motd"


def test_commands(administrators, owner):
    owner.ask("commands.disable", name="hello")
    assert owner.ask("commands.list")["items"][0]["disabled"]
    owner.ask("commands.enable", name="hello")
    assert not administrators.server.disabled
    assert administrators.lines[-1] == ("the-owner", "commands.enable", "command:hello", "ok")


def test_bridges(administrators, moderator):
    moderator.ask("bridges.pause", name="south")
    assert moderator.ask("bridges.list")["items"] == [{"name": "south", "paused": True}]
    moderator.ask("bridges.resume", name="south")
    assert not administrators.server.paused
    assert administrators.lines[-1] == ("the-moderator", "bridges.resume", "bridge:south", "ok")


def sample(seconds, clients=5):
    return Sample(clients, 1, 10 * seconds, 100 * seconds, 20 * seconds, 200 * seconds, 1000, 0.25)


def test_rates_are_per_second(administrators, viewer):
    administrators.clock.now += 2
    administrators.server.totals = sample(2)
    assert viewer.ask("stats.get") == {
        "at": int(administrators.wall_clock.now),
        "clients": 4,
        "rooms": 1,
        "messages_in": 10,
        "bytes_in": 100,
        "frames_out": 20,
        "bytes_out": 200,
        "memory": 1000,
        "loop_delay": 0.25,
        "mode": "open",
    }
    samples = administrators.server.samples
    viewer.ask("stats.get")
    assert administrators.server.samples == samples


def test_those_who_ask_while_a_sample_is_taken_wait_for_it(administrators):
    statistics, samples = administrators.core.statistics, administrators.server.samples
    administrators.clock.now += 2
    asked = [statistics.now(), statistics.now()]
    for one in asked:
        next(one)
    administrators.server.totals = sample(2)
    assert [finish(one) for one in asked] == [finish(statistics.now())] * 2
    assert administrators.server.samples == samples + 1


def test_the_history_has_an_entry_every_five_seconds_for_an_hour(administrators):
    viewer = administrators.connect(CONSOLE)
    for second in range(1, 3700):
        administrators.server.totals = sample(second, clients=second)
        administrators.pass_time(1)
    history = viewer.ask("stats.history")
    assert history["step"] == 5
    assert len(history["items"]) == 720
    assert {item["messages_in"] for item in history["items"]} == {10}
    assert [item["clients"] for item in history["items"][-2:]] == [3690, 3695]
    assert viewer.ask("stats.history", minutes=2)["items"] == history["items"][-24:]
    assert administrators.server.samples < 3699 / 4


def test_plugins(viewer):
    assert viewer.ask("plugins.list")["items"] == [{"name": "hello.py", "commands": ["hello"], "events": []}]


# Accounts.


def test_accounts(administrators, owner):
    assert owner.ask("accounts.add", name="Tom", password=PASSWORD, role="viewer")["account"]["name"] == "tom"
    assert owner.refused("accounts.add", name="TOM", password=PASSWORD, role="viewer") == "conflict"
    assert owner.error("accounts.add", name="a b", password=PASSWORD, role="viewer")["data"] == {
        "key": "name"
    }
    assert owner.refused("accounts.add", name="console", password=PASSWORD, role="viewer") == "invalid"
    assert owner.error("accounts.add", name="eve", password="short", role="viewer")["data"] == {
        "key": "password"
    }
    assert owner.refused("accounts.set", name="tom") == "invalid"
    assert owner.refused("accounts.set", name="nobody", role="owner") == "not_found"
    assert (
        owner.ask("accounts.set", name="tom", role="moderator", password=NEW_PASSWORD)["account"]["role"]
        == "moderator"
    )
    assert [one["name"] for one in owner.ask("accounts.list")["items"]] == ["the-owner", "tom"]
    assert "hash" not in json.dumps(owner.ask("accounts.list"))
    owner.ask("accounts.remove", name="tom")
    assert owner.refused("accounts.remove", name="tom") == "not_found"
    assert PASSWORD not in json.dumps(administrators.rows)


@pytest.mark.parametrize(
    ("method", "params"), [("accounts.remove", {}), ("accounts.set", {"role": "moderator"})]
)
def test_the_last_owner_stays(administrators, owner, method, params):
    error = owner.error(method, name="the-owner", **params)
    assert (error["code"], "the last owner" in error["message"]) == ("conflict", True)
    administrators.add_account("mia", "owner")
    owner.ask(method, name="mia", **params)


def test_the_account_of_the_settings_cannot_be_changed(administrators):
    administrators.accounts.load("scrypt:hash")
    console = administrators.connect(CONSOLE)
    assert console.ask("accounts.list")["items"][0]["fixed"]
    for method, params in (("accounts.remove", {}), ("accounts.set", {"role": "viewer"})):
        assert "admin_password_hash" in console.error(method, name="owner", **params)["message"]


def test_a_new_link_for_the_first_account(administrators):
    console = administrators.connect(CONSOLE)
    result = console.ask("setup.link")
    assert result["seconds"] == 900
    code = result["link"].partition("#setup=")[2]
    administrators.connect().ask("setup", code=code, name="mia", password=PASSWORD)
    assert "cloudlink admin password" in console.error("setup.link")["message"]


def test_unlocking_an_account(administrators):
    administrators.add_account("mia", "owner")
    for number in range(10):
        administrators.connect(from_net(f"198.51.100.{number}")).request("login", name="mia", password="x")
    stranger = administrators.connect(from_net("203.0.113.1"))
    assert stranger.refused("login", name="mia", password=PASSWORD) == "throttled"
    administrators.connect(CONSOLE).ask("accounts.unlock", name="mia")
    assert stranger.ask("login", name="mia", password=PASSWORD)["role"] == "owner"


def test_a_change_that_cannot_be_saved_has_not_happened(tmp_path):
    store = AdminStore(tmp_path / "admin.db", patience=0.02)
    store.open()
    administrators = Administrators(store)
    owner = administrators.log_in("owner")
    store.close()
    store._database = None
    administrators.accounts._store = Unwritable()
    for method, params in (
        ("accounts.add", {"name": "tom", "password": PASSWORD, "role": "viewer"}),
        ("accounts.set", {"name": "the-owner", "password": NEW_PASSWORD}),
    ):
        error = owner.error(method, **params)
        assert (error["code"], "The disk is full." in error["message"]) == ("storage", True)
    assert [one["name"] for one in owner.ask("accounts.list")["items"]] == ["the-owner"]
    assert administrators.connect().ask("login", name="the-owner", password=PASSWORD)
    store.close()  # a login has opened it again


class Unwritable:
    """A file that cannot be written."""

    is_memory_only = False
    trouble = "The disk is full."

    def save(self, changes, *, keep=True):
        future = Future()
        future.set_result(False)
        return future


def test_accounts_outlive_a_restart_and_others_change_them(tmp_path):
    path = tmp_path / "admin.db"
    store = AdminStore(path)
    store.open()
    administrators = Administrators(store)
    administrators.log_in("owner", from_net("198.51.100.9"))
    store.close()
    store = AdminStore(path)
    store.open()
    again = Administrators(store)
    again.accounts.load()
    assert [account.name for account in again.accounts.all()] == ["the-owner"]
    again.wall_clock.now += 86_400 * 29
    assert again.accounts.is_known("the-owner", "198.51.100.9")
    assert not again.accounts.is_known("the-owner", "198.51.100.10")
    again.wall_clock.now += 86_400 * 2
    assert not again.accounts.is_known("the-owner", "198.51.100.9")
    socket = again.log_in("owner")
    again.accounts._changed_elsewhere("the-owner", None)
    again.pass_time(1)
    assert socket.closed == (4401, "Log in again")
    store.close()
    for record in (5, {}, {"role": "king", "hash": "x", "at": 1}, {"role": "owner", "hash": 5, "at": 1}):
        again.accounts._changed_elsewhere("odd", record)
    again.accounts._changed_elsewhere("tom", {"role": "viewer", "hash": "x", "at": 1})
    assert [account.name for account in again.accounts.all()] == ["tom"]
    store.close()


def test_few_subscribers_are_remembered_for_an_account(administrators):
    administrators.add_account("mia", "owner")
    for number in range(300):
        administrators.wall_clock.now += 1
        administrators.accounts.note_login("mia", f"subscriber{number}")
    known = [
        number for number in range(300) if administrators.accounts.is_known("mia", f"subscriber{number}")
    ]
    assert known == list(range(100, 300))


# Topics.


def test_topics_and_who_may_subscribe(administrators, owner, moderator, viewer):
    assert viewer.ask("subscribe", topics=["stats", "notices"]) == {"topics": ["stats", "notices"]}
    assert viewer.refused("subscribe", topics=["audit"]) == "forbidden"
    assert moderator.refused("subscribe", topics=["log"]) == "forbidden"
    assert viewer.refused("subscribe", topics=["watch:client:1"]) == "forbidden"
    assert owner.error("subscribe", topics=["weather"])["data"] == {"key": "topics"}
    assert viewer.ask("unsubscribe", topics=["stats", "audit"]) == {"topics": ["notices"]}
    assert not administrators.core.topics.has("stats")


def test_the_audit_as_it_happens(owner, moderator):
    owner.ask("subscribe", topics=["audit"])
    moderator.ask("subscribe", topics=["audit"])
    owner.ask("rooms.set", name="den", frozen=True)
    moderator.ask("rooms.set", name="den", frozen=False)
    assert [row["actor"] for row in owner.events("audit")] == ["the-owner", "the-moderator"]
    assert [row["actor"] for row in moderator.events("audit")] == ["the-moderator"]


def test_newcomers_get_the_last_notices_and_lines(administrators, owner):
    administrators.sanctions.notify("The disk is full.")
    for number in range(600):
        administrators.core.topics.line({"text": f"line {number}"})
    owner.ask("subscribe", topics=["notices", "log"])
    assert [notice["text"] for notice in owner.events("notices")] == ["The disk is full."]
    assert [line["text"] for line in owner.events("log")] == [f"line {number}" for number in range(100, 600)]
    owner.ask("subscribe", topics=["log"])
    assert owner.events("log") == []


def test_the_log_is_not_shown_if_it_tells_more_of_addresses(administrators, owner):
    administrators.settings.admin_addresses = "none"
    assert owner.refused("subscribe", topics=["log"]) == "unavailable"


def test_watching_is_recorded_and_can_be_forbidden(administrators, moderator):
    begun = []
    administrators.core.topics.on_watch(lambda topic, watched: begun.append((topic, watched)))
    moderator.ask("subscribe", topics=["watch:client:1", "watch:room:den"])
    assert administrators.lines[-2:] == [
        ("the-moderator", "subscribe", "client:1", "ok"),
        ("the-moderator", "subscribe", "room:den", "ok"),
    ]
    assert moderator.refused("subscribe", topics=["watch:client:99"]) == "not_found"
    moderator.ask("unsubscribe", topics=["watch:client:1"])
    moderator.socket.lost()
    assert begun == [
        ("watch:client:1", True),
        ("watch:room:den", True),
        ("watch:client:1", False),
        ("watch:room:den", False),
    ]
    administrators.settings.admin_watch = False
    assert administrators.log_in("owner").refused("subscribe", topics=["watch:room:den"]) == "unavailable"


def test_few_clients_and_rooms_are_watched_by_one_socket(administrators, owner):
    owner.ask("subscribe", topics=[f"watch:room:{number}" for number in range(20)])
    assert owner.refused("subscribe", topics=["watch:room:20"]) == "too_many"
    owner.ask("subscribe", topics=["watch:room:0", "stats"])


# Threats.


def test_guessing_from_many_addresses_is_throttled_and_the_owner_gets_in(administrators):
    administrators.add_account("mia", "owner")
    home = from_net("203.0.113.99")
    administrators.connect(home).ask("login", name="mia", password=PASSWORD)
    looked_at = administrators.hasher.checks
    for number in range(1000):
        socket = administrators.connect(from_net(f"198.51.{number // 250}.{number % 250}"))
        right = socket.refused("login", name="mia", password=PASSWORD if number > 5 else "wrong")
        assert right == ("throttled" if number >= 5 else "wrong_credentials")
        socket.socket.lost()
    assert administrators.hasher.checks == looked_at + 5
    assert administrators.connect(home).ask("login", name="mia", password=PASSWORD)["name"] == "mia"
    assert administrators.connect(CONSOLE).ask("me")["role"] == "owner"
    assert len(administrators.rows) < 50
    administrators.pass_time(61)
    administrators.sanctions.tick()
    assert administrators.rows[-1]["params"]["count"] > 900


def test_guessing_from_one_address(administrators):
    administrators.add_account("mia", "owner")
    codes = []
    for number in range(15):
        socket = administrators.connect()
        codes.append(socket.refused("login", name=f"name{number}", password="x"))
        socket.socket.lost()
    assert codes == ["wrong_credentials"] * 10 + ["throttled"] * 5
    assert (
        administrators.connect().error("login", name="mia", password=PASSWORD)["data"]["retry_after"] == 600
    )
    administrators.pass_time(600)
    assert administrators.connect().ask("login", name="mia", password=PASSWORD)


def test_no_secret_is_written_down(administrators, caplog):
    caplog.set_level("DEBUG")
    code = administrators.core.setup_code.make()
    socket = administrators.connect()
    token = socket.ask("setup", code=code, name="mia", password=PASSWORD)["token"]
    socket.ask("accounts.add", name="tom", password=NEW_PASSWORD, role="viewer")
    socket.ask("broadcast", text="a private announcement")
    socket.ask("filters.add", kind="words", entries=["secretword"], action="block")
    socket.ask("password.set", old=PASSWORD, new=NEW_PASSWORD)
    administrators.connect().request("login", name="a secret password", password="another secret")
    written = json.dumps(administrators.rows) + caplog.text
    for secret in (code, token, PASSWORD, NEW_PASSWORD, "announcement", "secret", "scrypt"):
        assert secret not in written


def test_control_characters_are_escaped_in_the_audit(administrators, owner):
    owner.ask("bans.add", target={"name": "a\nfake line\x1b[31m\u202e"}, seconds=None, reason="x\r\ny")
    row = json.dumps(administrators.rows[-1], ensure_ascii=False)
    assert not any(character in row for character in "\n\r\x1b\u202e")


# Random frames.


def junk(source, depth=0):
    """Any JSON value."""
    kind = source.randrange(9 if depth < 3 else 6)
    if kind == 0:
        return source.choice([None, True, False])
    if kind == 1:
        return source.choice([0, 1, -1, 1 << 40, 1 << 70, 0.5, 1e308])
    if kind in (2, 3, 4, 5):
        return source.choice(
            ["", "bob", "1", "*", "default", "\x00", "\ud800", "x" * 300, "0.0.0.0/0", "::/0"]
        )
    if kind == 6:
        return [junk(source, depth + 1) for _ in range(source.randrange(4))]
    return {str(junk(source, 3)): junk(source, depth + 1) for _ in range(source.randrange(4))}


def random_frame(source):
    if source.random() < 0.03:
        return source.choice(["", "[]", "5", "{", '{"id":', "\x00", "null", '{"id":1}', "x" * 9000])
    method = source.choice([*METHODS, "", "nope", 5])
    params = {}
    if method in METHODS:
        for key, value in GOOD[method].items():
            if source.random() < 0.9:
                params[key] = value if source.random() < 0.6 else junk(source)
    if source.random() < 0.1:
        params[str(junk(source, 3))] = junk(source)
    frame = {
        "id": junk(source) if source.random() < 0.1 else source.randrange(100),
        "method": method,
        "params": params,
    }
    if source.random() < 0.05:
        frame[source.choice(["id", "method", "params", "more"])] = junk(source)
    return json.dumps(frame)


@pytest.mark.parametrize("kind", ["before the login", "viewer", "moderator", "owner"])
def test_random_frames_get_answers_and_closes_and_nothing_else(administrators, kind, caplog):
    source = random.Random(kind)
    seen = set()
    socket = None
    for _ in range(10_000):
        restore(administrators, kind)
        if socket is None or socket.closed is not None:
            socket = administrators.connect()
            if kind != "before the login":
                socket.socket.log_in(administrators.core.sessions.begin(f"the-{kind}", "127.0.0.1")[1])
            socket.heard.clear()
        administrators.clock.now += 0.05
        if source.random() < 0.001:
            administrators.pass_time(5)
        socket.say(random_frame(source))
        seen |= outcomes(socket)
    assert "failed" not in caplog.text
    assert {"invalid", "unknown_method", 4400} <= seen
    assert seen <= {4400, 4401, 1009, 4408, 4429, "result", "token", *ErrorCode.__args__} - {"internal"}
    if kind == "before the login":
        assert "not_logged_in" in seen
        assert "result" not in seen
        assert administrators.server.closed == []
        assert administrators.sanctions.policy.judges_packets is False
    else:
        assert "result" in seen


def restore(administrators, kind):
    """Put back whom the frames have removed."""
    administrators.server.reloads = [{"changed": {}, "needs_restart": []}]
    if not administrators.server.found:
        administrators.server.add(FakePlayer(1, "bob"), FakePlayer(2, "Alice", "den"))
    for name, role in (("tom", "viewer"), (f"the-{kind}", kind)):
        if name not in administrators.accounts and role != "before the login":
            administrators.add_account(name, role)


def outcomes(socket):
    """Take what was heard, check its form, and return what it says: error codes, close codes, `result` or `token`."""
    found = set() if socket.closed is None else {socket.closed[0]}
    for frame in socket.heard:
        assert frame.keys() in ({"id", "result"}, {"id", "error"}, {"event", "data"})
        if "error" in frame:
            found.add(frame["error"]["code"])
        elif "result" in frame:
            found.add("token" if "token" in frame["result"] else "result")
    socket.heard.clear()
    return found
