"""Every wire scenario, in memory and over a real socket, and a look at what they cover."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.scenario_drivers import InMemory, OverSocket
from tests.support.scenario_play import ConversationError, play
from tests.support.scenarios import ScenarioSyntaxError, parse, scenarios
from tests.support.servers import HOST, build, listening

ALL = scenarios(".")
IN_MEMORY = [scenario for scenario in ALL if scenario.only != "socket"]
OVER_SOCKET = [scenario for scenario in ALL if scenario.only != "memory"]

# Cases of the conformance matrix that no scenario shows, and the test that does.
COVERED_ELSEWHERE: dict[str, str] = {}


@pytest.mark.parametrize("scenario", IN_MEMORY, ids=lambda scenario: scenario.name)
def test_in_memory(scenario):
    async def main():
        await play(scenario, InMemory(build(scenario.settings, scenario.plugins)))

    asyncio.run(main())


@pytest.mark.parametrize("scenario", OVER_SOCKET, ids=lambda scenario: scenario.name)
def test_over_a_socket(scenario):
    async def main():
        async with listening(build(scenario.settings, scenario.plugins)) as port:
            driver = OverSocket(HOST, port)
            await play(scenario, driver)
            await driver.leave_all()

    asyncio.run(main())


def test_every_case_of_the_matrix_has_a_scenario():
    cases = [str(number) for number in range(1, 90)] + ["6b"]
    shown = {case for scenario in ALL for case in scenario.matrix}
    assert [case for case in cases if case not in shown and case not in COVERED_ELSEWHERE] == []
    assert shown <= set(cases), "a scenario names a case that the matrix does not have"


def test_no_two_scenarios_are_the_same():
    texts = [scenario.path.read_text(encoding="utf-8") for scenario in ALL]
    assert len(set(texts)) == len(texts)


def test_three_hundred_connections_from_one_address_are_welcome():
    async def main():
        async with listening(build()) as port:
            driver = OverSocket(HOST, port)
            names = [str(number) for number in range(300)]
            await asyncio.gather(*(driver.connect(name) for name in names))
            for name in names:
                await driver.send(name, b'{"cmd":"ping","listener":"here"}')
            await driver.settle()
            answers = [driver.take(name)[-1:] for name in names]
            await driver.leave_all()
        assert answers == [['{"cmd":"statuscode","code":"I:100 | OK","code_id":100,"listener":"here"}']] * 300

    asyncio.run(main())


# The tests below are about the tests: a scenario that the server does not follow must fail.

WRONG = {
    "another value": ('A < {"cmd":"gmsg","val":2,"rooms":"default"}',),
    "a value spelt otherwise": ('A < {"cmd":"gmsg","val":1.0,"rooms":"default"}',),
    "a key too many": ('A < {"cmd":"gmsg","val":1,"rooms":"default","listener":"L"}',),
    "a key too few": ('A < {"cmd":"gmsg","val":1}',),
    "a frame too many": ('A < {"cmd":"gmsg","val":1,"rooms":"default"}',) * 2,
    "a bare text": ("A < text: hello",),
    "nothing": ("silence",),
    "a close": ('A < {"cmd":"gmsg","val":1,"rooms":"default"}', 'A closed 1000 "why"'),
    "an absent listener": ('A < {"cmd":"gmsg","val":"<none>","rooms":"default"}',),
}


@pytest.mark.parametrize("lines", WRONG.values(), ids=WRONG.keys())
def test_a_wrong_expectation_fails(lines, tmp_path):
    with pytest.raises(ConversationError):
        _play_text(tmp_path, 'A > {"cmd":"gmsg","val":1}', *lines)


def test_a_right_expectation_passes(tmp_path):
    _play_text(tmp_path, 'A > {"cmd":"gmsg","val":1}', 'A < {"cmd":"gmsg","rooms":"default","val":1}')


ONE_FRAME = 'B < {"method":"set","name":"a","value":1}⏎{"method":"set","name":"b","value":2}'
TWO_FRAMES = ('B < {"method":"set","name":"a","value":1}', 'B < {"method":"set","name":"b","value":2}')
SETS = 'A > {"method":"set","name":"a","value":1}⏎{"method":"set","name":"b","value":2}'
HANDSHAKE = 'B > {"method":"handshake","project_id":"1","user":"b"}'


def test_one_frame_of_two_objects_is_distinguished_from_two_frames(tmp_path):
    before = [SETS, "silence", "B connects", HANDSHAKE]
    _play_text(tmp_path, *before, ONE_FRAME, given="A playing 1")
    with pytest.raises(ConversationError, match="B should have received"):
        _play_text(tmp_path, *before, *TWO_FRAMES, given="A playing 1")
    _play_text(tmp_path, SETS, *TWO_FRAMES, given="A playing 1, B playing 1")
    with pytest.raises(ConversationError, match="B should have received"):
        _play_text(tmp_path, SETS, ONE_FRAME, given="A playing 1, B playing 1")


def test_a_line_end_after_the_last_object_fails(tmp_path):
    with pytest.raises(ConversationError):
        _play_text(tmp_path, SETS, *TWO_FRAMES[:1], f"{TWO_FRAMES[1]}⏎", given="A playing 1, B playing 1")


def test_a_scratch_client_that_cannot_play_is_reported(tmp_path):
    with pytest.raises(ConversationError, match="was closed"):
        _play_text(tmp_path, "A disconnects", given=f"A playing {'x' * 1000}")


def test_a_client_that_should_receive_nothing_is_watched(tmp_path):
    with pytest.raises(ConversationError, match="B should have received"):
        _play_text(
            tmp_path,
            'A > {"cmd":"gmsg","val":1}',
            'A < {"cmd":"gmsg","val":1,"rooms":"default"}',
            given="A handshaken, B handshaken",
        )


@pytest.mark.parametrize(
    "line",
    ["A shouts", "A > ", 'A < "no packet"', "A closed", "A drops dead", "silence\nB < text: x", "A > x"],
)
def test_an_invalid_line_is_reported(line, tmp_path):
    with pytest.raises(ScenarioSyntaxError):
        _play_text(tmp_path, line)


def _play_text(tmp_path, *lines, given="A handshaken"):
    path = tmp_path / "scenario.txt"
    path.write_text(
        "\n".join(["# A test.", "upstream: same", f"given: {given}", "", *lines]), encoding="utf-8"
    )
    scenario = parse(path)

    async def main():
        await play(scenario, InMemory(build()))

    asyncio.run(main())
