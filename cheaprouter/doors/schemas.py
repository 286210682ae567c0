"""JSON Schemas (2020-12) of what goes in and out, for the OpenAPI document. Pure: tables, and the settings' own."""

from __future__ import annotations

from typing import Any, Final

from ..accounts.keys import MOST_DAYS, MOST_GRACE
from ..config import fields
from ..core.models import Json

TEXT: Final[Json] = {"type": "string"}
COUNT: Final[Json] = {"type": "integer", "minimum": 0}
NUMBER: Final[Json] = {"type": "number"}
FLAG: Final[Json] = {"type": "boolean"}
ANY: Final[Json] = {}
MAYBE_TEXT: Final[Json] = {"type": ["string", "null"]}
MAYBE_NUMBER: Final[Json] = {"type": ["number", "null"]}
MAYBE_TIME: Final[Json] = {"type": ["integer", "null"], "description": "Unix seconds; null: never"}
_DAYS: Final[Json] = {"type": ["integer", "null"], "minimum": 1, "maximum": MOST_DAYS, "description": "null: for good"}


def ref(name: str) -> Json:
    """A schema of `components`."""
    return {"$ref": f"#/components/schemas/{name}"}


def obj(required: Json, optional: Json | None = None, **more: Any) -> Json:
    """An object with these properties; others may be there, too."""
    return {"type": "object", "properties": required | (optional or {}), "required": list(required), **more}


def many(item: Json) -> Json:
    """A list."""
    return {"type": "array", "items": item}


def data(item: Json, **more: Json) -> Json:
    """A list as our endpoints answer with one."""
    return obj({"data": many(item), **more})


def settings_of(table: Any) -> Json:
    """Settings that can be set at run time, each with what it takes in words."""
    return {name: {"description": f"{field.allowed}; null: as the file says"} for name, field in table.items()}


_MESSAGE: Final = obj(
    {"role": {"enum": ["system", "developer", "user", "assistant", "tool", "function"]}},
    {"content": {"type": ["string", "array", "null"]}, "name": TEXT, "tool_call_id": TEXT, "tool_calls": many(obj({}))},
)
_USED: Final[Json] = dict.fromkeys(
    ("requests", "input_tokens", "output_tokens", "cached_tokens", "errors", "limit_hits"), COUNT
)
_SUMS: Final[Json] = _USED | {"unpriced": COUNT, "total_tokens": COUNT, "cost_usd": NUMBER, "saved_usd": NUMBER}


def schemas() -> Json:
    """All of `components.schemas`."""
    chat_fields: Json = {
        "stream": {
            "type": ["boolean", "null"],
            "description": "true: server-sent events of chat.completion.chunk, then [DONE]",
        },
        "stream_options": {"type": ["object", "null"], "properties": {"include_usage": FLAG}},
        "max_tokens": {"type": ["integer", "null"]},
        "max_completion_tokens": {"type": ["integer", "null"]},
        "temperature": MAYBE_NUMBER,
        "top_p": MAYBE_NUMBER,
        "n": {"type": ["integer", "null"]},
        "stop": {"type": ["string", "array", "null"]},
        "tools": {"type": ["array", "null"], "items": obj({})},
        "tool_choice": ANY,
        "response_format": {"type": ["object", "null"]},
        "user": MAYBE_TEXT,
    }
    return {
        "Error": obj(
            {"error": obj({"message": TEXT, "type": TEXT, "param": MAYBE_TEXT, "code": MAYBE_TEXT})},
            description="OpenAI's shape of an error.",
        ),
        "Ok": obj({"ok": {"const": True}}),
        "Feedback": obj({"request_id": {"type": "string", "minLength": 1}, "good": FLAG}, additionalProperties=False),
        "Judged": obj({"ok": {"const": True}, "counted": FLAG, "labels": COUNT}),
        "Learned": obj(
            {
                "enabled": FLAG,
                "active": FLAG,
                "labels": COUNT,
                "needed": COUNT,
                "sources": obj({}),
                "learned": many(TEXT),
                "weights": obj({}),
                "devices": obj({}),
            }
        ),
        "ChatRequest": obj(
            {"model": {"type": "string", "minLength": 1}, "messages": {**many(ref("Message")), "minItems": 1}},
            chat_fields,
            description="OpenAI's body. Fields that are not listed here go on to the model as they came.",
            examples=[{"model": "blockrun/auto", "messages": [{"role": "user", "content": "Hello!"}]}],
        ),
        "Message": _MESSAGE,
        "ChatCompletion": obj(
            {
                "id": TEXT,
                "object": {"const": "chat.completion"},
                "choices": many(obj({"index": COUNT, "message": obj({})})),
            },
            {"model": TEXT, "created": COUNT, "usage": {"type": ["object", "null"]}},
        ),
        "Model": obj(
            {"id": TEXT, "object": {"const": "model"}, "created": COUNT, "owned_by": TEXT},
            {"cheaprouter": obj({"kind": TEXT, "capabilities": many(TEXT), "context": {"type": ["integer", "null"]}})},
        ),
        "Provider": obj({"name": TEXT, "kind": TEXT, "state": TEXT}, {"local": FLAG, "keys": COUNT}),
        "Checked": obj(
            {
                "name": TEXT,
                "ok": FLAG,
                "error": MAYBE_TEXT,
                "keys": many(obj({"key": COUNT, "ok": FLAG, "error": MAYBE_TEXT})),
            },
            {"models": many(TEXT), "latency_ms": MAYBE_NUMBER},
            description="What a provider answered just now, with each of its keys.",
        ),
        "DeviceSettings": {
            "type": "object",
            "properties": settings_of(fields.DEVICE),
            "additionalProperties": False,
            "examples": [{"rpm": 10, "profile": "eco"}],
        },
        "HubSettings": {
            "type": "object",
            "properties": settings_of(fields.HUB),
            "additionalProperties": False,
            "examples": [{"profile": "eco"}],
        },
        "Hub": obj(dict.fromkeys(fields.HUB, ANY)),
        "Device": obj(
            {"id": TEXT, "slug": TEXT, "name": TEXT, "state": obj(_USED), "usage": obj({}), "sources": obj({})}
        ),
        "Usage": obj(
            {
                "from": TEXT,
                "to": TEXT,
                "group_by": TEXT,
                "time_zone": TEXT,
                "data": many(obj(_SUMS)),
                "total": obj(_SUMS),
            }
        ),
        "RouteRequest": obj(
            {},
            {"model": ANY, "messages": ANY, "device": {"description": "for whom; else whoever asks"}},
            description="A chat body.",
            examples=[{"model": "blockrun/auto", "messages": [{"role": "user", "content": "Hello!"}]}],
        ),
        "Route": obj({"model": MAYBE_TEXT, "fallbacks": many(TEXT), "reason": TEXT}),
        "Forecast": obj(
            {
                "cost_quality": NUMBER,
                "requests": COUNT,
                "scored": COUNT,
                "steps": many(
                    obj(
                        {
                            "cost_quality": NUMBER,
                            "answers_percent": MAYBE_NUMBER,
                            "price_percent": MAYBE_NUMBER,
                            "failure_usd": MAYBE_NUMBER,
                        }
                    )
                ),
                "text": TEXT,
            }
        ),
        "Key": obj(
            {
                "id": TEXT,
                "device": TEXT,
                "hint": TEXT,
                "created_at": COUNT,
                "expires_at": MAYBE_TIME,
                "expired": FLAG,
                "last_used_at": MAYBE_TIME,
            }
        ),
        "NewKey": obj(
            {"device": {"type": "string", "minLength": 1}},
            {"days": _DAYS},
            additionalProperties=False,
            examples=[{"device": "kitchen", "days": 365}],
        ),
        "MadeKey": obj(
            {"device": TEXT, "key": TEXT, "expires_at": MAYBE_TIME}, description="The only time that the key is seen."
        ),
        "Rotation": obj(
            {},
            {"grace_hours": {"type": "number", "minimum": 0, "maximum": MOST_GRACE, "default": 24}, "days": _DAYS},
            additionalProperties=False,
            examples=[{"grace_hours": 24}],
        ),
        "RotatedKey": obj(
            {
                "device": TEXT,
                "key": TEXT,
                "expires_at": MAYBE_TIME,
                "old": many(obj({"id": TEXT, "expires_at": MAYBE_TIME})),
            }
        ),
        "AuditRow": obj(
            {
                "id": TEXT,
                "timestamp": TEXT,
                "device_id": TEXT,
                "model": TEXT,
                "routed_model": MAYBE_TEXT,
                "prompt_tokens": COUNT,
                "completion_tokens": COUNT,
                "total_tokens": COUNT,
                "latency_ms": NUMBER,
                "cost_usd": MAYBE_NUMBER,
                "status": COUNT,
                "error": MAYBE_TEXT,
            }
        ),
        "Summary": obj({"summary": obj({"total_requests": COUNT, "total_tokens": COUNT, "total_cost_usd": NUMBER})}),
        "Health": obj(
            {
                "status": {"enum": ["ok", "degraded"]},
                "version": TEXT,
                "demo": FLAG,
                "providers": obj({}),
                "mqtt": TEXT,
                "tasks": obj({}),
            },
            {"problems": many(TEXT)},
        ),
    }
