"""One option: its type and limits, its names, and the conversion of text and TOML values to its value.

The options themselves are in `cloudlink.settings`. This module does not read files, the environment or the
command line.
"""

from __future__ import annotations

import dataclasses
import math
import re
from types import UnionType
from typing import TYPE_CHECKING, Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from cloudlink.text import quoted

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

PREFIX = "CLOUDLINK_"
"""The prefix of all environment variables of CloudLink."""

HIDDEN = "(hidden)"
"""Replaces the value of a secret wherever settings are shown."""

_TRUE = ("true", "1", "yes", "on")
_FALSE = ("false", "0", "no", "off")
_WHOLE_NUMBER = re.compile(r"[+-]?[0-9]+")


@dataclasses.dataclass(frozen=True, slots=True)
class Limits:
    """The values that an option accepts, beyond its type, and their description.

    Attributes:
        minimum: The smallest number allowed.
        maximum: The largest number allowed.
        above: A number that the value must exceed.
        check: Returns whether a value (for a list: one entry) is allowed.
        wanted: Text to follow "it must be"; by default it is derived from type and range.
        shared_variable: A further environment variable, without the prefix, such as `PORT`.
        joins_lists: Whether a text may also be given as a list of its comma-separated parts.
        secret: Whether the value must not be shown. A secret has no flag, because others can read command lines.
        needs_restart: Whether a running server keeps the value that it started with.
        mask: Returns a value as it may be shown, if a part of it must not be.
    """

    minimum: float | None = None
    maximum: float | None = None
    above: float | None = None
    check: Callable[[Any], object] | None = None
    wanted: str = ""
    shared_variable: str = ""
    joins_lists: bool = False
    secret: bool = False
    needs_restart: bool = False
    mask: Callable[[str], str] | None = None

    @property
    def range_words(self) -> str:
        """The range of a number, to follow its type; empty if there is none."""
        if self.minimum is not None and self.maximum is not None:
            return f" from {self.minimum:.15g} to {self.maximum:.15g}"
        if self.minimum is not None:
            return f" of at least {self.minimum:.15g}"
        if self.maximum is not None:
            return f" of at most {self.maximum:.15g}"
        return f" greater than {self.above:.15g}" if self.above is not None else ""

    def hold(self, number: float) -> bool:
        """Return whether a number is finite and within the range."""
        return (
            _is_finite(number)
            and (self.minimum is None or number >= self.minimum)
            and (self.maximum is None or number <= self.maximum)
            and (self.above is None or number > self.above)
        )


def option(default: T, help: str, *, unit: str = "", topic: str = "", **limits: Any) -> T:  # noqa: A002  # the word of argparse
    """Describe one option of a settings dataclass; the dataclass field is what this returns.

    The annotation of the field gives the type: `bool`, `int`, `float`, `str`, `list[str]`, `Literal[...]` for one of
    several words, or `float | Literal[...]` for a number or a word.

    Args:
        default: The value of an option that is not set; a list is copied.
        help: One sentence for the reference page and `--help`.
        unit: The unit of a number, such as `seconds`.
        topic: The heading in `--help` of this option and those after it; empty to continue the previous topic.
        **limits: The attributes of `Limits`.
    """
    metadata = {"help": help, "unit": unit, "topic": topic, "limits": Limits(**limits)}
    field: Any = (
        dataclasses.field(default_factory=default.copy, metadata=metadata)
        if isinstance(default, list)
        else dataclasses.field(default=default, metadata=metadata)
    )
    # The dataclass needs the field, the type checker the type of the default.
    return cast("T", field)


@dataclasses.dataclass(frozen=True, slots=True)
class Option:
    """One option, for the code that reads, prints and documents settings."""

    name: str
    kind: type
    """`bool`, `int`, `float`, `str` or `list` (of texts)."""
    default: Any
    help: str
    unit: str
    topic: str
    choices: tuple[str, ...]
    """The allowed words; for a number, the words allowed instead of it."""
    limits: Limits

    @property
    def is_secret(self) -> bool:
        """Whether the value must not be shown."""
        return self.limits.secret

    @property
    def is_number(self) -> bool:
        """Whether the value is a number, or a number or a word."""
        return self.kind in (int, float)

    @property
    def variables(self) -> tuple[str, ...]:
        """The environment variables that set it, by precedence."""
        own = PREFIX + self.name.upper()
        return (own, self.limits.shared_variable) if self.limits.shared_variable else (own,)

    @property
    def flags(self) -> tuple[str, ...]:
        """The flags that set it, the usual one first; for a list, each flag adds one entry. A secret has none."""
        if self.is_secret:
            return ()
        plural = "--" + self.name.replace("_", "-")
        if self.kind is not list:
            return (plural,)
        return (plural[:-3] + "y" if plural.endswith("ies") else plural.removesuffix("s"), plural)

    @property
    def type_words(self) -> str:
        """The type and unit in words, such as `number of seconds`."""
        if self.is_number:
            words = "".join(f"{word} or " for word in self.choices)
            number = "whole number" if self.kind is int else "number"
            return f"{words}{number}{f' of {self.unit}' if self.unit else ''}"
        if self.choices:
            return "one of " + ", ".join(self.choices)
        return {bool: "true or false", list: "list of texts"}.get(self.kind, self.unit or "text")

    @property
    def wanted(self) -> str:
        """The allowed values (for a list: of an entry), to follow "it must be"."""
        if self.limits.wanted:
            return self.limits.wanted
        if self.is_number:
            words = "".join(f"{quoted(word)} or " for word in self.choices)
            number = self.type_words.rpartition(" or ")[2] if self.choices else self.type_words
            return f"{words}a {number}{self.limits.range_words}"
        return self.type_words if self.choices or self.kind is bool else "text"

    def for_show(self, value: object) -> object:
        """Return a value as it may be shown: a secret that is set is hidden."""
        if self.limits.mask is not None and isinstance(value, str):
            return self.limits.mask(value)
        return HIDDEN if self.is_secret and value else value

    def from_text(self, text: str) -> object:
        """Convert the text of a variable or flag to a value, or return the text if that is impossible."""
        word = text.strip()
        if self.kind is bool and word.lower() in _TRUE + _FALSE:
            return word.lower() in _TRUE
        if self.kind is int and _WHOLE_NUMBER.fullmatch(word):
            return int(word) if len(word) < 20 else text  # noqa: PLR2004  # no option needs 20 digits
        if self.kind is list:
            return [entry.strip() for entry in text.split(",") if entry.strip()]
        if self.kind is float:
            try:
                return float(word)
            except ValueError:
                return text
        return text

    def checked(self, value: object) -> Any:
        """Return the value, converted to the option's type.

        Raises:
            ValueError: It has another type or is not allowed; the text reads on from "The setting x".
        """
        if self.kind is float and type(value) is int and _is_finite(value):
            value = float(value)
        if isinstance(value, str) and value.lower() in self.choices:
            return value.lower()  # people write DEBUG, as in Python
        if (
            self.limits.joins_lists
            and isinstance(value, list)
            and all(isinstance(part, str) for part in value)
        ):
            value = ", ".join(value)
        if type(value) is not self.kind:
            raise ValueError(self._refusal(value))
        if isinstance(value, list):
            for entry in value:
                if not isinstance(entry, str) or not self._allows(entry):
                    raise ValueError(f"has the entry {quoted(entry)}, but each entry must be {self.wanted}")
            return list(value)
        if not self._allows(value):
            raise ValueError(self._refusal(value))
        return value

    def _refusal(self, value: object) -> str:
        wanted = self.wanted
        if self.kind is list:
            wanted = f"a list, such as {quoted([value if isinstance(value, str) else 'text'])}"
        elif wanted == "text":
            wanted = f"text, such as {quoted(str(value))}"
        elif isinstance(value, str) and type(self.from_text(value)) is self.kind is not str:
            # Text from a variable or flag has been converted already, so this text was quoted in a file.
            wanted += ", written without quotes"
        shown = HIDDEN if self.is_secret else quoted(self.for_show(value))
        return f"is {shown}, but it must be {wanted}"

    def _allows(self, value: Any) -> bool:
        if self.is_number:
            if not self.limits.hold(value):
                return False
        elif self.choices:
            return False  # the words themselves have been accepted already
        return self.limits.check is None or bool(self.limits.check(value))


def _is_finite(number: float) -> bool:
    try:
        return math.isfinite(number)
    except OverflowError:  # a whole number beyond the range of a double
        return False


def options_of(settings: type) -> dict[str, Option]:
    """Return the options of a settings dataclass by name, in the order of its fields."""
    hints = get_type_hints(settings)
    found: dict[str, Option] = {}
    topic = ""
    for field in dataclasses.fields(settings):
        if "limits" not in field.metadata:
            continue
        kind, choices = _kind_and_choices(hints[field.name])
        factory = field.default_factory
        topic = field.metadata["topic"] or topic
        found[field.name] = Option(
            name=field.name,
            kind=kind,
            default=factory() if callable(factory) else field.default,
            help=field.metadata["help"],
            unit=field.metadata["unit"],
            topic=topic,
            choices=choices,
            limits=field.metadata["limits"],
        )
    return found


def _kind_and_choices(hint: Any) -> tuple[type, tuple[str, ...]]:
    """Return the type of a value and the words it may be, from the annotation of its field."""
    origin = get_origin(hint)
    if origin is Literal:
        return str, get_args(hint)
    if origin in (Union, UnionType):
        number, words = get_args(hint)
        return number, get_args(words)
    return origin or hint, ()
