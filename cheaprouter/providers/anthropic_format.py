"""OpenAI chat requests as Anthropic Messages requests: pure, one message at a time.

Left out on purpose: logprobs, logit_bias, penalties, seed, audio and n > 1, which Anthropic has nothing like.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import orjson

from ..models import Capability, Json, Model
from .base import UntranslatableError
from .quirks import short_id

DEFAULT_MAX_TOKENS: Final = 8192
_MOST_DEFAULT_TOKENS: Final = 32_000
JSON_TOOL: Final = "json_response"
"""The tool whose input is the answer, where a client wants an answer of a given shape."""

WRAPPED: Final = "value"
_TOOL_ID: Final = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_DATA_URL: Final = re.compile(r"data:([^;,]+)(?:;[^,]*)?;base64,(.+)", re.DOTALL)
_VERSION: Final = re.compile(r"claude-(?:[a-z]+-)?(\d+)(?:[-.](\d{1,2}))?(?:-|$|@|:)")
_BUDGETS: Final = {"minimal": 1024, "low": 2048, "medium": 8192, "high": 16_384, "xhigh": 32_768, "max": 32_768}
_EFFORTS: Final = {"minimal": "low", "xhigh": "max"}
_LEAST_BUDGET: Final = 1024
_CHOICES: Final = {"auto": "auto", "none": "none", "required": "any"}
_KEPT: Final = ("top_k", "service_tier", "context_management", "output_config", "container", "mcp_servers")


def to_messages(body: Json, model: Model) -> Json:
    """The request that asks the same of Anthropic. Raises UntranslatableError."""
    if int(body.get("n") or 1) > 1:
        raise UntranslatableError("several choices (n > 1)")
    limit = _max_tokens(body, model)
    wire: Json = {"model": model.upstream, "max_tokens": limit, "messages": _messages(body["messages"])}
    if system := _system(body["messages"]):
        wire["system"] = system
    if body.get("stream"):
        wire["stream"] = True
    _tools(body, wire)
    _shape(body, wire)
    _sampling(body, wire)
    for name in _KEPT:
        if name in body:
            wire[name] = body[name]
    _thinking(body, wire, model)
    if isinstance(user := body.get("user"), str) and user:
        wire["metadata"] = {"user_id": user}
    return wire


def json_tool(body: Json) -> tuple[str, bool] | None:
    """The tool that carries the answer, and whether it is wrapped in an object; None where the answer is plain."""
    schema = _wanted_schema(body)
    return None if schema is None else (JSON_TOOL, schema.get("type", "object") != "object")


def _max_tokens(body: Json, model: Model) -> int:
    asked = body.get("max_completion_tokens")
    asked = body.get("max_tokens") if asked is None else asked
    if asked is None:
        return min(model.max_output or DEFAULT_MAX_TOKENS, _MOST_DEFAULT_TOKENS)
    return int(asked) if model.max_output is None else min(int(asked), model.max_output)


def _system(messages: list[Json]) -> list[Json]:
    """All instructions, wherever they stand: Anthropic has one place for them."""
    blocks: list[Json] = []
    for message in messages:
        if message["role"] in ("system", "developer"):
            blocks += _parts(message.get("content"))
    return blocks


def _messages(messages: list[Json]) -> list[Json]:
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
    wire: Json = {
        "name": function.get("name"),
        "input_schema": function.get("parameters") or {"type": "object", "properties": {}},
    }
    if function.get("description"):
        wire["description"] = function["description"]
    if isinstance(cache := tool.get("cache_control"), dict):
        wire["cache_control"] = cache
    return wire


def _choice(choice: Any) -> Json:
    if isinstance(choice, str):
        return {"type": _CHOICES[choice]} if choice in _CHOICES else {}
    if not isinstance(choice, dict):
        return {}
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
    schema = _wanted_schema(body)
    if schema is None:
        return
    if schema.get("type", "object") != "object":
        schema = {"type": "object", "properties": {WRAPPED: schema}, "required": [WRAPPED]}
    description = (wanted or {}).get("json_schema", {}).get("description") or "Give the final answer in this shape."
    tool = {"name": JSON_TOOL, "description": description, "input_schema": {"type": "object", **schema}}
    others = bool(wire.get("tools"))
    wire["tools"] = [*wire.get("tools", ()), tool]
    choice = wire.get("tool_choice", {})
    if choice.get("type") == "none":
        others = False
    if choice.get("type") != "tool":
        kept = {k: v for k, v in choice.items() if k == "disable_parallel_tool_use"}
        wire["tool_choice"] = {"type": "any", **kept} if others else {"type": "tool", "name": JSON_TOOL}


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
    if forced or _unsigned_calls(wire["messages"]):
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
    """A Claude model's version by its name; the newest where the name says none."""
    if not (match := _VERSION.search(upstream)):
        return (99, 0)
    if match[0].startswith("claude-3") and not match[2]:
        return (3, 0)
    return int(match[1]), int(match[2] or 0)


def _unsigned_calls(messages: list[Json]) -> bool:
    """Whether the turn at work holds tool calls whose thinking is lost: Anthropic then refuses to go on thinking."""
    for message in reversed(messages):
        kinds = [block["type"] for block in message["content"]]
        if message["role"] == "user" and "tool_result" not in kinds:
            return False
        if message["role"] == "assistant" and "tool_use" in kinds and kinds[0] not in ("thinking", "redacted_thinking"):
            return True
    return False


def learned_only(learned: Mapping[str, str | None]) -> dict[str, str | None]:
    """Of what was learned, what may be left out here: names are never changed, they are all required."""
    return {name: None for name, new in learned.items() if new is None}
