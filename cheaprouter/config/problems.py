"""What is wrong with a setting, said so that whoever wrote it can mend it. No secret is ever repeated."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

Path = tuple[str | int, ...]

_SECRET: Final = re.compile(r"key|password|secret|token|headers|url|username", re.IGNORECASE)
_SHOWN: Final = 60


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong: where (keys and list positions from the top) and a sentence about it."""

    path: Path
    text: str


def dotted(path: Path) -> str:
    """A path as people write it: `providers.lab.models[0].price`."""
    out = ""
    for part in path:
        if isinstance(part, int):
            out += f"[{part}]"
        else:
            name = part if part.isprintable() else ascii(part)
            out += f".{name}" if out else name
    return out or "the settings"


def render(path: Path, allowed: str, value: Any) -> Problem:
    """`key: expected ..., got the string 'x'`."""
    return Problem(path, f"{dotted(path)}: expected {allowed}, got {_describe(path, value)}")


def nearest(word: str, known: Iterable[str], *, lower: bool = True) -> str:
    """`; did you mean ...?` where one is close, else what there is, as far as that is short."""
    names = sorted(set(known))
    if close := difflib.get_close_matches(word.lower() if lower else word, names, n=1, cutoff=0.6):
        return f"; did you mean `{close[0]}`?"
    listing = ", ".join(names)
    return f"; known are {listing}" if 0 < len(listing) <= 400 else ""


def at(raw: Any, path: Path) -> Any:
    """The value at a path, or None where it does not lead."""
    for part in path:
        if isinstance(raw, dict):
            raw = raw.get(part)
        elif isinstance(raw, list) and isinstance(part, int) and part < len(raw):
            raw = raw[part]
        else:
            return None
    return raw


def _describe(path: Path, value: Any) -> str:
    hidden = any(isinstance(part, str) and _SECRET.search(part) for part in path)
    for kind, words in _WORDS:
        if isinstance(value, kind):
            return words(value, hidden)
    return f"a {type(value).__name__}"


def _string(value: str, hidden: bool) -> str:  # noqa: FBT001 - one table, one signature
    if not value:
        return "an empty string"
    hidden = hidden or ("://" in value and ("@" in value or "?" in value))  # an address may hold a login
    return "a string (not shown)" if hidden else f"the string {_short(value)}"


def _short(value: Any) -> str:
    shown = ascii(value)
    return shown if len(shown) <= _SHOWN else shown[: _SHOWN - 3] + "..."


_WORDS: Final[tuple[tuple[type, Callable[[Any, bool], str]], ...]] = (
    (type(None), lambda _, __: "nothing (null)"),
    (bool, lambda value, _: f"the boolean {str(value).lower()}"),
    (int, lambda value, hidden: "a number (not shown)" if hidden else f"the number {_short(value)}"),
    (float, lambda value, hidden: "a number (not shown)" if hidden else f"the number {value}"),
    (str, _string),
    (list, lambda value, _: f"a list of {len(value)}"),
    (dict, lambda value, _: f"a mapping of {len(value)}"),
)
