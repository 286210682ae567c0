"""The built-in provider: answers `mock://` requests in OpenAI's wire format, in this process, without a network.

To the pool it is a transport like any other, so that everything above it (streaming, failover, books) is the real thing.
What it answers is planned in `mock_script`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator, Mapping
from typing import Any, Final

import orjson

from ..core.models import Json
from .mock_script import MockAnswer, plan
from .transport import Response, Transport, TransportError, WireRequest

CREATED: Final = 1_700_000_000
"""A fixed `created`: answers are the same each time."""

MODEL: Final = "default"
_LONG: Final = 64 * 1024
_EVENT_STREAM: Final = {"content-type": "text/event-stream"}
_JSON: Final = {"content-type": "application/json"}
_TYPES: Final = {
    400: "invalid_request_error", 401: "authentication_error", 403: "permission_error", 429: "rate_limit_error",
}  # fmt: skip


class MockTransport:
    """See `adapter.Transport`."""

    async def open(self, request: WireRequest, connect_timeout: float, request_id: str = "") -> Response:
        del connect_timeout, request_id  # there is nothing to connect to, and no log
        if request.method == "GET":
            model = {"id": MODEL, "object": "model", "created": CREATED, "owned_by": "mock"}
            return _Whole(200, {"object": "list", "data": [model]})
        body = orjson.loads(request.body or b"{}")
        if len(request.body or b"") > _LONG:
            await asyncio.sleep(0)  # others have their turn before it is looked at
        try:
            answer = plan(body)
        except (AttributeError, KeyError, TypeError, ValueError):
            return _Whole(400, _error_body(400, "The mock can make nothing of this request."))
        if status := answer.numbers.get("status"):
            return _error(status, answer)
        if body.get("stream"):
            return _Stream(answer, body)
        await asyncio.sleep(answer.first_delay + answer.delay * len(answer.tokens))
        if "error" in answer.numbers:
            return _error(500, answer)
        if "cut" in answer.numbers:
            raise TransportError("upstream_reset", "The mock dropped the connection, as it was told to.")
        return _Whole(200, _completion(answer, body))

    async def close(self) -> None: ...


class _Whole(Response):
    """A JSON reply: there at once, so that nothing runs and nothing is held."""

    def __init__(self, status: int, body: Json, headers: Mapping[str, str] = _JSON) -> None:
        self.status = status
        self.headers = headers
        self._body = orjson.dumps(body)

    async def chunk(self) -> bytes:
        body, self._body = self._body, b""
        return body

    def abort(self) -> None: ...

    def release(self) -> None: ...


class _Stream(Response):
    """Server-sent events, each when it is due. `chunk` may be cancelled while it waits and asked again."""

    def __init__(self, answer: MockAnswer, body: Json) -> None:
        self.status = 200
        self.headers: Mapping[str, str] = _EVENT_STREAM
        self._answer = answer
        self._batches = _batches(answer, body)
        self._next: bytes | None = None
        self._wait = answer.first_delay
        self._sent = 0
        self._over = False

    async def chunk(self) -> bytes:
        """The next events; empty at the end. Raises TransportError where the script cuts the stream."""
        if self._next is None and not self._over:
            self._next = next(self._batches, None)
        if self._next is None or self._over:
            return b""
        await asyncio.sleep(self._wait)  # a stream as fast as it can be still lets others have their turn
        self._wait = self._answer.delay
        data, self._next = self._next, None
        if data is _CUT:
            self._over = True
            raise TransportError("upstream_reset", "The mock dropped the connection, as it was told to.")
        return data

    def abort(self) -> None:
        """Say no more."""
        self._over = True

    release = abort


_CUT: Final = b"\0cut"


def _batches(answer: MockAnswer, body: Json) -> Iterator[bytes]:
    """What goes out in one write each. The role leads the first; the finish, usage and `[DONE]` make the last."""
    size = max(1, answer.numbers.get("b", 1))
    contents = list(_contents(answer))
    head = b"".join(_event(answer, {"role": "assistant", "content": ""}, index=i) for i in range(answer.choices))
    stops = {answer.numbers[k]: k for k in ("cut", "error") if k in answer.numbers}
    for start in range(0, len(contents), size):
        for count in range(start, min(start + size, len(contents))):
            if (what := stops.get(count)) is not None:
                if head:
                    yield head
                yield _CUT if what == "cut" else _frame(_error_body(500, "The mock failed, as it was told to."))
                return
        batch = contents[start : start + size]
        yield head + b"".join(_event(answer, d, index=i) for d in batch for i in range(answer.choices))
        head = b""
    tail = b"".join(_event(answer, {}, finish=answer.finish, index=i) for i in range(answer.choices))
    if answer.usage is not None and (body.get("stream_options") or {}).get("include_usage"):
        tail += _frame({**_base(answer), "choices": [], "usage": answer.usage})
    yield head + tail + b"data: [DONE]\n\n"


def _contents(answer: MockAnswer) -> Iterator[Json]:
    for thought in answer.reasoning:
        yield {"reasoning_content": thought}
    if answer.tool is not None:
        name, arguments = answer.tool
        yield {"tool_calls": [_call(answer, name, "") | {"index": 0}]}
        for start in range(0, len(arguments), 12):
            yield {"tool_calls": [{"index": 0, "function": {"arguments": arguments[start : start + 12]}}]}
    for token in answer.tokens:
        yield {"content": token}


def _completion(answer: MockAnswer, body: Json) -> Json:
    message: dict[str, Any] = {"role": "assistant", "content": "".join(answer.tokens)}
    if answer.reasoning:
        message["reasoning_content"] = "".join(answer.reasoning)
    if answer.tool is not None:
        message |= {"content": None, "tool_calls": [_call(answer, *answer.tool)]}
    choice = {"message": message, "logprobs": None, "finish_reason": answer.finish}
    reply = {
        "id": answer.id,
        "object": "chat.completion",
        "created": CREATED,
        "model": str(body.get("model", MODEL)),
        "choices": [{"index": i, **choice} for i in range(answer.choices)],
    }
    return reply if answer.usage is None else {**reply, "usage": answer.usage}


def _call(answer: MockAnswer, name: str, arguments: str) -> Json:
    return {"id": f"call_{answer.id[-12:]}", "type": "function", "function": {"name": name, "arguments": arguments}}


def _base(answer: MockAnswer) -> Json:
    return {"id": answer.id, "object": "chat.completion.chunk", "created": CREATED, "model": MODEL}


def _event(answer: MockAnswer, delta: Json, *, finish: str | None = None, index: int = 0) -> bytes:
    choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}
    return _frame({**_base(answer), "choices": [choice]})


def _frame(data: Json) -> bytes:
    return b"data: " + orjson.dumps(data) + b"\n\n"


def _error(status: int, answer: MockAnswer) -> Response:
    headers = dict(_JSON)
    if (wait := answer.numbers.get("retry_after")) is not None:
        headers["retry-after"] = str(wait)
    status = status if 400 <= status <= 599 else 500
    return _Whole(status, _error_body(status, f"The mock answers {status}, as it was told to."), headers)


def _error_body(status: int, message: str) -> Json:
    kind = _TYPES.get(status, "server_error")
    return {"error": {"message": message, "type": kind, "param": None, "code": f"mock_{status}"}}


class SchemeTransport:
    """See `Transport`. Sends `mock://…` to the built-in provider and everything else over the network."""

    def __init__(self, network: Transport, mock: Transport | None) -> None:
        self._network = network
        self._mock = mock

    def open(self, request: WireRequest, connect_timeout: float, request_id: str = "") -> Coroutine[Any, Any, Response]:
        if request.endpoint.url.startswith("mock:"):
            if self._mock is None:
                raise TransportError("upstream_unreachable", "There is no mock provider here.")
            return self._mock.open(request, connect_timeout, request_id)
        return self._network.open(request, connect_timeout, request_id)

    async def close(self) -> None:
        await self._network.close()
        if self._mock is not None:
            await self._mock.close()
