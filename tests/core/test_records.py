"""Records behave as the standard library's dataclasses do, but for being frozen at run time."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import re
from dataclasses import KW_ONLY, InitVar, field
from pathlib import Path

import pytest

from cheaprouter.core import records


@records.dataclass(frozen=True, slots=True)
class Point:
    x: int
    y: int = 2
    note: str = field(default="", compare=False, repr=False)


@dataclasses.dataclass(frozen=True, slots=True)
class Standard:
    x: int
    y: int = 2
    note: str = field(default="", compare=False, repr=False)


@records.dataclass(slots=True)
class Changing:
    x: int


@records.dataclass(slots=True, eq=False)
class Same:
    x: int


@records.dataclass(frozen=True, slots=True)
class Farther(Point):
    z: int = 3


@records.dataclass(frozen=True)
class Own:
    x: int

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Own)

    def __hash__(self) -> int:
        return 7

    def __repr__(self) -> str:
        return "own"


@records.dataclass
class Late:
    size: InitVar[int]
    _: KW_ONLY
    made: list[int] = field(init=False)

    def __post_init__(self, size: int) -> None:
        self.made = [0] * size


@records.dataclass(frozen=True, slots=True)
class Nothing:
    pass


def test_equal_values_are_equal_and_hash_alike():
    assert Point(1) == Point(1, 2)
    assert hash(Point(1)) == hash(Point(1, 2))


def test_other_values_are_not_equal():
    assert Point(1) != Point(2)


def test_what_is_not_compared_makes_no_difference():
    assert Point(1, note="a") == Point(1, note="b")


def test_records_of_two_classes_are_not_equal():
    assert Point(1) != Farther(1)
    assert Point(1) != (1, 2, "")


def test_the_text_is_as_the_standard_librarys():
    assert repr(Point(1, note="hidden")) == repr(Standard(1)).replace("Standard", "Point")


def test_what_may_change_cannot_be_hashed():
    with pytest.raises(TypeError):
        hash(Changing(1))


def test_without_equality_each_is_its_own():
    one = Same(1)
    assert one == one  # noqa: PLR0124 - that is what is tested
    assert one != Same(1)
    assert len({one, Same(1)}) == 2


def test_a_classs_own_methods_win():
    assert (Own(1) == Own(2), hash(Own(1)), repr(Own(1))) == (True, 7, "own")


def test_a_derived_record_has_the_fields_of_both():
    assert repr(Farther(1)) == "Farther(x=1, y=2, z=3)"
    assert Farther(1) != Farther(1, z=4)


def test_records_without_fields_are_equal():
    assert Nothing() == Nothing()
    assert hash(Nothing()) == hash(Nothing())


def test_slots_take_no_other_attributes():
    with pytest.raises(AttributeError):
        Changing(1).other = 2


def test_the_standard_librarys_helpers_know_records():
    assert dataclasses.replace(Point(1), x=5) == Point(5)
    assert dataclasses.asdict(Point(1)) == {"x": 1, "y": 2, "note": ""}
    assert [f.name for f in dataclasses.fields(Farther)] == ["x", "y", "note", "z"]


def test_what_is_worked_out_after_init_is_there():
    assert Late(3).made == [0, 0, 0]


@pytest.mark.parametrize("twin", [copy.copy, copy.deepcopy, lambda record: pickle.loads(pickle.dumps(record))])
def test_copies_are_equal(twin):
    assert twin(Point(1, note="x")) == Point(1)


def test_every_record_of_the_package_is_made_here():
    package = Path(records.__file__).parents[1]
    others = [
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if path != Path(records.__file__)
        and re.search(
            r"^from dataclasses import .*\bdataclass\b|@dataclasses\.dataclass", path.read_text(), re.MULTILINE
        )
    ]
    assert others == []
