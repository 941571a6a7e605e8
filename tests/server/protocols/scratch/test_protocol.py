"""Scratch cloud variables in memory: the rules of section 3 of the protocol."""

import json
import logging
from types import SimpleNamespace

import pytest

from tests.support.memoryclients import MemoryConnection


class Player:
    """A client of a project."""

    def __init__(self, server, user="player", project="1", cookie=None):
        self.server = server
        self.connection = MemoryConnection(headers={"Cookie": cookie} if cookie else {})
        self.session = server.open_session(self.connection)
        if user:
            self.say(method="handshake", project_id=project, user=user)

    def say(self, **packet):
        self.send(json.dumps(packet))

    def send(self, text):
        self.session.receive(text.encode())
        self.server.delivery.flush()

    def set(self, name, value):
        self.say(method="set", name=name, value=value)

    def heard(self):
        return self.connection.take()

    @property
    def code(self):
        return self.connection.closed and self.connection.closed[0]


def values(frames):
    return [(p["name"], p["value"]) for frame in frames for p in map(json.loads, frame.split("\n"))]


def test_everybody_but_the_sender_hears_a_change(build):
    server = build()
    one, two, elsewhere = Player(server), Player(server), Player(server, project="2")
    one.set("☁ score", "10")
    one.say(method="create", name="☁ n", value=5)
    assert two.heard() == [
        '{"method":"set","name":"☁ score","value":"10"}',
        '{"method":"set","name":"☁ n","value":5}',
    ]
    assert one.heard() == elsewhere.heard() == []


def test_a_late_player_gets_all_values_in_one_frame(build):
    server = build()
    one = Player(server, project=123)
    one.set("☁ a", 1)
    one.set("☁ b", "2")
    one.session.connection_lost()
    (frame,) = Player(server, project="123").heard()
    assert not frame.endswith("\n")
    assert values([frame]) == [("☁ a", 1), ("☁ b", "2")]


def test_several_objects_in_one_frame_are_taken_in_order(build):
    server = build()
    two = Player(server)
    one = Player(server, user=None)
    one.send(
        '{"method":"handshake","project_id":"1","user":"one"}\n'
        '{"method":"set","name":"a","value":1}\n{"method":"set","name":"a","value":2}\n'
    )
    assert values(two.heard()) == [("a", 1), ("a", 2)]


@pytest.mark.parametrize("start", ["", " ", "\r\n"])
@pytest.mark.parametrize("end", ["", "\n", " \r\n", "\n\n"])
def test_blanks_around_an_object_make_no_difference(build, start, end):
    server = build()
    one, two = Player(server), Player(server)
    one.send(f'{start}{{"method":"set","name":"a","value":1}}{end}')
    assert one.code is None
    assert values(two.heard()) == [("a", 1)]


@pytest.mark.parametrize("name", ["☁ é", "☁ é" + "x" * 300, '☁ "', ""])
def test_a_name_is_sent_in_one_spelling_however_it_came(build, name):
    server = build()
    one, two = Player(server), Player(server)
    for escaped in (True, False, True):
        one.send(json.dumps({"method": "set", "name": name, "value": 1}, ensure_ascii=escaped))
    spelled = json.dumps(name, ensure_ascii=False)
    assert two.heard() == [f'{{"method":"set","name":{spelled},"value":1}}'] * 3


@pytest.mark.parametrize("value", ["", "5.", ".5", "-.", "-1.5", "007", 5, 1.5, -0.0, "1" * 100_000])
def test_values_that_are_kept(build, value):
    server = build()
    one, two = Player(server), Player(server)
    one.set("a", value)
    assert values(two.heard()) == [("a", value)]


@pytest.mark.parametrize("value", ["abc", "-", ".", "1e5", " 1", "+1", True, None, {}, [], "1" * 100_001])
def test_values_that_are_ignored(build, value):
    server = build()
    one, two = Player(server), Player(server)
    one.set("a", value)
    one.say(method="set", name="a")
    one.send('{"method":"set","name":"a","value":1e400}')
    one.say(method="set", value=1)
    assert two.heard() == []
    assert one.code is None


@pytest.mark.parametrize(
    "text",
    ["", "\n", "{nope", "[]", "5", "null", "{}", '{"method":"nope"}', '{"method":5}',
     '{"method":"handshake","project_id":"1","user":"again"}'],
)  # fmt: skip
def test_mistakes_close_with_4000(build, text):
    player = Player(build())
    player.send(text)
    assert player.code == 4000


@pytest.mark.parametrize("user", ["", "x" * 21, "a b", None, 5, "ScratchCat", "S-c_ratch-Cat"])
def test_usernames_that_cannot_be_used_close_with_4002(build, user):
    player = Player(build(), user=None)
    player.say(method="handshake", project_id="1", user=user)
    assert player.code == 4002


@pytest.mark.parametrize("project", ["", "x" * 1000, [], {}])
def test_bad_project_ids_close_with_4000(build, project):
    assert Player(build(), project=project).code == 4000


def test_a_change_before_the_handshake_closes(build):
    player = Player(build(), user=None)
    player.set("a", 1)
    assert player.code == 4000


def test_limits_close_with_their_codes(build):
    server = build(cloud_max_variables_per_room=2, cloud_max_clients_per_room=2, cloud_max_rooms=1)
    one, two, three = Player(server), Player(server), Player(server)
    assert (one.code, two.code, three.code) == (None, None, 4000)
    assert Player(server, project="2").code == 4003
    one.set("a", 1)
    one.set("b", 1)
    one.set("a", 2)
    assert one.code is None
    one.set("c", 1)
    assert one.code == 4000


def test_a_client_that_reads_too_slowly_is_closed_with_the_reason(build):
    server = build(max_queued_bytes=1024)
    one, two = Player(server), Player(server)
    two.connection.congested = True
    for number in range(100):
        one.set("☁ same", number)
    assert two.code is None, "only the latest value waits"
    for number in range(100):
        one.set(f"☁ {number}", number)
    assert two.code == 4003
    assert one.code is None


def test_a_mistake_of_ours_harms_one_change_only(build, caplog):
    server = build()
    one, two = Player(server), Player(server)
    save, server.scratch.projects.store.save = server.scratch.projects.store.save, None
    one.set("☁ a", 1)
    server.scratch.projects.store.save = save
    one.set("☁ a", 2)
    assert values(two.heard()) == [("☁ a", 2)]
    assert (one.code, two.code) == (None, None)
    assert "TypeError" in caplog.text


def test_a_login_token_is_refused_before_anything_else(build):
    player = Player(build(), user=None, cookie="scratchsessionsid=abc")
    player.server.delivery.flush()
    assert player.code == 4005
    (warning,) = player.heard()
    assert "Change your Scratch password" in warning


def test_rename_and_delete_are_ignored_unless_allowed(build):
    server = build()
    one = Player(server)
    one.set("☁ a", 1)
    one.say(method="rename", name="☁ a", new_name="☁ b")
    one.say(method="delete", name="☁ a")
    assert server.scratch.variables("1") == {"☁ a": b"1"}
    allowed = build(cloud_rename_delete=True)
    one = Player(allowed)
    one.set("☁ a", 1)
    one.say(method="rename", name="☁ a", new_name="☁ b")
    assert allowed.scratch.variables("1") == {"☁ b": b"1"}
    one.say(method="delete", name="☁ b")
    assert allowed.scratch.variables("1") == {}
    one.say(method="delete", name="☁ ghost")
    assert one.code == 4000


def test_too_fast_updates_become_the_latest(build):
    server = build(cloud_updates_per_second=2.0)
    later = []
    server.later = lambda delay, callback: later.append(callback)
    one, two = Player(server), Player(server)
    for number in range(320):
        one.set("a", number)
    passed = values(two.heard())
    assert passed == [("a", number) for number in range(len(passed))]
    assert 300 <= len(passed) < 310
    (send,) = later
    send()
    server.delivery.flush()
    assert values(two.heard()) == [("a", 319)]
    assert one.heard() == []


def test_the_bridge_carries_variables_both_ways_and_nothing_back(build):
    server = build(cloud_bridge=True)
    scratch = Player(server, project="game")
    blocks = Player(server, user=None)
    blocks.say(cmd="setid", val="blocks")
    blocks.say(cmd="link", val="game")
    blocks.heard()
    scratch.set("☁ score", "10")
    assert '{"cmd":"gvar","name":"☁ score","val":10,"rooms":"game"}' in blocks.heard()
    blocks.say(cmd="gvar", name="☁ score", val={"a": 1})
    assert values(scratch.heard()) == [("☁ score", '{"a": 1}')]
    assert len(blocks.heard()) == 1
    blocks.say(cmd="gmsg", val="hello")
    assert scratch.heard() == []


def test_without_the_bridge_rooms_of_one_name_do_not_meet(build):
    server = build()
    scratch, blocks = Player(server, project="default"), Player(server, user=None)
    blocks.say(cmd="gvar", name="☁ score", val=1)
    blocks.heard()
    scratch.set("☁ score", "10")
    assert blocks.heard() == scratch.heard() == []


def test_changes_made_in_the_store_are_sent(build):
    server = build()
    one = Player(server)
    one.set("a", 1)
    server.scratch._changed_in_store("1", "a", b"99")
    server.delivery.flush()
    assert values(one.heard()) == [("a", 99)]
    server.scratch._changed_in_store("1", "a", None)
    assert server.scratch.variables("1") == {}


def test_the_host_may_allow_any_username(build):
    assert Player(build(), user="Zoë ☁").code == 4002
    server = build(cloud_usernames="any")
    player = Player(server, user="Zoë ☁")
    assert player.code is None
    assert player.session.client.username == "Zoë ☁"
    assert Player(server, user="x" * 101).code == 4002


def test_without_limits_every_update_is_passed_on_at_once(build):
    server = build(cloud_updates_per_second=2.0, cloud_update_burst=2, limits=False)
    one, two = Player(server), Player(server)
    for number in range(10):
        one.set("☁ x", number)
    assert values(two.heard()) == [("☁ x", number) for number in range(10)]


def test_the_host_is_told_why_a_project_cannot_have_a_variable(build):
    server = build(cloud_max_rooms=1, cloud_value_max_length=5)
    one = Player(server, project="1")
    assert server.scratch.put("1", "☁ x", b"12345") == ""
    server.delivery.flush()
    assert values(one.heard()) == [("☁ x", 12345)]
    assert server.scratch.put("1", "☁ x", b"123456") == "a value is a number of at most 5 characters"
    assert "Too many projects" in server.scratch.put("2", "☁ x", b"1")


def test_a_project_is_played_while_it_is_loaded_here_or_open_on_another_node(build):
    server = build()
    Player(server)
    assert server.scratch.is_played("1")
    assert not server.scratch.is_played("2")
    server.scratch._cloud = SimpleNamespace(is_open=lambda project: project == "2")
    assert server.scratch.is_played("2")
    assert not server.scratch.is_played("3")


def test_a_rate_of_zero_passes_every_update_on_at_once(build):
    server = build(cloud_updates_per_second=0, cloud_update_burst=1)
    one, two = Player(server), Player(server)
    for number in range(50):
        one.set("a", number)
    assert len(two.heard()) == 50


@pytest.mark.parametrize("end", ["", "\n{}"])
def test_nothing_is_processed_for_a_client_that_is_closed(build, end, caplog):
    caplog.set_level(logging.INFO)
    server = build()
    one, two = Player(server), Player(server)
    one.session.close(4000, "")
    caplog.clear()
    server.scratch.receive(one.session.client, b'{"method":"set","name":"a","value":1}' + end.encode())
    server.delivery.flush()
    assert two.heard() == []
    assert caplog.records == []


@pytest.mark.parametrize("ready", [{"1"}, set()])
def test_a_handshake_waits_only_for_values_of_other_nodes(build, ready):
    server = build()
    opened = []
    server.scratch._cloud = SimpleNamespace(
        is_ready=lambda project: project in ready, open=lambda *request: opened.append(request)
    )
    player = Player(server)
    waits = bool(opened)
    assert waits != bool(ready)
    assert player.connection.is_held == waits
    assert (player.session.client.state.room is None) == waits
    for project, go_on in opened:
        ready.add(project)
        go_on({})
    assert player.session.client.state.room.id == "1"
    assert not player.connection.is_held
