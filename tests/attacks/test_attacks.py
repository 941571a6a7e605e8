"""The laboratory itself: what it judges to be wrong, and that its attacks are what they say."""

from __future__ import annotations

import asyncio
import json

import pytest

from tests.attacks.attackers import attack_with, rendered
from tests.attacks.attacks import ATTACKS, QUICK, Attack
from tests.attacks.laboratory import QUICK as QUICK_TIMES
from tests.attacks.laboratory import THOROUGH, Measured, Times, judge, measure, p99
from tests.support.rawclients import frame, running

ATTACK = Attack("an attack", "what it does", stopped=("1008", "E:108"))
GOOD = {"before": 0.01, "during": 0.09, "joining": 0.3, "memory": 150, "tally": {"1008": 3}}


def judged(attack=ATTACK, times=THOROUGH, **changes):
    return judge(attack, Measured(**{**GOOD, **changes}), times)


def test_what_stays_within_all_bounds_is_right():
    assert judged() == []


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"during": 0.11}, "the updates took 110 ms instead of 100"),
        ({"before": 0.1, "during": 0.31}, "the updates took 310 ms instead of 300"),
        ({"joining": 2.5}, "a newcomer needed 2.5 s"),
        ({"memory": 151}, "the server grew by 151 MB"),
        ({"files": 41}, "41 files are still open"),
        ({"lines": 2001}, "2001 lines in the log"),
        ({"tally": {"101": 60}}, "none of 1008, E:108 happened to the attackers"),
        ({"log": ["ERROR it broke"]}, "an error in the log: ERROR it broke"),
        ({"problems": ["an honest client was disconnected"]}, "an honest client was disconnected"),
    ],
)
def test_each_bound_is_judged(changes, sentence):
    assert judged(**changes) == [sentence]


def test_the_quick_form_allows_more_delay_but_no_more_memory_and_no_loss():
    assert judged(times=QUICK_TIMES, during=0.4) == []
    assert judged(times=QUICK_TIMES, memory=151, problems=["lost"]) == ["lost", "the server grew by 151 MB"]


def test_an_attack_that_anybody_may_do_needs_no_answer():
    assert judged(Attack("idle", "nothing"), tally={}) == []


def test_a_percentile_of_nothing_is_never_bearable():
    assert p99([]) == float("inf")
    assert p99([0.0] * 99 + [1.0]) < 0.1
    assert p99([0.0] * 90 + [1.0] * 10) == 1.0


def test_messages_are_rendered_for_each_client_and_turn():
    assert rendered(("a # $", b"raw#"), 7, 2) == frame(b"a 7 2") + b"raw7"
    assert rendered(("plain",), 7, 2) == frame(b"plain")


def test_there_are_fifty_attacks_and_the_quick_ones_are_among_them():
    assert len(ATTACKS) >= 51
    assert set(QUICK) <= set(ATTACKS)
    assert len(set(QUICK)) == 8


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=list(ATTACKS))
def test_each_attack_can_be_played(attack):
    assert attack.what
    assert attack.kind in {"websocket", "http", "tcp", "hello"}
    assert attack.reading in {"all", "none", "late"}
    assert (
        attack.opening
        or attack.repeat
        or attack.leader
        or attack.connections > 500
        or attack.kind in {"tcp", "hello"}
    )
    assert rendered((*attack.opening, *attack.repeat, *(attack.leader or ())), 1, 1) is not None
    for message in (*attack.opening, *attack.repeat):
        if isinstance(message, str) and message.startswith('{"cmd"') and "[[" not in message:
            is_broken = attack.name in {"broken JSON", "half surrogates", "many objects in a message"}
            assert is_broken or json.loads(message)


def test_an_attacker_tells_why_it_was_disconnected():
    async def scenario():
        async with running(packet_rate=1, packet_burst=1, flood_patience=0.0) as server:
            attack = Attack("pings", "", opening=('{"cmd":"ping"}',) * 9, connections=2)
            tally = await attack_with(attack, server.port, 0.3)
            assert tally["1008"] == 2
            assert tally["101"] == 2

    asyncio.run(scenario())


def test_a_harmless_attack_is_measured_with_players(tmp_path):
    times = Times(before=0.5, attack=1.0, after=0.1, floor=5.0)
    measured = asyncio.run(measure(ATTACKS["direct lists"], tmp_path, times))
    assert measured.problems == []
    assert measured.tally["101"] == 10
    assert 0 < measured.before < 5
    assert judge(ATTACKS["direct lists"], measured, times) == []
