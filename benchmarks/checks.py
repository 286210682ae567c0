"""What the checks of answers catch: `python benchmarks/checks.py --data FOLDER`. Shares, not time: the same on any machine.

`FOLDER` holds `bfcl.jsonl.gz`: requests with tools, and whether each of some 70 set-ups answered right. It holds **no text of any
answer**, so what share of small models' own failures is caught cannot be read off it. What can be shown honestly:

- false alarms: calls that are made right, of values that each tool's schema allows and of words of the request;
- the share caught of generated failures, by kind: each is one change to a right call, drawn by a fixed seed;
- what kinds there are that no look at a call can find: a right-looking value that is not the one that was asked for, the
  wrong one of several tools, a call too few, and any call where none fits. How often small models fail in each group of the data is
  printed beside, since in the group `relevance` (no tool fits) every failure is of the last kind.

A list as Home Assistant writes it stands in for a home: its entities are made up here.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from cheaprouter.wire.checks.tool_calls import Call, wrong_call

Json = dict[str, Any]

SMALL = ("7b", "8b", "6.7b", "1b", "gemma", "mistral-tiny", "small", "mini", "haiku", "flash", "instant")
"""What is in the names of set-ups that count as small."""

KINDS = {
    "dict": "object",
    "float": "number",
    "double": "number",
    "long": "integer",
    "tuple": "array",
    "list": "array",
    "str": "string",
    "int": "integer",
    "bool": "boolean",
}
HOMES = 40
ENTITIES = (
    "Ceiling Light|light", "Floor Lamp|light", "Window|cover", "Curtain|cover", "Fan|fan", "Thermostat|climate", "Speaker|media_player",
    "TV|media_player", "Socket|switch", "Lock|lock", "Vacuum|vacuum", "Heater|climate", "Valve|valve", "Alarm|siren",
)  # fmt: skip
AREAS = ("Kitchen", "Living Room", "Bedroom", "Office", "Garage", "Hall", "Bathroom", "Küche", "Salon", "Attic")


def value_for(schema: Any, draw: random.Random, words: list[str], depth: int = 0) -> Any:
    """A value that a schema allows."""
    schema = schema if isinstance(schema, dict) else {}
    if schema.get("enum"):
        return draw.choice(schema["enum"])
    kind = str(schema.get("type", "string")).lower()
    kind = KINDS.get(kind, kind)
    if kind == "object":
        properties = schema.get("properties") or {}
        needed = schema.get("required") or []
        chosen = [name for name in properties if name in needed or draw.random() < 0.5]
        return {name: value_for(properties[name], draw, words, depth + 1) for name in chosen}
    if kind == "array":
        return (
            [value_for(schema.get("items"), draw, words, depth + 1) for _ in range(draw.randint(1, 2))]
            if depth < 6
            else []
        )
    simple: dict[str, Callable[[], Any]] = {
        "integer": lambda: draw.randint(0, 100),
        "number": lambda: round(draw.uniform(0, 100), 2),
        "boolean": lambda: draw.random() < 0.5,
    }
    return simple[kind]() if kind in simple else draw.choice(words)


def of_another_kind(value: Any, draw: random.Random) -> Any:
    """A value that is not of the same type as this."""
    wrong = [one for one in ("seven", 7, 7.5, True, ["x"], {"x": 1}, None) if type(one) is not type(value)]
    if isinstance(value, float):
        wrong = [one for one in wrong if not isinstance(one, int) or isinstance(one, bool)]
    return draw.choice(wrong)


def typed(schema: Any) -> bool:
    kind = str((schema or {}).get("type", "")).lower() if isinstance(schema, dict) else ""
    return KINDS.get(kind, kind) in ("string", "integer", "number", "boolean", "array", "object")


def failures(call: Call, tool: Json, others: list[str], draw: random.Random) -> Iterator[tuple[str, Call]]:
    """One change each to a call that is right, by kind."""
    schema = tool.get("parameters") or {}
    properties, needed = schema.get("properties") or {}, schema.get("required") or []
    value: Json = json.loads(call.arguments)
    name = call.name
    yield "name misspelt", call._replace(name=name.replace("_", "") + "s")
    yield "name in other case", call._replace(name=name.swapcase())
    yield "name made up", call._replace(name=f"{name}_{draw.choice(['v2', 'tool', 'now', 'by_name'])}")
    yield "cut off", call._replace(arguments=call.arguments[: max(1, len(call.arguments) - draw.randint(1, 12))])
    yield "words instead of JSON", call._replace(arguments=", ".join(f"{n}={v}" for n, v in value.items()) or "none")
    given = [one for one in needed if one in value]
    if given:
        left_out = draw.choice(given)
        yield (
            "required one missing",
            call._replace(arguments=json.dumps({n: v for n, v in value.items() if n != left_out})),
        )
        renamed = {(f"{n}_value" if n == left_out else n): v for n, v in value.items()}
        yield "required one by another name", call._replace(arguments=json.dumps(renamed))
    of_type = [one for one in value if typed(properties.get(one)) and not properties[one].get("enum")]
    if of_type:
        one = draw.choice(of_type)
        changed = value | {one: of_another_kind(value[one], draw)}
        yield "of another type", call._replace(arguments=json.dumps(changed))
    listed = [one for one in value if (properties.get(one) or {}).get("enum")]
    if listed:
        yield "not in the enum", call._replace(arguments=json.dumps(value | {draw.choice(listed): "something else"}))
    yield "one more parameter", call._replace(arguments=json.dumps(value | {"extra_option": "yes"}))
    texts = [one for one in value if isinstance(value[one], str) and one not in listed]
    if texts:
        yield (
            "another value (unseen)",
            call._replace(arguments=json.dumps(value | {draw.choice(texts): "quite another"})),
        )
    if others:
        yield "another of the tools (unseen)", call._replace(name=draw.choice(others))


def homes(draw: random.Random) -> Iterator[tuple[str, Call, Json]]:
    """Right and wrong calls about homes: (kind, call, request)."""
    text = {"type": "string"}
    properties = {"name": text, "area": text, "domain": {"type": "array", "items": text}}
    tool = {
        "type": "function",
        "function": {"name": "HassTurnOn", "parameters": {"type": "object", "properties": properties}},
    }
    for _ in range(HOMES):
        rows = []
        for area in draw.sample(AREAS, 5):
            for one in draw.sample(ENTITIES, 4):
                name, domain = one.split("|")
                rows.append((f"{area} {name}", domain, area))
        listing = "".join(f"- names: {name}\n  domain: {domain}\n  areas: {area}\n" for name, domain, area in rows)
        system = f"Static Context: An overview of the areas and the devices in this smart home:\n{listing}"
        body = {
            "messages": [{"role": "system", "content": system}, {"role": "user", "content": "Turn it on."}],
            "tools": [tool],
        }
        for name, domain, area in rows:
            others = [one for one in AREAS if all(one != row[2] for row in rows)]
            for kind, arguments in (
                ("right", {"name": name}),
                ("right", {"name": name.lower(), "domain": [domain]}),
                ("right", {"area": area, "domain": [domain]}),
                ("entity: an id for its name", {"name": f"{domain}.{name.lower().replace(' ', '_')}"}),
                ("entity: a name that is not listed", {"name": f"{area} Main {name.split(' ')[-1]}"}),
                ("entity: the area for its name", {"name": area}),
                ("entity: an area that is not listed", {"area": draw.choice(others), "domain": [domain]}),
                ("entity: of another domain", {"name": name, "domain": ["scene"]}),
                ("entity: in another area", {"name": name, "area": draw.choice([row[2] for row in rows if row[2] != area])}),
                ("entity: another one (unseen)", {"name": draw.choice([row[0] for row in rows if row[0] != name])}),
            ):  # fmt: skip
                yield kind, Call("HassTurnOn", json.dumps(arguments)), body


def told(data: Path, seed: int) -> list[str]:
    """The report's lines."""
    with gzip.open(data / "bfcl.jsonl.gz", "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    draw = random.Random(seed)
    caught: Counter[str] = Counter()
    seen: Counter[str] = Counter()
    right = alarms = 0
    for row in rows:
        tools = [tool["function"] for tool in row.get("tools") or ()]
        words = [word for word in str(row["messages"][-1]["content"]).split() if word] or ["word"]
        for tool in tools:
            for _ in range(3):
                value = value_for({"type": "object", **(tool.get("parameters") or {})}, draw, words)
                call = Call(tool["name"], json.dumps(value))
                right += 1
                alarms += wrong_call([call], row) is not None
            others = [other["name"] for other in tools if other["name"] != tool["name"]]
            for kind, bad in failures(call, tool, others, draw):
                seen[kind] += 1
                caught[kind] += wrong_call([bad], row) is not None
    for kind, call, body in homes(draw):
        if kind == "right":
            right += 1
            alarms += wrong_call([call], body) is not None
        else:
            seen[kind] += 1
            caught[kind] += wrong_call([call], body) is not None
    lines = [
        f"False alarms: {alarms} of {right} right calls ({alarms / right:.2%}).",
        "",
        "Caught of generated failures:",
    ]
    lines += [f"  {kind:36} {caught[kind]:5} of {count:5}  {caught[kind] / count:7.1%}" for kind, count in seen.items()]
    return [*lines, "", *small_failures(rows)]


def small_failures(rows: list[Json]) -> list[str]:
    """How often small set-ups fail, by group."""
    failed: defaultdict[str, list[float]] = defaultdict(list)
    for row in rows:
        found = [label for name, label in row["labels"].items() if any(word in name for word in SMALL)]
        failed[row["group"]] += [1 - label for label in found]
    every = sum(map(sum, failed.values()))
    lines = ["Failures of small set-ups, by group (what went wrong in them, the data does not say):"]
    for group, values in failed.items():
        note = "  no tool fits: a right-looking call, which none of this catches" if group == "relevance" else ""
        lines.append(
            f"  {group:28} fail {sum(values) / len(values):6.1%}, {sum(values) / every:6.1%} of all failures{note}"
        )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="where bfcl.jsonl.gz is")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    print("\n".join(told(asked.data, asked.seed)))


if __name__ == "__main__":
    main()
