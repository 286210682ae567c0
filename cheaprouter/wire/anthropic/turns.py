"""The messages of an OpenAI chat as Anthropic's instructions, turns and blocks."""

from __future__ import annotations

import re
from collections import defaultdict, deque
from collections.abc import Iterator
from typing import Any, Final

import orjson

from ...core.models import Json
from .. import UntranslatableError
from ..openai_chat.quirks import short_id

THOUGHTS: Final = ("thinking", "redacted_thinking")
_INSTRUCTING: Final = ("system", "developer")
_TOOL_ID: Final = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_DATA_URL: Final = re.compile(r"data:([^;,]+)(?:;[^,]*)?;base64,")
_LONGEST_HEAD: Final = 300
"""Characters of a data URL before what it holds."""


class CallIds:
    """Ids of tool calls as Anthropic takes them: of its own letters, and each only once in a conversation.

    Models elsewhere number their calls afresh in each turn, or send no ids at all. Results go to the calls of their id in
    order; an id that nothing was called by stays what it is.
    """

    def __init__(self) -> None:
        self._taken: dict[str, int] = {}
        self._open: defaultdict[str, deque[str]] = defaultdict(deque)
        self._answered: dict[str, str] = {}

    def call(self, given: Any) -> str:
        """The id of one more call."""
        own = new = tool_id(given)
        while (times := self._taken.get(new, 0)) or new in self._taken:
            self._taken[own] = times = self._taken[own] + 1
            new = tool_id(f"{own}\0{times}")
        self._taken[new] = 0
        self._open[own].append(new)
        return new

    def result(self, given: Any) -> str:
        """The id of the call that this is the result of; a further result of the same call keeps its id."""
        own = tool_id(given)
        if waiting := self._open.get(own):
            self._answered[own] = waiting.popleft()
        return self._answered.get(own, own)


def to_conversation(messages: list[Json], *, instructed: bool) -> tuple[list[Json], list[Json]]:
    """Instructions, and turns of user and assistant, neighbours of the same role put together, the user first.

    `instructed`: the model takes instructions in the middle of a conversation, after a turn of the user. That keeps the
    beginning as it was, and so its cache. Where it does not, or no such turn follows, they join those of the beginning.
    """
    system: list[Json] = []
    later: list[Json] = []
    turns: list[Json] = []
    ids = CallIds()
    legacy = 0
    for message in messages:
        if message["role"] in _INSTRUCTING:
            blocks = _parts(message.get("content"))
            middle = instructed and turns and all(block["type"] == "text" for block in blocks)
            (later if middle else system).extend(blocks)
            continue
        old: Json = {}
        if message["role"] == "function":
            old, legacy = {"role": "tool", "tool_call_id": f"function_{legacy}"}, legacy + 1
        elif isinstance(call := message.get("function_call"), dict):
            old = {"tool_calls": [{"id": f"function_{legacy}", "function": call}]}
        role = "assistant" if message["role"] == "assistant" else "user"
        blocks = [*(_assistant if role == "assistant" else _user)({**message, **old}, ids)]
        if turns and turns[-1]["role"] == role:
            turns[-1]["content"] += blocks
        elif blocks:
            if role == "assistant":
                later = _place(later, turns)
            turns.append({"role": role, "content": blocks})
    system += _place(later, turns)
    return system, _closed(turns)


def _place(instructions: list[Json], turns: list[Json]) -> list[Json]:
    """Put instructions after the user's turn that is the last one; what is left where there is none."""
    if not instructions or not turns or turns[-1]["role"] != "user":
        return instructions
    turns.append({"role": "system", "content": instructions})
    return []


def _closed(turns: list[Json]) -> list[Json]:
    if not turns or turns[0]["role"] != "user":
        turns.insert(0, {"role": "user", "content": [{"type": "text", "text": "..."}]})
    last = turns[-1]
    if last["role"] == "assistant" and last["content"][-1]["type"] == "text":  # to be continued: no white space there
        block = last["content"].pop()
        last["content"].append({**block, "text": block["text"].rstrip() or "..."})
    return turns


def _user(message: Json, ids: CallIds) -> list[Json]:
    content = _parts(message.get("content"))
    if message["role"] != "tool":
        return content
    result: Json = {"type": "tool_result", "tool_use_id": ids.result(message.get("tool_call_id"))}
    return [{**result, "content": content} if content else result]


def _assistant(message: Json, ids: CallIds) -> Iterator[Json]:
    """Thinking first, as it was signed; then what was said, then what was called."""
    for block in message.get("thinking_blocks") or ():
        if isinstance(block, dict) and (block.get("signature") or block.get("type") == "redacted_thinking"):
            yield block
    yield from _parts(message.get("content"))
    if isinstance(refusal := message.get("refusal"), str) and refusal:
        yield {"type": "text", "text": refusal}
    for call in message.get("tool_calls") or ():
        function = call.get("function") or {}
        yield {
            "type": "tool_use",
            "id": ids.call(call.get("id")),
            "name": str(function.get("name") or "unknown"),
            "input": arguments(function.get("arguments")),
        }


def arguments(text: Any) -> Json:
    """A call's arguments as an object; what is no JSON object is kept as one's only value."""
    if isinstance(text, dict):
        return text
    try:
        value = orjson.loads(text or "{}")
    except (orjson.JSONDecodeError, TypeError):
        value = str(text)
    return value if isinstance(value, dict) else {"arguments": value}


def tool_id(given: Any) -> str:
    """An id as Anthropic allows it, always the same for the same given one."""
    text = given if isinstance(given, str) else ""
    return text if _TOOL_ID.fullmatch(text) else "toolu_" + short_id(text + "\0", 24)


def _parts(content: Any) -> list[Json]:
    """Content as blocks; empty text, which Anthropic refuses, is left out."""
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content.strip() else []
    return [block for part in content or () if (block := _part(part)) is not None]


def _part(part: Json) -> Json | None:
    block = _block(part, part["type"])
    if block is not None and isinstance(cache := part.get("cache_control"), dict):
        block["cache_control"] = cache
    return block


def _block(part: Json, kind: str) -> Json | None:
    if kind in ("text", "input_text", "output_text", "refusal"):
        text = part.get("text") or part.get("refusal")
        return {"type": "text", "text": text} if isinstance(text, str) and text.strip() else None
    if kind == "image_url":
        image = part.get("image_url")
        return {"type": "image", "source": _source(image.get("url") if isinstance(image, dict) else image, "image/")}
    if kind == "file" and isinstance(file := part.get("file"), dict) and file.get("file_data"):
        return {"type": "document", "source": _source(file["file_data"], "application/pdf")}
    if kind in ("image", "document") and "source" in part:
        return dict(part)
    raise UntranslatableError(f"content of type {kind!r}")


def _source(url: Any, kind: str) -> Json:
    text = url if isinstance(url, str) else ""
    match = _DATA_URL.match(text, 0, _LONGEST_HEAD)
    if match and len(text) > match.end():
        if not match[1].startswith(kind):
            raise UntranslatableError(f"data of type {match[1]!r}")
        return {"type": "base64", "media_type": match[1], "data": text[match.end() :]}
    if text.startswith(("https://", "http://")):
        return {"type": "url", "url": text}
    raise UntranslatableError("a picture or file that is neither a data: URL nor a web address")
