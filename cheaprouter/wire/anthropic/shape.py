"""An answer of a given shape: by Anthropic's own `output_config.format`, or as the input of a tool that must be called.

The former is the better one: it can be thought before, streams as text, and leaves the tools alone. It takes less than JSON
Schema has (https://platform.claude.com/docs/en/build-with-claude/structured-outputs, 2026), so the tool stays for the rest.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from ...core.models import Json

JSON_TOOL: Final = "json_response"
"""The tool whose input is the answer."""

WRAPPED: Final = "value"
_ORDER: Final = "Answer with one JSON object and nothing else: no explanation, no code fence."

_KEPT: Final = frozenset({
    "type", "properties", "required", "items", "enum", "const", "anyOf", "allOf", "$ref", "$defs", "definitions",
    "title", "description", "default",
})  # fmt: skip
_HINTS: Final = frozenset({
    "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength", "pattern",
    "minItems", "maxItems", "uniqueItems", "minProperties", "maxProperties", "format", "examples",
})  # fmt: skip
"""What is not enforced there, and so is told in words."""

_IGNORED: Final = frozenset({"$schema", "$id", "$comment", "nullable", "deprecated", "readOnly", "writeOnly"})
_BY_NAME: Final = frozenset({"properties", "$defs", "definitions"})
_LISTS: Final = frozenset({"anyOf", "allOf"})


class _NotThereError(ValueError):
    """The schema says something that cannot be said there."""


def wanted_schema(body: Json) -> Json | None:
    """The schema that a client wants its answer to follow."""
    wanted = body.get("response_format")
    if not isinstance(wanted, dict) or wanted.get("type") != "json_schema":
        return None
    holder = wanted.get("json_schema")
    schema = holder.get("schema") if isinstance(holder, dict) else None
    return schema if isinstance(schema, dict) else {"type": "object"}


def json_tool(body: Json) -> tuple[str, bool] | None:
    """The tool that may carry the answer, and whether it is wrapped in an object; None where the answer is plain."""
    schema = wanted_schema(body)
    return None if schema is None else (JSON_TOOL, schema.get("type", "object") != "object")


def shape(body: Json, wire: Json, *, native: bool) -> None:
    """Ask for the answer's shape. `native`: this model knows `output_config.format`."""
    wanted = body.get("response_format")
    if isinstance(wanted, dict) and wanted.get("type") == "json_object":
        wire["system"] = [*wire.get("system", ()), {"type": "text", "text": _ORDER}]
    if (schema := wanted_schema(body)) is None:
        return
    if native and (strict := strict_schema(schema)) is not None:
        wire["output_config"] = {**wire.get("output_config", {}), "format": {"type": "json_schema", "schema": strict}}
        return
    if schema.get("type", "object") != "object":
        schema = {"type": "object", "properties": {WRAPPED: schema}, "required": [WRAPPED]}
    description = (wanted or {}).get("json_schema", {}).get("description") or "Give the final answer in this shape."
    tool = {"name": JSON_TOOL, "description": description, "input_schema": {"type": "object", **schema}}
    choice = wire.get("tool_choice", {})
    others = bool(wire.get("tools")) and choice.get("type") != "none"
    wire["tools"] = [*wire.get("tools", ()), tool]
    if choice.get("type") != "tool":
        wire["tool_choice"] = {**choice, "type": "any"} if others else {"type": "tool", "name": JSON_TOOL}


def strict_schema(schema: Json) -> Json | None:
    """The schema as it is taken natively: closed objects, limits in words; None where it says more than can be said there."""
    if schema.get("type") != "object" or _refers_to_itself(schema):
        return None
    try:
        return _strict(schema)
    except (_NotThereError, AttributeError, TypeError):
        return None


def _strict(schema: Json) -> Json:
    unknown = schema.keys() - _KEPT - _HINTS - _IGNORED - {"additionalProperties"}
    if unknown or schema.get("additionalProperties", False) is not False:
        raise _NotThereError
    made: Json = {}
    for name, value in schema.items():
        if name in _BY_NAME:
            made[name] = {key: _strict(child) for key, child in value.items()}
        elif name in _LISTS:
            made[name] = [_strict(child) for child in value]
        elif name == "items":
            made[name] = _strict(value)
        elif name in _KEPT:
            made[name] = value
    if hints := [f"{name}: {value}" for name, value in schema.items() if name in _HINTS]:
        made["description"] = " ".join((str(made.get("description", "")), f"({', '.join(hints)})")).strip()
    if made.get("type") == "object" or "properties" in made:
        if not made.get("properties"):
            raise _NotThereError  # an object of whatever there is: closed, it would always be empty
        made["additionalProperties"] = False
    return made


def _refers_to_itself(schema: Json) -> bool:
    """Whether a definition leads back to itself, or to somewhere else than a definition."""
    known = {
        f"#/{place}/{name}": child
        for place in ("$defs", "definitions")
        for name, child in (schema.get(place) or {}).items()
    }
    uses = {name: {*_references(child)} for name, child in known.items()}
    if any(used not in known for used in _references(schema)):
        return True
    while leaves := [name for name, used in uses.items() if not used]:
        for name in leaves:
            del uses[name]
        for used in uses.values():
            used.difference_update(leaves)
    return bool(uses)


def _references(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for child in value.values():
            yield from _references(child)
    elif isinstance(value, list):
        for child in value:
            yield from _references(child)
