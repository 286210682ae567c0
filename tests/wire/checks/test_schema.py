"""What fits a schema and what does not: whatever is made to fit passes, and one change is found."""

from __future__ import annotations

import sys
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cheaprouter.wire.checks.schema import DEEPEST, MOST_STEPS, misfit

_NAMES = st.text("abcdefgh_", min_size=1, max_size=8)
_TEXTS = st.text(max_size=12)
_WHOLE = st.integers(-1000, 1000)
_NUMBERS = st.floats(-1e6, 1e6, allow_nan=False)
_ANYTHING = st.recursive(
    st.none() | st.booleans() | _WHOLE | _NUMBERS | _TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAMES, inner, max_size=3),
    max_leaves=6,
)
_WRONG: dict[str, list[Any]] = {
    "string": [1, True, None, [], {}],
    "integer": ["1", True, 1.5, None, [], {}],
    "number": ["1", True, None, [], {}],
    "boolean": ["true", 1, None, [], {}],
    "array": ["[]", 1, None, {}],
    "object": ["{}", 1, None, []],
}
"""Of each type, values that are of another."""


@st.composite
def _pairs(draw: st.DrawFn, depth: int = 3) -> tuple[dict[str, Any], Any]:  # noqa: PLR0911 - one return for each kind of schema
    """A schema, and a value that fits it."""
    kinds = ["string", "integer", "number", "boolean", "enum", "anyOf", "ref", "nullable"]
    kind = draw(st.sampled_from(kinds + (["object", "array"] * 3 if depth else [])))
    if kind == "object":
        members = draw(st.dictionaries(_NAMES, _pairs(depth - 1), max_size=4))
        required = draw(st.lists(st.sampled_from(sorted(members)), unique=True)) if members else []
        schema: dict[str, Any] = {"type": "object", "properties": {n: s for n, (s, _) in members.items()}}
        schema |= {"required": required, "additionalProperties": draw(st.booleans())}
        left_out = draw(st.sets(st.sampled_from(sorted(members)))) - {*required} if members else set()
        return schema, {n: v for n, (_, v) in members.items() if n not in left_out}
    if kind == "array":
        schema, value = draw(_pairs(depth - 1))
        count = draw(st.integers(0, 3))
        return {"type": "array", "items": schema, "minItems": count, "maxItems": count}, [value] * count
    if kind == "enum":
        allowed = draw(st.lists(_ANYTHING, min_size=1, max_size=4))
        return {"enum": allowed}, draw(st.sampled_from(allowed))
    if kind in ("anyOf", "nullable"):
        schema, value = draw(_pairs(0))
        other, _ = draw(_pairs(0))
        if kind == "nullable":
            return {**schema, "nullable": True}, draw(st.sampled_from([value, None]))
        return {draw(st.sampled_from(["anyOf", "oneOf"])): draw(st.permutations([schema, other]))}, value
    if kind == "ref":
        return {"type": ["string", "null"]}, draw(_TEXTS | st.none())
    whole = draw(_WHOLE)
    least = whole - draw(st.integers(0, 5))
    made: dict[str, tuple[dict[str, Any], Any]] = {
        "string": ({"type": "string", "maxLength": 12}, draw(_TEXTS)),
        "integer": ({"type": "integer", "minimum": least, "maximum": whole}, whole),
        "number": ({"type": draw(st.sampled_from(["number", "float"]))}, draw(_NUMBERS)),
        "boolean": ({"type": "boolean"}, draw(st.booleans())),
    }
    return made[kind]


@given(_pairs())
@settings(max_examples=400, suppress_health_check=[HealthCheck.too_slow])
def test_what_a_schema_generates_passes(pair: tuple[dict[str, Any], Any]) -> None:
    schema, value = pair
    assert misfit(value, schema) is None


@given(st.dictionaries(_NAMES, st.sampled_from(sorted(_WRONG)), min_size=1, max_size=6), st.data())
def test_a_parameter_of_another_type_is_found(kinds: dict[str, str], data: st.DataObject) -> None:
    right = {"string": "a", "integer": 1, "number": 1.5, "boolean": True, "array": [], "object": {}}
    schema = {"type": "object", "properties": {name: {"type": kind} for name, kind in kinds.items()}}
    value = {name: right[kind] for name, kind in kinds.items()}
    name = data.draw(st.sampled_from(sorted(kinds)))
    assert misfit(value, schema) is None
    assert name in str(misfit({**value, name: data.draw(st.sampled_from(_WRONG[kinds[name]]))}, schema))


@given(st.sets(_NAMES, min_size=1, max_size=6), st.data())
def test_a_parameter_that_is_missing_is_found(names: set[str], data: st.DataObject) -> None:
    schema = {"type": "object", "properties": {name: {} for name in names}, "required": sorted(names)}
    name = data.draw(st.sampled_from(sorted(names)))
    value = dict.fromkeys(names - {name}, 1)
    assert f"`{name}` is missing" == misfit(value, schema)


@given(st.lists(_ANYTHING, min_size=1, max_size=5), _ANYTHING)
def test_a_value_that_is_not_among_those_allowed_is_found(allowed: list[Any], value: Any) -> None:
    """As JSON has it: 1.0 is 1, and true is not."""
    told = [orjson.dumps(_as_json(one), option=orjson.OPT_SORT_KEYS) for one in allowed]
    among = orjson.dumps(_as_json(value), option=orjson.OPT_SORT_KEYS) in told
    items = isinstance(value, list) and not any(isinstance(one, list) for one in allowed)
    found = misfit(value, {"enum": allowed})
    assert found is None if among else (found is not None or items)


def _as_json(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _as_json(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_as_json(item) for item in value]
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


@given(_NAMES)
def test_a_parameter_that_is_none_is_found_where_no_more_are_allowed(name: str) -> None:
    schema = {"type": "object", "properties": {"x1": {}}, "additionalProperties": False}
    assert misfit({name: 1}, schema) == f"`{name}` is not a parameter"
    assert misfit({name: 1}, {**schema, "additionalProperties": True}) is None


@given(_ANYTHING, _ANYTHING)
@settings(max_examples=300)
def test_no_schema_and_no_value_make_it_stumble(value: Any, schema: Any) -> None:
    found = misfit(value, schema)
    assert found is None or isinstance(found, str)


_KEYWORDS = (
    "type", "enum", "const", "required", "properties", "additionalProperties", "patternProperties", "items", "prefixItems", "anyOf",
    "oneOf", "allOf", "$ref", "nullable", "minimum", "exclusiveMaximum", "minLength", "maxItems", "uniqueItems", "additionalItems",
)  # fmt: skip


@given(_ANYTHING, st.dictionaries(st.sampled_from(_KEYWORDS), _ANYTHING | st.sampled_from(["#", "string", "#/items"])))
@settings(max_examples=400)
def test_keywords_with_any_value_make_it_not_stumble(value: Any, schema: dict[str, Any]) -> None:
    found = misfit(value, schema)
    assert found is None or isinstance(found, str)


@pytest.mark.parametrize(
    ("value", "schema", "why"),
    [
        ({"a": {"b": [1, "x"]}}, {"properties": {"a": {"properties": {"b": {"items": {"type": "integer"}}}}}}, "`a.b[1]` must be a whole number"),
        (3.0, {"type": "integer"}, None),
        (5, {"type": "INTEGER"}, None),
        (5, {"type": "any"}, None),
        ("x", {"type": ["integer", "null"]}, "the value must be a whole number or null"),
        ({"a": 1}, {"$ref": "#/$defs/x", "$defs": {"x": {"required": ["b"]}}}, "`b` is missing"),
        ({"a": 1}, {"$ref": "https://example.com/schema"}, None),
        ({"a": 1}, {"$ref": "#/nowhere"}, None),
        ("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!", {"pattern": "^(a+)+$"}, None),
        (["a", "b"], {"type": "array", "enum": ["a", "b"]}, None),
        (5, {"exclusiveMinimum": 5}, "the value is too small"),
        (5, {"minimum": 5, "exclusiveMinimum": True}, "the value is too small"),
        (["a", "a"], {"uniqueItems": True}, "the value holds something twice"),
        (1, {"anyOf": [{"type": "string"}, {"type": "null"}]}, "the value is nothing that is allowed there"),
        (1, {"allOf": [{"type": "integer"}, {"maximum": 0}]}, "the value is too large"),
        ({"x": 1}, {"properties": {"x": False}}, "`x` may not be there"),
        ([1, "a"], {"prefixItems": [{"type": "integer"}, {"type": "integer"}]}, "`[1]` must be a whole number"),
        ({"x1": 1}, {"patternProperties": {"^x": {}}, "additionalProperties": False}, None),
    ],
)  # fmt: skip
def test_what_is_said(value: Any, schema: Any, why: str | None) -> None:
    assert misfit(value, schema) == why


def _deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = {"a": value}
    return value


@pytest.mark.parametrize(
    ("value", "schema"),
    [
        (_deep(900), {"$ref": "#", "properties": {"a": {"$ref": "#"}}}),
        (_deep(900), {"properties": {"a": {"$ref": "#"}}}),
        (1, {"anyOf": [{"$ref": "#"}] * 1000}),
        ([*range(100_000)], {"items": {"enum": [*range(-100_000, 0)]}}),
        (["a"] * 50_000, {"items": {"anyOf": [{"allOf": [{"$ref": "#/items/anyOf/0"}] * 50}] * 50}}),
        ([{"a": [1] * 1000}] * 1000, {"items": {"enum": [{"a": [1] * 999 + [n]} for n in range(2, 500)]}}),
        ({str(n): n for n in range(200_000)}, {"additionalProperties": {"type": "integer"}}),
        ([[1] * 1000] * 100, {"anyOf": [{"uniqueItems": True}] * 5000}),
    ],
)
def test_hostile_ones_are_bounded_in_work(value: Any, schema: Any) -> None:
    """Counted in calls: each step makes a few."""
    calls = 0

    def count(_frame: object, event: str, _arg: object) -> None:
        nonlocal calls
        calls += event == "call"

    sys.setprofile(count)
    try:
        misfit(value, schema)
    finally:
        sys.setprofile(None)
    assert calls < 20 * MOST_STEPS


def test_a_path_is_bounded() -> None:
    value: Any = 1
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(DEEPEST - 2):
        value, schema = {"n" * 1000: value}, {"properties": {"n" * 1000: schema}}
    assert len(str(misfit(value, schema))) < 200
