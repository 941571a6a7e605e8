"""One answer out of those of several processes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cloudlink.admin import merging
from cloudlink.admin.questions import list_clients
from cloudlink.slices import finish
from tests.support.adminwire import Administrators, FakePlayer

names = st.sampled_from(["", "a", "B", "b", "Ann", "anna", "ß" * 70, "SS" * 80, "z y"])
SORTS = ("since", "-since", "name", "-name")


def pages(processes, sort, limit):
    """All ids in the order in which the pages show them."""
    found, after = [], None
    while True:
        params = dict.fromkeys(("search", "room", "protocol")) | {"is_owner": False}
        params |= {"sort": sort, "limit": limit, "after": after}
        result = merging.clients([finish(list_clients(one, params)) for one in processes], sort, limit)
        assert len(result["items"]) <= limit
        assert result["total"] == sum(one.server.count_players() for one in processes)
        found += [item["id"] for item in result["items"]]
        after = result["next"]
        if after is None:
            return found


@given(
    st.lists(st.tuples(names, st.integers(0, 2)), max_size=12),
    st.sampled_from(SORTS),
    st.integers(1, 5),
)
def test_pages_of_several_processes_are_those_of_one(clients, sort, limit):
    alone, *parts = [Administrators().core for _ in range(4)]
    for number, (name, place) in enumerate(clients, 1):
        player = FakePlayer(number, name)
        alone.server.add(player)
        parts[place].server.add(player)
    assert pages(parts, sort, limit) == pages([alone], sort, limit)
    assert sorted(pages(parts, sort, limit), key=int) == [str(number + 1) for number in range(len(clients))]


def test_cursors_that_come_from_elsewhere():
    for sort, cursor in (
        ("name", "5"),
        ("since", "5 x"),
        ("since", "x"),
        ("name", "x y"),
        ("since", "9" * 30),
    ):
        assert merging.place_of_cursor(sort, cursor) is None


def moment(at, **changes):
    data = {"at": at, "clients": 1, "rooms": 1, "memory": 10, "messages_in": 0.1, "bytes_in": 1.5}
    return data | {"frames_out": 2.0, "bytes_out": 3.0, "loop_delay": 0.01} | changes


def test_statistics_are_added_up():
    found = merging.statistics([moment(100), moment(101, clients=4, rooms=3, loop_delay=0.5)])
    assert found == moment(
        100,
        clients=5,
        rooms=3,
        memory=20,
        messages_in=0.2,
        bytes_in=3.0,
        frames_out=4.0,
        bytes_out=6.0,
        loop_delay=0.5,
    )
    assert isinstance(found["clients"], int)


def test_moments_of_the_history_meet_though_clocks_differ():
    found = finish(merging.history([[moment(100), moment(105)], [moment(102), moment(109), moment(111)]], 5))
    assert [(each["at"], each["clients"]) for each in found] == [(102, 2), (109, 2), (111, 2)]


def test_a_process_that_has_skipped_a_step_is_not_missing_in_it():
    found = finish(merging.history([[moment(100), moment(106), moment(111)], [moment(104), moment(110)]], 5))
    assert [each["clients"] for each in found] == [2, 2, 2]
    ended = finish(merging.history([[moment(100)], [moment(100), moment(105), moment(110)]], 5))
    assert [each["clients"] for each in ended] == [2, 2, 1]
    assert finish(merging.history([[], []], 5)) == []


def test_projects():
    one = {"project": "1", "clients": 2, "variables": 3, "bytes": 30}
    two = {"project": "1", "clients": 1, "variables": 4, "bytes": 20}
    other = {"project": "2", "clients": 1, "variables": 1, "bytes": 1}
    assert finish(merging.projects([[one], [two, other]])) == {
        "1": {"project": "1", "clients": 3, "variables": 4, "bytes": 30},
        "2": other,
    }
    assert one["clients"] == 2


def test_whom_a_ban_hits():
    parts = [
        {"clients": 2, "names": ["b", "a"]},
        {"clients": 30, "names": [f"n{number:02}" for number in range(25)]},
    ]
    found = merging.preview(parts)
    assert (found["clients"], len(found["names"]), found["names"][:2]) == (32, 20, ["a", "b"])


def test_lines_of_the_log_are_in_order_and_there_once():
    def line(at, text):
        return {"at": at, "logger": "x", "text": text}

    found = merging.lines([[line(1, "a"), line(3, "c")], [line(2, "b"), line(3, "c"), line(4, "d")]], 3)
    assert [each["text"] for each in found] == ["b", "c", "d"]
