"""A user list's frame is always what it would be if it were written anew, and users are encoded once as they come."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from cloudlink.server.events import User
from cloudlink.server.presence import Presence
from cloudlink.server.protocols.clpv4 import userlistcache
from cloudlink.server.protocols.clpv4.dialects import CL4, CL4_SCRATCH
from cloudlink.server.protocols.clpv4.dialects.cl3_015 import CL3_015
from cloudlink.server.protocols.clpv4.userlistcache import UserListCache


def user(number, name=None):
    return User("", str(number), f"uuid-{number}", name)


def names(frame):
    return [each["username"] for each in json.loads(frame[frame.index(b"{") :])["val"]]


STEPS = st.lists(
    st.tuples(st.sampled_from(["join", "name", "rename", "leave", "ask"]), st.integers(0, 5)), max_size=40
)


@given(STEPS)
def test_the_list_is_what_it_would_be_anew(steps):
    presence, joined = Presence(), 0
    cache = UserListCache(presence)
    for what, whom in steps:
        users = list(presence.users.values())
        one = users[whom % len(users)] if users else None
        if what == "join":
            presence.add(user(joined))
            joined += 1
        elif what in ("name", "rename") and one:
            presence.update(user(one.id, f"{what} {one.id}"))
        elif what == "leave" and one:
            presence.remove(one)
        elif what == "ask":
            expected = [each for each in presence.users.values() if each.username is not None]
            assert names(cache.frame(CL4, "den")) == [each.username for each in expected]
            text = "".join(f"{each.username};" for each in expected)
            assert json.loads(cache.frame(CL3_015, "den")[2:])["val"] == text
            assert presence.listed() == expected


def test_a_newcomer_is_all_that_is_encoded(monkeypatch):
    encoded = []
    encode = userlistcache.user_object
    monkeypatch.setattr(userlistcache, "user_object", lambda one: encoded.append(one.id) or encode(one))
    presence = Presence()
    cache = UserListCache(presence)
    for number in range(3):
        presence.add(user(number, f"u{number}"))
        assert len(names(cache.frame(CL4, "den"))) == number + 1
    assert encoded == ["0", "1", "2"]


def test_dialects_of_one_form_share_a_frame():
    cache = UserListCache(Presence())
    assert cache.frame(CL4, "den") is cache.frame(CL4_SCRATCH, "den")
    assert cache.frame(CL4, "den") is not cache.frame(CL3_015, "den")


def test_an_unchanged_list_is_not_written_again():
    presence = Presence()
    presence.add(user(1, "alice"))
    cache = UserListCache(presence)
    frame = cache.frame(CL4, "den")
    presence.add(user(2))
    assert cache.frame(CL4, "den") is frame, "a user without a name is in no list"
    presence.update(user(2, "bob"))
    assert names(cache.frame(CL4, "den")) == ["alice", "bob"]
