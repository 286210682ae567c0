"""Whether tools are called as they were offered: by name, with arguments that fit, about what the request lists.

Exact: what is found wrong is wrong. Tools of a kind that the upstream runs itself are not known here, and beside one of those
no name is wrong.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import orjson

from . import entities
from .fault import Fault, Kind, named
from .schema import misfit

LONGEST: Final = 256 * 1024
"""Characters of arguments that are looked at: longer ones are files, and take long."""

_SAME: Final = 4
"""Calls alike in everything that nobody needs."""

_MOST: Final = 200
_OURS: Final = ("function", "custom")


class Call(NamedTuple):
    """One call as it stands in a reply. `custom`: its arguments are no JSON."""

    name: str
    arguments: str
    custom: bool = False


def wrong_call(calls: Sequence[Call], body: Mapping[str, Any], *, whole: bool = True) -> Fault | None:
    """What is wrong with the calls of one choice; None where nothing is.

    `body`: the request. `whole`: they are not cut short by a ceiling that the client has set; where they are, the last one's
    arguments need not end.
    """
    offered = _offered(body)
    arguments: list[tuple[str, Mapping[str, Any]]] = []
    for place, call in enumerate(calls[:_MOST]):
        if offered is not None and call.name not in offered:
            return Fault(Kind.TOOL, _no_such_tool(call.name, offered))
        if call.custom or len(call.arguments) > LONGEST or (not whole and place == len(calls) - 1):
            continue
        value = _decoded(call.arguments)
        if not isinstance(value, dict):
            told = "no JSON" if value is None else "no object"
            return Fault(Kind.ARGUMENTS, f"the arguments of {named(call.name)} are {told}")
        schema = offered.get(call.name) if offered is not None else None
        if schema is not None and (why := misfit(value, schema)) is not None:
            return Fault(Kind.ARGUMENTS, f"the arguments of {named(call.name)} do not fit: {why}")
        arguments.append((call.name, value))
    return entities.unlisted(arguments, body) or _repeated(calls) or _not_the_one(calls, body)


def no_call(body: Mapping[str, Any]) -> Fault | None:
    """What is wrong with an answer that calls nothing: a tool was to be called."""
    choice = body.get("tool_choice")
    if choice == "required" or _asked_for(choice):
        return Fault(Kind.NO_TOOL, f"{named(_asked_for(choice)) or 'a tool'} was to be called, and none is")
    return None


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
