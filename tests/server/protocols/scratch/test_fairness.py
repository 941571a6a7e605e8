"""One address cannot take the cloud from others: memory, places in a project, the file, and the queue before it."""

from __future__ import annotations

import itertools
import logging

import pytest

from cloudlink.server.protocols.scratch.projects import Projects
from cloudlink.server.protocols.scratch.rules import Violation
from cloudlink.server.protocols.scratch.storagebudgets import StorageBudgets
from cloudlink.settings import Settings
from cloudlink.shares import Shares
from tests.support.clock import FakeClock
from tests.support.memoryclients import MemoryClient, named

GREEDY, HONEST, THIRD = "203.0.113.1", "203.0.113.2", "203.0.113.3"
BIG = b"1" * 100_000


@pytest.fixture(autouse=True)
def everything_is_heard(caplog):
    caplog.set_level(logging.INFO, "cloudlink.server")


@pytest.fixture
def opened(tmp_path):
    """Makes projects, in memory or in a file, without clients."""
    made = []

    def make(*, file=False, **settings):
        made.append(Projects(Settings(storage=str(tmp_path / "cloud.db") if file else "", **settings)))
        made[-1].start(lambda *_: None, lambda *_: None)
        return made[-1]

    yield make
    for each in made:
        each.close()


def player(server, address, project="1"):
    return MemoryClient(
        server, {"method": "handshake", "project_id": project, "user": "player"}, address=address
    )


def set_variable(client, name, value="1"):
    client.say({"method": "set", "name": name, "value": value})
    return client.closed


def keep_all_you_can(each, address, project, value=BIG):
    """Set variables in a project until something refuses; return how many were taken, and the close code."""
    try:
        room = each.enter(project, address=address)
    except Violation as violation:
        return 0, violation.code
    for count in itertools.count():
        try:
            each.keep(room, f"☁ {count}", value, address)
        except Violation as violation:
            return count, violation.code
    raise AssertionError


def accounts_are_right(each):
    """Compare what is counted with what is there."""
    memory, opened = Shares(), Shares()
    for room in each.rooms.values():
        memory.add(room.opener, room.own_cost)
        opened.add(room.opener, 1)
        for name in room.variables:
            memory.add(room.payer(name), room.cost_of(name))
    return (each._memory.total, each._memory._held, each._opened._held) == (
        memory.total,
        memory._held,
        opened._held,
    )


# Memory.


def test_one_address_that_plays_many_projects_leaves_half_of_the_memory(opened, caplog):
    each = opened()
    for number in range(76):
        keep_all_you_can(each, GREEDY, f"{number}")
    assert each._memory.of(GREEDY) <= each._settings.cloud_max_memory / 2
    assert each._memory.of(GREEDY) > 30_000_000
    assert "Cloud variables of project '33' are refused" in caplog.text

    count, code = keep_all_you_can(each, HONEST, "new")
    assert (count, code) == (10, 4000), "a whole project, to its own bounds"
    assert accounts_are_right(each)


def test_earlier_stored_values_count_for_the_address_that_opens_them(opened):
    each = opened(file=True)
    for number in range(10):
        room = each.enter(f"{number}")
        each.keep(room, "☁ a", BIG)
        each.leave(room)
    each.close()

    each = opened(file=True, cloud_max_memory=1_000_000)
    for number in range(4):
        each.enter(f"{number}", address=GREEDY)
    with pytest.raises(Violation) as caught:
        each.enter("4", address=GREEDY)
    assert caught.value.code == 4003
    assert each._memory.of(GREEDY) <= 500_000
    assert keep_all_you_can(each, HONEST, "new")[0] >= 2
    assert accounts_are_right(each)


@pytest.mark.parametrize("file", [False, True])
def test_an_address_that_needs_memory_gives_up_its_own_unused_projects_first(opened, file):
    each = opened(file=file, cloud_max_memory=1_000_000, cloud_max_bytes_per_room=250_000)
    room = each.enter("honest", address=HONEST)
    each.keep(room, "☁ a", BIG, HONEST)
    each.leave(room)
    for number in range(20):
        room = each.enter(f"{number}", address=GREEDY)
        each.keep(room, "☁ a", BIG, GREEDY)
        each.leave(room)
    assert "honest" in each.rooms
    assert each.variables("honest") == {"☁ a": BIG}
    assert "0" not in each.rooms
    assert accounts_are_right(each)


def test_without_a_file_nobody_has_the_projects_of_others_forgotten_for_more_than_one_of_its_own(opened):
    each = opened(cloud_max_memory=1_000_000, cloud_max_bytes_per_room=200_000)
    for number in range(6):
        room = each.enter(f"honest {number}", address=f"198.51.100.{number}")
        each.keep(room, "☁ a", BIG)
        each.leave(room)
    taken = [keep_all_you_can(each, GREEDY, f"{number}")[0] for number in range(9)]
    assert sum(taken) == 1
    assert sum(room.startswith("honest") for room in each.rooms) == 6

    assert keep_all_you_can(each, HONEST, "new") == (1, 4000)
    assert accounts_are_right(each)


def test_projects_in_the_file_make_way_for_everybody(opened):
    each = opened(file=True, cloud_max_memory=1_000_000, cloud_max_bytes_per_room=150_000)
    for number in range(6):
        room = each.enter(f"honest {number}", address=f"198.51.100.{number}")
        each.keep(room, "☁ a", BIG, f"198.51.100.{number}")
        each.leave(room)
    assert sum(keep_all_you_can(each, GREEDY, f"{number}")[0] for number in range(9)) == 4
    assert [each.variables(f"honest {number}") for number in range(6)] == [{"☁ a": BIG}] * 6
    assert accounts_are_right(each)


def test_without_a_file_an_address_gives_up_no_more_of_a_project_than_what_it_set(opened):
    each = opened(cloud_max_memory=1_000_000, cloud_max_bytes_per_room=150_000)
    shared = each.enter("shared", address=GREEDY)
    each.keep(shared, "☁ honest", b"7", HONEST)
    each.keep(shared, "☁ greedy", BIG, GREEDY)
    each.leave(shared)
    for number in range(5):
        keep_all_you_can(each, GREEDY, f"{number}")
    assert each.variables("shared") == {"☁ honest": b"7"}
    assert shared.opener == HONEST
    assert accounts_are_right(each)


def test_one_address_that_opens_many_projects_leaves_half_of_them(opened):
    each = opened(cloud_max_rooms=20)
    for number in range(10):
        each.enter(f"{number}", address=GREEDY)
    with pytest.raises(Violation) as caught:
        each.enter("10", address=GREEDY)
    assert caught.value.code == 4003
    each.enter("new", address=HONEST)
    assert accounts_are_right(each)


def test_this_machine_is_bounded_by_the_total_alone(opened):
    each = opened(cloud_max_memory=1_000_000)
    assert keep_all_you_can(each, None, "1")[0] == 9


# A project.


def test_a_school_fills_a_project_and_makes_way_for_somebody_else(build, caplog):
    server = build()
    school = [player(server, GREEDY) for _ in range(128)]
    assert not any(each.closed for each in school)
    assert player(server, GREEDY).closed == (4000, "There are too many players in this project")

    others = [player(server, f"198.51.100.{number}") for number in range(70)]
    assert [each.closed is None for each in others] == [True] * 64 + [False] * 6
    assert [each.closed is None for each in school] == [True] * 64 + [False] * 64
    assert school[-1].closed == (
        4003,
        "Another address wanted to play, and yours has most places in this project",
    )
    assert server.scratch.projects.rooms["1"].members == 128
    assert "is disconnected: Another address wanted to play" in caplog.text


def test_a_newcomer_gets_no_more_than_half_of_the_places(build):
    server = build(cloud_max_clients_per_room=4)
    first = [player(server, GREEDY) for _ in range(4)]
    second = [player(server, HONEST) for _ in range(3)]
    assert [each.closed is None for each in first] == [True, True, False, False]
    assert [each.closed is None for each in second] == [True, True, False]
    first[0].leave()
    assert player(server, HONEST).closed is None


def test_the_64_of_an_ipv6_subscriber_is_one_address(build):
    server = build(cloud_max_clients_per_room=2)
    first = [player(server, f"2001:db8::{number}") for number in range(2)]
    assert player(server, "2001:db8::ffff:1").closed[0] == 4000
    assert player(server, "2001:db8:0:1::1").closed is None
    assert [each.closed is None for each in first] == [True, False]


@pytest.mark.parametrize("settings", [{"limits": False}, {"trusted_proxies": [GREEDY]}])
def test_addresses_do_not_count_without_limits_or_for_proxies(build, settings):
    server = build(**settings)
    client = player(server, GREEDY)
    assert client.client.state.address is None
    assert set_variable(client, "☁ a") is None


def test_behind_a_proxy_this_machine_counts(build):
    assert player(build(trusted_proxies=["10.0.0.1"]), "127.0.0.1").client.state.address == "127.0.0.1"


def test_the_variables_that_one_address_has_too_many_of_make_way_newest_first(build, caplog):
    server = build(cloud_max_variables_per_room=6)
    greedy, honest, third = player(server, GREEDY), player(server, HONEST), player(server, THIRD)
    for number in range(6):
        assert set_variable(greedy, f"☁ {number}") is None
    for name in "ab":
        assert set_variable(honest, name) is None
    assert set_variable(third, "c") is None
    assert list(server.scratch.projects.variables("1")) == ["☁ 0", "☁ 1", "☁ 2", "a", "b", "c"]
    assert set_variable(third, "d")[0] == 4000, "nobody has more than half"
    assert "Variables of project '1' that one address made are deleted for those of others" in caplog.text
    assert accounts_are_right(server.scratch.projects)


def test_the_larger_holder_does_not_displace(build):
    server = build(cloud_max_variables_per_room=4)
    honest, greedy = player(server, HONEST), player(server, GREEDY)
    set_variable(honest, "a")
    for name in "bcd":
        assert set_variable(greedy, name) is None
    assert set_variable(greedy, "e")[0] == 4000
    assert list(server.scratch.projects.variables("1")) == ["a", "b", "c", "d"]


def test_long_values_of_one_address_make_way_too(build):
    server = build(cloud_max_bytes_per_room=1024)
    greedy, honest = player(server, GREEDY), player(server, HONEST)
    for name in "abcd":
        assert set_variable(greedy, name, "1" * 190) is None
    assert set_variable(honest, "e", "1") is None
    assert set_variable(honest, "f", "1" * 200) is None
    assert list(server.scratch.projects.variables("1")) == ["a", "b", "c", "e", "f"]
    assert set_variable(honest, "f", "1" * 500)[0] == 4000, "it would have more than half itself"
    assert list(server.scratch.projects.variables("1")) == ["a", "b", "c", "e", "f"]


def test_a_variable_that_becomes_longer_does_not_make_way_for_itself(build):
    server = build(cloud_max_bytes_per_room=1024)
    greedy, honest = player(server, GREEDY), player(server, HONEST)
    for name in "abcd":
        set_variable(greedy, name, "1" * 190)
    assert set_variable(honest, "d", "1" * 300) is None
    room = server.scratch.projects.rooms["1"]
    assert list(room.variables) == ["a", "b", "d"]
    assert room.size == sum(room.size_of(*variable) for variable in room.variables.items())
    assert accounts_are_right(server.scratch.projects)


def test_nobody_makes_way_for_more_than_half(build):
    server = build(cloud_max_bytes_per_room=1024)
    greedy, honest = player(server, GREEDY), player(server, HONEST)
    set_variable(greedy, "a", "1" * 600)
    assert set_variable(honest, "b", "1" * 800)[0] == 4000
    assert list(server.scratch.projects.variables("1")) == ["a"]


def test_nothing_is_displaced_if_it_would_not_be_enough(build):
    server = build(cloud_max_bytes_per_room=1024)
    greedy, honest, third = player(server, GREEDY), player(server, HONEST), player(server, THIRD)
    set_variable(greedy, "a", "1" * 300)
    set_variable(third, "b", "1" * 300)
    set_variable(greedy, "c", "1" * 200)
    assert set_variable(honest, "d", "1" * 450)[0] == 4000
    assert list(server.scratch.projects.variables("1")) == ["a", "b", "c"]


def test_a_refused_value_has_displaced_nothing(build):
    server = build(cloud_max_variables_per_room=4, cloud_max_bytes_per_room=1024)
    greedy, honest = player(server, GREEDY), player(server, HONEST)
    for name in "abcd":
        set_variable(greedy, name, "1" * 100)
    assert set_variable(honest, "e", "1" * 800) == (
        4000,
        "The variables of this project are too long together",
    )
    assert list(server.scratch.projects.variables("1")) == ["a", "b", "c", "d"]


def test_variables_from_the_file_belong_to_nobody(opened):
    each = opened(file=True)
    room = each.enter("1")
    for name in "ab":
        each.keep(room, name, b"1")
    each.close()
    each = opened(file=True, cloud_max_variables_per_room=2)
    room = each.enter("1", address=HONEST)
    with pytest.raises(Violation):
        each.keep(room, "c", b"1", GREEDY)
    assert list(room.variables) == ["a", "b"]


def test_each_value_counts_for_its_writer_and_others_for_the_opener(opened):
    each = opened(cloud_max_memory=1_000_000)
    room = each.enter("1", address=HONEST)
    opening = each._memory.of(HONEST)
    each.keep(room, "☁ a", BIG, GREEDY)
    assert each._memory.of(HONEST) == opening
    assert each._memory.of(GREEDY) > len(BIG)
    each.keep(room, "☁ b", BIG)
    assert each._memory.of(HONEST) > len(BIG)
    assert accounts_are_right(each)


def test_a_writer_with_half_of_the_memory_may_write_no_more_in_a_project_of_others(opened):
    each = opened(cloud_max_memory=1_000_000)
    assert keep_all_you_can(each, GREEDY, "1")[1] == 4003
    room = each.enter("2", address=HONEST)
    with pytest.raises(Violation):
        each.keep(room, "☁ a", BIG, GREEDY)
    each.keep(room, "☁ a", BIG, HONEST)
    each.keep(room, "☁ b", BIG)
    with pytest.raises(Violation):
        each.keep(
            each.rooms["1"], "☁ more", BIG
        )  # it has no writer, so it counts for the address that opened the project


def test_what_has_made_way_is_gone_from_the_file_too(opened):
    each = opened(file=True, cloud_max_variables_per_room=4)
    room = each.enter("1", address=HONEST)
    for name in "abcd":
        each.keep(room, name, b"1", GREEDY)
    each.keep(room, "e", b"2", HONEST)
    assert list(room.variables) == ["a", "b", "c", "e"]
    each.close()
    assert each.variables("1") == {}
    again = opened(file=True)
    assert again.variables("1") == {"a": b"1", "b": b"1", "c": b"1", "e": b"2"}


# The file.


def test_additions_of_an_address_to_the_file_are_bounded_per_hour(opened, tmp_path, caplog):
    each = opened(file=True, storage_bytes_per_hour=500_000)
    codes = []
    for number in range(20):
        room = each.enter(f"{number}", address=GREEDY)
        try:
            each.keep(room, "☁ a", BIG, GREEDY)
        except Violation as violation:
            codes.append(violation.code)
        each.leave(room)
    assert codes == [4003] * 15
    assert each._limited == {"storage": 15}
    assert caplog.messages == [
        "Cloud variables of project '5' are refused, because their address has had storage_bytes_per_hour stored."
    ]
    honest = each.enter("honest", address=HONEST)
    each.keep(honest, "☁ a", BIG, HONEST)

    room = each.enter("0", address=GREEDY)
    each.keep(room, "☁ a", b"2" * 100_000, GREEDY)  # what is not longer is saved as ever
    with pytest.raises(Violation):
        each.keep(room, "☁ a", BIG + b"1", GREEDY)
    each.keep(honest, "☁ a", b"2" * 100_000, GREEDY)
    each.close()
    assert (tmp_path / "cloud.db").stat().st_size < 800_000


def test_space_freed_in_the_file_is_credited_back(opened):
    each = opened(file=True, storage_bytes_per_hour=150_000)
    room = each.enter("1", address=GREEDY)
    for _ in range(10):
        each.keep(room, "☁ a", BIG, GREEDY)
        each.keep(room, "☁ a", b"1", GREEDY)
    for _ in range(10):
        each.keep(room, "☁ a", BIG, GREEDY)
        each.rename(room, "☁ a", "☁ b", GREEDY)
        each.delete(room, "☁ b", GREEDY)


def test_an_address_that_loses_a_variable_to_a_rename_gets_its_place_back(opened):
    each = opened(file=True, storage_bytes_per_hour=150_000)
    room = each.enter("1", address=HONEST)
    for _ in range(5):
        each.keep(room, "b", BIG, HONEST)
        each.keep(room, "a", b"1", GREEDY)
        each.rename(room, "a", "b", GREEDY)
    each.keep(room, "a", BIG, HONEST)
    each.rename(room, "a", "a", HONEST)
    each.rename(room, "a", "a", HONEST)
    assert room.variables["a"] == BIG
    assert accounts_are_right(each)


def test_a_variable_that_cannot_be_renamed_stays_whose_it_was(opened):
    each = opened(cloud_max_bytes_per_room=1024)
    room = each.enter("1", address=HONEST)
    each.keep(room, "a", b"1" * 900, HONEST)
    with pytest.raises(Violation):
        each.rename(room, "a", "b" * 200, GREEDY)
    assert room.writers == {"a": HONEST}
    assert accounts_are_right(each)


def test_nobody_uses_up_the_budget_of_others(opened):
    each = opened(file=True, storage_bytes_per_hour=150_000)
    room = each.enter("1", address=HONEST)
    for _ in range(10):
        each.keep(room, "☁ a", BIG, HONEST)
        each.keep(room, "☁ a", b"1", GREEDY)
        each.keep(room, "☁ a", BIG, HONEST)
        each.delete(room, "☁ a", GREEDY)


def test_values_that_were_in_the_file_before_cost_only_what_they_grow(opened):
    each = opened(file=True, storage_bytes_per_hour=65_536)
    room = each.enter("1")
    for name in "abcde":
        each.keep(room, name, BIG)
    for name in "abcde":
        each.keep(room, name, BIG, HONEST)
    assert each._budgets.has_left(HONEST)


@pytest.mark.parametrize("file", [True, False])
def test_what_an_address_stores_is_charged_to_the_byte(opened, file):
    each = opened(file=file)
    charges = []
    each._budgets.charge = lambda *charge: charges.append(charge)
    room = each.enter("1", address=GREEDY)
    short, long = room.size_of("a", b"1"), room.size_of("a", b"1234")

    def charged(change, *parts):
        charges.clear()
        change(room, *parts)
        return charges if file else [charges]

    nothing = [] if file else [[]]
    for change, expected in (
        ((each.keep, "a", b"1", GREEDY), [(GREEDY, short)]),
        ((each.keep, "a", b"2", GREEDY), []),
        ((each.keep, "a", b"1234", GREEDY), [(GREEDY, -short), (GREEDY, long)]),
        ((each.keep, "a", b"1", HONEST), [(GREEDY, -long), (HONEST, short)]),
        ((each.delete, "a", GREEDY), [(HONEST, -short)]),
        ((each.keep, "a", b"1"), []),
        ((each.keep, "a", b"1234", HONEST), [(HONEST, long - short)]),
    ):
        assert charged(*change) == (expected if file else nothing)


def test_what_the_store_cannot_take_is_refused_and_counted(opened):
    each = opened()
    room = each.enter("1", address=GREEDY)
    each.keep(room, "a", b"1", GREEDY)
    each.store.has_place = each.store.offer = lambda *_: False
    for count, value in enumerate((b"12", b"2"), 1):
        with pytest.raises(Violation) as caught:
            each.keep(room, "a", value, GREEDY)
        assert caught.value.code == 4003
        assert each._limited == {"storage": count}
    assert room.variables == {"a": b"1"}


def test_without_a_file_there_is_no_budget(opened):
    each = opened(storage_bytes_per_hour=65_536)
    assert keep_all_you_can(each, GREEDY, "1") == (10, 4000)


def test_a_changed_budget_applies_to_those_who_have_used_some():
    clock = FakeClock()
    budgets = StorageBudgets(3600, clock)
    budgets.charge(GREEDY, 3600)
    assert not budgets.has_left(GREEDY)
    budgets.change(36_000)  # 10 bytes a second
    clock.now += 10
    budgets.charge(GREEDY, 100)
    assert not budgets.has_left(GREEDY)
    clock.now += 0.5
    assert budgets.has_left(GREEDY)
    budgets.change(3600)
    budgets.charge(GREEDY, 10)  # 5 more than it has, at one byte a second
    clock.now += 4
    assert not budgets.has_left(GREEDY)
    clock.now += 2
    assert budgets.has_left(GREEDY)


def test_a_budget_comes_back_with_time_and_whole_ones_are_forgotten():
    clock = FakeClock()
    budgets = StorageBudgets(3600, clock)
    assert budgets.has_left("a")
    budgets.charge("a", -5)
    assert len(budgets) == 0
    budgets.charge("a", 5000)
    assert not budgets.has_left("a")
    clock.now += 1399
    assert not budgets.has_left("a")
    clock.now += 2
    assert budgets.has_left("a")
    clock.now += 7200
    budgets.charge("b", 3000)
    budgets.tick()
    assert len(budgets) == 1


def test_whole_budgets_are_forgotten_with_the_ticks_of_the_server(opened):
    each, clock = opened(file=True), FakeClock()
    each._budgets = StorageBudgets(3600, clock)
    each._budgets.charge(GREEDY, 100)
    clock.now += 101
    each.tick()
    assert len(each._budgets) == 0


def test_a_value_that_does_not_fit_the_store_is_refused_before_it_is_accepted(opened, caplog):
    each = opened(file=True)
    asked = []
    each.store.has_place = lambda *variable: asked.append(variable)
    room = each.enter("1", address=HONEST)
    with pytest.raises(Violation) as caught:
        each.keep(room, "☁ a", b"1", HONEST)
    assert caught.value.code == 4003
    assert room.variables == {}
    assert asked == [("1", "☁ a", b"1", HONEST)]
    assert caplog.messages == [
        "Cloud variables of project '1' are refused, because too much is waiting to be written to the storage file."
    ]
    del each.store.has_place
    each.keep(room, "☁ a", b"1", HONEST)
    each.store.has_place = each.store.offer = lambda *_: False
    for change in (
        lambda: each.keep(room, "☁ a", b"2", HONEST),
        lambda: each.delete(room, "☁ a", HONEST),
        lambda: each.rename(room, "☁ a", "☁ b", HONEST),
    ):
        with pytest.raises(Violation):
            change()
    assert room.variables == {"☁ a": b"1"}


def test_the_rest_of_a_flood_keeps_no_values_of_others_from_the_file(opened):
    each = opened(file=True, storage_bytes_per_hour=1 << 40)
    each.store._queue._most_bytes = 2_000_000
    each.store._trouble.pause = 3600.0  # the disk does not answer
    for number in range(60):
        honest = each.enter(f"honest {number}", address=HONEST)
        each.keep(honest, "☁ a", b"%d" % number, HONEST)
        keep_all_you_can(each, GREEDY, f"greedy {number}")
    each.close()
    each = opened(file=True)
    assert [each.store.load(f"honest {number}") for number in range(60)] == [
        {"☁ a": b"%d" % number} for number in range(60)
    ]


# The client.


def test_a_refused_client_gets_the_reason(build):
    server = build(cloud_max_memory=65_536)
    greedy = player(server, GREEDY)
    assert set_variable(greedy, "☁ a", "1" * 25_000) is None
    assert set_variable(greedy, "☁ b", "1" * 25_000) == (4003, "There is no memory left for cloud variables")
    assert set_variable(player(server, HONEST, "2"), "☁ a", "1" * 10_000) is None


def test_values_from_the_bridge_count_as_one_address(build):
    server = build(cloud_bridge=True)
    cloud = player(server, HONEST, "room")
    other = named(server, "other", address=GREEDY)
    other.say({"cmd": "link", "val": "room"}, {"cmd": "gvar", "name": "a", "val": 1, "rooms": "room"})
    room = server.scratch.projects.rooms["room"]
    assert room.variables == {"a": b"1"}
    assert room.writers["a"] not in (None, HONEST)
    assert cloud.closed is None
