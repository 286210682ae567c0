"""Whether a JSON value fits a JSON Schema, as far as that can be said for certain.

A subset of our own, since the libraries for it weigh megabytes and follow any reference and any pattern: what is not known
here (`pattern`, `format`, `not`, `if`, references that leave the schema) is taken to fit. So a value that is found not to
fit does not. The work is bounded by steps and by depth, whatever schema or value is sent; where they do not suffice, nothing
is said.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import orjson

DEEPEST: Final = 48
"""Levels of schemas and values inside each other; a reference is one, too."""

MOST_STEPS: Final = 10_000
"""Values, members and branches that are looked at: some ten milliseconds."""

_BYTES_OF_A_STEP: Final = 64
_LONGEST_NAME: Final = 60
_LONGEST_PATH: Final = 120


class _UnknownError(Exception):
    """It would take too long, or go too deep, to say."""


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_whole(value: Any) -> bool:
    return _is_number(value) and (isinstance(value, int) or value.is_integer())


_KINDS: Final[Mapping[str, tuple[str, Callable[[Any], bool]]]] = {
    "string": ("a text", lambda value: isinstance(value, str)),
    "integer": ("a whole number", _is_whole),
    "number": ("a number", _is_number),
    "boolean": ("true or false", lambda value: isinstance(value, bool)),
    "object": ("an object", lambda value: isinstance(value, dict)),
    "array": ("a list", lambda value: isinstance(value, list)),
    "null": ("null", lambda value: value is None),
}
"""By the names that schemas have for them: in words, and how they are told."""

_OTHER_NAMES: Final = {
    "dict": "object", "float": "number", "double": "number", "tuple": "array", "list": "array", "str": "string",
    "int": "integer", "long": "integer", "bool": "boolean",
}  # fmt: skip
"""What tools written for other languages call them."""


class Steps:
    """What may still be looked at, of all that is looked at together."""

    __slots__ = ("left",)

    def __init__(self, left: int = MOST_STEPS) -> None:
        self.left = left


def misfit(value: Any, schema: Any, steps: Steps | None = None) -> str | None:
    """Why a value does not fit a schema, in a few words that hold no value of it; None where it does, or nobody knows."""
    try:
        return _Check(schema, steps or Steps()).value(value, schema, "", 0)
    except _UnknownError:
        return None


def shown(path: str) -> str:
    """Where something is, for people: bounded, since names come from anywhere."""
    return path if len(path) <= _LONGEST_PATH else f"{path[:_LONGEST_PATH]}..."


class _Check:
    """One value against one schema. `_root`: where references begin."""

    def __init__(self, root: Any, steps: Steps) -> None:
        self._root = root
        self._steps = steps

    def value(self, value: Any, schema: Any, path: str, depth: int) -> str | None:
        """See `misfit`. `path`: where the value is, `depth`: how deep."""
        self._count(1)
        if depth > DEEPEST:
            raise _UnknownError
        if schema is False:
            return f"{_at(path)} may not be there"
        if not isinstance(schema, dict):
            return None
        if "$ref" in schema:
            target = self._resolved(schema["$ref"])
            return None if target is None else self.value(value, target, path, depth + 1)
        if value is None and schema.get("nullable") is True:
            return None
        return (
            self._kind(value, schema, path)
            or self._one_of_those(value, schema, path)
            or _within(value, schema, path)
            or (self._members(value, schema, path, depth) if isinstance(value, dict) else None)
            or (self._items(value, schema, path, depth) if isinstance(value, list) else None)
            or self._branches(value, schema, path, depth)
        )

    def _count(self, steps: int) -> None:
        self._steps.left -= steps
        if self._steps.left < 0:
            raise _UnknownError

    def _resolved(self, reference: Any) -> Any:
        """What a reference into the schema stands for; None for any other."""
        if not isinstance(reference, str) or not reference.startswith("#"):
            return None
        found = self._root
        for part in reference[1:].split("/")[1:]:
            self._count(1)
            name = part.replace("~1", "/").replace("~0", "~")
            if isinstance(found, dict) and name in found:
                found = found[name]
            elif isinstance(found, list) and name.isascii() and name.isdigit() and int(name[:9]) < len(found):
                found = found[int(name[:9])]
            else:
                return None
        return found if reference == "#" or reference.startswith("#/") else None

    def _kind(self, value: Any, schema: Mapping[str, Any], path: str) -> str | None:
        told = schema.get("type")
        names = told if isinstance(told, list) else [told]
        self._count(len(names))
        words = []
        for name in names:
            known = _kind_of(name)
            if known is None or known[1](value):
                return None
            words.append(known[0])
        return f"{_at(path)} must be {' or '.join(words)}" if words else None

    def _one_of_those(self, value: Any, schema: Mapping[str, Any], path: str) -> str | None:
        if "const" in schema and not self._same(value, schema["const"], 0):
            return f"{_at(path)} is not what it must be"
        allowed = schema.get("enum")
        if not isinstance(allowed, list) or self._is_among(value, allowed):
            return None
        # Some write what an item may be beside the list.
        of_items = isinstance(value, list) and not any(isinstance(one, list) for one in allowed)
        if of_items and all(self._is_among(item, allowed) for item in value):
            return None
        return f"{_at(path)} is none of the values that are allowed"

    def _is_among(self, value: Any, allowed: Sequence[Any]) -> bool:
        self._count(len(allowed))
        return any(self._same(value, one, 0) for one in allowed)

    def _same(self, one: Any, other: Any, depth: int) -> bool:
        """Equality as JSON has it: 1 is 1.0, and true is no number."""
        if isinstance(one, bool) or isinstance(other, bool):
            return one is other
        if not isinstance(one, dict | list):
            return bool(one == other)
        if type(one) is not type(other) or len(one) != len(other):
            return False
        self._count(len(one))
        if depth > DEEPEST:
            raise _UnknownError
        if isinstance(one, dict):
            return all(name in other and self._same(each, other[name], depth + 1) for name, each in one.items())
        return all(self._same(each, also, depth + 1) for each, also in zip(one, other, strict=True))

    def _members(self, value: Mapping[str, Any], schema: Mapping[str, Any], path: str, depth: int) -> str | None:
        required = schema.get("required")
        if isinstance(required, list):
            self._count(len(required))
            for name in required:
                if isinstance(name, str) and name not in value:
                    return f"{_at(_member(path, name))} is missing"
        properties = schema.get("properties")
        properties = properties if isinstance(properties, dict) else {}
        more = schema.get("additionalProperties", True)
        if schema.get("patternProperties"):
            more = True
        for name, member in value.items():
            if name in properties:
                found = self.value(member, properties[name], _member(path, name), depth + 1)
            elif more is False:
                return f"{_at(_member(path, name))} is not a parameter"
            else:
                found = self.value(member, more, _member(path, name), depth + 1)
            if found is not None:
                return found
        return None

    def _items(self, value: Sequence[Any], schema: Mapping[str, Any], path: str, depth: int) -> str | None:
        items, first = schema.get("items", True), schema.get("prefixItems")
        if isinstance(items, list):  # as it was written before 2020
            items, first = schema.get("additionalItems", True), items
        first = first if isinstance(first, list) else []
        for place, item in enumerate(value):
            each = first[place] if place < len(first) else items
            if (found := self.value(item, each, f"{path}[{place}]", depth + 1)) is not None:
                return found
        if schema.get("uniqueItems") is True:
            told = [orjson.dumps(item, option=orjson.OPT_SORT_KEYS) for item in value]
            self._count(sum(map(len, told)) // _BYTES_OF_A_STEP)
            if len(set(told)) < len(told):
                return f"{_at(path)} holds something twice"
        return None

    def _branches(self, value: Any, schema: Mapping[str, Any], path: str, depth: int) -> str | None:
        for each in _schemas(schema, "allOf"):
            if (found := self.value(value, each, path, depth + 1)) is not None:
                return found
        # Of `oneOf`, too, only that none fits is told: whether more than one does may hang on what nobody here knows.
        for name in ("anyOf", "oneOf"):
            some = _schemas(schema, name)
            why = None
            for each in some:
                why = self.value(value, each, path, depth + 1)
                if why is None:
                    break
            if why is not None:
                return why if len(some) == 1 else f"{_at(path)} is nothing that is allowed there"
        return None


def _schemas(schema: Mapping[str, Any], name: str) -> Sequence[Any]:
    found = schema.get(name)
    return found if isinstance(found, list) else ()


def _kind_of(name: Any) -> tuple[str, Callable[[Any], bool]] | None:
    if not isinstance(name, str):
        return None
    name = name.lower()
    return _KINDS.get(_OTHER_NAMES.get(name, name))


def _within(value: Any, schema: Mapping[str, Any], path: str) -> str | None:
    """How large a number is, how long a text or a list."""
    if _is_number(value):
        least, most = _bounds(schema, "minimum", "maximum")
        over, under = _bounds(schema, "exclusiveMinimum", "exclusiveMaximum")
        if schema.get("exclusiveMinimum") is True and least is not None:  # as it was written before 2016
            over = least
        if schema.get("exclusiveMaximum") is True and most is not None:
            under = most
        small = (least is not None and value < least) or (over is not None and value <= over)
        large = (most is not None and value > most) or (under is not None and value >= under)
        return f"{_at(path)} is too {'small' if small else 'large'}" if small or large else None
    if isinstance(value, str | list):
        names = ("minLength", "maxLength") if isinstance(value, str) else ("minItems", "maxItems")
        least, most = _bounds(schema, *names)
        if least is not None and len(value) < least:
            return f"{_at(path)} is too short"
        if most is not None and len(value) > most:
            return f"{_at(path)} is too long"
    return None


def _bounds(schema: Mapping[str, Any], least: str, most: str) -> tuple[float | None, float | None]:
    found = [bound if _is_number(bound := schema.get(name)) else None for name in (least, most)]
    return found[0], found[1]


def _member(path: str, name: str) -> str:
    name = name[:_LONGEST_NAME]
    return f"{path}.{name}" if path else name


def _at(path: str) -> str:
    return f"`{shown(path)}`" if path else "the value"
