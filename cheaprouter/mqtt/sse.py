"""Our own reply stream read back into one completion: server-sent events of a chat. Pure but for the waiting."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import orjson

from ..core.errors import UpstreamError
from ..core.models import Json


async def events(chunks: AsyncIterator[bytes]) -> AsyncIterator[Json]:
    """JSON objects of a byte stream, however it is cut; ends at `[DONE]`. Comments are skipped.

    Raises UpstreamError where the stream reports an error.
    """
    rest = b""
    async for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            if not line.startswith(b"data:"):
                continue
            data = line[5:].strip()
            if data == b"[DONE]":
                return
            event = orjson.loads(data)
            if isinstance(event, dict):
                _check(event)
                yield event


def _check(event: Json) -> None:
    error = event.get("error")
    if isinstance(error, dict):
        raise UpstreamError(
            str(error.get("message", "The stream broke off.")), code=error.get("code"), error_type=error.get("type")
        )


class Collected:
    """Chunks of the first choice put together: text, tool calls, the reason it ended, usage."""

    def __init__(self) -> None:
        self._head: Json = {}
        self._text: list[str] = []
        self._calls: dict[int, Json] = {}
        self._finish: str | None = None
        self._usage: Any = None

    def add(self, event: Json) -> str:
        """Take a chunk; the text that it brings."""
        self._head = self._head or {k: event[k] for k in ("id", "created", "model") if k in event}
        self._usage = event.get("usage") or self._usage
        choices = event.get("choices") or [{}]
        choice = choices[0]
        self._finish = choice.get("finish_reason") or self._finish
        delta = choice.get("delta") or {}
        for call in delta.get("tool_calls") or ():
            self._add_call(call)
        text = delta.get("content")
        if not isinstance(text, str):
            return ""
        self._text.append(text)
        return text

    def _add_call(self, call: Json) -> None:
        known = self._calls.setdefault(
            int(call.get("index") or 0), {"id": None, "type": "function", "function": {"name": "", "arguments": ""}}
        )
        known["id"] = call.get("id") or known["id"]
        function = call.get("function") or {}
        for part in ("name", "arguments"):
            known["function"][part] += function.get(part) or ""

    def completion(self) -> Json:
        """All of it as one `chat.completion`."""
        message: Json = {"role": "assistant", "content": "".join(self._text)}
        if self._calls:
            message["tool_calls"] = [self._calls[i] for i in sorted(self._calls)]
        choice = {"index": 0, "message": message, "finish_reason": self._finish}
        return {**self._head, "object": "chat.completion", "choices": [choice], "usage": self._usage}
