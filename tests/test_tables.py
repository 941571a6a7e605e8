"""Tables of settings whose keys are known, and what is said about wrong ones."""

# ruff: noqa: RUF009  # `option` and `table` return a fresh dataclass field at each call

from __future__ import annotations

import dataclasses

import pytest

from cloudlink.options import option
from cloudlink.tables import table, tables_of


@dataclasses.dataclass(slots=True)
class Gate:
    """One section."""

    width: int = option(3, "How wide it is.", unit="metres", minimum=1)
    colours: list[str] = option([], "Its colours.", check=bool, wanted="a colour")


@dataclasses.dataclass(slots=True)
class Park:
    """Settings with two tables."""

    gates: dict[str, Gate] = table("The gates.", entry=Gate)
    notes: dict[str, dict[str, object]] = table("Anything.")
    name: str = option("", "The park's name.")


TABLES = tables_of(Park)


def test_tables_are_found_by_name():
    assert list(TABLES) == ["gates", "notes"]
    assert TABLES["gates"].help == "The gates."


def test_known_keys_become_an_object():
    sections = TABLES["gates"].checked({"north": {"width": 5}, "south": {"colours": ["red"]}})

    assert sections == {"north": Gate(width=5), "south": Gate(colours=["red"])}
    assert TABLES["gates"].values(sections["north"]) == {"width": 5, "colours": []}


def test_free_keys_stay_a_dictionary():
    sections = TABLES["notes"].checked({"north": {"anything": [1]}})

    assert sections == {"north": {"anything": [1]}}
    assert TABLES["notes"].values(sections["north"]) == {"anything": [1]}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (
            {"north": 3},
            "has north = 3, but it takes sections only: write such values below a line [gates.NAME]",
        ),
        (
            {"north": {"witdh": 3}},
            "has [gates.north] with witdh, which does not exist; did you mean width",
        ),
        ({"north": {"qqq": 3}}, "has [gates.north] with qqq, which does not exist"),
        (
            {"north": {"width": 0}},
            (
                "has [gates.north] with width, which is 0, "
                "but it must be a whole number of metres of at least 1"
            ),
        ),
        (
            {"north": {"colours": [""]}},
            'has [gates.north] with colours, which has the entry "", but each entry must be a colour',
        ),
    ],
)
def test_wrong_tables(value, expected):
    with pytest.raises(ValueError) as caught:
        TABLES["gates"].checked(value)
    assert str(caught.value) == expected
