"""Refusals that need more than leaving a parameter out, in the words of those who say them; and what to do next time.

Names of changes with a dot are not parameters: `max_tokens.most` is a ceiling, `messages.reasoning_content` a
field of messages; `output_config.…`, `thinking.…` and `messages.system` are read by
`wire.anthropic.request`. Sentences are those of vendors as reported in public by November 2026.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Final

from ..core.models import Json
from ..wire.openai_chat.thoughts import FIELDS

Change = Mapping[str, str | None]

CEILING: Final = "max_tokens.most"
THOUGHTS: Final = "messages.reasoning_content"
REQUIRED: Final = "required"
STREAM: Final = "stream"
TOOLS_STREAMED: Final = "stream.tools"
UNCOUNTED: Final[Change] = {"stream.usage": None}
NEVER_COUNTED: Final[Change] = {"plain.usage": None}
"""Learned from replies: streams, or whole ones, that do not say what they used."""

IGNORED: Final[Change] = {"stream.ignored": None}
"""Learned from whole replies though a stream was asked for: nothing comes before all is written."""

_LIMITS: Final = ("max_tokens", "max_completion_tokens")
_MOST: Final = 10**9
_LONGEST: Final = 4000
"""Characters of a complaint that are looked at; some repeat the whole request."""


def _said(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)


_N: Final = r"[`'\"]?(\d{1,10})"
_LIMIT: Final = r"max_?(?:completion_|output_?|new_)?tokens\b"
_CEILINGS: Final = tuple(
    _said(pattern)
    for pattern in (
        rf"range of {_LIMIT} (?:is|should be) [\[(]\d+, ?{_N}",  # DeepSeek, DashScope
        rf"at most {_N} completion tokens",  # OpenAI
        rf"{_LIMIT}.{{0,120}}expected a value <= {_N}",  # Volcengine
        rf"{_LIMIT}.{{0,60}}must be between \d+ and {_N}",
        rf"{_LIMIT}.{{0,40}}(?:must|should) be (?:less than or equal to|no more than|at most|<=) {_N}",  # Groq
        rf"{_LIMIT}: \d+ > {_N}, which is the maximum",  # Anthropic
        rf"max tokens must be less than or equal to {_N}",  # Cohere
        rf"maximum tokens you requested exceeds the model limit of {_N}",  # AWS
        rf"{_LIMIT} ?(?:\(|=|of )\d+\)? (?:exceeds|is (?:above|over|more than|greater than)) .{{0,20}}(?:limit|maximum)\D{{0,20}}{_N}",
        rf"max_tokens.{{0,20}}限制在 ?\[\d+, ?{_N}",  # Z.ai
    )
)
_BELOW: Final = _said(rf"{_LIMIT}.{{0,120}}to {_N} \(exclusive\)")  # Google

_TABLE: Final[tuple[tuple[re.Pattern[str], Change], ...]] = (
    (_said(r"thinking is enabled but reasoning_content is missing"), {THOUGHTS: REQUIRED}),  # Moonshot
    (_said(r"reasoning_content\W{0,3} in the thinking mode must be passed back"), {THOUGHTS: REQUIRED}),  # DeepSeek
    (
        _said(r"role [`'\"]?system[`'\"]? is not supported|\.role: input should be 'user' or 'assistant'$"),
        {"messages.system": None},
    ),
    (_said(r"support the effort parameter|output_config\.effort"), {"output_config.effort": None, "reasoning_effort": None}),
    (_said(r"adaptive thinking is not supported"), {"thinking.adaptive": None}),
    (_said(r"thinking\.type\.enabled\W{0,2} is not supported"), {"thinking.enabled": None}),
    (_said(r"output_config\.format|output_format[`'\"]?.{0,60}not (?:support|permit|available)"), {"output_config.format": None}),
    (_said(r"[\"'`]? does not support thinking\b"), {"think": None, "thinking": None, "reasoning_effort": None}),  # Ollama
    (_said(r"(?:tools?|functions?)\b.{0,20} (?:with|and|in) stream"), {TOOLS_STREAMED: None}),  # llama.cpp before 2025
    (
        _said(r"verified to stream|\bstream(?:ing)?[`'\"]? (?:mode )?(?:is |are )?not (?:supported|available|allowed)"
              r"|(?:does not|doesn't|not) support stream(?:ing|s|ed)?\b"),
        {STREAM: None},
    ),
    (
        _said(r"reasoning_effort[`'\"]?(?:: value \S+ not in| (?:must|should) be one of)|invalid value for [`'\"]?reasoning_effort"),
        {"reasoning_effort": None},
    ),
    (_said(r"temperature[`'\"]? (?:may|must|can) only be (?:set to )?\d"), {"temperature": None}),
    (_said(r"temperature[`'\"]? (?:must|has to|should) be (?:set to |exactly |equal to )?1(?:\.0)?(?= for|[.,]?$)"), {"temperature": None}),
    (_said(r"only temperature ?= ?[\d.]+ is"), {"temperature": None}),
    (_said(r"invalid temperature: only [\d.]+ is allowed"), {"temperature": None}),  # Moonshot
    (_said(r"temperature[`'\"]? and [`'\"]?top_p[`'\"]? cannot both"), {"top_p": None}),  # Anthropic
)  # fmt: skip
_IN_MESSAGES: Final = _said(
    rf"messages?\W{{0,3}}\d*\W{{0,4}}({'|'.join(FIELDS)})[`'\"]?\W{{0,3}}(?:is |are )?(?:extra inputs|unsupported|not)"
)
_CAMEL: Final = re.compile(
    r"\b(?:parameter|argument|field|property|on this model)s?:? [`'\"]?([a-z]+(?:[A-Z][a-z]*)+)\b"
)
_SEVERAL: Final = _said(r"unsupported parameter(?:s|\(s\)):? ([\w, `'\"]+)")


def refusal(message: str, droppable: Collection[str]) -> Change:
    """What to change after a complaint in these words; empty where it is none that is known here.

    `droppable`: parameters that may be left out.
    """
    message = message[:_LONGEST]
    if change := next((change for pattern, change in _TABLE if pattern.search(message)), None):
        return change
    if (most := _ceiling(message)) is not None:
        return {CEILING: str(most)}
    if match := _IN_MESSAGES.search(message):
        return {f"messages.{match[1].lower()}": None}
    names = [_snake(name) for name in _CAMEL.findall(message)]
    if match := _SEVERAL.search(message):
        names += re.findall(r"\w+", match[1])
    return {name: None for name in names if name in droppable}


def ceiling_below(message: str, sent: Json) -> Change:
    """The ceiling that is told, where more than that was asked for; else nothing."""
    most = _ceiling(message[:_LONGEST])
    asked = [sent.get(name) for name in _LIMITS]
    return {CEILING: str(most)} if most and any(isinstance(n, int) and n > most for n in asked) else {}


def _ceiling(message: str) -> int | None:
    """The largest limit on output tokens that is taken."""
    for pattern in _CEILINGS:
        if match := pattern.search(message):
            return _bounded(int(match[1]))
    match = _BELOW.search(message)
    return _bounded(int(match[1]) - 1) if match else None


def _bounded(most: int) -> int | None:
    return most if 0 < most <= _MOST else None


def _snake(name: str) -> str:
    return re.sub(r"[A-Z]", lambda match: "_" + match[0].lower(), name)


def clamp(body: Json, most: str) -> None:
    """Hold the limits on output tokens of a body that is ours to change to a learned ceiling."""
    for name in _LIMITS:
        if isinstance(asked := body.get(name), int | float) and asked > int(most):
            body[name] = int(most)
