"""Messages of an OpenAI chat as Anthropic's turns and blocks: pure, one message at a time."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

import orjson

from ...core.models import Json
from .. import UntranslatableError
from ..openai_chat.quirks import short_id

_TOOL_ID: Final = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_DATA_URL: Final = re.compile(r"data:([^;,]+)(?:;[^,]*)?;base64,(.+)", re.DOTALL)


def to_system(messages: list[Json]) -> list[Json]:
    """All instructions, wherever they stand: Anthropic has one place for them."""
    blocks: list[Json] = []
    for message in messages:
        if message["role"] in ("system", "developer"):
            blocks += _parts(message.get("content"))
    return blocks


def to_turns(messages: list[Json]) -> list[Json]:
    """Turns of user and assistant, neighbours of the same role put together, the user first."""
    turns: list[Json] = []
    legacy = 0
    for message in messages:
        role = message["role"]
        if role in ("system", "developer"):
            continue
        if role == "function":
            message, legacy = {**message, "role": "tool", "tool_call_id": f"function_{legacy}"}, legacy + 1  # noqa: PLW2901 - the old name for it
        elif isinstance(call := message.get("function_call"), dict):
            message = {**message, "tool_calls": [{"id": f"function_{legacy}", "function": call}]}  # noqa: PLW2901 - likewise
        blocks = list(_assistant(message)) if role == "assistant" else _user(message)
        role = "assistant" if role == "assistant" else "user"
        if turns and turns[-1]["role"] == role:
            turns[-1]["content"] += blocks
        elif blocks:
            turns.append({"role": role, "content": blocks})
    if not turns or turns[0]["role"] != "user":
        turns.insert(0, {"role": "user", "content": [{"type": "text", "text": "..."}]})
    last = turns[-1]
    if last["role"] == "assistant" and last["content"][-1]["type"] == "text":
        _trim(last)
    return turns


def _trim(turn: Json) -> None:
    """An unfinished answer that is to be continued must not end in white space."""
    text = turn["content"][-1]["text"].rstrip()
    turn["content"][-1] = {**turn["content"][-1], "text": text or "..."}


def _user(message: Json) -> list[Json]:
    if message["role"] != "tool":
        return _parts(message.get("content"))
    result: Json = {"type": "tool_result", "tool_use_id": tool_id(message.get("tool_call_id"))}
    if content := _parts(message.get("content")):
        result["content"] = content
    return [result]


def _assistant(message: Json) -> Iterator[Json]:
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
            "id": tool_id(call.get("id")),
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
        return {"arguments": str(text)}
    return value if isinstance(value, dict) else {"arguments": value}


def tool_id(given: Any) -> str:
    """An id as Anthropic allows it, always the same for the same given one."""
    text = given if isinstance(given, str) else ""
    return text if _TOOL_ID.fullmatch(text) else "toolu_" + short_id(text + "\0", 24)


def _parts(content: Any) -> list[Json]:
    """Content as blocks; empty text, which Anthropic refuses, is left out."""
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content.strip() else []
    blocks = []
    for part in content or ():
        block = _part(part)
        if block is not None:
            if isinstance(cache := part.get("cache_control"), dict):
                block["cache_control"] = cache
            blocks.append(block)
    return blocks


def _part(part: Json) -> Json | None:
    kind = part["type"]
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
    if match := _DATA_URL.fullmatch(text):
        if not match[1].startswith(kind):
            raise UntranslatableError(f"data of type {match[1]!r}")
        return {"type": "base64", "media_type": match[1], "data": match[2]}
    if text.startswith(("https://", "http://")):
        return {"type": "url", "url": text}
    raise UntranslatableError("a picture or file that is neither a data: URL nor a web address")


def unsigned_calls(messages: list[Json]) -> bool:
    """Whether the turn at work holds tool calls whose thinking is lost: Anthropic then refuses to go on thinking."""
    for message in reversed(messages):
        kinds = [block["type"] for block in message["content"]]
        if message["role"] == "user" and "tool_result" not in kinds:
            return False
        if message["role"] == "assistant" and "tool_use" in kinds and kinds[0] not in ("thinking", "redacted_thinking"):
            return True
    return False


LEAST_BYTES: Final = 4 * 4096
"""About 4096 tokens: the largest of the models' minimums for a cached beginning."""

_MARK: Final = {"type": "ephemeral"}


def mark_cache(wire: Json) -> None:
    """Where prompt caching pays: breakpoints for long beginnings that will be sent again; none where the client set its own.

    Writing costs a quarter more than plain input, reading a tenth of it (https://docs.claude.com/en/docs/build-with-claude/
    prompt-caching, 2026), so one repeat within five minutes pays. A repeat is likely in a conversation, and where tools
    are offered: their results come back with the same beginning.
    """
    turns = wire["messages"]
    talk = any(turn["role"] == "assistant" for turn in turns)
    if not (talk or wire.get("tools")) or _marked(wire):
        return
    size = len(orjson.dumps([wire.get("tools"), wire.get("system")]))
    if size >= LEAST_BYTES:
        _mark_last(wire.get("system") or wire.get("tools") or [])
    if talk and size + len(orjson.dumps(turns)) >= LEAST_BYTES:
        _mark_last(turns[-1]["content"])


def _mark_last(blocks: list[Json]) -> None:
    for place in range(len(blocks) - 1, -1, -1):
        if blocks[place].get("type") not in ("thinking", "redacted_thinking"):
            blocks[place] = {**blocks[place], "cache_control": _MARK}
            return


def _marked(wire: Json) -> bool:
    blocks: list[Any] = [*wire.get("system", ()), *wire.get("tools", ())]
    for turn in wire["messages"]:
        blocks += turn["content"]
    return any("cache_control" in block for block in blocks)
