"""Turns scripts into the blocks of a target of `project.json`, linked as Scratch links them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sb3.notation import Block, Slot, SourceError
from sb3.vocabulary import Known, look_up
from sb3.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Iterable

_NUMBER, _TEXT, _MESSAGE, _VARIABLE, _LIST = 4, 10, 11, 12, 13  # kinds of shadows in a project file
_PLAIN, _HIDDEN, _REPLACED = 1, 2, 3  # an input: a shadow, a block without one, a block above one
_MESSAGE_MENU = "event_broadcast_menu"
_DEFINE = "define "
_AT_ONCE = "run without screen refresh"  # as a comment of `define`
_ENDS = ("control_forever", "control_delete_this_clone")  # no block can follow these
_STOP, _GOES_ON = "control_stop", "other scripts in sprite"  # nor below `stop`, but for this in its menu


class Names:
    """The variables, lists and messages that scripts can use, each with its id in the project."""

    def __init__(
        self, variables: Iterable[str], lists: Iterable[str], within: Names | None = None, prefix: str = ""
    ) -> None:
        self.variables = {name: f"variable {prefix}{name}" for name in variables}
        self.lists = {name: f"list {prefix}{name}" for name in lists}
        self.messages: dict[str, str] = {} if within is None else within.messages
        self._within = within

    def find(self, kind: str, name: str) -> str:
        """The id of a variable or list, of the sprite's own or of everybody's; empty if there is none."""
        own = self.variables if kind == "variable" else self.lists
        if name in own:
            return own[name]
        return self._within.find(kind, name) if self._within else ""

    def message(self, name: str) -> str:
        """Return the id of a message; using a message creates it."""
        return self.messages.setdefault(name, f"message {name}")


@dataclass
class _Custom:
    """A block that the sprite defines: how Scratch writes it, and its parameters."""

    proccode: str
    parameters: list[Slot]
    at_once: bool

    @property
    def ids(self) -> list[str]:
        return [f"{self.proccode} {number}" for number, _ in enumerate(self.parameters)]

    def mutation(self, *, with_names: bool) -> dict[str, Any]:
        mutation = {
            "tagName": "mutation",
            "children": [],
            "proccode": self.proccode,
            "argumentids": json.dumps(self.ids),
            "warp": json.dumps(self.at_once),
        }
        if with_names:
            names = [slot.text for slot in self.parameters]
            mutation |= {
                "argumentnames": json.dumps(names),
                "argumentdefaults": json.dumps([""] * len(names)),
            }
        return mutation


class Scripts:
    """The blocks and comments of one target."""

    def __init__(self, target: str, names: Names) -> None:
        self.blocks: dict[str, Any] = {}
        self.comments: dict[str, Any] = {}
        self._target = target
        self._names = names
        self._customs: dict[str, _Custom] = {}
        self._custom: _Custom | None = None  # the one whose definition is being written
        self._workspace = Workspace()
        self._noted: list[tuple[Block, str]] = []  # blocks of the script with comments, and their ids

    def add_all(self, scripts: list[list[Block]]) -> None:
        """Add scripts; raises SourceError with the line."""
        for script in scripts:
            self._define(script[0])
        for script in scripts:
            self._custom = self._definition(script[0])
            y = self._workspace.place(script)
            first = self._chain(script, None, "hat")
            self.blocks[first] |= {"topLevel": True, "x": 0, "y": y}
            self._comment()

    def _chain(self, script: list[Block], parent: str | None, shape: str = "command") -> str:
        """Add blocks one below the other; return the id of the first."""
        first = above = ""
        for block in script:
            try:
                if above:
                    self._check_end(above)
                identity = self._add(block, above or parent, "command" if above else shape)
            except SourceError as error:
                raise error.at(f"line {block.line}") from None
            if above:
                self.blocks[above]["next"] = identity
            first, above = first or identity, identity
        return first

    def _check_end(self, above: str) -> None:
        block = self.blocks[above]
        if block["opcode"] in _ENDS or block.get("mutation", {}).get("hasnext") == "false":
            raise SourceError("nothing can stand below the block above")

    def _add(self, block: Block, parent: str | None, shape: str) -> str:
        """Add a block with everything inside it; return its id."""
        if shape == "hat" and (custom := self._definition(block)):
            identity = self._add_definition(custom)
        elif shape == "command" and block.words in self._customs:
            identity = self._add_call(block, self._customs[block.words], parent)
        else:
            identity = self._add_known(block, look_up(block, shape), parent)
        if block.comments:
            self._noted.append((block, identity))
        return identity

    def _add_known(self, block: Block, known: Known, parent: str | None) -> str:
        identity = self._new(known.opcode, parent)
        mouths = iter(block.mouths)
        slots = iter(block.slots)
        for place in known.slots:
            if place.kind != "mouth":
                self._fill(identity, place, next(slots), known.label)
            elif inside := next(mouths):
                self._input(identity, place.text, [_HIDDEN, self._chain(inside, identity)])
        if known.opcode == _STOP:
            has_next = json.dumps(block.slots[0].text == _GOES_ON)
            self.blocks[identity]["mutation"] = {"tagName": "mutation", "children": [], "hasnext": has_next}
        return identity

    def _new(self, opcode: str, parent: str | None, *, shadow: bool = False) -> str:
        identity = f"{self._target} {len(self.blocks) + 1}"
        self.blocks[identity] = {
            "opcode": opcode,
            "next": None,
            "parent": parent,
            "inputs": {},
            "fields": {},
            "shadow": shadow,
            "topLevel": False,
        }
        return identity

    def _input(self, identity: str, name: str, value: list[Any]) -> None:
        self.blocks[identity]["inputs"][name] = value

    def _field(self, identity: str, name: str, value: str, ref: str | None = None) -> None:
        self.blocks[identity]["fields"][name] = [value, ref]

    # What fills a slot.

    def _fill(self, identity: str, place: Slot, slot: Slot, label: str) -> None:
        """Write the content of a slot into the block's input or field."""
        if slot.kind == "mouth":
            raise SourceError("blocks stand in lines of their own, not in { }")
        if place.kind == "menu":
            self._field(identity, place.text, slot.text, self._meant(place.text, slot.text))
            return
        if place.kind == "boolean" or slot.kind == "boolean":
            if slot.block is None:
                return
            inner = self._add(slot.block, identity, "boolean")
            value = [_HIDDEN, inner] if place.kind == "boolean" else [_REPLACED, inner, [_TEXT, ""]]
            self._input(identity, place.text, value)
            return
        if place.kind == "round menu":
            shadow = self._menu(identity, place, slot)
        elif slot.kind == "round menu":
            raise SourceError(f"`{label}` has no menu for `{slot.text}`")
        elif _takes_number(place):
            if slot.kind == "text":
                raise SourceError(f"`{label}` takes a number, not the text [{slot.text}]")
            shadow = [_NUMBER, slot.text if slot.kind == "number" else ""]
        else:
            shadow = [_TEXT, slot.text if slot.kind in ("text", "number") else ""]
        if slot.block is None:
            self._input(identity, place.text, [_PLAIN, shadow])
        else:
            self._input(identity, place.text, [_REPLACED, self._reporter(slot.block, identity), shadow])

    def _meant(self, field_name: str, value: str) -> str | None:
        """The id that a field has besides its value."""
        if field_name == "BROADCAST_OPTION":
            return self._names.message(value)
        if field_name not in ("VARIABLE", "LIST"):
            return None
        kind = field_name.lower()
        if found := self._names.find(kind, value):
            return found
        raise SourceError(f"there is no {kind} `{value}` in project.toml")

    def _menu(self, parent: str, place: Slot, slot: Slot) -> Any:
        """The shadow that is the menu of a slot."""
        if place.shadow == _MESSAGE_MENU:
            return [_MESSAGE, slot.text, self._names.message(slot.text)]
        menu = self._new(place.shadow, parent, shadow=True)
        self._field(menu, place.text, slot.text if slot.kind == "round menu" else "")
        return menu

    def _reporter(self, block: Block, parent: str) -> Any:
        """A variable, a list, a parameter, or a block that reports."""
        name = block.words
        if self._is_parameter(name):
            identity = self._new("argument_reporter_string_number", parent)
            self._field(identity, "VALUE", name)
            return identity
        if not block.slots:
            if found := self._names.find("variable", name):
                return [_VARIABLE, name, found]
            if found := self._names.find("list", name):
                return [_LIST, name, found]
        return self._add(block, parent, "reporter")

    def _is_parameter(self, name: str) -> bool:
        return self._custom is not None and name in [slot.text for slot in self._custom.parameters]

    # Custom blocks.

    def _define(self, hat: Block) -> None:
        """Record a definition before anything uses it."""
        if not hat.words.startswith(_DEFINE):
            return
        words = ["%s" if isinstance(part, Slot) else part for part in hat.parts[1:]]
        custom = _Custom(" ".join(words), hat.slots, at_once=_AT_ONCE in hat.comments)
        hat.comments = [comment for comment in hat.comments if comment != _AT_ONCE]
        self._customs[hat.words.removeprefix(_DEFINE)] = custom

    def _definition(self, hat: Block) -> _Custom | None:
        """The definition in a hat, if it has one."""
        return self._customs[hat.words.removeprefix(_DEFINE)] if hat.words.startswith(_DEFINE) else None

    def _add_definition(self, custom: _Custom) -> str:
        identity = self._new("procedures_definition", None)
        prototype = self._new("procedures_prototype", identity, shadow=True)
        self._input(identity, "custom_block", [_PLAIN, prototype])
        self.blocks[prototype]["mutation"] = custom.mutation(with_names=True)
        for slot, argument in zip(custom.parameters, custom.ids, strict=True):
            shadow = self._new("argument_reporter_string_number", prototype, shadow=True)
            self._field(shadow, "VALUE", slot.text)
            self._input(prototype, argument, [_PLAIN, shadow])
        return identity

    def _add_call(self, block: Block, custom: _Custom, parent: str | None) -> str:
        identity = self._new("procedures_call", parent)
        self.blocks[identity]["mutation"] = custom.mutation(with_names=False)
        for slot, argument in zip(block.slots, custom.ids, strict=True):
            self._fill(identity, Slot("text", argument), slot, block.words)
        return identity

    # Comments.

    def _comment(self) -> None:
        """Place the comments of the script next to their blocks."""
        for block, identity in sorted(self._noted, key=lambda noted: noted[0].line):
            text = " ".join(block.comments)
            note = f"{identity} note"
            self.blocks[identity]["comment"] = note
            place = self._workspace.note(block, text)
            self.comments[note] = {"blockId": identity, **place, "minimized": False, "text": text}
        self._noted = []


def _takes_number(place: Slot) -> bool:
    """In the list of blocks a name in round brackets reads as a reporter."""
    return place.kind == "block"
