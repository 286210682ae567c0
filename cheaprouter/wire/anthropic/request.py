"""OpenAI chat requests as Anthropic Messages requests: what is asked for and how. The messages: see `turns`.

Left out on purpose: logprobs, logit_bias, penalties, seed, audio and n > 1, which Anthropic has nothing like.
"""

from __future__ import annotations

import re
from collections.abc import Container
from typing import Any, Final

from ...core.models import Capability, Json, Model
from .. import UntranslatableError
from ..openai_chat.quirks import short_id
from .cache import mark_cache
from .shape import shape
from .turns import THOUGHTS, to_conversation

DEFAULT_MAX_TOKENS: Final = 8192
_MOST_DEFAULT_TOKENS: Final = 32_000
_VERSION: Final = re.compile(r"claude-(?:[a-z]+-)?(\d+)(?:[-.](\d{1,2}))?(?:-|$|@|:)")
_UNKNOWN: Final = (99, 0)
_BUDGETS: Final = {"minimal": 1024, "low": 2048, "medium": 8192, "high": 16_384, "xhigh": 32_768, "max": 32_768}
_EFFORTS: Final = {"minimal": "low", "xhigh": "max"}
_LEAST_BUDGET: Final = 1024
_CHOICES: Final = {"auto": "auto", "none": "none", "required": "any"}
_KEPT: Final = ("top_k", "service_tier", "context_management", "output_config", "container", "mcp_servers")
_SAMPLING: Final = ("temperature", "top_p", "top_k")
_PERSON: Final = re.compile(r"@|^\+?[\d\s().-]{7,}$")
"""An e-mail address or a telephone number, which are refused as `user_id`."""

_NATIVE_SHAPE: Final = (4, 5)
_ADAPTIVE: Final = (4, 6)
_NO_SAMPLING: Final = (4, 7)
"""From here on: effort `xhigh`, no temperature, no budgets, and thoughts that are told only where that is asked for."""

_INSTRUCTED: Final = (4, 8)
"""The models' versions: https://platform.claude.com/docs/en/about-claude/models/overview, 2026. What one refuses
nevertheless is learned."""


def to_messages(body: Json, model: Model, refused: Container[str] = ()) -> Json:
    """The request that asks the same of Anthropic, ours to change. Raises UntranslatableError.

    `refused`: what this model was seen to refuse, see `providers.refusals`.
    """
    try:
        wire = _translated(body, model, refused)
    except UntranslatableError:
        raise
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UntranslatableError("a field that is not of the shape the API describes") from error
    mark_cache(wire)
    return wire


def _translated(body: Json, model: Model, refused: Container[str]) -> Json:
    if int(body.get("n") or 1) > 1:
        raise UntranslatableError("several choices (n > 1)")
    instructed = _is_of(model, _INSTRUCTED) and "messages.system" not in refused
    system, turns = to_conversation(body["messages"], instructed=instructed)
    wire: Json = {"model": model.upstream, "max_tokens": _max_tokens(body, model), "messages": turns}
    if system:
        wire["system"] = system
    if body.get("stream"):
        wire["stream"] = True
    wire |= {name: body[name] for name in _KEPT if name in body}
    _tools(body, wire)
    shape(body, wire, native=_is_of(model, _NATIVE_SHAPE) and "output_config.format" not in refused)
    _sampling(body, wire)
    _thinking(body, wire, model, refused)
    if _is_of(model, _NO_SAMPLING):
        _leave_out(wire, *_SAMPLING)
    user = body.get("user")
    return {**wire, "metadata": {"user_id": _user_id(user)}} if isinstance(user, str) and user else wire


def _leave_out(wire: Json, *names: str) -> None:
    for name in names:
        wire.pop(name, None)


def _user_id(user: str) -> str:
    """The user, as long as that is nobody's address or number; else letters that are always the same for it."""
    return short_id(user + "\0", 32) if _PERSON.search(user) else user


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
    if isinstance(cache := tool.get("cache_control", function.get("cache_control")), dict):
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


def _thinking(body: Json, wire: Json, model: Model, refused: Container[str]) -> None:
    """reasoning_effort as thinking, where model and request allow it; a client's own `thinking` goes before."""
    effort, own = body.get("reasoning_effort"), body.get("thinking")
    wanted = own if isinstance(own, dict) else _by_effort(effort, wire, model, refused)
    if wanted is not None and wanted.get("type") != "disabled":
        wanted = _fitting(wanted, effort, wire, model, refused)
        forced = wire.get("tool_choice", {}).get("type") in ("any", "tool")
        if wanted is None or forced or unsigned_calls(wire["messages"]):
            _less(wire, "effort")
        else:
            wire["thinking"] = wanted
            _leave_out(wire, *_SAMPLING)
    if "output_config.effort" in refused:
        _less(wire, "effort")


def _less(wire: Json, name: str) -> None:
    """The output's settings without one of them, which may be the last."""
    if rest := {n: v for n, v in wire.pop("output_config", {}).items() if n != name}:
        wire["output_config"] = rest


def _by_effort(effort: Any, wire: Json, model: Model, refused: Container[str]) -> Json | None:
    """What an effort asks for. Newer models tell their thoughts only where that is said."""
    if effort not in _BUDGETS or (model.capabilities and Capability.REASONING not in model.capabilities):
        return None
    if not _adapts(model, refused):
        return {"type": "enabled"}
    newest = _is_of(model, _NO_SAMPLING)
    word = "low" if effort == "minimal" else effort if newest else _EFFORTS.get(effort, effort)
    wire["output_config"] = {"effort": word, **wire.get("output_config", {})}
    return {"type": "adaptive", "display": "summarized"} if newest else {"type": "adaptive"}


def _adapts(model: Model, refused: Container[str]) -> bool:
    """Whether the model itself decides how long it thinks, rather than being given a budget."""
    if "thinking.adaptive" in refused:
        return False
    return "thinking.enabled" in refused or _version(model.upstream) >= _ADAPTIVE


def _fitting(wanted: Json, effort: Any, wire: Json, model: Model, refused: Container[str]) -> Json | None:
    """Thinking in the form that the model takes: with a budget or without; None where it cannot be."""
    rest = {name: value for name, value in wanted.items() if name not in ("type", "budget_tokens")}
    kind = wanted.get("type")
    if kind == "enabled" and (_is_of(model, _NO_SAMPLING) or "thinking.enabled" in refused):
        return {"type": "adaptive", **rest}
    if (kind == "adaptive" and not _adapts(model, refused)) or (kind == "enabled" and "budget_tokens" not in wanted):
        limit = wire["max_tokens"]
        if _version(model.upstream) < (3, 7) or limit < 2 * _LEAST_BUDGET:
            return None
        budget = _BUDGETS.get(effort, _BUDGETS["medium"])
        return {"type": "enabled", "budget_tokens": max(_LEAST_BUDGET, min(budget, limit // 2)), **rest}
    return wanted


def _is_of(model: Model, version: tuple[int, int]) -> bool:
    """Whether a model's name says that it is of a version or newer."""
    return version <= _version(model.upstream) < _UNKNOWN


def _version(upstream: str) -> tuple[int, int]:
    """By a Claude model's name; the newest where that says none."""
    if not (match := _VERSION.search(upstream)):
        return _UNKNOWN
    if match[0].startswith("claude-3") and not match[2]:
        return (3, 0)
    return int(match[1]), int(match[2] or 0)


def unsigned_calls(messages: list[Json]) -> bool:
    """Whether the turn at work holds tool calls whose thinking is lost: Anthropic then refuses to go on thinking."""
    for message in reversed(messages):
        kinds = [block["type"] for block in message["content"]]
        if message["role"] == "user" and "tool_result" not in kinds:
            return False
        if message["role"] == "assistant" and "tool_use" in kinds and kinds[0] not in THOUGHTS:
            return True
    return False
