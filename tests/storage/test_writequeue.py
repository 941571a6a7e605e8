"""The queue of values to write: the newest value counts, nothing is lost, and it costs the same however much waits."""

from hypothesis import given
from hypothesis import strategies as st

from cloudlink.storage.writequeue import WriteQueue
from tests.support.growth import growth


def test_fetching_news_takes_ten_times_as_long_for_ten_times_as_much():
    def prepare(count):
        queue = WriteQueue()
        queue.announce((str(number), "v", b"1") for number in range(count))
        return queue

    def fetch_all(queue):
        while queue.fetch(10):
            pass

    assert growth(prepare, fetch_all, 3000) < 40


def test_a_value_that_waits_is_newer_than_one_that_is_being_written():
    queue = WriteQueue()
    queue.put("r", "a", b"1")
    queue.put("r", "b", b"1")
    queue.take()
    queue.put("r", "a", b"2")
    assert queue.of_room("r") == {"a": b"2", "b": b"1"}
    queue.put_back()
    assert queue.of_room("r") == {"a": b"2", "b": b"1"}
    assert queue.take() == {"r": {"a": b"2", "b": b"1"}}


steps = st.lists(
    st.one_of(
        st.tuples(
            st.just("put"), st.sampled_from("rs"), st.sampled_from("ab"), st.none() | st.binary(max_size=9)
        ),
        st.tuples(st.just("take")),
        st.tuples(st.sampled_from(["written", "put back"])),
    ),
    max_size=30,
)


@given(steps)
def test_what_is_not_written_stays_and_is_charged_once(steps):
    queue, waiting, taken = WriteQueue(), {}, {}
    for kind, *details in steps:
        if kind == "put":
            room, name, value = details
            queue.put(room, name, value, "writer")
            waiting[room, name] = value
        elif kind == "take" and not taken:
            batch = queue.take()
            taken, waiting = waiting, {}
            assert {
                (room, name): value for room, values in batch.items() for name, value in values.items()
            } == taken
        elif kind == "written":
            queue.written()
            taken = {}
        elif kind == "put back":
            queue.put_back()
            taken, waiting = {}, {**taken, **waiting}
        seen = {**taken, **waiting}
        for room in "rs":
            assert queue.of_room(room) == {name: seen[place, name] for place, name in seen if place == room}
        assert len(queue) == len(taken) + len(waiting)
    queue.written()
    for room, values in queue.take().items():
        assert values == {name: value for (place, name), value in waiting.items() if place == room}
    queue.written()
    assert queue._shares.total == 0


def test_uses_are_remembered_until_they_are_written():
    queue = WriteQueue(most_used=3)
    queue.use("r")
    assert queue.take_used() == {"r"}
    queue.put_back()
    queue.use("s")
    assert queue.take_used() == {"r", "s"}
    queue.written()
    assert queue.take_used() == set()


def test_news_of_a_variable_that_the_server_has_set_since_are_not_told():
    queue = WriteQueue()
    assert queue.announce([("r", "a", b"1"), ("r", "b", b"1")])
    queue.put("r", "a", b"2")
    assert not queue.announce([("r", "a", b"3")])
    assert queue.fetch(10) == [("r", "b", b"1")]
    assert queue.fetch(10) == []


def test_news_are_fetched_in_their_order_and_not_more_than_wanted():
    queue = WriteQueue()
    queue.announce(("r", name, name.encode()) for name in "abcde")
    assert [name for _, name, _ in queue.fetch(2)] == ["a", "b"]
    assert [name for _, name, _ in queue.fetch(9)] == ["c", "d", "e"]


offers = st.lists(
    st.tuples(
        st.sampled_from("rs"),
        st.sampled_from("ab"),
        st.binary(max_size=300),
        st.sampled_from(["x", "y", None]),
        st.booleans(),
    ),
    max_size=30,
)


@given(offers)
def test_an_offer_is_the_question_and_the_value_in_one(offers):
    whole, halves = WriteQueue(most_bytes=1500), WriteQueue(most_bytes=1500)
    for room, name, value, writer, is_written in offers:
        accepted = whole.offer(room, name, value, writer)
        assert accepted == halves.has_place(room, name, value, writer)
        if accepted:
            halves.put(room, name, value, writer)
        assert [whole.of_room(each) for each in "rs"] == [halves.of_room(each) for each in "rs"]
        if is_written:
            assert whole.take() == halves.take()
            whole.written()
            halves.written()


def test_an_offer_overtakes_the_news_about_its_variable():
    queue = WriteQueue()
    queue.announce([("r", "a", b"1"), ("r", "b", b"1")])
    assert queue.offer("r", "a", b"2", None)
    assert queue.fetch(10) == [("r", "b", b"1")]


def test_a_value_that_is_offered_while_the_others_are_taken_is_written_with_the_next():
    queue = WriteQueue()

    class Writer(str):
        """Compared when the offered value is about to replace the one that waits; the thread takes all values then."""

        __slots__ = ()
        __hash__ = str.__hash__
        takes = True

        def __eq__(self, other):
            if Writer.takes:
                Writer.takes = False
                queue.take()
            return str.__eq__(self, other)

    queue.put("r", "a", b"1", "x")
    assert queue.offer("r", "a", b"2", Writer("x"))
    assert not Writer.takes
    assert queue.of_room("r") == {"a": b"2"}
    queue.written()
    assert queue.take() == {"r": {"a": b"2"}}
    queue.written()
    assert queue._shares.total == 0


def test_the_thread_is_told_of_values_that_wait_but_not_again_of_one_that_is_replaced():
    told = []
    queue = WriteQueue(most_bytes=2000, on_waiting=lambda: told.append(len(queue)))
    assert queue.offer("r", "a", b"1", "x")
    assert queue.offer("r", "a", b"2", "x")
    assert told == [1]
    queue.put("r", "b", b"1", "x")
    assert not queue.offer("r", "c", bytes(2000), "x")
    assert told == [1, 2]
    queue.take()
    queue.written()
    assert queue.offer("r", "a", b"3", "x")
    assert told == [1, 2, 1]
