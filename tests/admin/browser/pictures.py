"""Takes the pictures of the dashboard in docs/admin.md. `scripts/dashboard-pictures` runs this."""

from __future__ import annotations

import asyncio
import base64
import math
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.admin.browser.fakehost import FakeHost
from tests.admin.browser.lab import PASSWORD, Visitor
from tests.real_clients.scratch.chromium import Browser

PICTURES = Path(__file__).parents[3] / "docs" / "pictures"
DESKTOP = (1200, 860)
TALL = (1200, 1100)
PHONE = (390, 780)
NAMES = (
    *("mia", "bob", "alice", "Zoë", "robo_cat", "Noor", "Käte"),
    *("pixel-otter", "carl", "luna", "sam_09", "Theo", "ilse"),
)
SCHOOL = ("bob", "alice", "carl")


class Evening(FakeHost):
    """A server on a busy evening."""

    def __init__(self) -> None:
        super().__init__()
        self.add_account("mia", PASSWORD, "owner")
        self.rules |= {"default": {}, "game": {}, "lobby": {"slow": 5}, "staff": {"locked": True}}
        for number, name in enumerate(NAMES):
            player = self.join(name, "203.0.113.5" if name in SCHOOL else f"198.51.100.{number + 10}")
            player.since = time.time() - 2400 + 180 * number
            player.rooms = ["lobby"] if number % 4 == 0 else ["game"]
        self.players[5].is_muted = True
        self.history = [self._moment(step) for step in range(120)]

    def _stats(self) -> dict[str, Any]:
        return self._moment(119)

    def _moment(self, step: int) -> dict[str, Any]:
        wave = math.sin(step / 9) + math.sin(step / 3.1) / 2 + math.sin(step * 1.7) / 4
        clients = round(4 + step / 13.2 + wave / 3)
        return super()._stats() | {
            "clients": len(self.players) if step == 119 else clients,
            "rooms": 2,
            "messages_in": max(0.0, clients * 14 + 24 * wave),
            "loop_delay": 0.0012 + 0.0003 * (1 + wave) + (0.004 if step in (41, 42, 87) else 0),
        }

    def _room(self, name: str) -> dict[str, Any]:
        return super()._room(name) | {"clients": sum(name in player.rooms for player in self.players)}


async def take(visitor: Visitor, name: str) -> None:
    """Save what the window shows."""
    taken = await visitor.page.call("Page.captureScreenshot", format="png")
    (PICTURES / f"dashboard-{name}.png").write_bytes(base64.b64decode(taken["data"]))


async def main() -> None:
    """Take all pictures."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        async with Browser(Path(folder)) as browser, Evening() as host:
            visitor = await Visitor.opens(browser, host.address, size=TALL)
            await visitor.page.call("Emulation.setScrollbarsHidden", hidden=True)
            await visitor.logs_in()
            await visitor.until("lab.row('ilse') && document.querySelector('polyline[points]')")
            await visitor.sees(" ms")
            await take(visitor, "now")
            await visitor.resize(*DESKTOP)
            await visitor.chooses("players")
            await visitor.clicks("Ban", "bob")
            await visitor.sees("Perhaps one school or family.", "Hits 1 player: bob.")
            await visitor.fills("Reason", "insults")
            await take(visitor, "ban")
            await visitor.clicks("Cancel")
            await visitor.prefers(prefers_color_scheme="dark")
            await visitor.chooses("rooms")
            await visitor.clicks("Quiet", "lobby")
            await visitor.sees("lobby is quiet now.", "Let them talk")
            await take(visitor, "dark")
            await visitor.clicks("Close", "notes")
            await visitor.resize(*PHONE)
            await visitor.chooses("players")
            await visitor.clicks("Mute 5 minutes", "bob")
            await visitor.sees("You muted bob for 5 minutes.")
            await visitor.until("lab.row('bob').innerText.includes('muted')")
            await take(visitor, "phone")


if __name__ == "__main__":
    asyncio.run(main())
