"""A user list's text is always what it would be if it were made anew."""

from hypothesis import given
from hypothesis import strategies as st

from cloudlink.server.userlistcache import UserListCache


class Member:
    """A client, as far as a list is concerned."""

    def __init__(self, number):
        self.number = number
        self.username_set = False


class Room:
    """Members who come, get a name and leave, and the list of them."""

    def __init__(self):
        self.members = {}
        self.listing = UserListCache()
        self.encoded = []
        self._joined = 0

    def join(self):
        self.members[Member(self._joined)] = self._joined
        self._joined += 1

    def name(self, member):
        member.username_set = True
        self.listing.add(member, self.members[member])

    def leave(self, member):
        del self.members[member]
        if member.username_set:
            self.listing.forget()

    def encode(self, member):
        self.encoded.append(member.number)
        return b"<%d>" % member.number

    @property
    def text(self):
        return bytes(self.listing.text(self.members, self.encode))


@given(
    st.lists(
        st.tuples(st.sampled_from(["join", "name", "leave", "ask", "forget"]), st.integers(0, 5)), max_size=40
    )
)
def test_the_text_is_what_it_would_be_anew(steps):
    room = Room()
    for what, whom in steps:
        members = list(room.members)
        member = members[whom % len(members)] if members else None
        if what == "join":
            room.join()
        elif what == "name" and member and not member.username_set:
            room.name(member)
        elif what == "leave" and member:
            room.leave(member)
        elif what == "forget":
            room.listing.forget()
        elif what == "ask":
            assert room.text == b",".join(b"<%d>" % m.number for m in members if m.username_set)


def test_who_comes_last_is_all_that_is_encoded():
    room = Room()
    for number in range(3):
        room.join()
        room.name(list(room.members)[number])
        assert room.text == b"<0>,<1>,<2>"[: 4 * number + 3]
    assert room.encoded == [0, 1, 2]
