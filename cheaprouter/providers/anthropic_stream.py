"""Anthropic's stream as OpenAI's, event by event."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from ..core.models import Json, Usage
from . import sse
from .anthropic_reply import JsonTool, answer_text, finish_reason, to_usage, usage_json
from .base import Failure, Frame
from .chunks import characters, has_content
from .completion import TINY_LIMIT
from .failures import degraded, in_band


class AnthropicStream:
    """Reads one stream; see `StreamDecoder`."""

    def __init__(
        self,
        name: str,
        *,
        created: int,
        want_usage: bool,
        tool: JsonTool,
        max_tokens: int | None,
        secrets: tuple[str, ...],
    ) -> None:
        self._name = name
        self._created = created
        self._want_usage = want_usage
        self._tool = tool
        self._tiny = max_tokens is not None and max_tokens <= TINY_LIMIT
        self._secrets = secrets
        self._cutter = sse.EventCutter()
        self._prefix = b""
        self._base: Json = {}
        self._told: Json = {}
        self._blocks: dict[int, Json] = {}
        self._calls = 0
        self._held_text: list[str] = []
        self._seen = False
        self._stop: str | None = None
        self.output_characters = 0
        self.malformed = 0
        self.done = False
        self.failure: Failure | None = None
        self.usage: Usage | None = None
        self.finish_reason: str | None = None
        self.model: str | None = None

    def feed(self, data: bytes) -> list[Frame]:
        """Translate every whole event."""
        try:
            whole = self._cutter.feed(data)
        except sse.EventTooLargeError:
            self.failure = degraded("invalid_reply", f"{self._name} sent an event without an end.")
            return []
        return list(self._read_all(whole))

    def push(self, data: bytes) -> bytes:
        """The same as bytes."""
        return b"".join(frame.data for frame in self.feed(data))

    def finish(self) -> list[Frame]:
        """Judge the end."""
        frames = [] if self.done else list(self._read_all(self._cutter.rest()))
        if self.failure is not None:
            return frames
        if self._stop is None:
            code = "upstream_truncated" if self._seen else "empty_reply"
            self.failure = degraded(code, f"{self._name} ended its answer too early.")
        elif not self._seen and self.finish_reason in ("stop", "tool_calls") and not self._tiny:
            self.failure = degraded("empty_reply", f"{self._name} answered with nothing.")
        elif not self.done:
            frames += self._end()
        return frames

    def _read_all(self, whole: bytes) -> Iterator[Frame]:
        for block in sse.split(whole):
            if self.done or self.failure is not None:
                return
            _, data = sse.parse(block)
            if not data:
                continue
            try:
                event = orjson.loads(data)
            except orjson.JSONDecodeError:
                event = None
            if not isinstance(event, dict):
                self.malformed += 1
                continue
            try:
                yield from self._event(event)
            except (AttributeError, KeyError, TypeError, ValueError):  # shaped unlike anything that is documented
                self.malformed += 1

    def _event(self, event: Json) -> Iterator[Frame]:
        kind = event.get("type")
        if kind == "content_block_delta":
            yield from self._delta(event)
        elif kind == "content_block_start":
            yield from self._start_block(event)
        elif kind == "content_block_stop":
            yield from self._stop_block(event)
        elif kind == "message_start":
            yield self._start(event.get("message") or {})
        elif kind == "message_delta":
            yield from self._finish_reason(event)
        elif kind == "message_stop":
            yield from self._end()
        elif kind == "error" or event.get("error"):
            self.failure = in_band(self._name, event, 0.0, self._secrets)

    def _start(self, message: Json) -> Frame:
        self._base = {
            "id": message.get("id", ""),
            "object": "chat.completion.chunk",
            "created": self._created,
            "model": message.get("model", ""),
        }
        self.model = self._base["model"] or None
        self._prefix = b"data: " + orjson.dumps(self._base)[:-1] + b',"choices":[{"index":0,"delta":'
        self._count(message.get("usage"))
        return self._frame({"role": "assistant", "content": ""})

    def _start_block(self, event: Json) -> Iterator[Frame]:
        block = dict(event.get("content_block") or {})
        self._blocks[event.get("index", 0)] = block
        kind = block.get("type")
        if kind == "text" and block.get("text"):
            yield from self._text(block["text"])
        elif kind == "thinking" and block.get("thinking"):
            yield self._frame({"reasoning_content": block["thinking"]})
        elif kind == "tool_use" and self._carries_answer(block):
            self._held_text.clear()
        elif kind == "tool_use":
            block["place"] = self._calls
            self._calls += 1
            function = {"name": block.get("name", ""), "arguments": ""}
            yield self._call(block, {"id": block.get("id", ""), "type": "function", "function": function})

    def _text(self, text: str) -> Iterator[Frame]:
        """Text; where a tool is to carry the answer, it is only one if that is not called after all."""
        if self._tool is None:
            yield self._frame({"content": text})
        else:
            self._held_text.append(text)

    def _delta(self, event: Json) -> Iterator[Frame]:
        block = self._blocks.get(event.get("index", 0), {})
        delta = event.get("delta") or {}
        kind = delta.get("type")
        if kind == "text_delta":
            yield from self._text(delta.get("text", ""))
        elif kind == "thinking_delta":
            text = delta.get("thinking", "")
            block["thinking"] = block.get("thinking", "") + text
            yield self._frame({"reasoning_content": text})
        elif kind == "signature_delta":
            block["signature"] = block.get("signature", "") + delta.get("signature", "")
        elif kind == "input_json_delta" and (text := delta.get("partial_json")):
            block["json"] = True
            if "place" in block:
                yield self._call(block, {"function": {"arguments": text}})
            elif self._tool is not None and self._tool[1]:
                block["held"] = block.get("held", "") + text
            else:
                yield self._frame({"content": text})

    def _stop_block(self, event: Json) -> Iterator[Frame]:
        """Signed thinking goes out whole; so does an answer that has to be unwrapped first."""
        block = self._blocks.pop(event.get("index", 0), {})
        kind = block.get("type")
        if kind in ("thinking", "redacted_thinking"):
            yield self._frame({"thinking_blocks": [block]})
        elif kind == "tool_use" and not block.get("json"):
            text = orjson.dumps(block.get("input") or {}).decode()
            if "place" in block:
                yield self._call(block, {"function": {"arguments": text}})
            else:
                yield self._frame(
                    {"content": answer_text(block.get("input"), wrapped=bool(self._tool and self._tool[1]))}
                )
        elif held := block.get("held"):
            try:
                yield self._frame({"content": answer_text(orjson.loads(held), wrapped=True)})
            except orjson.JSONDecodeError:
                yield self._frame({"content": held})

    def _finish_reason(self, event: Json) -> Iterator[Frame]:
        self._count(event.get("usage"))
        reason = (event.get("delta") or {}).get("stop_reason")
        if isinstance(reason, str) and self._stop is None:
            self._stop = reason
            if text := "".join(self._held_text):
                yield self._frame({"content": text})
            self.finish_reason = finish_reason(reason, calls=self._calls > 0)
            yield Frame(
                self._prefix + b'{},"logprobs":null,"finish_reason":"' + self.finish_reason.encode() + b'"}]}\n\n'
            )

    def _end(self) -> Iterator[Frame]:
        self.done = True
        if self._stop is None:
            return
        if self._want_usage:
            yield Frame(sse.event(orjson.dumps({**self._base, "choices": [], "usage": usage_json(self._told)})))
        yield Frame(sse.DONE)

    def _count(self, usage: Any) -> None:
        """Counts are cumulative; the last ones told hold."""
        if isinstance(usage, dict):
            self._told.update({name: value for name, value in usage.items() if value is not None})
            self.usage = to_usage(self._told)

    def _carries_answer(self, block: Json) -> bool:
        return self._tool is not None and block.get("name") == self._tool[0]

    def _call(self, block: Json, delta: Json) -> Frame:
        return self._frame({"tool_calls": [{"index": block["place"], **delta}]})

    def _frame(self, delta: Json) -> Frame:
        content = has_content(delta)
        self._seen = self._seen or content
        self.output_characters += characters(delta)
        return Frame(self._prefix + orjson.dumps(delta) + b',"logprobs":null,"finish_reason":null}]}\n\n', content)
