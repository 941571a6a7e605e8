"""Inputs in files: `corpus/TARGET/*.json`, each a list of texts whose characters stand for one byte each (Latin-1)."""

from __future__ import annotations

import json
import zlib
from pathlib import Path

FOLDER = Path(__file__).parent / "corpus"


def read(target: str) -> list[list[bytes]]:
    """Return the inputs of a target, in the order of their files' names."""
    return [read_file(file)[1] for file in sorted((FOLDER / target).glob("*.json"))]


def read_file(file: Path) -> tuple[str, list[bytes]]:
    """Return the target of a file, which its folder names, and the input."""
    return file.absolute().parent.name, [text.encode("latin-1") for text in json.loads(file.read_text())]


def write(folder: Path, target: str, messages: list[bytes]) -> Path:
    """Save an input below a folder, and return its file."""
    data = json.dumps([message.decode("latin-1") for message in messages], indent=1)
    file = folder / target / f"{zlib.crc32(data.encode()):08x}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(data + "\n")
    return file
