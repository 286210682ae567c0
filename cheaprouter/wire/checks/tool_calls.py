"""Whether tools are called as they were offered: by name, with arguments that fit, about what the request lists.

Exact: what is found wrong is wrong. Tools of a kind that the upstream runs itself are not known here, and beside one of those
no name is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import orjson

from . import entities
from .fault import Fault, Kind, named
from .schema import Steps, misfit

LONGEST: Final = 256 * 1024
"""Characters of arguments that are looked at: longer ones are files, and take long."""

_SAME: Final = 4
"""Calls alike in everything that nobody needs."""

_MOST: Final = 200
_OURS: Final = ("function", "custom")
_LONGEST_TEXT: Final = 32 * 1024
_LAST: Final = 5
_NUMERAL: Final = re.compile(r"-?[0-9]{1,12}(?:\.[0-9]{1,6})?")
_IN_JSON: Final = re.compile(
    r"""["'](?:name|function|tool|tool_name)["']\s{0,4}:\s{0,4}["']([\w.\-]{1,64})["']\s{0,4},\s{0,9}["'](?:parameters|arguments|args|input|tool_args)["']"""
)
_IN_CODE: Final = re.compile(r"(?<![\w.\-])([A-Za-z_][\w.\-]{1,63})\(")
"""How a call looks that is written down."""

_MARKS: Final = (
    "[TOOL_CALLS]",
    "<tool_call>",
    "<|tool_call",
    "<function=",
    "<function_call>",
    "<|python_tag|>",
    "functools[",
)
"""With what models begin calls that their server did not understand as such."""


class Call(NamedTuple):
    """One call as it stands in a reply. `custom`: its arguments are no JSON."""

    name: str
    arguments: str
    custom: bool = False


def wrong_call(
    calls: Sequence[Call], body: Mapping[str, Any], *, whole: bool = True, steps: Steps | None = None
) -> Fault | None:
    """What is wrong with the calls of one choice; None where nothing is.

    `body`: the request. `whole`: they are not cut short by a ceiling that the client has set; where they are, the last one's
    arguments need not end. `steps`: shared with other choices.
    """
    offered = _offered(body)
    steps = steps or Steps()
    arguments: list[tuple[str, Mapping[str, Any]]] = []
    for place, call in enumerate(calls[:_MOST]):
        if offered is not None and call.name not in offered:
            return Fault(Kind.TOOL, _no_such_tool(call.name, offered))
        if call.custom or len(call.arguments) > LONGEST or (not whole and place == len(calls) - 1):
            continue
        value = _decoded(call.arguments)
        schema = offered.get(call.name) if offered is not None else None
        if isinstance(value, dict) and entities.is_intent(call.name):
            value = _as_home_assistant_reads(value, schema)
        if not isinstance(value, dict):
            told = "no JSON" if value is None else "no object"
            return Fault(Kind.ARGUMENTS, f"the arguments of {named(call.name)} are {told}")
        if schema is not None and (why := misfit(value, schema, steps)) is not None:
            return Fault(Kind.ARGUMENTS, f"the arguments of {named(call.name)} do not fit: {why}")
        arguments.append((call.name, value))
    return entities.unlisted(arguments, body) or _repeated(calls) or _not_the_one(calls, body)


def no_call(body: Mapping[str, Any]) -> Fault | None:
    """What is wrong with an answer that calls nothing: a tool was to be called."""
    choice = body.get("tool_choice")
    if choice == "required" or _asked_for(choice):
        return Fault(Kind.NO_TOOL, f"{named(_asked_for(choice)) or 'a tool'} was to be called, and none is")
    return None


def written_call(text: str, body: Mapping[str, Any]) -> Fault | None:
    """A call that stands in the answer's words instead of being made, as small models write that lose its format."""
    offered = _offered(body)
    if not offered or body.get("tool_choice") == "none":
        return None
    text = text[:_LONGEST_TEXT]
    found = [match[1] for match in _IN_JSON.finditer(text)]
    found += [match[1] for match in _IN_CODE.finditer(text) if _is_identifier(match[1])]
    found += entities.INTENT_NAME.findall(text)
    for name in dict.fromkeys(found):
        if name in offered and not _user_names(name, body):
            return Fault(Kind.WRITTEN, f"the call of {named(name)} is written down and not made")
    if text.lstrip().startswith(_MARKS):
        return Fault(Kind.WRITTEN, "a call is written down and not made")
    return None


def _is_identifier(name: str) -> bool:
    """Whether a name is no word of a language, so that it would not stand before a bracket by chance."""
    return "_" in name or "." in name or name[1:] != name[1:].lower()


def _user_names(name: str, body: Mapping[str, Any]) -> bool:
    """Whether the user speaks of a tool by its name, so that an answer may, too."""
    users = [one for one in _objects(body.get("messages")) if one.get("role") == "user"]
    return any(name in text[:_LONGEST_TEXT] for one in users[-_LAST:] for text in entities.texts(one.get("content")))


def _as_home_assistant_reads(value: Mapping[str, Any], schema: Any) -> dict[str, Any]:
    """Arguments of an intent as Home Assistant takes them: digits for a number, and one value for a list of it, or the other way round."""
    properties = schema.get("properties") if isinstance(schema, dict) else None
    if not isinstance(properties, dict):
        return {**value}
    return {name: _taken(each, properties.get(name)) for name, each in value.items()}


def _taken(value: Any, schema: Any) -> Any:
    kind = schema.get("type") if isinstance(schema, dict) else None
    if kind == "array" and isinstance(value, str):
        return [value]
    if kind == "string" and isinstance(value, list) and len(value) == 1:
        return value[0]
    if kind in ("integer", "number") and isinstance(value, str) and _NUMERAL.fullmatch(value):
        return float(value) if "." in value else int(value)
    return value


def _decoded(arguments: str) -> Any:
    """The value; None where it is no JSON. Nothing at all is an object without members."""
    if not arguments.strip():
        return {}
    try:
        return orjson.loads(arguments)
    except (orjson.JSONDecodeError, UnicodeEncodeError):
        return None


def _offered(body: Mapping[str, Any]) -> dict[str, Any] | None:
    """The schema of each tool by its name, None for one without; None where not all that may be called is known."""
    found: dict[str, Any] = {}
    for tool in _objects(body.get("tools")):
        kind = tool.get("type", "function")
        own = tool.get(kind) if kind in _OURS else None
        if not isinstance(own, dict) or not isinstance(name := own.get("name"), str):
            return None
        found[name] = own.get("parameters") if kind == "function" else None
    for own in _objects(body.get("functions")):  # as it was before there were tools
        if not isinstance(name := own.get("name"), str):
            return None
        found[name] = own.get("parameters")
    return found or None


def _objects(value: Any) -> Iterable[Mapping[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else ()


def _no_such_tool(name: str, offered: Iterable[str]) -> str:
    if not name:
        return "a tool without a name is called"
    near = next((one for one in offered if one.casefold() == name.casefold()), None)
    return f"{named(name)} is not among the tools" + (f", {named(near)} is" if near else "")


def _repeated(calls: Sequence[Call]) -> Fault | None:
    seen: dict[Call, int] = {}
    for call in calls:
        seen[call] = count = seen.get(call, 0) + 1
        if count >= _SAME:
            return Fault(Kind.LOOP, f"{named(call.name)} is called with the same arguments over and over")
    return None


def _not_the_one(calls: Sequence[Call], body: Mapping[str, Any]) -> Fault | None:
    """Calls where none, or another, was to be made."""
    choice = body.get("tool_choice")
    if choice == "none" and calls:
        return Fault(Kind.TOOL, "no tool was to be called")
    wanted = _asked_for(choice)
    if wanted and any(call.name != wanted for call in calls):
        return Fault(Kind.NO_TOOL, f"{named(wanted)} was to be called, and another is")
    return None


def _asked_for(choice: Any) -> str:
    """The tool that the client wants called; "" for none in particular."""
    if not isinstance(choice, dict):
        return ""
    own = choice.get(kind) if (kind := choice.get("type")) in _OURS else None
    name = own.get("name") if isinstance(own, dict) else None
    return name if isinstance(name, str) else ""
