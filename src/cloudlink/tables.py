"""One table of settings: sections `[table.NAME]` of the settings file, one for each name that people choose.

A table holds either free keys, which CloudLink passes on unchecked, or the keys of a dataclass of options.
`cloudlink.settings` declares the tables; this module does not read files. The environment and flags cannot
set tables.
"""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

from cloudlink.options import options_of
from cloudlink.text import did_you_mean, one_line, quoted


def table(help: str, *, entry: type | None = None) -> Any:  # noqa: A002  # the word of argparse
    """Describe one table of a settings dataclass; the dataclass field is what this returns.

    Args:
        help: One sentence for the reference page.
        entry: A dataclass of options, the known keys of each section; None for free keys.
    """
    return dataclasses.field(default_factory=dict, metadata={"table": Table("", help, entry)})


@dataclasses.dataclass(frozen=True, slots=True)
class Table:
    """One table, for the code that reads, prints and documents settings."""

    name: str
    help: str
    entry: type | None

    @property
    def default(self) -> dict[str, Any]:
        """The value of a table that is not set."""
        return {}

    def checked(self, value: dict[str, Any]) -> dict[str, Any]:
        """Return the sections by name: a dict each, or an object of the dataclass.

        A section that is checked already may be an object of the dataclass.

        Raises:
            ValueError: A section or a value in it is not allowed; the text reads on from "The setting x".
        """
        return {name: self._section(one_line(str(name)), section) for name, section in value.items()}

    def values(self, section: Any) -> dict[str, Any]:
        """Return the keys and values of a section that `checked` returned."""
        if self.entry is None:
            return dict(section)
        return {name: getattr(section, name) for name in options_of(self.entry)}

    def for_show(self, section: Any) -> dict[str, Any]:
        """Return the keys and values of a section as they may be shown: secrets are hidden."""
        if self.entry is None:
            return self.values(section)
        return {
            name: option.for_show(getattr(section, name)) for name, option in options_of(self.entry).items()
        }

    def _section(self, name: str, section: object) -> Any:
        if self.entry is not None and isinstance(section, self.entry):
            return section
        if not isinstance(section, dict):
            raise ValueError(  # noqa: TRY004  # as `Option.checked` raises for any wrong value
                f"has {name} = {quoted(section)}, but it takes sections only: "
                f"write such values below a line [{self.name}.NAME]"
            )
        if self.entry is None:
            return copy.deepcopy(section)
        options = options_of(self.entry)
        values = {}
        for key, value in section.items():
            if key not in options:
                hint = did_you_mean(key, options).removesuffix("?")
                raise ValueError(f"has [{self.name}.{name}] with {one_line(key)}, which does not exist{hint}")
            try:
                values[key] = options[key].checked(value)
            except ValueError as error:
                raise ValueError(f"has [{self.name}.{name}] with {key}, which {error}") from None
        return self.entry(**values)


def tables_of(settings: type) -> dict[str, Table]:
    """Return the tables of a settings dataclass by name, in the order of its fields."""
    return {
        field.name: dataclasses.replace(field.metadata["table"], name=field.name)
        for field in dataclasses.fields(settings)
        if "table" in field.metadata
    }
