"""Users in a room: by id, by name, and in the order they joined."""

from __future__ import annotations

import pytest

from cloudlink.server.events import User
from cloudlink.server.presence import Presence


def user(number, name=None):
    return User("", str(number), f"uuid-{number}", name)


@pytest.fixture
def presence():
    presence = Presence()
    for one in (user(1, "alice"), user(2), user(3, "carol")):
        presence.add(one)
    return presence


def test_users_keep_the_order_they_joined_in_whenever_they_get_a_name(presence):
    presence.update(user(2, "bob"))
    assert [each.username for each in presence.listed()] == ["alice", "bob", "carol"]
    presence.update(user(1, "anna"))
    assert [each.username for each in presence.listed()] == ["anna", "bob", "carol"]
    assert list(presence.users) == ["1", "2", "3"]


def test_names_lead_to_all_who_have_them(presence):
    presence.update(user(2, "alice"))
    assert [each.id for each in presence.named("alice")] == ["1", "2"]
    assert presence.named("nobody") == ()
    presence.remove(user(1, "alice"))
    assert [each.id for each in presence.named("alice")] == ["2"]
    presence.update(user(2))
    assert presence.named("alice") == ()
    assert presence.names() == {"carol": (user(3, "carol"),)}


def test_a_list_that_only_grows_keeps_its_version(presence):
    listed, version = presence.listed(), presence.version
    presence.add(user(4, "dave"))
    presence.add(user(5))
    presence.add(user(6))
    presence.update(user(5, "erin"))
    assert presence.listed() is listed
    assert [each.id for each in listed] == ["1", "3", "4", "5"]
    assert presence.version == version


@pytest.mark.parametrize(
    "change",
    [
        lambda presence: presence.remove(user(3)),
        lambda presence: presence.update(user(3, "kate")),
        lambda presence: presence.update(user(2, "bob")),
    ],
    ids=["leave", "rename", "named before the last one"],
)
def test_any_other_change_changes_the_version(presence, change):
    presence.listed()
    version = presence.version
    change(presence)
    assert presence.version != version


def test_nothing_is_left_of_users_who_are_gone(presence):
    assert presence
    for number in (1, 2, 3):
        presence.remove(user(number))
    assert not presence
    assert (presence.names(), presence.listed()) == ({}, [])
