"""`/openapi.json`: all endpoints of this port, made of one table. A route that is not in it fails a test."""

from __future__ import annotations

from functools import cache
from typing import Any, Final

import orjson
from aiohttp import web

from ..core.const import VERSION
from ..core.models import Json
from ..core.records import dataclass
from .context import for_reader
from .schemas import COUNT, TEXT, data, obj, ref, schemas

_NOT_ID: Final = "No such thing."
ERRORS: Final[dict[int, str]] = {
    400: "The request is wrong; `param` names what. Or it brings a header that only Home Assistant's ingress may send.",
    401: "A key is needed, unknown or expired (`code`: invalid_api_key, api_key_expired).",
    403: "A page or a host name of a stranger, what needs the admin key, or a model that this device may not use.",
    404: _NOT_ID,
    413: "The body is larger than the limit.",
    415: "The body is not JSON, or packed in a way that is not known.",
    429: "A limit or a budget; `retry-after` says when it goes on.",
    500: "A fault of the router; its log says why.",
    502: "The model's provider failed, and so did all that stood in for it.",
    503: "The router is stopping, has no configuration, or its books cannot be read just now.",
    504: "The model's provider did not answer in time.",
}

_ALWAYS: Final = (400, 403, 500)
_BODY: Final = (413, 415)


@dataclass(frozen=True, slots=True)
class Door:
    """One operation. `who`: `all`, `callers` (anyone in open mode, else whoever has a key) or `admin`. `errors`: besides those of all.

    `body`: the schema of what it takes, `whole`: whether it has to be sent. `answer`: the content types and schemas of `status`.
    """

    method: str
    path: str
    tag: str
    summary: str
    who: str
    answer: dict[str, Json]
    status: int = 200
    body: str = ""
    needs_body: bool = True
    query: dict[str, Json] | None = None
    errors: tuple[int, ...] = ()


def _json(schema: Json) -> dict[str, Json]:
    return {"application/json": schema}


_EVENTS: Final[Json] = {
    "description": "Server-sent events: `data: {chat.completion.chunk}`, a comment `: …` as a sign of life, at the end `data: [DONE]`. "
    'Where it breaks off, an event `data: {"error": …}` in the shape of Error comes before the end.',
}
_CHAT: Final[dict[str, Json]] = {"application/json": ref("ChatCompletion"), "text/event-stream": _EVENTS}
_CHAT_ERRORS: Final = (404, *_BODY, 429, 502, 503, 504)
_DAY: Final[Json] = {"type": "string", "format": "date"}
_LIMIT: Final[Json] = {"type": "integer", "minimum": 1, "maximum": 10_000, "default": 100}
_USAGE: Final[dict[str, Json]] = {
    "from": _DAY, "to": _DAY, "device": TEXT, "model": TEXT, "format": {"enum": ["json", "csv"], "default": "json"},
    "group_by": {"type": "string", "examples": ["day", "device,model"],
                 "description": "day, month, hour, device, model, provider, or several with commas"},
}  # fmt: skip

DOORS: Final = (
    Door("post", "/v1/chat/completions", "chat", "A chat completion, whole or as a stream", "callers", _CHAT, body="ChatRequest", errors=_CHAT_ERRORS),
    Door("post", "/chat/completions", "chat", "The same, for clients that leave /v1 out", "callers", _CHAT, body="ChatRequest", errors=_CHAT_ERRORS),
    Door("get", "/v1/models", "chat", "All ids that may be asked for", "callers", _json(data(ref("Model"), object={"const": "list"}))),
    Door("get", "/models", "chat", "The same, for clients that leave /v1 out", "callers", _json(data(ref("Model"), object={"const": "list"}))),
    Door("get", "/v1/models/{id}", "chat", "One of them", "callers", _json(ref("Model")), errors=(404,)),
    Door("get", "/router/providers", "router", "Each provider's state; `check=1` asks them now (admin)", "callers", _json(data({"anyOf": [ref("Provider"), ref("Checked")]})),
         query={"check": {"type": "string", "enum": ["0", "1"]}}),
    Door("post", "/router/providers/clear-cooldowns", "router", "Try every provider again at once", "admin", _json(ref("Ok"))),
    Door("get", "/router/devices", "devices", "All known devices; of a device's key with `auth: keys` that one alone", "callers", _json(data(ref("Device")))),
    Door("get", "/router/devices/{id}", "devices", "One device; a device's key with `auth: keys` reads its own", "callers", _json(ref("Device")), errors=(404,)),
    Door("patch", "/router/devices/{id}", "devices", "Change settings of a device, known or to come", "admin", _json(ref("Device")),
         body="DeviceSettings", errors=(404, *_BODY)),
    Door("delete", "/router/devices/{id}", "devices", "Forget a device", "admin", _json(ref("Ok")), errors=(404,)),
    Door("post", "/router/devices/{id}/reset-budget", "devices", "Begin its budgets of this day and month anew", "admin", _json(ref("Ok")), errors=(404,)),
    Door("post", "/router/problems/ack", "router", "You have read what was lost of the books", "admin", _json(ref("Ok"))),
    Door("get", "/router/settings", "router", "The router's run-time settings; with `auth: keys` for the admin key", "callers", _json(ref("Hub"))),
    Door("patch", "/router/settings", "router", "Change them", "admin", _json(ref("Hub")), body="HubSettings", errors=_BODY),
    Door("get", "/router/usage", "usage", "What was used", "callers", {**_json(ref("Usage")), "text/csv": TEXT}, query=_USAGE, errors=(503,)),
    Door("post", "/router/route", "router", "Explain where a request would go, without calling anyone", "callers", _json(ref("Route")),
         body="RouteRequest", errors=(404, *_BODY, 429, 503)),
    Door("get", "/router/forecast", "router", "What each step of `cost_quality` would have meant for the last requests; with `auth: keys` for the admin key", "callers",
         _json(ref("Forecast")), errors=(503,)),
    Door("post", "/router/feedback", "router", "How an answer was, by the device that got it or with the admin key", "callers", _json(ref("Judged")),
         body="Feedback", errors=(404, *_BODY)),
    Door("get", "/router/learning", "router", "What this home has taught; with `auth: keys` for the admin key", "callers", _json(ref("Learned"))),
    Door("delete", "/router/learning", "router", "Forget it, and all judged answers", "admin", _json(ref("Ok"))),
    Door("get", "/router/keys", "keys", "The devices' keys, never the keys themselves", "admin", _json(data(ref("Key"))), errors=(503,)),
    Door("post", "/router/keys", "keys", "A new key for a device", "admin", _json(ref("MadeKey")), 201, "NewKey", errors=(*_BODY, 503)),
    Door("post", "/router/keys/{key}/rotate", "keys", "A new key in place of a device's or of one, which go on for a while", "admin",
         _json(ref("RotatedKey")), 201, "Rotation", needs_body=False, errors=(404, *_BODY, 503)),
    Door("delete", "/router/keys/{key}", "keys", "Make a key, or all of a device, worthless at once", "admin", _json(ref("Ok")), errors=(404, 503)),
    Door("get", "/v1/audit", "usage", "The newest requests first, refusals included", "callers", _json(data(ref("AuditRow"), count=COUNT)),
         query={"limit": _LIMIT}, errors=(503,)),
    Door("get", "/v1/metrics", "usage", "Totals and each device's", "callers", _json(ref("Summary")), errors=(503,)),
    Door("get", "/metrics", "usage", "The same figures for Prometheus", "callers", {"text/plain": TEXT}),
    Door("get", "/health", "router", "Always 200 while the process serves; says what is degraded", "all", _json(ref("Health"))),
    Door("get", "/", "router", "A page that explains the service", "all", {"text/html": TEXT}),
    Door("get", "/openapi.json", "router", "This document", "callers", _json(obj({"openapi": TEXT, "info": obj({}), "paths": obj({})}))),
)  # fmt: skip


def document() -> Json:
    """The whole document, OpenAPI 3.1. Nothing in it is of this installation."""
    paths: Json = {}
    for door in DOORS:
        paths.setdefault(door.path, {})[door.method] = _operation(door)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "CheapRouter",
            "version": VERSION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            "description": "One OpenAI-compatible endpoint for a home. In `auth: open` reads need no key and changes the admin key; in "
            "`auth: keys` everything but `/health` and `/` needs a key, and a device's key reads what is about that device alone.",
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": schemas(),
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "header": {"type": "apiKey", "in": "header", "name": "x-api-key"},
            },
        },
    }


def _operation(door: Door) -> Json:
    signs_in: tuple[int, ...] = () if door.who == "all" else (401,)
    answers: Json = {
        str(door.status): {"description": "As asked.", "content": {t: {"schema": s} for t, s in door.answer.items()}}
    }
    if door.path.endswith("completions"):
        answers["200"]["headers"] = {"x-request-id": {"schema": TEXT}, "x-cheaprouter-model": {"schema": TEXT}}
    for status in sorted({*_ALWAYS, *signs_in, *door.errors}):
        answers[str(status)] = {"description": ERRORS[status], "content": _content(ref("Error"))}
    keys: list[Json] = [{"bearer": []}, {"header": []}]
    operation: Json = {
        "operationId": _name(door),
        "tags": [door.tag],
        "summary": door.summary,
        "security": {"all": [], "callers": [{}, *keys], "admin": keys}[door.who],
        "parameters": [
            *_in_path(door.path),
            *({"name": n, "in": "query", "schema": s} for n, s in (door.query or {}).items()),
        ],
        "responses": answers,
    }
    if door.body:
        operation["requestBody"] = {"required": door.needs_body, "content": _content(ref(door.body))}
    return operation


def _content(schema: Json) -> Json:
    return {"application/json": {"schema": schema}}


def _in_path(path: str) -> list[Json]:
    return [{"name": part[1:-1], "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
            for part in path.split("/") if part.startswith("{")]  # fmt: skip


def _name(door: Door) -> str:
    parts = [part.strip("{}") for part in door.path.replace("-", "/").replace(".", "/").split("/") if part]
    return "_".join((door.method, *parts)) or "landing"


@cache
def _bytes() -> bytes:
    return orjson.dumps(document())


async def openapi(request: web.Request) -> web.Response:
    """The document; made when it is first asked for."""
    for_reader(request)
    return web.Response(body=_bytes(), content_type="application/json")


ROUTES: Final[list[Any]] = [web.get("/openapi.json", openapi)]
