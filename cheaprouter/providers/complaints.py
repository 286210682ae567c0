"""The learned rule, first half: what an upstream's complaint says it does not take.

Names are looked for where validators list them, then where vendors quote or enumerate them, at last anywhere; but where the
body that was sent is known, only what was in it counts. So the words may be anybody's, and no retry is a blind one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from ..core.models import Json
from . import refusals

Changes = Mapping[str, str | None]
"""Parameters to rename, or to leave out (None), see `unsupported.apply`."""

ESSENTIAL: Final = frozenset({
    "model", "messages", "tools", "functions", "response_format", "stream", "system", "input", "max_tokens",
    "max_completion_tokens", "max_output_tokens",
})  # fmt: skip
"""What an answer is to be made of, has to be like, or may cost at most: without it, it answers something else."""

KNOWN: Final = frozenset({
    "temperature", "top_p", "top_k", "min_p", "top_a", "presence_penalty", "frequency_penalty", "repetition_penalty",
    "logit_bias", "logprobs", "top_logprobs", "seed", "user", "n", "stop", "metadata", "store", "service_tier",
    "parallel_tool_calls", "reasoning_effort", "reasoning", "thinking", "verbosity", "prediction", "prompt_cache_key",
    "prompt_cache_retention", "safety_identifier", "stream_options", "extra_body", "modalities", "web_search_options",
    "chat_template_kwargs", "enable_thinking", "think", "usage", "provider", "keep_alive", "options", "client_metadata",
    "include_reasoning", "transforms", "repeat_penalty", "typical_p", "mirostat", "mirostat_tau", "mirostat_eta",
})  # fmt: skip
"""What may be left out where nobody knows any more what was sent."""

ROLE: Final = "role:developer"
"""Learned as a change to `system`."""

GRADES: Final = ("reasoning_effort", "verbosity")
"""How much, in words of which each model knows others: its own usual one will do."""

PARTS: Final = "content:parts"
"""Learned as a change to `text`: contents that are texts only are sent as one."""

LONGEST_NAME: Final = 64
_LONGEST_TEXT: Final = 2048
_MOST: Final = 16
CHANGEABLE: Final = (400, 404, 405, 422, 500, 501)
"""Statuses that may be about what a request holds."""

_RENAMES: Final = {"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"}
_NESTED: Final = ("messages", "tools", "response_format")
_STEPS: Final = frozenset({"tool_calls", "content", "function", "json_schema", "custom"})
"""Between the root and the last word of a path; the rest (`typed-dict`, `assistant`, numbers) are a validator's own."""

_OF_A_MESSAGE: Final = frozenset({"role", "content", "tool_calls", "tool_call_id", "function_call"})
_OF_INNER: Final = frozenset({
    "id", "type", "function", "name", "arguments", "text", "image_url", "input_audio", "file", "url", "data", "source",
    "input", "content", "parameters", "input_schema", "schema", "json_schema", "description", "custom",
})  # fmt: skip

_COMPLAINT: Final = re.compile(
    r"unsupported|(?:not|n't) (?:currently )?(?:be )?(?:support|accept|permit|allow|recogni|available|enabled|expect)"
    r"|unrecogni[sz]ed|unknown|extraneous|unexpected|extra inputs|only the default|only \S{1,20} is (?:allowed|supported)"
    r"|deprecated|extra_forbidden|additional ?propert|cannot find field|no such field|not a valid (?:parameter|field|argument)"
    r"|please (?:remove|omit|drop|leave out)|(?:should|must|may) not be (?:set|used|sent|given|specified|provided|present|passed)"
    r"|(?:do|does)(?: not|n't) (?:know|understand|handle|implement)|不支持|不允许|未知|nicht unterst(?:ü|ue)tzt|pris(?:e|es)? en charge"
    r"|no (?:está |es )?(?:soportad|admitid|compatible)|non (?:è )?supportat|не поддерж"
    r"|invalid (?:parameter|field|argument)s?:|cannot both|mutually exclusive|not both|must be omitted",
    re.IGNORECASE,
)
_ADVICE: Final = re.compile(
    r"did you mean|\buse ['\"`]?\w+['\"`]? instead|please (?:use|try)|instead,? use|expected one of"
    r"|\b(?:supported|allowed|valid|available|accepted|permitted) (?:values|parameters|params|fields|options|keys|arguments)",
    re.IGNORECASE,
)
"""From here on names are those of what it does take."""

_EITHER: Final = re.compile(r"cannot both|mutually exclusive|not both|only one of", re.IGNORECASE)
_ONE: Final = r"['\"`]?[A-Za-z_$][\w.$\[\]-]{0,80}['\"`]?"
_SOME: Final = rf"({_ONE}(?:(?:, ?(?:and )?| and | or |/){_ONE}){{0,15}})"
_WHAT: Final = r"(?:parameter|argument|field|propert(?:y|ie)|param|key|name|input|option)(?:s|\(s\))?"
_STRONG: Final = tuple(
    re.compile(pattern, re.MULTILINE | re.IGNORECASE)
    for pattern in (
        rf"(?:body|query) ?-> ?{_SOME}",
        rf"{_WHAT}[^:\n]{{0,60}}: ?\[?{_SOME}",
        rf"{_WHAT} {_SOME}",
        rf"^{_SOME}: (?=extra|unknown|unsupported|property|unexpected)",
        rf"(?<!this )(?<!your )(?<!each )(?<!that )\b{_SOME} (?:is|are|was|were|cannot|can't|isn't|aren't|(?:should|must|may) not) ",
        rf"(?:support|accept|unsupported|invalid|unrecognized|unknown|extraneous key) \[?{_SOME}",
        rf"'loc': \('body', {_SOME}\)",
    )
)
_QUOTED: Final = re.compile(r"['\"`\[]([A-Za-z_$][\w.$\[\]-]{0,80})['\"`\]]")
_NAME: Final = re.compile(r"[A-Za-z_$][\w.$\[\]-]{0,80}")
_TECHNICAL: Final = re.compile(r"\b(?:[A-Za-z][A-Za-z0-9]*(?:_[A-Za-z0-9]+)+|[a-z]+(?:[A-Z][a-z0-9]*)+)\b")
_BETWEEN: Final = re.compile(r"[.\[\]/]+")
_HUMP: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_AT: Final = re.compile(r"name \"([\w-]{1,64})\" at '([\w.\[\]]{1,160})'")
"""Google's way to name a path."""

_PROPERTY: Final = re.compile(r"property '([\w-]{1,64})' is unsupported")

_ROLE_WORDS: Final = re.compile(
    r"developer|(?:unexpected|invalid|unknown|unsupported) (?:message )?role|\broles?\b.{0,60}(?:support|must|should|one of)",
    re.IGNORECASE,
)
_TEXT_WORDS: Final = re.compile(
    r"sequence, expected a string|content\b.{0,60}(?:must|should|expected|to) be (?:a |of type |an? instance of )?(?:valid )?str"
    r"|content.{0,40}(?:array|list).{0,20}not supported",
    re.IGNORECASE | re.DOTALL,
)


def adaptation(status: int, error: Json, message: str, body: Any, sent: Json | None = None) -> Changes:
    """What to change so that it is taken: names to new ones, or to None for leaving them out. Empty: nothing to learn.

    `error`: the error object, `message` its text, `body` the whole decoded reply (for validators' lists), `sent`: the
    request's decoded body, None where it is not at hand.
    """
    if status not in CHANGEABLE or (status >= 500 and sent is None):
        return {}
    message = message[:_LONGEST_TEXT]
    if shape := _shape(message, sent) or refusals.refusal(message, KNOWN):
        return shape
    listed = [*_from_detail(body), *_from_detail(error.get("message")), *_from_detail(error)]
    code = str(error.get("code") or "")
    if code == "invalid_value" and (grade := error.get("param")) in GRADES and sent is not None and grade in sent:
        return {str(grade): None}
    complains = _COMPLAINT.search(message) or code.startswith(("unsupported_", "unknown_parameter", "extra_"))
    if not listed and not complains:
        return {}
    said = _before_advice(message)
    param = error.get("param")
    named = [*listed, *([param] if isinstance(param, str) else []), *_strong(said)]
    changes = _changes(named, sent)
    if not changes and sent is not None:
        changes = _changes((name for name in _TECHNICAL.findall(said) if name not in _RENAMES), sent)
    if _EITHER.search(said) and changes:
        last = [name for name in changes if name not in _RENAMES][-1:]
        return {name: changes[name] for name in last}
    return changes


def _before_advice(message: str) -> str:
    found = _ADVICE.search(message)
    return message[: found.start()] if found and found.start() else message


def _shape(message: str, sent: Json | None) -> Changes:
    """A role or a form of content that it does not know, if that was sent."""
    messages = sent.get("messages") if sent is not None else None
    for one in messages if isinstance(messages, list) else ():
        if not isinstance(one, dict):
            continue
        if one.get("role") == "developer" and _ROLE_WORDS.search(message):
            return {ROLE: "system"}
        if isinstance(one.get("content"), list) and _TEXT_WORDS.search(message):
            return {PARTS: "text"}
    return {}


def _strong(said: str) -> Iterator[str]:
    """Names that are quoted, listed, or what a sentence is about."""
    if "messages" in said:
        yield from (f"messages.{name}" for name in _PROPERTY.findall(said))
    yield from (f"{path}.{name}" for name, path in _AT.findall(said))
    yield from _QUOTED.findall(said)
    for pattern in _STRONG:
        for names in pattern.findall(said):
            yield from _NAME.findall(names)


def _changes(names: Iterable[str], sent: Json | None) -> dict[str, str | None]:
    changes: dict[str, str | None] = {}
    for name in dict.fromkeys(names):
        if len(changes) >= _MOST:
            break
        if len(name) <= 3 * LONGEST_NAME:
            changes |= _change(name, sent)
    return changes


def _change(name: str, sent: Json | None) -> dict[str, str | None]:
    steps = [step for step in _BETWEEN.split(name) if step and not step.isdigit()]
    while len(steps) > 1 and steps[0] in ("body", "$", "request"):
        del steps[0]
    if not steps:
        return {}
    root = _spelled(steps[0].rstrip("-"), sent)
    if root in _RENAMES and len(steps) == 1 and (sent is None or root in sent):
        return {root: _RENAMES[root]}
    if len(steps) > 1 and (root in _NESTED or (sent is not None and isinstance(sent.get(root), dict))):
        return _inner(root, steps[1:], sent)
    if root in ESSENTIAL or len(root) > LONGEST_NAME:
        return {}
    if root == "tool_choice" and (sent is None or sent.get(root) != "auto"):
        return {}  # what has to be called is as essential as the tools; `auto` goes without saying
    return {root: None} if root in (KNOWN if sent is None else sent) else {}


def _spelled(name: str, sent: Json | None) -> str:
    """The name as it was sent: some write it back in camelCase."""
    if sent is not None and name in sent:
        return name
    return _HUMP.sub("_", name).lower()


def _inner(root: str, steps: list[str], sent: Json | None) -> dict[str, str | None]:
    """A field inside a message, a tool or an object of options, by its path without numbers."""
    path = [*(step for step in steps[:-1] if step in _STEPS), steps[-1]]
    forbidden = _OF_A_MESSAGE if root == "messages" and len(path) == 1 else _OF_INNER
    if len(path[-1]) > LONGEST_NAME or (root in _NESTED and path[-1] in forbidden) or path[-1] == "format":
        return {}
    if sent is not None and not holds(sent, [root, *path]):
        return {}
    if sent is None and root not in _NESTED:
        return {root: None} if root in KNOWN else {}
    return {".".join([root, *path]): None}


def holds(node: Any, path: list[str]) -> bool:
    """Whether there is something at a path, in any of a list's entries."""
    if isinstance(node, list):
        return any(holds(one, path) for one in node)
    if not isinstance(node, dict) or path[0] not in node:
        return False
    return len(path) == 1 or holds(node[path[0]], path[1:])


def _from_detail(value: Any) -> list[str]:
    """Names in a validator's list: `{"detail": [{"type": "extra_forbidden", "loc": ["body", "seed"]}]}`."""
    detail = value.get("detail") if isinstance(value, dict) else None
    names: list[str] = []
    for item in detail if isinstance(detail, list) else ():
        loc = item.get("loc") if isinstance(item, dict) else None
        if not isinstance(loc, list) or "forbidden" not in str(item.get("type", "")):
            continue
        names.append(".".join(str(part) for part in loc if part not in ("body", "query")))
    return names
