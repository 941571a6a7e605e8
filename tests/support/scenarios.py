"""Wire scenarios: conversations written as text files, and their parser.

`scenario_play` acts them out and checks every frame.

A scenario file reads from top to bottom as a conversation between clients (one capital letter each) and the server:

    # A private message reaches the named user only, and the sender gets OK.
    matrix: 37
    upstream: same
    given: A named alice, B named bob, C handshaken

    A > {"cmd":"pmsg","id":"bob","val":"hi","listener":"p"}
    B < {"cmd":"pmsg","val":"hi","origin":$A:alice,"rooms":"default"}
    A < {"cmd":"statuscode","code":"I:100 | OK","code_id":100,"listener":"p"}

**Head**: `#` lines say what the scenario shows; then `key: value` lines.

| key | value |
|---|---|
| `matrix` | the cases of the conformance matrix it covers |
| `upstream` | `same`: CloudLink 0.2.0 behaves just so; `differs, <how>`: we decided otherwise; `cannot, <why>` |
| `settings` | one setting of `cloudlink.settings.Settings`, as TOML (`max_clients = 1`); may be given several times |
| `rooms` | `in any order`: where one step tells of several rooms, they may come in any order |
| `plugin` | a plugin to load, `file.py:Class`, the file below `tests` |
| `only` | `memory` or `socket`, for what the other way of playing cannot show |
| `given` | where it starts: `A connected`, `A handshaken`, `A named alice`, and after the last two optionally \
`in Scratch` or an older era, such as `in CL3 0.1.7`, and `linked to r1 r2`; `A playing 104`, a Scratch client of that project; commas between clients. What is \
said meanwhile is not part of the scenario |

**Body**: a step is a run of actions and the expectations after it; a blank line or the next action ends it. After every
step each connection must have received exactly the frames listed for it, in that order; a connection with none listed
must have received nothing, and whoever is not `closed` must still be connected. A step that expects nothing says so:
`silence`.

| action | |
|---|---|
| `A > text` | a text message, sent unchanged; `(empty)` is the message without any content |
| `A >> text` | the same in a binary frame; `A >> hex ff fe` sends bytes |
| `A connects`, `A connects to /path with Header: value; Other: value` | |
| `A disconnects`, `A drops` | a closing handshake; a reset TCP connection |

| expectation | |
|---|---|
| `A < {...}` | a packet. Keys of the root may come in any order; numbers are compared as they are spelt; and the `val` of a \
delivered message (gmsg, gvar, pmsg, pvar, direct) must be the same bytes. `details` are compared if they are listed |
| `A < text: Server is full!` | a bare text |
| `A closed 1000 "Invalid JSON"` | the server closed the connection, after what is listed above; `"<any>"` for any reason |

`300 times A > …` and `300 times A < …` repeat a line. `⏎` in a message is a line end: Scratch clients put several objects
into one message, and `A < {...}⏎{...}` expects one frame with two.

**Placeholders**: `$A.id` and `$A.uuid` are A's snowflake and uuid, learnt when they are first seen (and then checked to be
well-formed); `$A` is A's user object while it has no name, `$A:alice` (or `$A:"a b"`) the one with that name;
`$(x*5000)` is a long text; `"<any>"` matches anything, also within a text; `"<none>"` says that a key must not be there.
"""

from __future__ import annotations

import functools
import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.eras import ERAS

SCENARIOS = Path(__file__).parents[1] / "scenarios"


class ScenarioSyntaxError(Exception):
    """A scenario file does not follow the format; the text names the file and the line."""


# The file.


@dataclass(frozen=True)
class Action:
    """Something a client does: `verb` is send, connect, disconnect or drop."""

    who: str
    verb: str
    text: str = ""
    binary: bool = False
    times: int = 1
    path: str = "/"
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Expected:
    """A frame that a client receives: a packet, or a bare text."""

    who: str
    text: str
    bare: bool = False


@dataclass
class Step:
    """Actions, and all that they bring about."""

    line: int
    actions: list[Action] = field(default_factory=list)
    expected: list[Expected] = field(default_factory=list)
    closed: dict[str, tuple[int, str]] = field(default_factory=dict)
    silence: bool = False

    @property
    def has_outcome(self) -> bool:
        return bool(self.expected or self.closed or self.silence)


@dataclass(frozen=True)
class Given:
    """A client that is there already when the scenario begins."""

    who: str
    state: str
    name: str | None = None
    language: str | None = None
    rooms: tuple[str, ...] = ()
    project: str | None = None


@dataclass
class Scenario:
    """A parsed scenario file."""

    path: Path
    shows: str
    matrix: list[str] = field(default_factory=list)
    upstream: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    any_room_order: bool = False
    plugins: list[str] = field(default_factory=list)
    only: str | None = None
    given: list[Given] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)

    @property
    def name(self) -> str:
        path = (
            self.path.relative_to(SCENARIOS) if self.path.is_relative_to(SCENARIOS) else Path(self.path.name)
        )
        return path.with_suffix("").as_posix()


GIVEN = re.compile(
    r"(?P<who>[A-Z]) (?P<state>connected|handshaken|named (?P<name>\S+?)|playing (?P<project>\S+))"
    rf"(?: in (?P<language>Scratch|{'|'.join(map(re.escape, ERAS))}))?(?: linked to (?P<rooms>\S+(?: \S+)*))?$"
)
LINE = re.compile(
    r"(?:(?P<times>\d+) times )?(?P<who>[A-Z]) (?P<verb>>>|>|<|connects|disconnects|drops|closed)(?: (?P<rest>.*))?$"
)
CONNECTS = re.compile(r"(?:to (?P<path>/\S*))?\s*(?:with (?P<headers>.+))?$")
CLOSED = re.compile(r'(?P<code>\d{4})(?: "(?P<reason>.*)")?$')


def scenarios(folder: str) -> list[Scenario]:
    """All scenarios below `tests/scenarios/<folder>`, by name."""
    return [_parsed(path) for path in sorted((SCENARIOS / folder).glob("**/*.txt"))]


@functools.cache
def _parsed(path: Path) -> Scenario:
    return parse(path)  # once for all modules that play it


def parse(path: Path) -> Scenario:
    """Read a scenario file; raise ScenarioSyntaxError where it does not follow the format."""
    scenario = Scenario(path, shows="")
    in_head = True
    step = Step(0)
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            if in_head and (line.startswith("#") or re.match(r"[a-z]+:", line)):
                _head(scenario, line)
            elif not line:
                in_head = False
                step = _finished(scenario, step, number)
            elif not line.startswith("#"):
                step = _body(scenario, step, number, line)
        except ValueError as error:
            raise ScenarioSyntaxError(f"{path}:{number}: {error}") from error
    try:
        _finished(scenario, step, 0)
    except ValueError as error:
        raise ScenarioSyntaxError(f"{path}: {error}") from error
    if not (scenario.shows and scenario.upstream and scenario.steps):
        raise ScenarioSyntaxError(
            f"{path}: a scenario needs a `#` line that says what it shows, an `upstream:` line and steps"
        )
    return scenario


def _head(scenario: Scenario, line: str) -> None:
    if line.startswith("#"):
        scenario.shows = f"{scenario.shows} {line.lstrip('# ')}".strip()
        return
    key, value = (part.strip() for part in line.split(":", 1))
    if key == "matrix":
        scenario.matrix += re.split(r",\s*", value)
    elif key == "upstream" and re.match(r"same$|differs, .|cannot, .", value):
        scenario.upstream = value
    elif key == "settings":
        scenario.settings |= tomllib.loads(value)
    elif key == "rooms" and value == "in any order":
        scenario.any_room_order = True
    elif key == "plugin":
        scenario.plugins.append(value)
    elif key == "only" and value in ("memory", "socket"):
        scenario.only = value
    elif key == "given":
        for item in re.split(r",\s*", value):
            match = GIVEN.match(item)
            if match is None:
                raise ValueError(f"not understood after given: {item!r}")
            state = match["state"].split()[0]
            scenario.given.append(
                Given(
                    match["who"],
                    state,
                    match["name"],
                    match["language"],
                    tuple((match["rooms"] or "").split()),
                    match["project"],
                )
            )
    else:
        raise ValueError(f"not understood: {line!r}")


def _body(scenario: Scenario, step: Step, number: int, line: str) -> Step:
    if line == "silence":
        step.silence = True
        return step
    match = LINE.match(line)
    if match is None:
        raise ValueError(f"not understood: {line!r}")
    who, verb, rest, times = match["who"], match["verb"], match["rest"] or "", int(match["times"] or 1)
    if verb == "<":
        bare = not rest.startswith("{")
        if bare and not rest.startswith("text: "):
            raise ValueError("expected a packet or `text: …`")
        step.expected += [Expected(who, rest.removeprefix("text: "), bare)] * times
        return step
    if verb == "closed":
        closed = CLOSED.match(rest)
        if closed is None:
            raise ValueError('expected a code and a reason: closed 1000 "why"')
        step.closed[who] = (int(closed["code"]), closed["reason"] or "")
        return step
    if step.has_outcome:
        step = _finished(scenario, step, number)
    step.line = step.line or number
    step.actions.append(_action(who, verb, rest, times))
    return step


def _action(who: str, verb: str, rest: str, times: int) -> Action:
    if verb in (">", ">>"):
        if not rest:
            raise ValueError("what is sent? The message without content is written (empty)")
        text = "" if rest == "(empty)" else rest.replace("⏎", "\n")
        return Action(who, "send", text, verb == ">>", times)
    if verb == "connects":
        match = CONNECTS.match(rest)
        if match is None:
            raise ValueError("expected: connects to /path with Header: value")
        headers = tuple(
            (key.strip(), value.strip())
            for key, _, value in (
                header.partition(":") for header in (match["headers"] or "").split(";") if header
            )
        )
        return Action(who, "connect", path=match["path"] or "/", headers=headers)
    if rest:
        raise ValueError(f"nothing may follow {verb!r}")
    return Action(who, verb.removesuffix("s"))


def _finished(scenario: Scenario, step: Step, line: int) -> Step:
    """Add `step` to the scenario unless it is empty, and begin a new one."""
    if step.silence and (step.expected or step.closed):
        raise ValueError("a step cannot be silent and expect something")
    if step.actions or step.has_outcome:
        if not step.has_outcome and any(action.verb == "send" for action in step.actions):
            raise ValueError("something was sent: say what comes of it, or `silence`")
        step.line = step.line or line
        scenario.steps.append(step)
    return Step(0)
