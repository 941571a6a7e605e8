"""Acting scenarios out: compares what a server sends with what a scenario says, frame by frame."""

from __future__ import annotations

import itertools
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from tests.support.eras import ERAS, opening
from tests.support.scenarios import ScenarioSyntaxError

if TYPE_CHECKING:
    from tests.support.scenarios import Action, Expected, Given, Scenario, Step

DELIVERED = frozenset({"gmsg", "gvar", "pmsg", "pvar", "direct"})
WELL_FORMED = {
    "id": re.compile(r"[1-9][0-9]{15,19}"),
    "uuid": re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"),
}


class ConversationError(AssertionError):
    """The server did not answer as the scenario says; the text shows what was expected and what came."""


# The comparison.


@dataclass(frozen=True)
class Number:
    """A JSON number as it was spelt: 1, 1.0 and 1e0 differ."""

    text: str


def _no_constant(text: str) -> None:
    raise ValueError(f"{text} is not JSON")


_DECODER = json.JSONDecoder(parse_float=Number, parse_int=Number, parse_constant=_no_constant)


def members(packet: str) -> dict[str, str]:
    """The members of a JSON object, every value as its raw text.

    Raises ValueError unless `packet` is one JSON object, written without spaces around its own punctuation and with
    every key once: what a server may send.
    """
    found: dict[str, str] = {}
    at = 1
    if not packet.startswith("{"):
        raise ValueError("not a JSON object")
    while packet[at : at + 1] not in ("}", ""):
        key, at = _DECODER.raw_decode(packet, at)
        if not isinstance(key, str) or key in found or packet[at : at + 1] != ":":
            raise ValueError(f"the key {key!r} is not a text, or comes twice, or has no colon right after it")
        _, end = _DECODER.raw_decode(packet, at + 1)
        found[key] = packet[at + 1 : end]
        at = end + 1 if packet[end : end + 1] == "," else end
    if packet[at:] != "}" or packet[at - 1] == ",":
        raise ValueError("the object does not end well")
    return found


class Matcher:
    """Compares packets, and remembers who has which snowflake and uuid.

    A loose matcher forgives what our server promises and CloudLink 0.2.0 does not: the order of users in a list, and
    the very bytes of a value.
    """

    PLACEHOLDER = re.compile(r"\$(?P<who>[A-Z])\.(?P<what>id|uuid)")
    OBJECT = re.compile(r'\$(?P<who>[A-Z])(?::(?P<name>\w+|"(?:[^"\\]|\\.)*"))?(?![\w.])')
    LONG = re.compile(r"\$\((?P<text>.+?)\*(?P<times>\d+)\)")

    def __init__(self, *, loose: bool = False) -> None:
        self.loose = loose
        self.known: dict[str, str] = {}

    def fill(self, text: str) -> str:
        """`text` with every placeholder replaced that is known by now."""
        text = self.LONG.sub(lambda match: match["text"] * int(match["times"]), text)
        text = self.OBJECT.sub(self._user_object, text)
        return self.PLACEHOLDER.sub(lambda match: self.known.get(match[0], match[0]), text)

    @staticmethod
    def _user_object(match: re.Match[str]) -> str:
        who, name = match["who"], match["name"]
        if name is not None and not name.startswith('"'):
            name = json.dumps(name)
        username = "" if name is None else f'"username":{name},'
        return f'{{"id":"${who}.id",{username}"uuid":"${who}.uuid"}}'

    def packet(self, expected: str, received: str) -> bool:
        """Is `received` the packet that the line `expected` describes?"""
        want, got = members(self.fill(expected)), members(received)
        if want.get("cmd") == got.get("cmd") == '"statuscode"' and "details" not in want:
            got.pop("details", None)
        absent = {key for key, value in want.items() if value == '"<none>"'}
        if want.keys() - absent != got.keys() or "null" in (got.get("val"), got.get("listener")):
            return False
        return all(self._member(want, key, value) for key, value in got.items())

    def _member(self, want: dict[str, str], key: str, received: str) -> bool:
        expected = want[key]
        if key == "val" and not self.loose and json.loads(want["cmd"]) in DELIVERED and expected != '"<any>"':
            return expected == received
        return self._value(_DECODER.decode(expected), _DECODER.decode(received))

    def _value(self, expected: Any, received: Any) -> bool:
        if isinstance(expected, str):
            return self._text(expected, received)
        if isinstance(expected, dict) and isinstance(received, dict):
            same_keys = expected.keys() == received.keys()
            return same_keys and all(self._value(value, received[key]) for key, value in expected.items())
        if isinstance(expected, list) and isinstance(received, list):
            if self.loose:
                expected, received = (sorted(values, key=repr) for values in (expected, received))
            return len(expected) == len(received) and all(map(self._value, expected, received))
        return type(expected) is type(received) and expected == received

    def _text(self, expected: str, received: Any) -> bool:
        if expected == "<any>":
            return True
        if not isinstance(received, str):
            return False
        placeholder = self.PLACEHOLDER.fullmatch(expected)
        if placeholder and expected not in self.known:
            if received in self.known.values() or not WELL_FORMED[placeholder["what"]].fullmatch(received):
                return False
            self.known[expected] = received
            return True
        filled = self.fill(expected)
        if "<any>" not in filled:
            return filled == received
        pattern = ".*".join(map(re.escape, filled.split("<any>")))
        return re.fullmatch(pattern, received, re.DOTALL) is not None


# The play.


class Driver(Protocol):
    """A way of talking to a server. Names are those of the scenario."""

    async def connect(self, who: str, path: str, headers: dict[str, str]) -> None: ...

    async def send(self, who: str, data: bytes, *, binary: bool) -> None: ...

    async def disconnect(self, who: str) -> None: ...

    async def drop(self, who: str) -> None: ...

    async def settle(self) -> None:
        """Return once everything has arrived that the actions so far bring about."""

    def take(self, who: str) -> list[str]:
        """The frames received since the last call."""

    def closed(self, who: str) -> tuple[int, str] | None:
        """Code and reason if the server has closed this connection."""


async def play(scenario: Scenario, driver: Driver, *, loose: bool = False) -> None:
    """Act `scenario` out; raise ConversationError at the first step that goes otherwise."""
    matcher = Matcher(loose=loose)
    present: set[str] = set()
    for given in scenario.given:
        await _arrive(given, driver, matcher, present)
    for step in scenario.steps:
        for action in step.actions:
            await _act(action, driver, matcher, present)
        await driver.settle()
        _check(scenario, step, driver, matcher, present)
        present -= step.closed.keys()


async def _act(action: Action, driver: Driver, matcher: Matcher, present: set[str]) -> None:
    if action.verb == "connect":
        await driver.connect(action.who, action.path, dict(action.headers))
        present.add(action.who)
    elif action.verb == "send":
        text = matcher.fill(action.text)
        if unknown := matcher.PLACEHOLDER.search(text):
            raise ScenarioSyntaxError(f"{unknown[0]} is not known yet")
        data = bytes.fromhex(text.removeprefix("hex ")) if text.startswith("hex ") else text.encode()
        for _ in range(action.times):
            await driver.send(action.who, data, binary=action.binary)
    else:
        await getattr(driver, action.verb)(action.who)
        present.discard(action.who)


async def _arrive(given: Given, driver: Driver, matcher: Matcher, present: set[str]) -> None:
    """Bring a client where the scenario wants it, and learn its snowflake and uuid."""
    await driver.connect(given.who, "/", {})
    present.add(given.who)
    if given.project is not None:
        await _play_along(given, driver)
        return
    lines = [] if given.state == "connected" else opening(given.language or "CL4 0.2.0", given.name or "")
    if given.rooms:
        lines.append(json.dumps({"cmd": "link", "val": given.rooms, "listener": "given"}))
    for line in lines:
        await driver.send(given.who, line.encode(), binary=False)
    await driver.settle()
    packets = [members(frame) for frame in driver.take(given.who)]
    for packet in packets:
        if packet.get("cmd") == '"client_obj"':
            user = json.loads(packet["val"])
            matcher.known |= {f"${given.who}.id": user["id"], f"${given.who}.uuid": user["uuid"]}
    for who in present - {given.who}:
        driver.take(who)
    if given.language in ERAS:
        return
    answers = [packet["code_id"] for packet in packets if packet.get("listener") == '"given"']
    if answers != ["100"] * len(lines):
        raise ConversationError(f"given {given}: {len(lines)} times OK expected, and these came: {packets}")


async def _play_along(given: Given, driver: Driver) -> None:
    """Bring a Scratch client into its project."""
    user = f"player{given.who}"
    handshake = {"method": "handshake", "project_id": given.project, "user": user}
    await driver.send(given.who, json.dumps(handshake).encode(), binary=False)
    await driver.settle()
    driver.take(given.who)
    if driver.closed(given.who) is not None:
        raise ConversationError(f"given {given}: the connection was closed")


def _check(scenario: Scenario, step: Step, driver: Driver, matcher: Matcher, present: set[str]) -> None:
    expected: dict[str, list[Expected]] = {who: [] for who in sorted(present)}
    for item in step.expected:
        if item.who not in present:
            raise ScenarioSyntaxError(f"{scenario.path}:{step.line}: {item.who} is not connected")
        expected[item.who].append(item)
    for who, in_order in expected.items():
        lines, received = in_order, driver.take(who)
        if matcher.loose or scenario.any_room_order:
            lines, received = _by_room(lines), _by_room(received)
        ending = driver.closed(who)
        same = len(lines) == len(received) and all(
            _same(line, frame, matcher) for line, frame in zip(lines, received, strict=True)
        )
        if not same or not _ends(step.closed.get(who), ending):
            wanted = [("text: " if line.bare else "") + matcher.fill(line.text) for line in lines]
            raise ConversationError(
                f"{scenario.name}, step at line {step.line}: {who} should have received\n"
                + _listing(wanted, step.closed.get(who))
                + "and received\n"
                + _listing(received, ending)
            )


def _ends(expected: tuple[int, str] | None, ending: tuple[int, str] | None) -> bool:
    if expected is None or ending is None:
        return expected is ending
    return expected[0] == ending[0] and expected[1] in ("<any>", ending[1])


def _same(line: Expected, frame: str, matcher: Matcher) -> bool:
    if line.bare:
        return frame == line.text
    packets, received = line.text.split("⏎"), frame.split("\n")
    try:
        return len(packets) == len(received) and all(map(matcher.packet, packets, received))
    except ValueError:
        return False


def _by_room(frames: list[Any]) -> list[Any]:
    """`frames` with neighbours that tell of several rooms in the order of the rooms' names."""

    def kind_and_room(frame: Any) -> tuple[str, str]:
        text = frame if isinstance(frame, str) else frame.text
        kind = re.match(r'\{"cmd":"(\w+)"(?:,"mode":"(\w+)")?', text)
        room = re.search(r'"rooms":"(\w*)"', text)
        return (kind[0], room[1]) if kind and room else ("", "")

    ordered: list[Any] = []
    for frame in frames:
        kind, room = kind_and_room(frame)
        at = len(ordered)
        while (
            room
            and at
            and kind_and_room(ordered[at - 1])[0] == kind
            and kind_and_room(ordered[at - 1])[1] > room
        ):
            at -= 1
        ordered.insert(at, frame)
    return ordered


def _listing(lines: list[str], closed: tuple[int, str] | None) -> str:
    shown = []
    for line, same in itertools.groupby(lines):
        times = len(list(same))
        short = line if len(line) < 500 else f"{line[:480]}… ({len(line)} characters)"
        shown.append(short if times == 1 else f"{times} times {short}")
    if closed is not None:
        shown.append(f'closed {closed[0]} "{closed[1]}"')
    return "".join(f"    {line}\n" for line in shown or ["(nothing)"])
