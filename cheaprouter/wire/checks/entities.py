"""Whether what a call is about is among what the request lists: entities of a home, by id or by name, and its areas.

Home Assistant's own prompt lists names with their domains and areas; other agents for it list ids. What stands nowhere as a
list is not judged, and an id that stands anywhere in the request (but for what the model itself has said) is known. Names are
compared as Home Assistant compares them, without case and spaces, and a name beside a domain or an area must be of those,
since Home Assistant finds nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import field
from typing import Any, Final

import orjson

from ...core.records import dataclass
from .fault import Fault, Kind, named

_DOMAINS: Final = frozenset(
    [
        "ai_task",
        "alarm_control_panel",
        "assist_satellite",
        "automation",
        "binary_sensor",
        "button",
        "calendar",
        "camera",
        "climate",
        "counter",
        "cover",
        "date",
        "datetime",
        "device_tracker",
        "event",
        "fan",
        "group",
        "humidifier",
        "image",
        "input_boolean",
        "input_button",
        "input_datetime",
        "input_number",
        "input_select",
        "input_text",
        "lawn_mower",
        "light",
        "lock",
        "media_player",
        "notify",
        "number",
        "person",
        "plant",
        "remote",
        "scene",
        "schedule",
        "script",
        "select",
        "sensor",
        "siren",
        "sun",
        "switch",
        "text",
        "time",
        "timer",
        "todo",
        "update",
        "vacuum",
        "valve",
        "water_heater",
        "weather",
        "zone",
    ]
)
_VERBS: Final = (
    "turn_on", "turn_off", "toggle", "open", "close", "stop", "lock", "unlock", "start", "pause", "set", "press", "trigger",
    "reload", "send", "play", "get", "select", "create", "update", "delete", "add", "remove", "return", "volume", "media",
)  # fmt: skip
"""How the names of actions begin: `light.turn_on` looks like an entity's id, and is none."""

_ANY_ID: Final = re.compile(r"[a-z][a-z0-9_]*\.[a-z0-9_]+")
"""What a call has for an id, of whatever domain the model made up."""

_LIKE_ID: Final = re.compile(r"(?<![\w.])([a-z_]++)\.([a-z0-9_]++)")
_FOR_EXAMPLE: Final = re.compile(r"e\.g\.|for example|such as|example:|z\.\s?b\.", re.IGNORECASE)
_LEAST_LISTED: Final = 2
"""Ids that make a list."""

_ID_KEYS: Final = frozenset({"entity_id", "entity_ids", "entityid", "entityids", "entities", "entity"})
_EVERYTHING: Final = frozenset({"all", "none"})

_INTENT: Final = "Hass"
INTENT_NAME: Final = re.compile(r"(?<!\w)(?:[a-z]{1,40}__)?Hass[A-Z]\w{2,40}")
"""One of them in a text: no answer speaks of these by chance."""

_NOT_ENTITIES: Final = ("Timer", "Broadcast", "Respond", "Nevermind")
"""Home Assistant's intents in whose `name` or `area` is no entity's."""

_ROW: Final = re.compile(r"^[ \t]*(?:-[ \t]+)?(names|domain|areas|state):[ \t]*(.*)$", re.MULTILINE)
_IN_AREA: Final = re.compile(r"You are in area ([^\n(]{1,100}?)(?: \(| and |\.|$)", re.MULTILINE)
_LONGEST: Final = 128 * 1024
"""Characters of the messages that are looked through."""

_LONGEST_LINE: Final = 400
_MOST_VALUES: Final = 2000
_DEEPEST: Final = 12


@dataclass(slots=True)
class _Entry:
    """One row of Home Assistant's list, its words as they are compared."""

    names: frozenset[str]
    domain: str = ""
    areas: frozenset[str] = frozenset()


@dataclass(slots=True)
class _Home:
    """What a request lists. `by_name` is empty where it has no such list; `told`: all that its texts say, where ids are listed."""

    told: str = ""
    by_name: dict[str, list[_Entry]] = field(default_factory=dict)
    areas: frozenset[str] = frozenset()

    def has(self, one: str) -> bool:
        """Whether an id stands anywhere in the request."""
        found = self.told.find(one)
        while found >= 0:
            before, after = self.told[found - 1 : found], self.told[found + len(one) : found + len(one) + 1]
            if not (_is_of_word(before) or before == "." or _is_of_word(after)):
                return True
            found = self.told.find(one, found + 1)
        return False


def _is_of_word(letter: str) -> bool:
    return letter.isalnum() or letter == "_"


def is_intent(name: str) -> bool:
    """Whether a tool is one of Home Assistant's intents."""
    return name.rpartition("__")[2].startswith(_INTENT)


def is_about_home(name: str) -> bool:
    """Whether a tool is one of Home Assistant's intents, in whose `name` and `area` are entities'; see `unlisted`."""
    bare = name.rpartition("__")[2]
    if bare == "GetLiveContext":
        return True
    return bare.startswith(_INTENT) and not any(word in bare for word in _NOT_ENTITIES)


def unlisted(calls: Iterable[tuple[str, Mapping[str, Any]]], body: Mapping[str, Any]) -> Fault | None:
    """What a call names that the request does not list. `calls`: names and arguments."""
    home: _Home | None = None
    for name, arguments in calls:
        ids = [*_ids_in(arguments)]
        intent = is_about_home(name) and any(key in arguments for key in ("name", "area"))
        if not (ids or intent):
            continue
        if home is None or (ids and not home.told):
            home = _home(body, ids=bool(ids))
        if intent and (found := _unlisted_name(arguments, home)) is not None:
            return found
        if home.told:
            for one in ids:
                if not home.has(one):
                    return Fault(Kind.ENTITY, f"{named(one)} is not in the request's list")
    return None


def _unlisted_name(arguments: Mapping[str, Any], home: _Home) -> Fault | None:
    """What of an intent's name, domain and area is not listed, or not together."""
    if not home.by_name:
        return None
    name, area = _word(arguments.get("name")), _word(arguments.get("area"))
    why = None
    if area and home.areas and _alike(area) not in home.areas:
        why = f"the area {named(area)} is not in the request's list"
    elif name:
        why = _unlisted_entity(name, area if home.areas else "", _domains(arguments.get("domain")), home)
    return None if why is None else Fault(Kind.ENTITY, why)


def _unlisted_entity(name: str, area: str, domains: Sequence[str], home: _Home) -> str | None:
    found = home.by_name.get(_alike(name))
    if found is None:
        return f"{named(name)} is not in the request's list"
    if domains and not any(one.domain in domains for one in found if one.domain):
        return f"{named(name)} is in the request's list, but is no {named(' or '.join(domains))}"
    if area and not any(_alike(area) in one.areas for one in found):
        return f"{named(name)} is in the request's list, but not in the area {named(area)}"
    return None


def _domains(value: Any) -> list[str]:
    return [one for one in (value if isinstance(value, list) else [value]) if isinstance(one, str) and one][:20]


def _word(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _alike(name: str) -> str:
    """A name as it is compared: letters and digits alone."""
    name = name.casefold().replace(" ", "")
    return name if name.isalnum() else "".join(filter(str.isalnum, name))


# --- what a call names --------------------------------------------------------------------------------------------------


def _ids_in(arguments: Any) -> Iterator[str]:
    """What looks like an id under a name that stands for one, wherever in the arguments."""
    waiting: list[tuple[Any, bool, int]] = [(arguments, False, 0)]
    looked_at = 0
    while waiting and looked_at < _MOST_VALUES:
        value, named_so, depth = waiting.pop()
        looked_at += 1
        if isinstance(value, dict) and depth < _DEEPEST:
            waiting += [(each, name.lower() in _ID_KEYS, depth + 1) for name, each in value.items()]
        elif isinstance(value, list) and depth < _DEEPEST:
            waiting += [(each, named_so, depth + 1) for each in value]
        elif named_so and isinstance(value, str):
            for part in value.split(","):
                one = part.strip()
                if _ANY_ID.fullmatch(one) and one not in _EVERYTHING:
                    yield one


# --- what a request lists -----------------------------------------------------------------------------------------------


def _home(body: Mapping[str, Any], *, ids: bool) -> _Home:
    """Look through the messages, but for the model's own. `ids`: it is asked for ids, too."""
    entries: list[_Entry] = []
    areas: set[str] = set()
    told: list[str] = []
    listed = False
    for role, text in _told(body):
        if "names:" in text:
            entries += _entries(text)
        if "You are in area" in text:
            areas.update(_alike(found) for found in _IN_AREA.findall(text))
        if ids:
            told.append(text)
            listed = listed or (_is_list(text) if role == "user" else _lists_ids(text))
    by_name: dict[str, list[_Entry]] = {}
    for entry in entries:
        areas |= entry.areas
        for name in entry.names:
            by_name.setdefault(name, []).append(entry)
    known = "\n".join([*told, _of_tools(body)]) if listed else ""
    return _Home(known, by_name, frozenset(areas) if entries else frozenset())


def _lists_ids(text: str) -> bool:
    """Whether there are ids in a text that are no examples."""
    found: set[str] = set()
    for match in _LIKE_ID.finditer(text):
        if not _is_entity(match) or match[0] in found:
            continue
        start, end = text.rfind("\n", 0, match.start()) + 1, text.find("\n", match.end())
        if not _FOR_EXAMPLE.search(
            text[max(start, match.start() - _LONGEST_LINE) : end if end >= 0 else len(text)][:_LONGEST_LINE]
        ):
            found.add(match[0])
            if len(found) >= _LEAST_LISTED:
                return True
    return False


def _is_entity(match: re.Match[str]) -> bool:
    return match[1] in _DOMAINS and not match[2].startswith(_VERBS)


def _is_list(text: str) -> bool:
    """Whether a user has written down a list, rather than asked for something by its id."""
    rows = [_LIKE_ID.match(line.lstrip(" \t-*|\"'")) for line in text.splitlines() if "." in line]
    return len([row for row in rows if row is not None and _is_entity(row)]) > _LEAST_LISTED


def _of_tools(body: Mapping[str, Any]) -> str:
    tools = body.get("tools")
    try:
        return orjson.dumps(tools).decode()[:_LONGEST] if tools else ""
    except TypeError:
        return ""


def _told(body: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The texts of the messages with their roles, as far as they are not the model's."""
    messages, left = body.get("messages"), _LONGEST
    for message in messages if isinstance(messages, list) else ():
        role = message.get("role") if isinstance(message, dict) else None
        if not isinstance(role, str) or role == "assistant":
            continue
        for text in texts(message.get("content")):
            if left <= 0:
                return
            told = text[:left]
            left -= len(told)
            yield role, _unpacked(told) if role in ("tool", "function") else told


def texts(content: Any) -> Iterator[str]:
    """The texts of a message's content."""
    if isinstance(content, str):
        yield content
    for part in content if isinstance(content, list) else ():
        text = part.get("text") if isinstance(part, dict) else part
        if isinstance(text, str):
            yield text


def _unpacked(text: str) -> str:
    """The texts in a tool's result that is JSON, since lines in it are escaped."""
    if not text.lstrip().startswith(("{", "[")):
        return text
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return text
    found: list[str] = [text]
    waiting: list[Any] = [value]
    while waiting and len(found) < _MOST_VALUES:
        one = waiting.pop()
        if isinstance(one, str):
            found.append(one)
        elif isinstance(one, dict | list):
            waiting += one.values() if isinstance(one, dict) else one
    return "\n".join(found)


def _entries(text: str) -> Sequence[_Entry]:
    """The rows of Home Assistant's list. A long name goes on in the next line."""
    found: list[_Entry] = []
    rows = [*_ROW.finditer(text)]
    for place, row in enumerate(rows):
        end = rows[place + 1].start() if place + 1 < len(rows) else len(text)
        words = _listed(_whole(row[2], text[row.end() : end]))
        if row[1] == "names":
            found.append(_Entry(words))
        elif found and row[1] == "domain":
            found[-1].domain = row[2].strip().strip("'\"")
        elif found and row[1] == "areas":
            found[-1].areas = words
    return found


def _whole(value: str, rest: str) -> str:
    """What a value begins with and what of the lines after it is indented deeper, as YAML folds long ones."""
    more = []
    for line in rest[1:].split("\n", 4)[:4]:
        if not line.startswith("    ") or ":" in line:
            break
        more.append(line.strip())
    return " ".join([value.strip(), *more])


def _listed(value: str) -> frozenset[str]:
    """Names as they are compared; names with a comma in them as a whole, too."""
    value = value.strip("'\"").replace("''", "'")
    return frozenset(filter(None, map(_alike, (value, *value.split(",")))))
