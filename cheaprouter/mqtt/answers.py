"""The envelope of questions and answers: `{"status", "data", "error", "transaction"}`."""

from __future__ import annotations

import math
from typing import Any

from ..core.errors import CheapRouterError, InvalidRequestError, LimitError, UpstreamError
from ..core.models import Json
from ..wire.decode import decode
from ..wire.openai_chat.encode import error_object
from .messages import Incoming, Outgoing
from .payloads import encode
from .publisher import Publisher

LARGEST = 1024 * 1024
"""Bytes of a question: a long conversation fits; pictures belong to HTTP."""


class BusyError(CheapRouterError):
    """Too many questions at once: ask again."""

    status = 503
    type = "server_error"
    code = "busy"


class InternalError(CheapRouterError):
    """Something that should not happen; the log has it."""

    def __init__(self) -> None:
        super().__init__("Something went wrong inside the router; its log says what.")


def read(message: Incoming) -> bytes:
    """The payload, if it is not too large."""
    if len(message.payload) > LARGEST:
        raise InvalidRequestError(f"The message is larger than {LARGEST} bytes.", code="request_too_large")
    return message.payload


def read_object(message: Incoming) -> Json:
    """A JSON object, or nothing at all for an empty one."""
    payload = read(message)
    if not payload.strip():
        return {}
    value = decode(payload, "The message")
    if not isinstance(value, dict):
        raise InvalidRequestError("The message must be a JSON object.")
    return value


def transaction_of(value: Any) -> str | int | None:
    """The asker's own mark, handed back: a short text or a number."""
    mark = value.get("transaction") if isinstance(value, dict) else None
    if isinstance(mark, str):
        return mark[:128]
    return mark if isinstance(mark, int) and not isinstance(mark, bool) and abs(mark) < 2**53 else None


def error_data(error: CheapRouterError) -> Json:
    """OpenAI's error object, with the status and the seconds to wait where waiting helps."""
    data: Json = {**error_object(error)["error"], "status": error.status}
    if isinstance(error, (LimitError, UpstreamError)) and error.retry_after is not None:
        data["retry_after"] = math.ceil(error.retry_after)
    return data


class Answers:
    """Sends answers: to the response topic that MQTT 5 lets an asker name, if it may be written to, else to the usual one."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher

    def ok(self, usual: str, message: Incoming, transaction: str | int | None, data: Any) -> None:
        """It worked."""
        self._send(usual, message, {"status": "ok", "data": data, "error": None, "transaction": transaction})

    def error(self, usual: str, message: Incoming, transaction: str | int | None, error: CheapRouterError) -> None:
        """It did not."""
        body = {"status": "error", "data": None, "error": error_data(error), "transaction": transaction}
        self._send(usual, message, body)

    def piece(self, topic: str, message: Incoming, text: str) -> None:
        """Some text of a streamed answer."""
        self._publisher.say(Outgoing(topic, text.encode(), correlation=message.correlation))

    def _send(self, usual: str, message: Incoming, body: Json) -> None:
        wanted = message.response_topic
        topic = wanted if wanted and self._publisher.topics.may_answer_on(wanted) else usual
        self._publisher.say(Outgoing(topic, encode(body), correlation=message.correlation))
