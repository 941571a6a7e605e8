"""The documentation leaves no block out, and describes none that is not there."""

import html
import re
from pathlib import Path

import pytest

from tests.extension.pictures import described, pictures
from tests.extension.published import BLOCKS, NEW_BLOCKS, table

PAGE = Path(__file__).parents[2] / "docs" / "extension.md"
ROW = re.compile(r"^\| (?P<label>[^|]*) \| `(?P<opcode>\w+)` \| (?P<meaning>.*)$", re.MULTILINE)


@pytest.fixture(scope="module")
def blocks(known):
    return {block["opcode"]: block for block in known["blocks"]}


def rows():
    return {row["opcode"]: row for row in ROW.finditer(PAGE.read_text(encoding="utf-8"))}


def test_every_block_has_its_row_and_every_row_its_block():
    assert rows().keys() == table(BLOCKS + NEW_BLOCKS).keys() - {"changeIPFetcher"}


def test_labels_are_as_in_the_palette(blocks):
    labels = {opcode: re.sub(r"\[\w+\]", "[ ]", blocks[opcode]["text"]) for opcode in rows()}
    written = {opcode: row["label"].replace("[on]", "[ ]") for opcode, row in rows().items()}
    assert written == labels


def test_new_blocks_are_marked_and_no_others():
    new = {opcode for opcode, row in rows().items() if "**new**" in row["meaning"]}
    assert new == table(NEW_BLOCKS).keys()


def test_the_sections_of_hidden_blocks_come_after_those_of_the_shown(blocks):
    hidden = [blocks[opcode]["hidden"] for opcode in rows()]
    assert hidden == sorted(hidden)


def test_the_pictures_are_of_these_blocks(known):
    """`extension/pictures` draws them anew."""
    assert [file.name for file, code in pictures(known) if described(file) != code] == []
    drawn = "\n".join(code for _, code in pictures(known))
    assert len(drawn.split("\n\n")) == len(rows()) - len(list(pictures(known))) + 1


def test_the_words_of_a_label_are_one_text(blocks):
    """Each word as a text of its own would be too far from the next one in a narrower font than that of the drawing."""
    drawn = "".join(
        file.read_text(encoding="utf-8") for file in (PAGE.parent / "pictures").glob("extension-*.svg")
    )
    texts = {html.unescape(text) for text in re.findall(r"<text [^>]*textLength=[^>]*>([^<]*)</text>", drawn)}
    labels = {part.strip() for opcode in rows() for part in re.split(r"\[\w+\]", blocks[opcode]["text"])} - {
        ""
    }
    assert labels - texts == set()
    assert drawn.count("<text ") == drawn.count(" textLength=")
