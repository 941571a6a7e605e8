"""Recorded conversations of the old servers, said again to ours.

A recording is one JSON object a line: `{"t": step, "conn": "A", "dir": "send" | "recv" | "close", "data": ...}`.
`data` is the packet, or the text of a frame that is none; of a close `code`, `reason` and who closed. What could not
be sent any more has a `note`. Packets of different connections have no order among each other.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.memoryclients import MemoryClient
from tests.support.servers import build

RECORDINGS = Path(__file__).parent / "recordings"

SETTINGS: dict[str, dict[str, Any]] = {
    "cl2_b2.3__early_session": {},
    "cl2_s2.2__late_session": {},
    "cl3_0.1.5__session": {"undecided_clients": "cl3"},
    "cl3_0.1.7__session": {"motd": "legacy motd"},
    "cl4_0.1.8.3__session": {"motd": "legacy motd"},
    "cl4_0.1.9.2__session": {"motd": "legacy motd"},
    "cl4_0.1.9.2__scratch_bridge": {"motd": "legacy motd", "cloud_bridge": True},
}
"""The recordings, and the settings that make our server one like theirs."""

INSERTED: dict[tuple[str, int], list[tuple[str, Any]]] = {
    # The recorder's third client did not say what it is, as every client of 0.1.7 does.
    ("cl3_0.1.7__session", 22): [("C", {"cmd": "direct", "val": {"cmd": "type", "val": "scratch"}})],
    # The recording leaves out the long packet that was sent here.
    ("cl3_0.1.7__session", 28): [("A", {"cmd": "gmsg", "val": "x" * 1001})],
}
"""Packets in addition to the recorded ones."""

_MEMBERS = "ABC"
"""Ids of the old servers are numbers: the connections' places in the order of naming."""


@dataclass
class Exchange:
    """The packets of one connection in one step, then and now."""

    recording: str
    step: int
    conn: str
    said: list[tuple[str, Any]]
    """Whatever was said in this step, and by whom."""
    is_first: bool
    """Whether this is the connection's own first message."""
    dialect: str
    recorded: list[Any]
    ours: list[Any]
    rules: set[str] = field(default_factory=set)

    def change(self, rule: str, recorded: list[Any], ours: list[Any]) -> None:
        """Replace both sides by what a rule makes of them; take note if that is something else."""
        if (recorded, ours) != (self.recorded, self.ours):
            self.rules.add(rule)
            self.recorded, self.ours = recorded, ours


class Replay:
    """One recording, said again."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.server = build(SETTINGS[name])
        self.visitors: dict[str, MemoryClient] = {}
        self.greetings: dict[str, list[Any]] = {}
        self.have_spoken: set[str] = set()
        text = (RECORDINGS / f"{name}.jsonl").read_text(encoding="utf-8")
        self.lines = [json.loads(line) for line in text.splitlines()]

    def exchanges(self) -> list[Exchange]:
        """Say everything again, and return what was heard then and is heard now, step by step."""
        return [
            exchange
            for step in sorted({line["t"] for line in self.lines})
            for exchange in self._step(step, [line for line in self.lines if line["t"] == step])
        ]

    def _step(self, step: int, lines: list[dict[str, Any]]) -> list[Exchange]:
        recorded: dict[str, list[Any]] = {}
        said = list(INSERTED.get((self.name, step), []))
        for line in lines:
            conn, data = line["conn"], line["data"]
            if conn not in self.visitors:
                self.visitors[conn] = MemoryClient(self.server)
            if line["dir"] == "send" and "note" not in line:
                said.append((conn, data))
            elif line["dir"] == "recv":
                recorded.setdefault(conn, []).append(data)
            elif line["dir"] == "close" and data["by"] == "server":
                recorded.setdefault(conn, []).append({"closed": [data["code"], data["reason"]]})
            elif line["dir"] == "close":
                self.visitors[conn].leave()
                recorded.pop(conn, None)  # what it did not read any more
        first = {conn for conn, _ in said} - self.have_spoken
        for conn, data in said:
            self._say(conn, data)
        self.have_spoken |= first
        return [self._exchange(step, conn, said, conn in first, recorded) for conn in self.visitors]

    def _exchange(
        self,
        step: int,
        conn: str,
        said: list[tuple[str, Any]],
        is_first: bool,
        recorded: dict[str, list[Any]],
    ) -> Exchange:
        visitor = self.visitors[conn]
        then = recorded.get(conn, [])
        ours = visitor.heard()
        if visitor.closed is not None:
            ours.append({"closed": list(visitor.closed)})
            visitor.connection.closed = None
        dialect = str(visitor.client.dialect)
        return Exchange(self.name, step, conn, said, is_first, dialect, then, ours)

    def _say(self, conn: str, data: Any) -> None:
        if isinstance(data, dict) and "id" in data:
            data = {**data, "id": self._id_of_today(data["id"])}
        message = data if isinstance(data, str) else json.dumps(data)
        self.visitors[conn].session.receive(message.encode())

    def _id_of_today(self, recipient: Any) -> Any:
        if isinstance(recipient, int):
            return self.visitors[_MEMBERS[recipient]].client.snowflake
        if isinstance(recipient, dict):
            return {**recipient, "id": self._id_of_today(recipient["id"])}
        return recipient

    def name_of(self, identity: Any) -> str:
        """Return the connection that an id of then or now stands for."""
        if isinstance(identity, int):
            return _MEMBERS[identity]
        return next(conn for conn, visitor in self.visitors.items() if visitor.client.snowflake == identity)
