"""A server of several processes, of which the first one has the admin sockets: lists and actions reach all of them."""

from __future__ import annotations

import pytest

from cloudlink.admin.actors import AdminError
from cloudlink.admin.following import Followers, Following
from cloudlink.admin.host import Away
from cloudlink.admin.moderation import Moderation
from tests.admin.conftest import MODERATOR, OWNER
from tests.support.adminpeers import MemoryPeers
from tests.support.adminwire import PASSWORD, Administrators, FakePlayer


class Server:
    """Three processes with a player each: ada, bob and bea; the third one has bob, too."""

    def __init__(self):
        self.peers = MemoryPeers()
        self.processes = [Administrators() for _ in range(3)]
        self.first, self.second, self.third = self.processes
        self.following = []
        for number, one in enumerate(self.processes):
            one.core.sanctions.tag_key = b"the same"
            self.peers.join(f"n{number + 1}", one.core)
            self._answer_more(number, one)
        self.first.core.follow = self.following[0].tell
        self.first.server.add(FakePlayer(1, "ada"))
        self.second.server.add(FakePlayer(2, "bob"))
        self.third.server.add(FakePlayer(3, "bea", room="den"), FakePlayer(4, "bob", address="198.51.100.9"))
        self.owner = self.first.log_in()

    def _answer_more(self, number, one):
        asking = self.peers.asking[f"n{number + 1}"]
        answer = asking.answer
        following = Following(one.core.topics, asking)
        self.following.append(following)
        followers = one.followers = Followers(one.core.topics, asking, one.clock)

        def more(question, params, process):
            if question == "follow":
                followers.follow(process, params["topics"])
            elif question == "event":
                following.take(params["topic"], params["data"], process)
            else:
                return answer(question, params, process)
            return {}

        asking.answer = more


@pytest.fixture
def server():
    return Server()


def test_clients(server):
    listed = server.owner.ask("clients.list", sort="name", limit=3)
    assert [(one["name"], one["id"]) for one in listed["items"]] == [("ada", "1"), ("bea", "3"), ("bob", "2")]
    assert (listed["total"], listed["next"]) == (4, "2 bob")
    rest = server.owner.ask("clients.list", sort="name", after=listed["next"])
    assert [(one["id"], one["address"]) for one in rest["items"]] == [("4", "198.51.100.9")]
    assert len({one["net"] for one in listed["items"]}) == 1
    assert server.owner.ask("clients.list", search="be")["total"] == 1
    assert server.owner.ask("clients.get", id="3")["name"] == "bea"
    assert server.owner.ask("clients.get", id="1")["name"] == "ada"
    assert server.owner.refused("clients.get", id="9") == "not_found"
    viewer = server.first.log_in("viewer")
    assert "address" not in viewer.ask("clients.get", id="4")


def test_kicks(server):
    error = server.owner.error("clients.kick", name="bob")
    assert (error["code"], error["data"]) == ("ambiguous", {"ids": ["2", "4"]})
    assert server.owner.ask("clients.kick", name="bob", all=True, reason="x") == {"kicked": 2, "saved": True}
    assert server.third.server.closed == [("4", 4004, "You were kicked: x")]
    assert server.owner.ask("clients.kick", id="3") == {"kicked": 1, "saved": True}
    assert server.owner.refused("clients.kick", id="3") == "not_found"
    assert server.owner.refused("clients.kick", name="bob") == "not_found"
    assert [line[1:] for line in server.first.lines if line[1] == "clients.kick"] == [
        ("clients.kick", "name:bob", "ambiguous"),
        ("clients.kick", "name:bob", "ok"),
        ("clients.kick", "client:3", "ok"),
        ("clients.kick", "client:3", "ok"),
        ("clients.kick", "name:bob", "not_found"),
    ]


def test_grants(server):
    until = server.owner.ask("clients.grant", id="2", minutes=5)["until"]
    assert until == server.first.wall_clock.now + 300
    assert server.owner.ask("clients.get", id="2")["role"] == "moderator"
    assert server.second.core.grants.holds("2")
    assert server.owner.ask("clients.revoke", id="2") == {}
    assert server.owner.refused("clients.revoke", id="2") == "not_found"
    assert server.owner.refused("clients.grant", id="9", minutes=5) == "not_found"
    lines = [line[1:] for line in server.first.lines if line[1].startswith("clients.")]
    assert lines == [("clients.grant", "client:2", "ok"), ("clients.revoke", "client:2", "ok")]


def test_bans_of_clients_elsewhere(server):
    target = {"client": "4"}
    assert server.owner.ask("bans.preview", target=target) == {"clients": 1, "names": ["bob"]}
    answer = server.owner.ask("bans.add", target=target, seconds=60, reason="x")
    assert (answer["ban"]["value"], answer["hit"]) == ("198.51.100.9", 1)
    assert server.third.server.closed[0][:2] == ("4", 4004)
    assert server.owner.refused("bans.add", target=target, seconds=60, reason="x") == "not_found"
    assert server.owner.ask("bans.preview", target={"name": "bob"}) == {"clients": 1, "names": ["bob"]}
    server.second.server.found["2"].request_headers = {"X-Real-IP": "1.2.3.4"}
    error = server.owner.error("bans.add", target={"client": "2"}, seconds=60, reason="x")
    assert (error["code"], "X-Real-IP" in error["message"]) == ("protected", True)
    assert server.first.core.sanctions._away == {}


def test_mutes_of_clients_elsewhere(server):
    answer = server.owner.ask("mutes.add", target={"client": "3"}, seconds=60, reason="x")
    assert (answer["hit"], answer["mute"]["value"]) == (1, "3")
    assert server.owner.ask("mutes.list")["items"][0]["name"] == "bea"
    assert server.owner.ask("clients.get", id="3")["muted"]
    assert server.owner.refused("mutes.add", target={"client": "9"}, seconds=60, reason="x") == "not_found"
    assert len(server.owner.ask("mutes.list")["items"]) == 1


def test_rooms(server):
    server.owner.ask("rooms.set", name="empty", locked=True)
    rooms = server.owner.ask("rooms.list")
    assert [(one["name"], one["clients"]) for one in rooms["items"]] == [
        ("default", 3),
        ("den", 1),
        ("empty", 0),
    ]
    assert server.owner.ask("rooms.list", search="DE")["total"] == 2
    assert server.owner.ask("rooms.get", name="den")["clients"] == 1
    assert server.owner.ask("rooms.get", name="*")["clients"] == 4
    assert server.owner.refused("rooms.get", name="nowhere") == "not_found"
    assert server.third.core.sanctions.room_rules("empty")["locked"]


def test_the_state_of_the_server(server):
    assert server.owner.ask("stats.get")["clients"] == 4
    for one in server.processes:
        one.server.totals = one.server.totals._replace(clients=one.server.count_players())
    server.owner.ask("subscribe", topics=["stats"])
    for one in server.processes:
        one.pass_time(10)
    assert server.owner.events("stats")[-1]["clients"] == 4
    assert server.owner.ask("stats.history")["items"][-1]["clients"] == 4


def test_cloud_variables_are_asked_for_where_they_are_in_memory(server):
    server.third.server.cloud["7"] = {"x": b"1"}
    assert server.owner.ask("cloud.get", project="7")["items"] == [{"name": "x", "value": "1", "length": 1}]
    server.owner.ask("cloud.set", project="7", name="x", value=2)
    assert server.third.server.cloud == {"7": {"x": b"2"}}
    assert server.first.server.cloud == {}
    assert server.owner.ask("cloud.projects")["items"][0]["project"] == "7"
    assert server.owner.refused("cloud.delete", project="7", name="y") == "not_found"
    assert server.owner.ask("cloud.delete", project="7", name="x") == {}
    server.owner.ask("cloud.set", project="8", name="x", value=2)
    assert server.first.server.cloud == {"8": {"x": b"2"}}
    assert server.owner.refused("cloud.get", project="9") == "not_found"


def test_commands(server):
    server.owner.ask("commands.disable", name="gmsg")
    assert [one.server.disabled for one in server.processes] == [{"gmsg"}] * 3


def test_what_one_process_refuses_is_a_notice(server):
    def refuse(_name, *, disabled):
        raise AdminError("not_found", "It has no such command.")

    server.third.server.set_command = refuse
    assert server.owner.ask("commands.disable", name="gmsg") == {"missing": ["n3"], "processes": 3}
    assert server.first.core.sanctions.notices[-1]["text"] == (
        "n3 did not do what the other processes did: It has no such command."
    )


def test_the_audit_of_all_processes_by_time_and_by_pages(server):
    for at, one in enumerate((server.first, server.second, server.third, server.second, server.first)):
        one.wall_clock.now += 60 * at
        one.core.audit.record(OWNER if at != 3 else MODERATOR, f"m{at}")
    server.first.rows.clear()

    def pages(who, limit):
        after = {}
        while True:
            page = who.ask("audit.list", limit=limit, **after)
            yield from ((row["method"], row.get("node")) for row in page["items"])
            if page["next"] is None:
                return
            after = {"after": page["next"]}

    lines = [("m4", None), ("m3", "n2"), ("m2", "n3"), ("m1", "n2"), ("login", None), ("m0", None)]
    whole = [line for line in pages(server.owner, 200) if line[0] != "login"]
    assert whole == [line for line in lines if line[0] != "login"]
    for limit in (1, 2, 3):
        assert [line for line in pages(server.owner, limit) if line[0] != "login"] == whole
    server.first.add_account("tom", "moderator")
    moderator = server.first.connect()
    moderator.ask("login", name="tom", password=PASSWORD)
    assert [line for line in pages(moderator, 1) if line[0] != "login"] == [("m3", "n2")]
    for wrong in ("x", "[]", '{"n2": "x"}', '{"n2": -1}'):
        assert server.owner.refused("audit.list", after=wrong) == "invalid"


def test_announcements_modes_and_drains(server):
    assert server.owner.ask("broadcast", text="Hi")["sent"] == 4
    server.owner.ask("server.mode", mode="closed", message="Later")
    assert [one.core.sanctions.mode for one in server.processes] == ["closed"] * 3
    server.owner.ask("server.drain", seconds=60, message="Bye")
    assert [one.core.sanctions.mode for one in server.processes] == ["draining"] * 3
    assert server.third.server.announced == [("Hi", None, "motd"), ("Bye", None, "motd")]


def test_a_stuck_process_is_named_and_waited_for_no_longer_than_needed(server):
    server.peers.stuck.add("n3")
    assert server.owner.request("clients.list") is None
    server.peers.time_out()
    listed = server.owner.answer(server.owner.last_id)["result"]
    assert (listed["total"], listed["missing"], listed["processes"]) == (2, ["n3"], 3)
    assert server.owner.request("clients.kick", id="3") is None
    server.peers.time_out()
    assert server.owner.answer(server.owner.last_id)["result"] == {
        "kicked": 0,
        "missing": ["n3"],
        "processes": 3,
        "saved": True,
    }
    assert server.owner.request("clients.kick", name="bob") is None
    server.peers.time_out()
    server.peers.time_out()
    assert server.owner.answer(server.owner.last_id)["result"] == {
        "kicked": 1,
        "missing": ["n3"],
        "processes": 3,
        "saved": True,
    }
    assert server.owner.request("mutes.add", target={"client": "3"}, seconds=60, reason="") is None
    server.peers.time_out()
    assert server.owner.answer(server.owner.last_id)["result"]["missing"] == ["n3"]


def test_a_rush_guards_all_processes_until_it_is_over(server):
    def pass_time(seconds):
        for one in server.processes:
            one.clock.now += seconds
        for one in server.processes:
            one.core.sanctions.tick()

    for one in server.processes:
        one.settings.guard_at, one.settings.guard_time = 5.0, 60.0
    for _ in range(6):
        server.second.core.sanctions.count_connection()
    modes = [one.core.sanctions for one in server.processes]
    assert [one.mode for one in modes] == ["guarded"] * 3
    pass_time(50)
    for _ in range(6):
        server.third.core.sanctions.count_connection()
    pass_time(20)
    assert [one.mode for one in modes] == ["guarded"] * 3
    pass_time(40)
    assert [one.mode for one in modes] == ["open"] * 3
    assert modes[0].shared_mode["mode"] == "open"  # for a process that is started later
    rows = [row for one in server.processes for row in one.rows if row["method"] == "server.mode"]
    assert sorted(row["params"]["mode"] for row in rows) == ["guarded", "open"]


def test_floods_count_in_all_processes(server):
    for one in server.processes:
        one.settings.auto_ban_after, one.settings.auto_ban_time = 3, 60.0
    second, third = (one.core.sanctions for one in (server.second, server.third))
    ada, bob = FakePlayer(7, "ada"), FakePlayer(8, "bob", address="198.51.100.9")
    second.flooded(ada)
    third.flooded(bob)
    third.flooded(ada)
    assert not second.policy.bans.has_networks
    second.flooded(ada)
    for one in server.processes:
        assert [ban.value for ban in one.core.sanctions.policy.bans] == ["203.0.113.7"]
    assert [one.core.sanctions.auto_bans for one in server.processes] == [0, 1, 0]
    third.flooded(ada)  # counts anew, once the ban has ended
    assert third.auto_bans == 0


def test_what_bans_turn_away_counts_in_all_processes(server):
    server.owner.ask("bans.add", target={"address": "198.51.100.7"}, seconds=None, reason="")
    second, third = (one.core.sanctions for one in (server.second, server.third))
    for sanctions, times in ((second, 3), (third, 2)):
        for _ in range(times):
            assert sanctions.policy.closing("198.51.100.7") is not None
        sanctions.tick()
    bans = [next(iter(one.core.sanctions.policy.bans)) for one in server.processes]
    assert [ban.hits for ban in bans] == [5, 5, 5]
    assert {ban.last_hit for ban in bans} == {int(server.second.wall_clock.now)}
    old = {**bans[0].record(), "hits": 4, "last_hit": None}  # another process has saved it a moment ago
    second._ban_changed(bans[0].target.key, old)
    assert next(iter(second.policy.bans)).hits == 5


def test_watching(server):
    server.owner.ask("subscribe", topics=["watch:client:3", "watch:room:den"])
    assert server.owner.refused("subscribe", topics=["watch:client:9"]) == "not_found"
    topics = server.third.core.topics
    for number in range(25):
        if topics.admits("watch:room:den"):
            topics.show_admitted("watch:room:den", {"text": number})
    assert [one["text"] for one in server.owner.events("watch:room:den")] == list(range(20))
    server.third.clock.now += 1
    server.first.clock.now += 1
    assert topics.admits("watch:room:den")
    topics.show_admitted("watch:room:den", {"text": "x"})
    assert server.owner.events("watch:room:den") == [{"text": "x", "left_out": 5}]
    server.owner.ask("unsubscribe", topics=["watch:room:den"])
    assert (topics.has("watch:client:3"), topics.has("watch:room:den")) == (True, False)
    server.owner.socket.close(1000, "")
    server.following[0].tell()
    assert not topics.has("watch:client:3")


def test_a_process_that_is_gone_follows_nothing(server):
    server.owner.ask("subscribe", topics=["watch:client:3"])
    for _ in range(3):
        server.third.clock.now += 4
        server.following[0].tell()
        server.third.followers.tick()
    assert server.third.core.topics.has("watch:client:3")
    server.third.clock.now += 6
    server.third.followers.tick()
    assert not server.third.core.topics.has("watch:client:3")


def test_the_log(server):
    for at, one in enumerate((server.first, server.second, server.third, server.first)):
        one.core.topics.line({"at": at, "logger": "x", "text": str(at)})
    server.owner.ask("subscribe", topics=["log", "notices"])
    server.third.core.topics.line({"at": 9, "logger": "x", "text": "now"})
    assert [(one["text"], one.get("node")) for one in server.owner.events("log")] == [
        ("0", None),
        ("1", "n2"),
        ("2", "n3"),
        ("3", None),
        ("now", "n3"),
    ]
    again = server.first.log_in()
    again.ask("subscribe", topics=["log"])
    assert [one["text"] for one in again.events("log")] == ["0", "1", "2", "3", "now"]
    server.third.core.sanctions.notify("Look!")
    assert server.owner.events("notices")[-1]["text"] == "Look!"


def test_processes_with_sockets_of_their_own_send_each_other_only_what_is_theirs(server):
    second = server.second.log_in()
    followings = server.following
    server.second.core.follow = followings[1].tell
    for owner in (server.owner, second):
        owner.ask("subscribe", topics=["log", "watch:room:den"])
    for _ in range(2):
        for following in followings:
            following.tell()
    assert [following._followed for following in followings] == [["watch:room:den", "log"]] * 2 + [[]]
    for number, one in enumerate(server.processes):
        one.core.topics.line({"at": number, "logger": "x", "text": str(number)})
    server.third.core.topics.admits("watch:room:den")
    server.third.core.topics.show_admitted("watch:room:den", {"text": "hi"})
    for owner, nodes in ((server.owner, [None, "n2", "n3"]), (second, ["n1", None, "n3"])):
        found = [(line["text"], line.get("node")) for line in owner.events("log")]
        assert found == list(zip("012", nodes, strict=True))
        assert owner.events("watch:room:den") == [{"text": "hi", "left_out": 0}]


class TestModeration:
    """A player who moderates, and those in its room who are connected to another process."""

    @pytest.fixture
    def player(self, server):
        server.second.core.grants.give("2", 5)
        server.second.server.elsewhere = [
            Away(*one, joined={"default": None}) for one in (("1", "ada"), ("4", "bob"))
        ]
        return server.second.server.found["2"]

    @pytest.fixture
    def run(self, server, player):
        moderation = Moderation(server.second.core)

        def run(method, **params):
            result = moderation.run(player, {"method": method, "params": params})
            return result if isinstance(result, dict) else result.result()

        return run

    def test_kicks_and_mutes(self, server, run):
        assert run("clients.kick", name="ada") == {"kicked": 1}
        assert run("mutes.add", target={"client": "4"}, seconds=60, reason="x") == {"hit": 1}
        assert server.third.core.sanctions.is_muted(server.third.server.found["4"])
        assert run("clients.kick", ids=["4"], reason="x") == {"kicked": 1}
        assert server.third.server.closed == [("4", 4004, "You were kicked: x")]

    @pytest.mark.parametrize("whom", [{"id": "3"}, {"id": "9"}, {"name": "bea"}])
    def test_who_is_not_near(self, run, whom):
        with pytest.raises(AdminError) as error:
            run("clients.kick", **whom)
        assert error.value.code == "not_found"

    def test_several_of_a_name(self, run):
        with pytest.raises(AdminError) as error:
            run("clients.kick", name="bob")
        assert error.value.code == "ambiguous"

    def test_staff_of_other_processes(self, server, run):
        server.third.core.grants.give("4", 5)
        with pytest.raises(AdminError) as error:
            run("clients.kick", id="4")
        assert error.value.code == "protected"
        assert server.second.lines[-1][1:] == ("clients.kick", "", "protected")

    def test_who_has_left_meanwhile(self, server, run):
        server.third.server.found.clear()
        with pytest.raises(AdminError) as error:
            run("mutes.add", target={"client": "4"}, seconds=60, reason="x")
        assert error.value.code == "not_found"
