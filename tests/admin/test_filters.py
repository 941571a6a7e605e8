"""Filters: what acts when several match, expressions, and what is too much."""

from __future__ import annotations

import re
import sys
import time

import pytest

from cloudlink.admin.actors import AdminError
from cloudlink.admin.filters import Filter, Filters, checking_entries, compiled
from cloudlink.slices import finish
from tests.admin.conftest import OWNER
from tests.support.clock import FakeClock


def a_filter(number, action, *entries, kind="words", scope=("messages",)):
    return Filter(id=number, kind=kind, entries=list(entries), action=action, scope=list(scope))


def filters(*several, **options):
    made = Filters(**options)
    for one in several:
        made.put(one)
    return made


def test_the_strictest_acts_and_notices_are_kept():
    made = filters(a_filter(1, "mask", "bad"), a_filter(2, "notice", "sad"), a_filter(3, "block", "mad"))
    finding = made.look_at_value(b'"bad sad"', "messages")
    assert (finding.filter.id, finding.masked) == (1, b'"*** sad"')
    assert [one.id for one in finding.notices] == [2]
    assert made.look_at_value(b'["sad","mad"]', "messages").filter.id == 3
    assert made.look_at_value(b'"glad"', "messages") is None
    assert made.look_at_value(b'"bad"', "variables") is None


def test_of_two_filters_with_the_same_word_the_stricter_acts():
    made = filters(a_filter(1, "mask", "bad"), a_filter(2, "kick", "BAD"))
    assert made.look_at_text("bad", "messages").filter.id == 2
    made.drop(2)
    assert made.look_at_text("bad", "messages").filter.id == 1


def test_expressions():
    made = filters(a_filter(1, "mask", r"\d{3}-\d{4}", "(?-i)XX", kind="regex"))
    finding = made.look_at_value('"\u00e9 call 555-1234 xx XX"'.encode(), "messages")
    assert finding.masked.decode() == '"\u00e9 call ******** xx **"'
    assert finding.text == "555-1234"


@pytest.mark.parametrize("entry", ["(", "a(?=b)", r"(a)\1", "x" * 257, "a*", "", "\ud800"])
def test_a_wrong_expression_is_invalid(entry):
    with pytest.raises(AdminError) as caught:
        finish(checking_entries("regex", [entry]))
    assert caught.value.code == "invalid"


def test_an_expression_that_would_hang_python_is_harmless():
    (expression,) = (compiled("(a+)+b"),)
    assert list(expression.finditer("a" * 4096)) == []
    finish(checking_entries("regex", ["(a+)+b"]))


@pytest.mark.timing
@pytest.mark.parametrize("action", ["mask", "block"])
@pytest.mark.parametrize(
    "entry", ["(a+)+b", "(a|a)*b", "(a|aa)+$b", "(.*a){12}b", r"(\w+\s?)*!", "([a-z]+)*[0-9]"]
)
def test_no_expression_stalls_the_server_for_10_ms(entry, action):
    """Python's engine would take years for some of these."""
    for text in ("a" * 4096, "a " * 2048, "ab" * 2048, "a1!" * 1365):
        times = []
        for _ in range(5):
            made = filters(a_filter(1, action, entry, kind="regex"))
            start = time.thread_time()
            made.look_at_value(f'"{text}"'.encode(), "messages")
            times.append(time.thread_time() - start)
        assert min(times) < 0.01  # of computing; a busy machine takes longer


def test_of_very_many_matches_the_rest_is_masked():
    made = filters(a_filter(1, "mask", "bad", kind="regex"))
    few, many = "bad good " * 100, "bad good " * 101 + "bad"
    assert made.look_at_text(few, "messages").masked.decode() == "*** good " * 100
    assert made.look_at_text(many, "messages").masked.decode() == "*** good " * 100 + "*" * 12


def test_one_match_is_enough_unless_it_is_masked():
    clock = FakeClock()

    class Slow:
        def finditer(self, text):
            for match in re.finditer("bad", text):
                yield match
                clock.now += 0.001  # before the next one is found

    made = filters(a_filter(1, "block", "bad", kind="regex"), clock=clock)
    made._expressions[1] = [Slow()]
    for _ in range(5):
        assert made.look_at_text("bad " * 500, "messages").text == "bad"
    assert not made.is_off(1)


def test_a_slow_expression_is_refused():
    times = iter(range(100))
    with pytest.raises(AdminError) as caught:
        finish(checking_entries("regex", ["abc"], clock=lambda: next(times)))
    assert caught.value.code == "too_slow"


def test_without_re2_expressions_are_unavailable(monkeypatch):
    monkeypatch.setitem(sys.modules, "re2", None)
    with pytest.raises(AdminError, match="regex") as caught:
        finish(checking_entries("regex", ["abc"]))
    assert caught.value.code == "unavailable"
    made = filters(a_filter(1, "block", "abc", kind="regex"))
    assert made.is_off(1)
    assert not made.looks_at("messages")
    assert made.look_at_text("abc", "messages") is None


def test_an_expression_that_is_slow_three_times_is_switched_off():
    times = [0.0, 0.006, 1.0, 1.006, 2.0, 2.001, 3.0, 3.006]
    made, off = filters(a_filter(1, "block", "abc", kind="regex"), clock=lambda: times.pop(0)), []
    made.on_off = off.append
    for _ in range(4):
        assert made.look_at_text("abc", "messages") is not None
    assert [one.id for one in off] == [1]
    assert made.is_off(1)
    assert made.look_at_text("abc", "messages") is None


# The methods.


def refusal(world, **options):
    given = {"kind": "words", "entries": ["bad"], "action": "block", **options}
    with pytest.raises(AdminError) as caught:
        finish(world.sanctions.adding_filter(OWNER, **given))
    return caught.value.code


def test_wrong_parameters(world):
    assert refusal(world, kind="poem") == "invalid"
    assert refusal(world, action="shout") == "invalid"
    assert refusal(world, entries=[]) == "invalid"
    assert refusal(world, entries=["two words"]) == "invalid"
    assert refusal(world, entries=["x" * 33]) == "invalid"
    assert refusal(world, scope=["dreams"]) == "invalid"
    assert refusal(world, scope=[]) == "invalid"
    assert refusal(world, seconds=0) == "invalid"
    assert [row["outcome"] for row in world.rows] == ["invalid"] * 8
    assert "bad" not in str(world.rows)


def test_there_can_be_5000_words_and_50_expressions(world):
    finish(
        world.sanctions.adding_filter(
            OWNER, kind="words", entries=[f"w{n}" for n in range(5000)], action="mask"
        )
    )
    assert refusal(world) == "too_many"
    finish(
        world.sanctions.adding_filter(
            OWNER, kind="regex", entries=[f"e{n}x" for n in range(50)], action="mask"
        )
    )
    assert refusal(world, kind="regex", entries=["one more"]) == "too_many"


def test_there_can_be_100_filters(world):
    for number in range(100):
        finish(world.sanctions.adding_filter(OWNER, kind="words", entries=[f"w{number}"], action="mask"))
    assert refusal(world) == "too_many"


def test_filters_are_listed_tested_and_removed(world):
    finish(world.sanctions.adding_filter(OWNER, kind="words", entries=["bad", "bad"], action="mask"))
    finish(
        world.sanctions.adding_filter(OWNER, kind="words", entries=["sad"], action="kick", scope=["names"])
    )
    first, second = world.sanctions.list_filters(OWNER)["items"]
    assert (first["entries"], first["scope"], first["off"]) == (["bad"], ["messages", "names"], False)
    tested = world.sanctions.test_filters(OWNER, "a bad, sad day")
    assert tested == {
        "matches": [
            {"id": 1, "action": "mask", "found": "bad"},
            {"id": 2, "action": "kick", "found": "sad"},
        ],
        "masked": "a ***, sad day",
    }
    assert world.sanctions.test_filters(OWNER, "fine") == {"matches": [], "masked": "fine"}
    assert world.sanctions.remove_filter(OWNER, second["id"]).result == {"removed": 1}
    with pytest.raises(AdminError, match="no filter 2"):
        world.sanctions.remove_filter(OWNER, 2)


def test_filters_outlive_a_restart(make_world, tmp_path, monkeypatch):
    first = make_world(tmp_path / "admin.db")
    finish(first.sanctions.adding_filter(OWNER, kind="words", entries=["bad"], action="mask"))
    finish(first.sanctions.adding_filter(OWNER, kind="regex", entries=["sad"], action="mask"))
    first.store.put("filter", "9", {"id": "x"})
    second = make_world(tmp_path / "admin.db")
    assert len(second.sanctions.list_filters(OWNER)["items"]) == 2
    assert "cannot be read" in second.sanctions.notices[0]["text"]
    second.sanctions.remove_filter(OWNER, 1)
    first.store.save([])
    assert len(first.sanctions.list_filters(OWNER)["items"]) == 1
    monkeypatch.setitem(sys.modules, "re2", None)
    third = make_world(tmp_path / "admin.db")
    assert any("google-re2 is not installed" in notice["text"] for notice in third.sanctions.notices)
    assert third.sanctions.list_filters(OWNER)["items"][0]["off"]


def test_a_filter_that_is_switched_off_is_a_notice(world):
    finish(world.sanctions.adding_filter(OWNER, kind="words", entries=["bad"], action="mask"))
    (one,) = world.policy.filters
    world.policy.filters.on_off(one)
    assert "was switched off" in world.sanctions.notices[0]["text"]
