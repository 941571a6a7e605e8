"""Questions between processes: who is asked, who has answered, and who is missing."""

from __future__ import annotations

import json
from concurrent.futures import Future

import pytest

from cloudlink.admin.actors import AdminError
from cloudlink.admin.asking import PATIENCE, Asking
from cloudlink.admin.peers import NoPeers


class Carrier:
    """Keeps what is sent."""

    def __init__(self):
        self.others = {"a": "n-2", "b": "n-3", "c": "m-1"}
        self.expected = ["n-2", "n-3"]
        self.sent = []

    def send(self, process, text):
        self.sent.append((process, json.loads(text)))

    def take(self):
        sent, self.sent = self.sent, []
        return sent


@pytest.fixture
def carrier():
    return Carrier()


@pytest.fixture
def due():
    return []


@pytest.fixture
def asking(carrier, due):
    return Asking(carrier, lambda delay, call: due.append((delay, call)))


def answer(asking, process, **content):
    asking.receive(process, json.dumps(content).encode())


def test_all_are_asked_and_the_answer_comes_with_the_last_one(asking, carrier):
    asked = asking.ask("stats", {"x": 1})
    assert carrier.take() == [(each, {"n": 1, "ask": "stats", "params": {"x": 1}}) for each in "abc"]
    answer(asking, "a", n=1, result={"clients": 1})
    answer(asking, "b", n=1, error=["conflict", "It is so."])
    assert not asked.done()
    answer(asking, "c", n=1, result={"clients": 2})
    replies = asked.result()
    assert replies.results == {"n-2": {"clients": 1}, "m-1": {"clients": 2}}
    assert (replies.errors["n-3"].code, str(replies.errors["n-3"])) == ("conflict", "It is so.")
    assert replies.missing == []


def test_who_is_late_is_named_and_may_answer_later_for_nothing(asking, due):
    late = []
    asking.on_missing = late.append
    asked = asking.ask("stats")
    answer(asking, "b", n=1, result={})
    ((delay, give_up),) = due
    assert delay == PATIENCE < 2
    give_up()
    assert asked.result().missing == late == ["m-1", "n-2"]
    answer(asking, "a", n=1, result={})
    give_up()
    assert list(asked.result().results) == ["n-3"]


def test_answers_twice_and_of_strangers_count_once(asking):
    asked = asking.ask("stats", to=["n-2", "n-3"])
    for process in ("a", "a", "z", "c"):
        answer(asking, process, n=1, result={"of": process})
    assert not asked.done()
    answer(asking, "b", n=1, result={})
    assert asked.result().results == {"n-2": {"of": "a"}, "n-3": {}}


def test_a_worker_that_cannot_be_reached_is_missing_at_once(asking, carrier):
    carrier.others = {}
    assert asking.exist
    assert asking.ask("stats").result().missing == ["n-2", "n-3"]
    carrier.expected = []
    assert not asking.exist
    assert asking.ask("stats").result().missing == []


def test_those_of_this_machine_can_be_asked_alone(asking, carrier):
    asking.ask("metrics", is_local=True)
    assert [process for process, _ in carrier.take()] == ["a", "b"]


def test_what_is_told_is_not_answered(asking, carrier):
    asking.tell("notice", {"text": "x"})
    assert carrier.take() == [(each, {"ask": "notice", "params": {"text": "x"}}) for each in "abc"]
    asking.tell("event", to="n-3")
    assert carrier.take() == [("b", {"ask": "event", "params": {}})]
    heard = []
    asking.answer = lambda question, params, process: heard.append((question, params, process)) or {}
    answer(asking, "b", ask="notice", params={"text": "y"})
    assert heard == [("notice", {"text": "y"}, "n-3")]
    assert carrier.take() == []


def test_questions_are_answered_whatever_happens(asking, carrier, caplog):
    def reply(question, _params, _process):
        if question == "bad":
            raise AdminError("not_found", "No.")
        return {"it": 1 / int(question)}

    answer(asking, "a", n=7, ask="1", params={})  # before there is anybody who answers
    assert carrier.take()[0][1]["error"][0] == "unavailable"
    asking.answer = reply
    for number, question in enumerate(("1", "bad", "0")):
        answer(asking, "a", n=number, ask=question, params={})
    assert [text for _, text in carrier.take()] == [
        {"n": 0, "result": {"it": 1.0}},
        {"n": 1, "error": ["not_found", "No."]},
        {"n": 2, "error": ["internal", "The server made a mistake; its log says which."]},
    ]
    assert "ZeroDivisionError" in caplog.text


def test_an_answer_may_come_later(asking, carrier):
    waiting = []

    def reply(question, _params, _process):
        waiting.append(Future())
        return waiting[-1]

    asking.answer = reply
    answer(asking, "a", n=1, ask="x", params={})
    answer(asking, "b", n=2, ask="x", params={})
    assert carrier.take() == []
    waiting[1].set_exception(AdminError("unavailable", "Later."))
    waiting[0].set_result({"it": 1})
    assert carrier.take() == [
        ("b", {"n": 2, "error": ["unavailable", "Later."]}),
        ("a", {"n": 1, "result": {"it": 1}}),
    ]


def test_a_lone_process():
    nobody = NoPeers()
    nobody.tell("notice")
    assert not nobody.exist
    assert nobody.ask("stats").result().results == {}
