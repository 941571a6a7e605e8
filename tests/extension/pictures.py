"""Draws the blocks of the extension, as docs/extension.md shows them, into docs/pictures.

`extension/pictures` runs this. The labels come from TurboWarp's VM with the extension loaded, the drawing is made by
TurboWarp's scratchblocks (`drawing.js`). The description in each picture says what it shows, so that a test notices
when it is out of date.
"""

from __future__ import annotations

import base64
import html
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.extension.lab import Lab
from tests.real_clients.environment import node_modules

if TYPE_CHECKING:
    from collections.abc import Iterator

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "extension.md"
DRAWING = Path(__file__).with_name("drawing.js")
PINS = ("@turbowarp/scratchblocks@3.6.7", "@fontsource/arimo@5.2.8")
FONT = "@fontsource/arimo/files/arimo-latin-400-normal.woff2"  # as wide as Helvetica and Arial
SHAPES = {"command": "{} :: {}", "reporter": "({} :: {})", "Boolean": "<{} :: {}>"}


def pictures(known: dict[str, Any]) -> Iterator[tuple[Path, str]]:
    """Yield each picture's file and what it shows, in the language of scratchblocks."""
    blocks = {block["opcode"]: block for block in known["blocks"]}
    for section in re.split(r"^### ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
        picture = re.search(r"\((pictures/\S+\.svg)\)", section)
        if not picture:
            continue
        opcodes = re.findall(r"^\| [^|]* \| `(\w+)` \|", section, re.MULTILINE)
        shown = [_drawn(blocks[opcode], known) for opcode in opcodes]
        yield DOCS / picture[1], "\n\n".join(shown)


def described(file: Path) -> str:
    """Return the description in a picture."""
    found = re.search(r"<desc>(.*?)</desc>", file.read_text(encoding="utf-8"), re.DOTALL)
    return html.unescape(found[1]) if found else ""


def _drawn(block: dict[str, Any], known: dict[str, Any]) -> str:
    arguments = {argument["name"]: argument for argument in block["arguments"]}

    def slot(match: re.Match[str]) -> str:
        argument = arguments[match[1]]
        default = argument["defaultValue"]
        if argument["menu"]:
            items = known["menus"][f"cloudlink_menu_{argument['menu']}"]
            label = next(label for label, value in items if value == default)
            return f"[{label} v]"
        if argument["type"] == "number":
            return f"({default})"
        return f"[{_escaped(default if len(default) < 30 else f'{default[:24]}…')}]"

    label = "".join(
        slot(match) if (match := re.fullmatch(r"\[(\w+)\]", part)) else _escaped(part)
        for part in re.split(r"(\[\w+\])", block["text"])
    )
    form = SHAPES.get(block["blockType"], "{} :: hat {}")
    return form.format(label, known["colours"][0])


def _escaped(text: str) -> str:
    return re.sub(r"[][(){}<>\\]", r"\\\g<0>", text)


async def _draw(lab: Lab, modules: Path) -> None:
    [user] = await lab.users(1)
    for script in (modules / "@turbowarp/scratchblocks/build/scratchblocks.min.js", DRAWING):
        await user.evaluate(f"{script.read_text(encoding='utf-8')}; 0")
    font = base64.b64encode((modules / FONT).read_bytes()).decode()
    await user.evaluate(f"useFont({json.dumps(font)})")
    known = await user.evaluate("knownBlocks()")
    for file, code in pictures(known):
        svg = await user.evaluate(f"draw({json.dumps(code)})")
        description = f"<desc>{html.escape(code, quote=False)}</desc>"
        file.write_text(re.sub(r"(<svg[^>]*>)", rf"\1{description}", svg, count=1) + "\n", encoding="utf-8")


def main() -> None:
    """Draw all pictures again."""
    modules = Path(node_modules("scratchblocks", PINS, "scratchblocks"))
    lab = Lab()
    lab.open()
    try:
        lab.run(_draw(lab, modules))
    finally:
        lab.close()


if __name__ == "__main__":
    main()
