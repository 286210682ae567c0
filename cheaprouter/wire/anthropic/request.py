"""OpenAI chat requests as Anthropic Messages requests: what is asked for and how, then the messages as turns and blocks.

Left out on purpose: logprobs, logit_bias, penalties, seed, audio and n > 1, which Anthropic has nothing like.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

import orjson

from ...core.models import Capability, Json, Model
from .. import UntranslatableError
from ..openai_chat.quirks import short_id

DEFAULT_MAX_TOKENS: Final = 8192
_MOST_DEFAULT_TOKENS: Final = 32_000
JSON_TOOL: Final = "json_response"
"""The tool whose input is the answer, where a client wants an answer of a given shape."""

WRAPPED: Final = "value"
_VERSION: Final = re.compile(r"claude-(?:[a-z]+-)?(\d+)(?:[-.](\d{1,2}))?(?:-|$|@|:)")
_BUDGETS: Final = {"minimal": 1024, "low": 2048, "medium": 8192, "high": 16_384, "xhigh": 32_768, "max": 32_768}
_EFFORTS: Final = {"minimal": "low", "xhigh": "max"}
_LEAST_BUDGET: Final = 1024
_CHOICES: Final = {"auto": "auto", "none": "none", "required": "any"}
_KEPT: Final = ("top_k", "service_tier", "context_management", "output_config", "container", "mcp_servers")
_TOOL_ID: Final = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_INSTRUCTING: Final = ("system", "developer")
_DATA_URL: Final = re.compile(r"data:([^;,]+)(?:;[^,]*)?;base64,(.+)", re.DOTALL)
LEAST_BYTES: Final = 4 * 4096
"""About 4096 tokens: the largest of the models' minimums for a cached beginning."""

_THOUGHTS: Final = ("thinking", "redacted_thinking")
_MARK: Final = {"type": "ephemeral"}


def to_messages(body: Json, model: Model) -> Json:
    """The request that asks the same of Anthropic, ours to change. Raises UntranslatableError."""
    try:
        wire = _translated(body, model)
    except UntranslatableError:
        raise
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UntranslatableError("a field that is not of the shape the API describes") from error
    mark_cache(wire)
    return wire


def _translated(body: Json, model: Model) -> Json:
    if int(body.get("n") or 1) > 1:
        raise UntranslatableError("several choices (n > 1)")
    turns = to_turns(body["messages"])
    wire: Json = {"model": model.upstream, "max_tokens": _max_tokens(body, model), "messages": turns}
    if system := to_system(body["messages"]):
        wire["system"] = system
    if body.get("stream"):
        wire["stream"] = True
    _tools(body, wire)
    _shape(body, wire)
    _sampling(body, wire)
    wire |= {name: body[name] for name in _KEPT if name in body}
    _thinking(body, wire, model)
    user = body.get("user")
    return {**wire, "metadata": {"user_id": user}} if isinstance(user, str) and user else wire


def json_tool(body: Json) -> tuple[str, bool] | None:
    """The tool that carries the answer, and whether it is wrapped in an object; None where the answer is plain."""
    schema = _wanted_schema(body)
    return None if schema is None else (JSON_TOOL, schema.get("type", "object") != "object")


def _max_tokens(body: Json, model: Model) -> int:
    for asked in (body.get("max_completion_tokens"), body.get("max_tokens")):
        if asked is not None:
            return int(asked) if model.max_output is None else min(int(asked), model.max_output)
    return min(model.max_output or DEFAULT_MAX_TOKENS, _MOST_DEFAULT_TOKENS)


def _tools(body: Json, wire: Json) -> None:
    tools = [_tool(tool) for tool in body.get("tools") or ()]
    tools += [_tool({"type": "function", "function": function}) for function in body.get("functions") or ()]
    if not tools:
        return
    wire["tools"] = tools
    choice = _choice(body.get("tool_choice", body.get("function_call")))
    if body.get("parallel_tool_calls") is False and choice.get("type") != "none":
        choice = {"type": "auto", **choice, "disable_parallel_tool_use": True}
    if choice:
        wire["tool_choice"] = choice


def _tool(tool: Json) -> Json:
    function = tool.get("function")
    if not isinstance(function, dict):
        return tool  # Anthropic's own kinds of tools, as they are
    schema = function.get("parameters") or {"type": "object", "properties": {}}
    wire: Json = {"name": function.get("name"), "input_schema": schema}
    if description := function.get("description"):
        wire["description"] = description
    if isinstance(cache := tool.get("cache_control"), dict):
        wire["cache_control"] = cache
    return wire


def _choice(choice: Any) -> Json:
    if not isinstance(choice, dict):
        return {"type": _CHOICES[choice]} if isinstance(choice, str) and choice in _CHOICES else {}
    function = choice.get("function")
    name = function.get("name") if isinstance(function, dict) else choice.get("name")
    if isinstance(name, str):
        return {"type": "tool", "name": name}
    return {"type": "any"} if choice.get("type") == "allowed_tools" and choice.get("mode") == "required" else {}


def _wanted_schema(body: Json) -> Json | None:
    wanted = body.get("response_format")
    if not isinstance(wanted, dict) or wanted.get("type") != "json_schema":
        return None
    holder = wanted.get("json_schema")
    schema = holder.get("schema") if isinstance(holder, dict) else None
    return schema if isinstance(schema, dict) else {"type": "object"}


def _shape(body: Json, wire: Json) -> None:
    """An answer of a given shape is asked for as the input of a tool that must be called."""
    wanted = body.get("response_format")
    if isinstance(wanted, dict) and wanted.get("type") == "json_object":
        order = {"type": "text", "text": "Answer with one JSON object and nothing else: no explanation, no code fence."}
        wire["system"] = [*wire.get("system", ()), order]
    if (schema := _wanted_schema(body)) is None:
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


def _sampling(body: Json, wire: Json) -> None:
    """Temperature ends at 1 here; of temperature and top_p only one may be given."""
    temperature, top_p = body.get("temperature"), body.get("top_p")
    if temperature is not None:
        wire["temperature"] = min(1.0, max(0.0, temperature))
    elif top_p is not None:
        wire["top_p"] = top_p
    stop = body.get("stop")
    sequences = [stop] if isinstance(stop, str) else stop or []
    if sequences := [s for s in sequences if isinstance(s, str) and s.strip()]:
        wire["stop_sequences"] = sequences


def _thinking(body: Json, wire: Json, model: Model) -> None:
    """reasoning_effort as thinking, where model and request allow it; a client's own `thinking` goes before."""
    wanted: Any = body.get("thinking")
    if not isinstance(wanted, dict):
        wanted = _by_effort(body.get("reasoning_effort"), wire, model)
    if not isinstance(wanted, dict) or wanted.get("type") == "disabled":
        return
    forced = wire.get("tool_choice", {}).get("type") in ("any", "tool")
    if forced or unsigned_calls(wire["messages"]):
        wire.pop("output_config", None)
        return
    wire["thinking"] = wanted
    for name in ("temperature", "top_p", "top_k"):
        wire.pop(name, None)


def _by_effort(effort: Any, wire: Json, model: Model) -> Json | None:
    if effort not in _BUDGETS or (model.capabilities and Capability.REASONING not in model.capabilities):
        return None
    version = _version(model.upstream)
    if version >= (4, 6):
        wire.setdefault("output_config", {"effort": _EFFORTS.get(effort, effort)})
        return {"type": "adaptive"}
    limit = wire["max_tokens"]
    if version < (3, 7) or limit < 2 * _LEAST_BUDGET:
        return None
    return {"type": "enabled", "budget_tokens": max(_LEAST_BUDGET, min(_BUDGETS[effort], limit // 2))}


def _version(upstream: str) -> tuple[int, int]:
    """By a Claude model's name; the newest where that says none."""
    if not (match := _VERSION.search(upstream)):
        return (99, 0)
    if match[0].startswith("claude-3") and not match[2]:
        return (3, 0)
    return int(match[1]), int(match[2] or 0)


def to_system(messages: list[Json]) -> list[Json]:
    """All instructions, wherever they stand: Anthropic has one place for them."""
    return [block for m in messages if m["role"] in _INSTRUCTING for block in _parts(m.get("content"))]


def to_turns(messages: list[Json]) -> list[Json]:
    """Turns of user and assistant, neighbours of the same role put together, the user first."""
    turns: list[Json] = []
    legacy = 0
    for message in messages:
        if message["role"] in _INSTRUCTING:
            continue
        old: Json = {}
        if message["role"] == "function":
            old, legacy = {"role": "tool", "tool_call_id": f"function_{legacy}"}, legacy + 1
        elif isinstance(call := message.get("function_call"), dict):
            old = {"tool_calls": [{"id": f"function_{legacy}", "function": call}]}
        role = "assistant" if message["role"] == "assistant" else "user"
        blocks = [*(_assistant if role == "assistant" else _user)({**message, **old})]
        if turns and turns[-1]["role"] == role:
            turns[-1]["content"] += blocks
        elif blocks:
            turns.append({"role": role, "content": blocks})
    if not turns or turns[0]["role"] != "user":
        turns.insert(0, {"role": "user", "content": [{"type": "text", "text": "..."}]})
    last = turns[-1]
    if last["role"] == "assistant" and last["content"][-1]["type"] == "text":  # to be continued: no white space there
        block = last["content"].pop()
        last["content"].append({**block, "text": block["text"].rstrip() or "..."})
    return turns


def _user(message: Json) -> list[Json]:
    content = _parts(message.get("content"))
    if message["role"] != "tool":
        return content
    result: Json = {"type": "tool_result", "tool_use_id": tool_id(message.get("tool_call_id"))}
    return [{**result, "content": content} if content else result]


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
        if message["role"] == "assistant" and "tool_use" in kinds and kinds[0] not in _THOUGHTS:
            return True
    return False


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
    for place, block in reversed([*enumerate(blocks)]):
        if block.get("type") not in _THOUGHTS:
            blocks[place] = {**block, "cache_control": _MARK}
            return


def _marked(wire: Json) -> bool:
    said = (block for turn in wire["messages"] for block in turn["content"])
    return any("cache_control" in block for block in (*wire.get("system", ()), *wire.get("tools", ()), *said))
