"""Errors in OpenAI's shape: `{"error": {message, type, param, code}}`."""

from __future__ import annotations

import orjson

from ...core.errors import CheapRouterError
from ...core.models import Json


def error_object(error: CheapRouterError) -> Json:
    """The object that clients read `message`, `type`, `param` and `code` from."""
    return {
        "error": {"message": error.message, "type": error.type, "param": error.param, "code": error.code},
    }


def error_body(error: CheapRouterError) -> bytes:
    """The same as bytes."""
    return orjson.dumps(error_object(error))


def error_event(error: CheapRouterError) -> bytes:
    """The same as one server-sent event, for a stream that has begun: SDKs raise on it."""
    return b"data: " + error_body(error) + b"\n\n"
