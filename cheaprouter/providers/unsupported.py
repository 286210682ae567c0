"""The learned rule: which parameter an upstream's complaint names, and what to do about it next time."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from ..core.models import Json, Model
from . import refusals

Changes = Mapping[str, str | None]
"""Parameters to rename, or to leave out (None)."""

DROPPABLE: Final = frozenset({
    "temperature", "top_p", "top_k", "min_p", "top_a", "presence_penalty", "frequency_penalty", "repetition_penalty",
    "logit_bias", "logprobs", "top_logprobs", "seed", "user", "n", "stop", "metadata", "store", "service_tier",
    "parallel_tool_calls", "reasoning_effort", "reasoning", "thinking", "verbosity", "prediction", "prompt_cache_key",
    "prompt_cache_retention", "safety_identifier", "stream_options", "extra_body", "modalities", "web_search_options",
    "chat_template_kwargs", "enable_thinking", "think", "usage", "provider", "keep_alive", "options", "client_metadata",
})  # fmt: skip
"""Without these a reply is still an answer to what was asked. Never: what it must contain, use or cost at most."""

_RENAMES: Final = {"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"}

_COMPLAINT: Final = re.compile(
    r"unsupported|not supported|does not support|doesn't support|unrecogni[sz]ed|unknown (?:field|name|parameter|argument)"
    r"|extra inputs|not permitted|not allowed|unexpected (?:keyword|field|parameter|argument)|only the default"
    r"|is deprecated|not available for this model|extra_forbidden|additional propert",
    re.IGNORECASE,
)
_QUOTED: Final = re.compile(r"['\"`]([A-Za-z_][\w.\[\]]*)['\"`]")
_BARE: Final = re.compile(
    r"^([a-z_][\w.]*): (?=Extra|Unknown|Unsupported)|(?:parameter|argument supplied|argument|field|name|property|input)s?:? ([a-z_]\w*)|\b([a-z_]\w*) (?:is|are) (?:not supported|unsupported)",
)


def adaptation(status: int, error: Json, message: str, body: Any) -> Changes:
    """The change to learn from a complaint: parameter to its new name, or None to leave it out. Empty: none to learn.

    `error`: the error object, `message` its text, `body` the whole decoded reply (for validators' `detail` lists).
    """
    if status not in (400, 404, 422, 501):
        return {}
    if refused := refusals.refusal(message, DROPPABLE):
        return refused
    code = str(error.get("code") or "")
    named = _from_detail(body) or _from_detail(error.get("message")) or _from_detail(error)
    param = error.get("param")
    complains = bool(_COMPLAINT.search(message)) or code.startswith(("unsupported_", "unknown_parameter", "extra_"))
    if not named and not complains:
        return {}
    bare = [next(filter(None, groups)) for groups in _BARE.findall(message)]
    names = [*named, *([param] if isinstance(param, str) else []), *_QUOTED.findall(message), *bare]
    if change := next(filter(None, map(_change, names)), None):
        return change
    if "name" in names and any(name.startswith("messages") for name in names):
        return {"messages.name": None}
    return {}


def _change(name: str) -> Changes:
    if name in _RENAMES:
        return {name: _RENAMES[name]}
    root = re.split(r"[.\[]", name, maxsplit=1)[0]
    if root == "messages":
        leaf = re.split(r"[.\]]", name)[-1]
        return {"messages.name": None} if leaf == "name" else {}
    return {root: None} if root in DROPPABLE else {}


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


def apply(body: Json, learned: Changes) -> None:
    """Rename or drop in a body that is ours to change."""
    for name, new in learned.items():
        if name == "messages.name":
            body["messages"] = [
                {k: v for k, v in message.items() if k != "name"} if "name" in message else message
                for message in body["messages"]
            ]
        elif name in body:
            value = body.pop(name)
            if new is not None:
                body.setdefault(new, value)
    refusals.apply(body, learned)


_MOST: Final = 500
_NOTHING: Final[Changes] = MappingProxyType({})


class Learned:
    """Changes by provider and upstream model, as long as the process runs; the oldest go first."""

    def __init__(self) -> None:
        self._changes: dict[tuple[str, str], dict[str, str | None]] = {}

    def of(self, model: Model) -> Changes:
        """The changes for requests to this model."""
        return self._changes.get((model.provider, model.upstream), _NOTHING) if self._changes else _NOTHING

    def learn(self, model: Model, change: Changes) -> bool:
        """Remember a change; False where it was known already, so that another try is pointless.

        A rename that was refused too turns into leaving out, never back into the first name.
        """
        known = self._changes.setdefault((model.provider, model.upstream), {})
        fresh = {name: new for name, new in change.items() if name not in known and name not in known.values()}
        if not fresh:
            return False
        known.update(fresh)
        while len(self._changes) > _MOST:
            del self._changes[next(iter(self._changes))]
        return True

    def status(self, provider: str) -> Json:
        """For people: upstream model to its changes; "" for a parameter that is left out."""
        return {
            model: {name: new or "" for name, new in changes.items()}
            for (owner, model), changes in self._changes.items()
            if owner == provider and changes
        }
