"""User lists: each room's own, whatever comes."""

from hypothesis import given
from hypothesis import strategies as st

from cloudlink.client.events import User, UserJoined, UserLeft, UserList
from cloudlink.client.userlists import UserLists

ALICE, BOB = User("1", "a", "alice"), User("2", "b", "bob")
MEMBERS = [User(str(n), f"u{n}", f"name{n % 2}") for n in range(4)]


def test_lists_are_kept_per_room():
    lists = UserLists()
    lists.apply(UserList((ALICE,), "r1"))
    lists.apply(UserList((ALICE,), "r2"))
    lists.apply(UserJoined(BOB, "r1"))
    assert lists.by_room == {"r1": (ALICE, BOB), "r2": (ALICE,)}


def test_a_second_add_and_a_false_remove_change_nothing():
    lists = UserLists()
    lists.apply(UserList((ALICE,), "r"))
    assert not lists.apply(UserJoined(ALICE, "r"))
    assert not lists.apply(UserLeft(BOB, "r"))
    assert not lists.apply(UserLeft(BOB, "elsewhere"))
    assert lists.by_room == {"r": (ALICE,)}


def test_two_users_with_one_name_are_distinguished():
    other = User("3", "c", "alice")
    lists = UserLists()
    lists.apply(UserList((ALICE, other), "r"))
    assert lists.apply(UserLeft(ALICE, "r"))
    assert lists.by_room == {"r": (other,)}


def test_rooms_left_are_forgotten():
    lists = UserLists()
    lists.apply(UserList((ALICE,), "r1"))
    lists.apply(UserList((ALICE,), "r2"))
    lists.keep_only({"r2", "r3"})
    assert list(lists.by_room) == ["r2"]


ROOMS = st.sampled_from(["r1", "r2"])
USERS = st.sampled_from(MEMBERS)
EVENTS = st.one_of(
    st.builds(UserJoined, USERS, ROOMS),
    st.builds(UserLeft, USERS, ROOMS),
    st.builds(UserList, st.lists(USERS, unique=True).map(tuple), ROOMS),
)


@given(st.lists(EVENTS))
def test_lists_are_sets_of_members(taken):
    lists, model = UserLists(), {"r1": set(), "r2": set()}
    for event in taken:
        room = model[event.room]
        before = set(room)
        if isinstance(event, UserJoined):
            room.add(event.user)
        elif isinstance(event, UserLeft):
            room.discard(event.user)
        else:
            model[event.room] = set(event.users)
        told = lists.apply(event)
        assert told == (isinstance(event, UserList) or before != room)
    found = lists.by_room
    assert {room: set(found.get(room, ())) for room in model} == model
    assert all(len(set(users)) == len(users) for users in found.values())
