"""Every regular expression that meets text from outside takes steps in proportion to it, whatever the text."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import pytest

import cheaprouter
from tests.fakes.regex_steps import Counter, pumped

SHAPES = (
    " ", "\n", "\t ", " \n", "a", "A", "a ", "a\n", "1", "1,", "1.", "1:", "a1", ".", "? ", ", ", "-", "— a", "_", "a_", "aA", "é", "漢", "证", "😀",
    '"', "'", "`", "```", "~~~", '"""', "“", "„", "**", "__a ", "<aa>", "</aa>", "\n>", "(A) ", "\n A.", "data:", "a;base64,", "[[a=", "{", "[a",
    "\\", '\\"', "@", "+1 ", "http://a ", "$", "${A", "/v1", "/", "please ", "thanks ", "and ", "regards ", "-- a", "tokens ", "not ", "sk-",
)  # fmt: skip
"""What a text may be made of again and again."""

USED_TO = {
    "config.texts._NO_KEY": "fullmatch", "core.addresses._PAIR": "fullmatch", "core.calendar.SPAN": "fullmatch", "routing.lexicon.CLOSING": "fullmatch",
    "wire.checks.entities._ANY_ID": "fullmatch", "doors.paths._BASE": "match", "routing.text._CLAUSE": "match", "routing.text._LAST": "match",
    "wire.anthropic.turns._DATA_URL": "match", "wire.decode._NO_NUMBER": "match", "routing.lexicon.LEADING": "match", "routing.lexicon.EASY_ORDER": "match", "routing.lexicon.EASY_ABOVE": "match",
}  # fmt: skip
"""Patterns that are not searched for: they are held against the whole of a text, or its beginning."""

SHORT = {
    "config.strict_yaml._QUOTED": 500,  # PyYAML's sentence
    "routing.lexicon.TRAILING": 120,  # the end of an ask
    "routing.lexicon.FOLLOW_UP": 90,  # a short message
    "routing.lexicon.REFERS": 90,
}
"""Patterns that only meet texts of so many characters, for which `MOST` steps have to do."""

MOST = 300_000
ENDED_BY = {"providers.mock_script._MARKER": "]]"}
"""What the text that is searched has at its end, always."""


def modules() -> Iterator[Any]:
    for found in pkgutil.walk_packages(cheaprouter.__path__, "cheaprouter."):
        if not found.name.endswith("__main__"):
            yield importlib.import_module(found.name)


def within(value: object) -> Iterator[re.Pattern[Any]]:
    if isinstance(value, re.Pattern):
        yield value
    elif isinstance(value, (tuple, list, set, frozenset)):
        for one in value:
            yield from within(one)
    elif isinstance(value, dict):
        for one in value.values():
            yield from within(one)


def written_in(module: Any) -> Iterator[str]:
    """Patterns that are written where they are used."""
    for node in ast.walk(ast.parse(inspect.getsource(module))):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name("re"), attr=name), args=[ast.Constant(pattern), *_]):
                if name not in {"compile", "escape"}:
                    yield pattern


def patterns() -> dict[str, re.Pattern[Any]]:
    found: dict[str, re.Pattern[Any]] = {}
    for module in modules():
        room = module.__name__.removeprefix("cheaprouter.")
        for name, value in vars(module).items():
            for at, pattern in enumerate(within(value)):
                if pattern not in found.values():
                    found[f"{room}.{name}[{at}]" if at else f"{room}.{name}"] = pattern
        for pattern in written_in(module):
            found[f"{room}: {pattern}"] = re.compile(pattern)
    return found


PATTERNS = patterns()


def texts(name: str, size: int) -> Iterator[str]:
    pattern, end = PATTERNS[name], ENDED_BY.get(name, "")
    for before, unit in [*(("", shape) for shape in SHAPES), *pumped(pattern)]:
        yield before + unit * (size // len(unit)) + "\0" + end


def steps(name: str, size: int) -> list[int]:
    counter, mode = counter_of(name), USED_TO.get(name, "walk")
    return [getattr(counter, mode)(text) for text in texts(name, size)]


@lru_cache
def counter_of(name: str) -> Counter:
    return Counter(PATTERNS[name])


@pytest.mark.parametrize("name", [name for name in PATTERNS if name not in SHORT])
def test_twice_the_text_takes_twice_the_steps(name):
    size = 60
    while True:
        few, many = steps(name, size), steps(name, 2 * size)
        worse = [at for at, (one, two) in enumerate(zip(few, many, strict=True)) if two > 2.5 * one + 300]
        if not worse:
            return
        if size >= 480:  # what is bounded, as by {0,80}, has come to its bound by now
            shape = list(texts(name, 20))[worse[0]]
            pytest.fail(f"{shape!r}: {few[worse[0]]} steps for {size} characters, {many[worse[0]]} for twice as many")
        size *= 2


@pytest.mark.parametrize("name", SHORT)
def test_what_meets_short_texts_only_takes_few_steps(name):
    assert max(steps(name, SHORT[name])) < MOST


def test_the_counter_tells_a_square_from_a_line():
    line, square = re.compile(r"(?m)^[^\S\n]*(?:def |class )"), re.compile(r"(?m)^\s*(?:def |class )")
    blank = [Counter(pattern).walk("\n" * 400) / Counter(pattern).walk("\n" * 200) for pattern in (line, square)]
    assert blank[0] == pytest.approx(2, rel=0.05)
    assert blank[1] > 3.5


@pytest.mark.parametrize("name", [*USED_TO, *SHORT, *ENDED_BY])
def test_the_tables_name_patterns_that_there_are(name):
    assert name in PATTERNS
