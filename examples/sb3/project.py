"""Puts a Scratch project together: `project.json` and the drawings, in the zip file that Scratch calls `.sb3`.

A source folder has `project.toml`, which lists everything except scripts (sprites, costumes, variables, monitors on
the stage), a text file with the scripts of each sprite, and the drawings.
"""

from __future__ import annotations

import hashlib
import io
import json
import tomllib
import zipfile
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

from sb3.notation import SourceError, read_scripts
from sb3.scripts import Names, Scripts

if TYPE_CHECKING:
    from pathlib import Path

_EXTENSION = "cloudlink"
_LONG_AGO = (1980, 1, 1, 0, 0, 0)  # the same sources make the same bytes
_ROTATIONS = ("all around", "left-right", "don't rotate")


def build(folder: Path, server: str, extension: str) -> bytes:
    """The `.sb3` file of a source folder.

    `{server}` in a script becomes the address `server`; `extension` is the address that the project loads the CloudLink
    extension from, if it uses it. Raises SourceError, which names file and line.
    """
    with (folder / "project.toml").open("rb") as file:
        table = tomllib.load(file)
    maker = _Maker(folder, table, server)
    project = maker.project(extension)
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        text = json.dumps(project, ensure_ascii=False, separators=(",", ":"))
        for name, content in {"project.json": text.encode(), **maker.assets}.items():
            archive.writestr(zipfile.ZipInfo(name, _LONG_AGO), content, zipfile.ZIP_DEFLATED)
    return made.getvalue()


class _Maker:
    """The state of building one project."""

    def __init__(self, folder: Path, table: dict[str, Any], server: str) -> None:
        self.folder = folder
        self.table = table
        self.server = server
        self.assets: dict[str, bytes] = {}
        self.names = Names(
            [*table.get("variables", []), *map(_cloud, table.get("cloud", []))], table.get("lists", [])
        )

    def project(self, extension: str) -> dict[str, Any]:
        stage = self._target("Stage", self.table.get("stage", {}), 0)
        sprites = [
            self._target(sprite["name"], sprite, layer)
            for layer, sprite in enumerate(self.table.get("sprites", []), 1)
        ]
        for name in self.names.messages:
            stage["broadcasts"][self.names.messages[name]] = name
        targets = [stage, *sprites]
        blocks = [block for target in targets for block in target["blocks"].values()]
        uses_extension = any(block["opcode"].startswith(f"{_EXTENSION}_") for block in blocks)
        return {
            "targets": targets,
            "monitors": [self._monitor(shown) for shown in self.table.get("show", [])],
            "extensions": [_EXTENSION] if uses_extension else [],
            **({"extensionURLs": {_EXTENSION: extension}} if uses_extension else {}),
            "meta": {"semver": "3.0.0", "vm": "0.2.0", "agent": "CloudLink's examples/build.py"},
        }

    def _target(self, name: str, table: dict[str, Any], layer: int) -> dict[str, Any]:
        """The stage (layer 0), or a sprite."""
        names = self.names
        if layer:
            names = Names(table.get("variables", []), table.get("lists", []), within=names, prefix=f"{name}.")
        scripts = self._scripts(name, names)
        target = {
            "isStage": layer == 0,
            "name": name,
            "variables": {
                identity: [variable, 0, True] if variable.startswith("☁ ") else [variable, 0]
                for variable, identity in names.variables.items()
            },
            "lists": {identity: [variable, []] for variable, identity in names.lists.items()},
            "broadcasts": {},
            "blocks": scripts.blocks,
            "comments": scripts.comments,
            "currentCostume": 0,
            "costumes": [self._costume(file) for file in table["costumes"]],
            "sounds": [],
            "volume": 100,
            "layerOrder": layer,
        }
        if layer == 0:
            more = {"tempo": 60, "videoTransparency": 50, "videoState": "off", "textToSpeechLanguage": None}
            return target | more
        rotation = table.get("rotation", "all around")
        if rotation not in _ROTATIONS:
            raise SourceError(f"{self.folder / 'project.toml'}: rotation is one of {', '.join(_ROTATIONS)}")
        return target | {
            "visible": table.get("visible", True),
            "x": table.get("x", 0),
            "y": table.get("y", 0),
            "size": table.get("size", 100),
            "direction": 90,
            "draggable": False,
            "rotationStyle": rotation,
        }

    def _scripts(self, name: str, names: Names) -> Scripts:
        """The scripts of a sprite's text file; none if there is no such file."""
        scripts = Scripts(name, names)
        source = self.folder / f"{name}.txt"
        if source.exists():
            text = source.read_text(encoding="utf-8").replace("{server}", self.server)
            try:
                scripts.add_all(read_scripts(text))
            except SourceError as error:
                raise SourceError(f"{source}, {error}") from None
        return scripts

    def _costume(self, file: str) -> dict[str, Any]:
        """A drawing, with its centre as the point of rotation."""
        drawing = (self.folder / file).read_bytes()
        root = ET.fromstring(drawing)  # noqa: S314  # a drawing of this repository
        identity = hashlib.md5(drawing, usedforsecurity=False).hexdigest()  # Scratch names assets by it
        self.assets[f"{identity}.svg"] = drawing
        return {
            "name": file.removesuffix(".svg"),
            "dataFormat": "svg",
            "assetId": identity,
            "md5ext": f"{identity}.svg",
            "rotationCenterX": float(root.attrib["width"]) / 2,
            "rotationCenterY": float(root.attrib["height"]) / 2,
        }

    def _monitor(self, shown: dict[str, Any]) -> dict[str, Any]:
        """A variable or list that the stage shows."""
        kind = "list" if "list" in shown else "variable"
        name = shown[kind]
        known = self.names.lists if kind == "list" else self.names.variables
        if name not in known:
            raise SourceError(
                f"{self.folder / 'project.toml'}: the stage cannot show `{name}`, there is no such {kind}"
            )
        monitor = {
            "id": known[name],
            "mode": shown.get("mode", "list" if kind == "list" else "default"),
            "opcode": "data_listcontents" if kind == "list" else "data_variable",
            "params": {kind.upper(): name},
            "spriteName": None,
            "value": [] if kind == "list" else 0,
            "width": shown.get("width", 0),
            "height": shown.get("height", 0),
            "x": shown["x"],
            "y": shown["y"],
            "visible": True,
        }
        if kind == "variable":
            monitor |= {"sliderMin": 0, "sliderMax": 100, "isDiscrete": True}
        return monitor


def _cloud(name: str) -> str:
    """The name of a cloud variable as Scratch writes it."""
    return f"☁ {name}"
