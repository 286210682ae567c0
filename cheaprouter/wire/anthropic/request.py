"""OpenAI chat requests as Anthropic Messages requests: what is asked for, and how.

Left out on purpose: logprobs, logit_bias, penalties, seed, audio and n > 1, which Anthropic has nothing like.
"""

from __future__ import annotations

import re
from typing import Any, Final

from ...core.models import Capability, Json, Model
from .. import UntranslatableError
from .content import mark_cache, to_system, to_turns, unsigned_calls

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
    limit = _max_tokens(body, model)
    wire: Json = {"model": model.upstream, "max_tokens": limit, "messages": to_turns(body["messages"])}
    if system := to_system(body["messages"]):
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
    """A Claude model's version by its name; the newest where the name says none."""
    if not (match := _VERSION.search(upstream)):
        return (99, 0)
    if match[0].startswith("claude-3") and not match[2]:
        return (3, 0)
    return int(match[1]), int(match[2] or 0)
