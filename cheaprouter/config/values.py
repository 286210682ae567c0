"""Kinds of values, and the row that says everything about one setting.

A kind is called with what a file or a variable held and raises ValueError saying what is allowed; `at_run_time` also takes the
texts and words that people and programs send.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import field, replace
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final, TypeVar

from ..core.const import PROFILE_OWNER
from ..core.models import Profile
from ..core.records import dataclass

Reader = Callable[[Any], Any]
_E = TypeVar("_E", bound=StrEnum)
_T = TypeVar("_T")

AUTO: Final = "auto"
MOST_COUNT: Final = 1_000_000_000
MOST_MONEY: Final = 1_000_000
MOST_LIMIT: Final = 1_000_000_000_000
MOST_BUDGET: Final = 1_000_000_000
"""As good as no limit and no budget: who does not want one writes a number as large, and is to be understood."""

NO_BUDGET: Final = Decimal("Infinity")
"""A budget lifted at run time, where the file sets one."""

UNLIMITED: Final = "unlimited"
_UNLIMITED_WORDS: Final = frozenset({UNLIMITED, "none", "off"})
_BOOLEANS: Final = {
    **dict.fromkeys(("on", "true", "1", "yes"), True),
    **dict.fromkeys(("off", "false", "0", "no"), False),
}
_NUMERAL: Final = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:e[+-]?[0-9]{1,3})?", re.IGNORECASE)
_LONGEST_NUMERAL: Final = 64
_LEAST_MONEY: Final = Decimal("1e-12")
_MOST_ITEMS: Final = 100
_MAX_NAME: Final = 200


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of value.

    `check`: the reader of what a file holds. `allowed`: what that is, in words; `also`: what run time takes besides.
    `plain`: makes of a text the value it means, and leaves what it cannot. `store`: the type in the app store's manifest.
    `item`: the kind of a list's items. `bounds`: a number's least and most. `lifted`: what "no limit" is kept as at run
    time; `box`: the number that a number box, which knows no empty value, shows and sends for it.
    """

    check: Reader
    allowed: str
    also: str = ""
    plain: Reader = lambda value: value
    store: str = "str"
    item: Kind | None = None
    bounds: tuple[float, float] | None = None
    lifted: Any = None
    box: int | None = None

    def __call__(self, value: Any) -> Any:
        """The value as a file gives it. Raises ValueError."""
        return self.check(value)

    def at_run_time(self, value: Any) -> Any:
        """The value as a JSON value or a text gives it. Raises ValueError."""
        plain = self.plain(value)
        word = isinstance(value, str) and value.strip().lower() in _UNLIMITED_WORDS
        if self.lifted is not None and (word or (plain == self.lifted and not isinstance(plain, bool))):
            return self.lifted
        if self.item is None:
            return self.check(plain)
        if not isinstance(plain, list | tuple) or len(plain) > _MOST_ITEMS:
            raise ValueError(self.allowed)
        return tuple(self.item.at_run_time(part) for part in plain)


@dataclass(frozen=True, slots=True)
class Row:
    """Everything about a setting but its name, type and default, which its dataclass holds.

    `option`: its name among the app's options; `shipped`: what that is set to at first; `unset`: what the option says for
    "not set". `variable`: its name where only an environment variable sets it. `run_time`: API and command line may set it,
    `mqtt`: publishers, too. `follows`: the setting of the file (`budget.daily`) that holds until it is set at run time.
    """

    kind: Kind
    option: str = ""
    shipped: Any = None
    unset: Any = None
    variable: str = ""
    run_time: bool = False
    mqtt: bool = False
    follows: str = ""


ROW: Final = "row"
"""Where a dataclass field's metadata holds its row."""


def row(kind: Kind, **about: Any) -> dict[str, Row]:
    """Metadata of a dataclass field that has to be set; `about`: as `Row` takes it."""
    return {ROW: Row(kind, **about)}


def setting(kind: Kind, default: _T, **about: Any) -> _T:
    """A dataclass field with its row."""
    return field(default=default, metadata=row(kind, **about))


def numeral(value: Any) -> Any:
    """A text's number; anything else as it is."""
    if isinstance(value, str) and len(value := value.strip()) <= _LONGEST_NUMERAL and _NUMERAL.fullmatch(value):
        return Decimal(value)
    return value


def _flag(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    raise ValueError(flag.allowed)


flag: Final = Kind(
    _flag,
    "true or false",
    also=" (also ON and OFF)",
    plain=lambda value: _BOOLEANS.get(str(value).strip().lower(), value),
    store="bool",
)
"""True or false, nothing else."""


def text(*, longest: int = 1000, empty: bool = False, store: str = "str") -> Kind:
    """A string without control characters."""
    allowed = f"a string of {0 if empty else 1} to {longest} characters"

    def check(value: Any) -> str:
        if not isinstance(value, str) or len(value) > longest or (not empty and not value.strip()):
            raise ValueError(allowed)
        if any(ord(c) < 32 or ord(c) == 127 for c in value):
            raise ValueError("a string without control characters or line breaks")
        return value.strip()

    return Kind(check, allowed, store=store)


def _within(value: Any, least: float, most: float) -> bool:
    number = isinstance(value, int | float | Decimal) and not isinstance(value, bool)
    return number and value == value and least <= value <= most  # noqa: PLR0124 - NaN differs from itself


def whole(least: int, most: int, *, store: str = "") -> Kind:
    """An integer within bounds; 60.0 counts."""
    allowed = f"a whole number from {least} to {most}"

    def check(value: Any) -> int:
        if not _within(value, least, most) or value != int(value):
            raise ValueError(allowed)
        return int(value)

    return Kind(check, allowed, plain=numeral, store=store or f"int({least},)", bounds=(least, most))


def number(least: float, most: float, *, unit: str = "", words: str = "") -> Kind:
    """A number within bounds; `words`: what the bounds mean."""
    allowed = f"a number{f' of {unit}' if unit else ''} from {least:g} to {most:.12g}{words}"

    def check(value: Any) -> float:
        if not _within(value, least, most):
            raise ValueError(allowed)
        return float(value)

    return Kind(check, allowed, plain=numeral, store=f"float({least:g},{most:g})", bounds=(least, most))


def money(least: str = "0", most: int = MOST_MONEY, *, what: str = "an amount in USD") -> Kind:
    """An exact decimal from a number or a string such as "0.10"; never through binary fractions."""
    allowed = f"{what} from {least} to {most}, quoted or not"
    lowest = Decimal(least)

    def check(value: Any) -> Decimal:
        amount = numeral(str(value)) if isinstance(value, float) else numeral(value)
        if isinstance(amount, str | float) or not _within(amount, 0, most) or not lowest <= amount:
            raise ValueError(allowed)
        if 0 < amount < _LEAST_MONEY:
            raise ValueError(f"{allowed}, and not less than {_LEAST_MONEY} unless 0")
        return Decimal(amount) if amount else Decimal(0)

    return Kind(check, allowed, plain=numeral, store=f"float({least},)", bounds=(int(lowest), most))


limit: Final = replace(whole(1, MOST_LIMIT), also=", or 0 for no limit", lifted=0, box=0)
"""A count that may be lifted at run time."""

budget: Final = replace(money(most=MOST_BUDGET), also=f", or `{UNLIMITED}`", lifted=NO_BUDGET, box=-1)
"""An amount that may be lifted at run time; 0 is a budget of nothing."""

slider: Final = number(0, 10, words=" (0: cost, 10: quality)")
port: Final = whole(0, 65535, store="port")


def choice(kind: type[_E], *, prefix: str = "", flags: tuple[_E, _E] | None = None) -> Kind:
    """One of an enumeration's values; `prefix` may stand before it. `flags`: what false and true stand for, as YAML reads off and on."""
    names = [member.value for member in kind]
    allowed = "one of " + ", ".join(names)

    def check(value: Any) -> _E:
        if flags is not None and isinstance(value, bool):
            return flags[value]
        try:
            return kind(value.removeprefix(prefix) if isinstance(value, str) else value)
        except ValueError:
            raise ValueError(allowed) from None

    def plain(value: Any) -> Any:
        return value.strip().lower() if isinstance(value, str) else value

    return Kind(check, allowed, plain=plain, store=f"list({'|'.join(names)})")


profile: Final = choice(Profile, prefix=f"{PROFILE_OWNER}/")


def one_of(names: Iterable[str]) -> Kind:
    """One of some words, upper case forgiven."""
    known = tuple(names)
    allowed = "one of " + ", ".join(known)

    def check(value: Any) -> str:
        if not isinstance(value, str) or value.lower() not in known:
            raise ValueError(allowed)
        return value.lower()

    return Kind(check, allowed, store=f"list({'|'.join(known)})")


def many(item: Kind, allowed: str, *, separators: str = ";,", none: tuple[()] | None = None) -> Kind:
    """A list; one bare value counts as a list of one. In a text, the first of `separators` found in it stands between two."""

    def check(value: Any) -> tuple[Any, ...]:
        return tuple(item(part) for part in (value if isinstance(value, list | tuple) else [value]))

    def plain(value: Any) -> Any:
        if isinstance(value, str):
            value = value.split(next((s for s in separators if s in value), separators[0]))
        if not isinstance(value, list | tuple):
            return value
        return [part for part in value if not isinstance(part, str) or part.strip()]

    return Kind(check, allowed, plain=plain, item=item, lifted=none)


def name(what: str, *, longest: int = _MAX_NAME, also: str = "") -> Kind:
    """A printable name; a bare number in a file counts as its digits."""
    allowed = f"{what}: 1 to {longest} printable characters"

    def check(value: Any) -> str:
        if isinstance(value, int) and not isinstance(value, bool):
            value = str(value) if abs(value) < 10**longest else ""
        if not isinstance(value, str) or not value.strip() or len(value) > longest or not value.isprintable():
            raise ValueError(allowed)
        return value.strip()

    return Kind(check, allowed, also=also, plain=lambda value: value.strip() if isinstance(value, str) else None)
