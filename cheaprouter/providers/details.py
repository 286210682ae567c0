"""What local servers say of their models beside the usual list, each in a place of its own. Pure: questions out, answers in.

Ollama tells abilities and windows at `/api/show`, model by model; LM Studio lists them at `/api/v0/models`; llama.cpp has
one model and tells of it at `/props`. vLLM says all that it says in the usual list (`max_model_len`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import orjson

from ..catalog.model_kinds import CHAT, kind_of, of_words
from ..core.models import Capability, Json
from ..wire.weigh import loads
from .listing import parse_listing, tokens

MOST_ASKED: Final = 200
"""Models of one server that are asked for one by one."""

_BY_OWNER: Final = {"library": "ollama", "llamacpp": "llamacpp", "organization_owner": "lmstudio"}
"""How the servers sign their lists: for those that are configured as `openai`."""

_OWN: Final = ("ollama", "llamacpp", "lmstudio")
_SIGNED: Final = re.compile(rb'"owned_by": ?"([a-z_]{1,64})"')
_LONGEST_SIGNED: Final = 10_000
_NUM_CTX: Final = re.compile(r"^num_ctx\s+(\d{1,9})\s*$", re.MULTILINE)
_LONGEST_PARAMETERS: Final = 10_000


class Question(NamedTuple):
    """A request of a local server's own API. `path`: from the server's root. `body` None: a GET. `about`: the model; "": all."""

    path: str
    body: bytes | None = None
    about: str = ""


def dialect(kind: str, raw: bytes) -> str:
    """Which server it is, by its kind or by how it signs its list; "" for one that says no more than that."""
    if kind in _OWN:
        return kind
    signed = _SIGNED.search(raw[:_LONGEST_SIGNED])
    return _BY_OWNER.get(signed[1].decode(), "") if signed else ""


def questions(server: str, listed: Sequence[Json]) -> list[Question]:
    """What to ask a server about the models that it lists."""
    if server == "ollama":
        names = [str(model["id"]) for model in listed[:MOST_ASKED]]
        return [Question("/api/show", orjson.dumps({"model": name}), name) for name in names]
    if server == "lmstudio":
        return [Question("/api/v0/models")]
    return [Question("/props")] if server == "llamacpp" and len(listed) == 1 else []


def answered(question: Question, body: bytes, listed: Sequence[Json]) -> list[Json]:
    """The list with what was answered; a model that turns out not to chat is left out. Raises ValueError for no answer."""
    told = loads(body)
    if not isinstance(told, dict):
        raise ValueError("an object was expected")  # noqa: TRY004 - it is the text's shape that is wrong
    if question.path == "/props":
        return [{**model, **_of_props(told)} for model in listed]
    if question.path == "/api/v0/models":
        return _of_lm_studio(body, told, listed)
    return [one for model in listed if (one := _shown(model, told) if model["id"] == question.about else model)]


def _shown(model: Json, told: Json) -> Json | None:
    """Of `/api/show`; None for a model that does not chat."""
    able = told.get("capabilities")
    if kind_of({"capabilities": able}, CHAT) != CHAT:
        return None
    found = dict(model)
    if isinstance(able, list) and able:
        found["capabilities"] = of_words(able)
    if context := _own_window(told) or _trained_window(told.get("model_info")):
        found["context"] = context
    return found


def _own_window(told: Json) -> int | None:
    """The window that the model's file asks for."""
    parameters = told.get("parameters")
    found = _NUM_CTX.search(parameters[:_LONGEST_PARAMETERS]) if isinstance(parameters, str) else None
    return tokens(found[1]) if found else None


def _trained_window(info: Any) -> int | None:
    if not isinstance(info, dict):
        return None
    return tokens(info.get(f"{info.get('general.architecture')}.context_length"))


def _of_props(told: Json) -> Json:
    """Of `/props`: the window of one slot, which is what a request has, and what it sees and hears."""
    found: Json = {}
    settings = told.get("default_generation_settings")
    if context := tokens((settings if isinstance(settings, dict) else told).get("n_ctx")):
        found["context"] = context
    senses, template = told.get("modalities"), told.get("chat_template_caps")
    if isinstance(senses, dict):
        tools = not isinstance(template, dict) or template.get("supports_tools") is not False
        able = {
            Capability.TOOLS: tools,
            Capability.JSON_SCHEMA: True,
            Capability.VISION: senses.get("vision") is True,
            Capability.AUDIO: senses.get("audio") is True,
        }
        found["capabilities"] = sorted(str(ability) for ability, has in able.items() if has)
    return found


def _of_lm_studio(body: bytes, told: Json, listed: Sequence[Json]) -> list[Json]:
    """Its own list is read like any other; the rows that say nothing of abilities keep what was known."""
    rows = told.get("data")
    own = {str(row.get("id")): row for row in rows if isinstance(row, dict)} if isinstance(rows, list) else {}
    chats = {model["id"]: model for model in parse_listing(body)}
    found = []
    for model in listed:
        row = own.get(model["id"])
        if row is None:
            found.append(model)
        elif model["id"] in chats:
            able = (
                {"capabilities": of_words(row["capabilities"], sees=row.get("type") == "vlm")}
                if "capabilities" in row
                else {}
            )
            found.append({**model, **chats[model["id"]], **able})
    return found
