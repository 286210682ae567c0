"""Anthropic's answers as events: whole messages, and streams event by event."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Any, Final, Protocol

import orjson

from ...core.models import Json, Special, Usage
from .. import events as ev
from .. import sse
from ..openai_chat.calls import new_id
from ..openai_chat.lenient import loads_numbers
from ..openai_chat.shapes import error_in
from ..usage import count, service_words
from .pause import PAUSED, SaidBlocks, added
from .shape import WRAPPED

_REASONS: Final = {
    "end_turn": "stop", "stop_sequence": "stop", "pause_turn": "stop", "max_tokens": "length", "tool_use": "tool_calls",
    "refusal": "content_filter", "model_context_window_exceeded": "length",
}  # fmt: skip

_LOOKED_AT: Final = 8
"""Pieces in which an answer begins that came as text; one may be white space."""

JsonTool = tuple[str, bool] | None
"""The tool that carries the answer and whether it is wrapped, see `shape.json_tool`."""


class Encoder(Protocol):
    """Makes bytes of another wire out of the events."""

    def encode(self, events: Iterable[ev.WireEvent]) -> bytes: ...

    def end(self) -> bytes:
        """What closes a stream that finished."""


class MessageReader:
    """The events of one message. `created`: for the reply, since Anthropic does not tell.

    Where a tool is to carry the answer, its input comes as text, and other text only if that is not called after all, or
    if it begins as such an answer does: then it came without the tool. `said_blocks`: keeps all that is said, so that a
    paused turn can go on; `paused`: it is to be now, and nothing of an end was told.
    """

    def __init__(self, *, created: int, tool: JsonTool, said_blocks: SaidBlocks | None = None) -> None:
        self._created = created
        self._tool = tool
        self._earlier: Json | None = None
        self.said_blocks = said_blocks
        self.paused = False
        self._blocks: dict[int, Json] = {}
        self._calls = 0
        self._held_text: list[str] = []
        self._flows = False
        self._told: Json = {}
        self.usage: Usage | None = None
        self.finish_reason: str | None = None

    def whole(self, message: Json) -> Iterator[ev.WireEvent]:
        yield self.start(message)
        for index, block in enumerate(message["content"]):
            if isinstance(block, dict):
                yield from self.start_block(index, block)
                yield from self.stop_block(index)
        if not self._calls and not self._held_text:
            yield ev.Text("")
        yield from self.stop(message.get("stop_reason"))
        yield self.used()

    def start(self, message: Json) -> ev.WireEvent:
        self.count(message.get("usage"))
        return ev.Start(str(message.get("id") or ""), str(message.get("model") or ""), self._created)

    def resume(self) -> None:
        """A paused turn goes on in another message, of which all that follows is read."""
        self._earlier = added(self._earlier or {}, self._told)
        self._told = {}
        self._blocks = {}
        self.paused = False

    def start_block(self, index: int, given: Json) -> Iterator[ev.WireEvent]:
        """A block begins, with all that it holds already."""
        if self.said_blocks is not None:
            self.said_blocks.start(index, given)
        block = self._blocks[index] = dict(given)
        kind = block.get("type")
        if kind == "text":
            yield from self._text(_string(block, "text"))
        elif kind == "thinking" and (text := _string(block, "thinking")):
            yield ev.Reasoning(text)
        elif kind == "tool_use" and self._tool is not None and block.get("name") == self._tool[0]:
            self._held_text.clear()
            if self._flows:
                block["type"] = "said before"
        elif kind == "tool_use":
            block["place"] = self._calls
            self._calls += 1
            yield ev.ToolStart(block["place"], str(block.get("id") or new_id()), str(block.get("name") or ""))

    def delta(self, index: int, delta: Json) -> Iterator[ev.WireEvent]:
        if self.said_blocks is not None:
            self.said_blocks.delta(index, delta)
        block = self._blocks.get(index, {})
        kind = delta.get("type")
        if kind == "text_delta":
            yield from self._text(_string(delta, "text"))
        elif kind == "thinking_delta" and (text := _string(delta, "thinking")):
            _grow(block, "thinking", text)
            yield ev.Reasoning(text)
        elif kind == "signature_delta":
            _grow(block, "signature", _string(delta, "signature"))
        elif (
            kind == "input_json_delta" and block.get("type") == "tool_use" and (text := _string(delta, "partial_json"))
        ):
            block["json"] = True
            if "place" in block:
                yield ev.ToolArguments(block["place"], text)
            elif self._tool is not None and self._tool[1]:
                _grow(block, "held", text)
            else:
                yield ev.Text(text)

    def stop_block(self, index: int) -> Iterator[ev.WireEvent]:
        """Signed thinking goes out whole; so does an answer that has to be unwrapped first."""
        if self.said_blocks is not None:
            self.said_blocks.stop(index)
        block = _grown(self._blocks.pop(index, {}))
        kind = block.get("type")
        wrapped = self._tool is not None and self._tool[1]
        if kind in ("thinking", "redacted_thinking"):
            yield ev.Thinking(block)
        elif kind == "tool_use" and not block.get("json"):
            if "place" in block:
                yield ev.ToolArguments(block["place"], orjson.dumps(block.get("input") or {}).decode())
            else:
                yield ev.Text(_answer(block.get("input"), wrapped=wrapped))
        elif held := block.get("held"):
            try:
                yield ev.Text(_answer(orjson.loads(held), wrapped=True))
            except orjson.JSONDecodeError:
                yield ev.Text(held)

    def stop(self, reason: Any) -> Iterator[ev.WireEvent]:
        """The message is complete. A call of the answer-carrying tool is no call to the client."""
        if reason == PAUSED and self.said_blocks is not None:
            self.paused = True
            return
        if text := "".join(self._held_text):
            yield ev.Text(text)
        ours = _REASONS.get(reason, "stop") if isinstance(reason, str) else "stop"
        self.finish_reason = "stop" if ours == "tool_calls" and not self._calls else ours
        yield ev.Finish(self.finish_reason)

    def count(self, usage: Any) -> None:
        """Counts are cumulative; the last ones told hold."""
        if isinstance(usage, dict):
            self._told.update({name: value for name, value in usage.items() if value is not None})
            self.usage = to_usage(self._all_told())

    def _all_told(self) -> Json:
        return self._told if self._earlier is None else added(self._earlier, self._told)

    def used(self) -> ev.WireEvent:
        return ev.Used(self.usage, usage_json(to_usage(self._all_told())))

    def _text(self, text: str) -> Iterator[ev.WireEvent]:
        if self._tool is not None:
            self._held_text.append(text)
            if self._flows or "".join(self._held_text[:_LOOKED_AT]).lstrip().startswith("{"):
                self._flows = True
                held, self._held_text = "".join(self._held_text), []
                yield ev.Text(held)
        elif text:
            yield ev.Text(text)


class MessageStream(MessageReader, ev.StreamReader):
    """`encoder`: makes bytes of the events; None: they are wanted as they are."""

    def __init__(
        self, *, created: int, tool: JsonTool, encoder: Encoder | None, said_blocks: SaidBlocks | None = None
    ) -> None:
        MessageReader.__init__(self, created=created, tool=tool, said_blocks=said_blocks)
        ev.StreamReader.__init__(self)
        self._encoder = encoder

    def _take(self, whole: bytes) -> list[ev.Piece]:
        return self._pieces(self._walk(whole))

    def resume(self) -> None:
        super().resume()
        self.done = False
        self._cutter = sse.EventCutter()

    def finish(self) -> list[ev.Piece]:
        """Take what is left, and judge the end."""
        if self.trouble is not None:
            return []
        pieces = self._pieces(self._walk(self._cutter.rest()))
        if self._ended_well() and not self.done:
            pieces += self._pieces(self._end())
        return pieces

    def _ended_well(self) -> bool:
        if self.trouble is None and self.paused:
            return False  # this is no end
        if self.trouble is ev.Trouble.BROKEN or (self.trouble is None and self.finish_reason is None):
            self.trouble = ev.Trouble.EARLY
        elif self.trouble is None and not self.said and self.finish_reason in {"stop", "tool_calls"}:
            self.trouble = ev.Trouble.EMPTY
        return self.trouble in (None, ev.Trouble.EMPTY)

    def _pieces(self, events: Iterator[ev.WireEvent]) -> list[ev.Piece]:
        made = list(events)
        for event in made:
            size = ev.characters(event)
            self.output_characters += size
            self.pieces += size > 0
            self.said = self.said or size > 0 or isinstance(event, ev.Thinking | ev.ToolStart)
        if self._encoder is None:
            return [*made]
        try:
            data = self._encoder.encode(made)
        except orjson.JSONEncodeError:  # a block nested deeper than can be written
            self.trouble = ev.Trouble.ERROR
            return []
        if made and isinstance(made[-1], ev.Used):
            data += self._encoder.end()
        return [data] if data else []

    def _walk(self, whole: bytes) -> Iterator[ev.WireEvent]:
        for block in sse.split(whole):
            if self.done or self.trouble is not None:
                return
            _, data = sse.parse(block)
            if not data:
                continue
            try:
                event = loads_numbers(data)
                if isinstance(event, dict):
                    yield from self._event(event)
                else:
                    self._break()
            except (AttributeError, KeyError, TypeError, ValueError):  # shaped unlike anything that is documented
                self._break()

    def _break(self) -> None:
        """A piece is missing; but after the end of the answer it can only have been a count."""
        if self.finish_reason is None:
            self.trouble = ev.Trouble.BROKEN

    def _event(self, event: Json) -> Iterator[ev.WireEvent]:
        kind, index = event.get("type"), event.get("index", 0)
        if kind == "content_block_delta":
            yield from self.delta(index, event.get("delta") or {})
        elif kind == "content_block_start":
            yield from self.start_block(index, event.get("content_block") or {})
        elif kind == "content_block_stop":
            yield from self.stop_block(index)
        elif kind == "message_start" and self._earlier is not None:
            self.count((event.get("message") or {}).get("usage"))
        elif kind == "message_start":
            yield self.start(event.get("message") or {})
        elif kind == "message_delta":
            self.count(event.get("usage"))
            reason = (event.get("delta") or {}).get("stop_reason")
            if isinstance(reason, str) and self.finish_reason is None:
                yield from self.stop(reason)
        elif kind == "message_stop":
            yield from self._end()
        elif kind in ("error", None) and (error := error_in(event, kind or "")) is not None:
            self.trouble, self.error = ev.Trouble.ERROR, error

    def _end(self) -> Iterator[ev.WireEvent]:
        if self.paused:
            self.done = True
            return
        if self.finish_reason is None:
            self.trouble = ev.Trouble.EARLY
        else:
            self.done = True
            yield self.used()


_PARTS: Final = "\0parts"


def _grow(block: Json, name: str, text: str) -> None:
    """Some more of a text, put together once the block is whole: joining each time would take ever longer."""
    block.setdefault(_PARTS, {}).setdefault(name, []).append(text)


def _grown(block: Json) -> Json:
    """The block with its texts put together."""
    for name, parts in block.pop(_PARTS, {}).items():
        block[name] = _string(block, name) + "".join(parts)
    return block


def _string(block: Json, name: str) -> str:
    value = block.get(name)
    return value if isinstance(value, str) else ""


def _answer(value: Any, *, wrapped: bool) -> str:
    """The answer that a client asked for in a given shape, as text."""
    if wrapped and isinstance(value, dict):
        value = value.get(WRAPPED)
    return orjson.dumps(value).decode()


def to_usage(told: Json) -> Usage:
    """Tokens; Anthropic counts what is read from and written to the cache apart from the rest of the prompt."""
    read, written = count(told.get("cache_read_input_tokens")), count(told.get("cache_creation_input_tokens"))
    spans, details = told.get("cache_creation"), told.get("output_tokens_details")
    hour = count(spans.get("ephemeral_1h_input_tokens")) if isinstance(spans, dict) else 0
    written = max(written, hour)
    return Usage(
        prompt_tokens=count(told.get("input_tokens")) + read + written,
        completion_tokens=count(told.get("output_tokens")),
        cached_tokens=read,
        cache_write_tokens=written,
        reasoning_tokens=count(details.get("thinking_tokens")) if isinstance(details, dict) else 0,
        special=_special(told, hour),
    )


_SEARCH_FEE: Final = Decimal("0.01")
"""USD for one search of the web, whoever asks: https://platform.claude.com/docs/en/about-claude/pricing (November 2026)."""

_MOST_SEARCHES: Final = 1000
"""Of one request, 10 USD: a count beyond is a mistake, and is not taken."""


def _special(told: Json, hour: int) -> Special | None:
    """What has a price of its own; None for nearly all."""
    tools = told.get("server_tool_use")
    searches = count(tools.get("web_search_requests")) if isinstance(tools, dict) else 0
    if searches > _MOST_SEARCHES:
        searches = 0
    served = [service_words(told.get("service_tier"))]
    if told.get("speed") == "fast":
        served.append(("fast",))
    if told.get("inference_geo") == "us":
        served.append(("us",))
    service = tuple(word for words in served for word in words)
    if not (hour or searches or service):
        return None
    return Special(cache_write_1h=hour, service=service, fees=searches * _SEARCH_FEE)


def usage_json(tokens: Usage) -> Json:
    return {
        "prompt_tokens": tokens.prompt_tokens,
        "completion_tokens": tokens.completion_tokens,
        "total_tokens": tokens.total_tokens,
        "prompt_tokens_details": {
            "cached_tokens": tokens.cached_tokens,
            "cache_write_tokens": tokens.cache_write_tokens,
        },
        "completion_tokens_details": {"reasoning_tokens": tokens.reasoning_tokens},
    }
