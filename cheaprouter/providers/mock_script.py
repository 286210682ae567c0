"""What the mock provider answers: a plan made from the request alone, so that the same request gives the same answer.

A caller steers it with a marker anywhere in the last user message: `[[n=100 d=20]]`. Keys, all optional:

    n=100          so many content events          d=20   milliseconds between two events
    f=500          milliseconds before the first   b=4    events in one write
    say=Hello      the text (to the end of the marker, so it comes last)
    status=429     answer with this HTTP status    retry_after=2   and this header
    cut=3          drop the connection after so many events
    error=3        send an error event after so many events
    finish=length  the finish reason               empty=1         no content at all
    reasoning=5    so many events of reasoning_content first
    tool=NAME      call this tool; args={"a": 1}   its arguments (to the end of the marker)
    prompt=10 completion=5 cached=4                the usage it reports; usage=0: none
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import field
from typing import Any, Final

import orjson

from ..core.models import Json
from ..core.records import dataclass

_MARKER: Final = re.compile(r"\[\[((?:[a-z_]+=).*?)\]\]", re.DOTALL)
_PAIR: Final = re.compile(r"(?<![a-z_])([a-z_]+)=(\S*)")
_TAIL: Final = re.compile(r"\b(say|args)=(.*)", re.DOTALL)
_TOKEN: Final = re.compile(r"\s*\S{1,12}|\s+")
_MOST_EVENTS: Final = 100_000
_LONGEST_SAID: Final = 200_000
_LONGEST_SHOWN: Final = 2000
_MOST_DELAY_MS: Final = 60_000
_WORDS: Final = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
_NUMBERS: Final = frozenset({
    "n", "d", "f", "b", "status", "retry_after", "cut", "error", "empty", "reasoning", "prompt", "completion", "cached",
    "usage",
})  # fmt: skip
_MOST_DIGITS: Final = 12


@dataclass(frozen=True, slots=True)
class Script:
    """A marker, read. Unknown keys and bad numbers are left out: a mock is no place to fail by accident."""

    numbers: Mapping[str, int] = field(default_factory=dict)
    words: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class MockAnswer:
    """An answer before it has a wire shape. Delays in seconds; `tokens` are the text's pieces, one an event."""

    tokens: tuple[str, ...]
    reasoning: tuple[str, ...]
    tool: tuple[str, str] | None
    finish: str
    usage: Json | None
    numbers: Mapping[str, int]
    id: str
    choices: int
    first_delay: float
    delay: float


def read_marker(text: str) -> Script:
    """The first marker of a text, or an empty script."""
    text = text[: text.rfind("]]") + 2]  # each marker that begins in the rest has an end
    if (found := _MARKER.search(text)) is None:
        return Script()
    inner, words = found[1], {}
    if tail := _TAIL.search(inner):
        words[tail[1]] = tail[2]
        inner = inner[: tail.start()]
    numbers = {}
    for name, value in _PAIR.findall(inner):
        if name not in _NUMBERS:
            words[name] = value
        elif value.isascii() and value.isdigit():
            numbers[name] = int(value[:_MOST_DIGITS])
    return Script(numbers, words)


def plan(body: Json) -> MockAnswer:
    """The answer to a chat body."""
    asked, size = _read(body["messages"])
    script = read_marker(asked)
    numbers = script.numbers
    tool = _tool_call(body, script) if body.get("tools") else None
    tokens = () if tool or numbers.get("empty") else _limit(_text(body, asked, script), body)
    allowed = body.get("max_completion_tokens") or body.get("max_tokens")
    finish = "tool_calls" if tool else "stop"
    if allowed and len(tokens) > allowed:
        tokens, finish = tokens[: int(allowed)], "length"
    reasoning = tuple([f"thought {i} " for i in range(1, min(numbers.get("reasoning", 0), _MOST_EVENTS) + 1)])
    counted = len(tokens) + len(reasoning) + (max(1, len(tool[1]) // 4) if tool else 0)
    return MockAnswer(
        tokens=tokens,
        reasoning=reasoning,
        tool=tool,
        finish=script.words.get("finish", finish),
        usage=_usage(3 + size, counted, len(reasoning), numbers) if numbers.get("usage", 1) else None,
        numbers=numbers,
        id=f"chatcmpl-mock-{hashlib.blake2b(orjson.dumps(body, default=str), digest_size=12).hexdigest()}",
        choices=max(1, min(16, int(body.get("n") or 1))),
        first_delay=min(numbers.get("f", 0), _MOST_DELAY_MS) / 1000,
        delay=min(numbers.get("d", 0), _MOST_DELAY_MS) / 1000,
    )


def _limit(text: str, body: Json) -> tuple[str, ...]:
    text, stops = text[:_LONGEST_SAID], body.get("stop") or ()
    for stop in [stops] if isinstance(stops, str) else stops:
        if isinstance(stop, str) and stop and (at := text.find(stop)) >= 0:
            text = text[:at]
    return tuple(_TOKEN.findall(text))


def _text(body: Json, asked: str, script: Script) -> str:
    if (said := script.words.get("say")) is not None:
        return said
    if "n" in script.numbers:
        return " ".join(_WORDS[i % 10] for i in range(min(script.numbers["n"], _MOST_EVENTS)))
    wanted = body.get("response_format")
    if isinstance(wanted, dict) and wanted.get("type") in {"json_schema", "json_object"}:
        schema = (wanted.get("json_schema") or {}).get("schema")
        return orjson.dumps(example(schema) if schema else {"reply": "mock"}).decode()
    quoted = " ".join(asked[:_LONGEST_SHOWN].split())
    shown = quoted if len(quoted) <= 120 else quoted[:117] + "..."
    return (
        f'This is the mock model of CheapRouter; no provider is configured yet. You said: "{shown}". '
        "Add a provider's key and real models will answer here."
    )


def _tool_call(body: Json, script: Script) -> tuple[str, str] | None:
    """A call where the marker or `tool_choice` wants one, unless a tool has just answered."""
    offered = [tool.get("function") for tool in body.get("tools") or () if isinstance(tool, dict)]
    tools = [function for function in offered if isinstance(function, dict)]
    if not tools or (body["messages"] and body["messages"][-1].get("role") == "tool"):
        return None
    choice = body.get("tool_choice")
    name = script.words.get("tool")
    if isinstance(choice, dict):
        name = (choice.get("function") or {}).get("name")
    elif choice == "required" and name is None:
        name = tools[0].get("name")
    function = next((t for t in tools if t.get("name") == name), None)
    if function is None:
        return None
    arguments = script.words.get("args")
    return str(name), arguments if arguments is not None else orjson.dumps(example(function.get("parameters"))).decode()


_PLAIN: Final[Mapping[str, Any]] = {"string": "mock", "integer": 1, "number": 1.5, "boolean": True, "null": None}


def example(schema: Any, depth: int = 0) -> Any:
    """The smallest value that a JSON schema plainly allows; references are followed nowhere."""
    if not isinstance(schema, dict) or depth > 8:
        return "mock"
    given = [schema[key] for key in ("const", "default") if key in schema] + list(schema.get("enum") or ())
    if given:
        return given[0]
    for key in ("anyOf", "oneOf", "allOf"):
        if schema.get(key):
            return example(schema[key][0], depth + 1)
    kind = schema.get("type")
    kind = kind[0] if isinstance(kind, list) and kind else kind
    if kind == "array":
        return [example(schema.get("items"), depth + 1)]
    if kind == "object" or "properties" in schema:
        properties = schema.get("properties") or {}
        return {k: example(properties.get(k), depth + 1) for k in schema.get("required") or properties}
    return _PLAIN.get(kind, "mock") if isinstance(kind, str) else "mock"


def _usage(prompt: int, completion: int, thought: int, numbers: Mapping[str, int]) -> Json:
    prompt, completion = numbers.get("prompt", prompt), numbers.get("completion", completion)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": min(prompt, numbers.get("cached", 0))},
        "completion_tokens_details": {"reasoning_tokens": min(completion, thought)},
    }


def _read(messages: list[Json]) -> tuple[str, int]:
    """The last user message's text, and about how many tokens there are."""
    asked, size = "", 0
    for message in messages:
        content = message.get("content")
        if isinstance(content, list):
            texts = [p["text"] for p in content if isinstance(p, dict) and isinstance(p.get("text"), str)]
        else:
            texts = [content] if isinstance(content, str) else []
        for text in texts:
            size += 4 + len(text) // 4
        if message.get("role") == "user":
            asked = "\n".join(texts)
    return asked, size
