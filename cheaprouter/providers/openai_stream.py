"""A stream in OpenAI's wire: each event judged until the first content, afterwards passed on as bytes.

Past the first content only events that end, count, fail or call tools are decoded; of the rest it is checked that
they are whole. What does not look whole is decoded too, and left out when it is broken: clients choke on it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import orjson

from ..core.models import Json, Usage
from . import sse
from .base import Failure, Frame
from .chunks import answers, characters, choices_of, chunk_event, has_content, needs_split, reasoning_of, split_chunk
from .completion import TINY_LIMIT, finish_reason
from .failures import degraded, in_band
from .quirks import Quirks
from .usage import parse_usage


class OpenAIStream:
    """Reads one stream; see `StreamDecoder`. `malformed`: events left out because they were broken."""

    __slots__ = (
        "_answered", "_called", "_characters", "_cutter", "_every", "_name", "_overhead", "_quirks", "_raw_bytes",
        "_raw_events", "_reasoning", "_secrets", "_seen", "_tiny", "_want_usage", "done", "failure", "finish_reason",
        "malformed", "model", "usage",
    )  # fmt: skip

    def __init__(
        self, name: str, quirks: Quirks, *, want_usage: bool, max_tokens: int | None, secrets: tuple[str, ...]
    ) -> None:
        self._name = name
        self._quirks = quirks
        self._want_usage = want_usage
        self._tiny = max_tokens is not None and max_tokens <= TINY_LIMIT
        self._secrets = secrets
        self._cutter = sse.EventCutter()
        self._every = quirks.answer_in_reasoning
        self._reasoning: list[str] = []
        self._seen = self._answered = self._called = False
        self._characters = self._raw_bytes = self._raw_events = self._overhead = 0
        self.malformed = 0
        self.done = False
        self.failure: Failure | None = None
        self.usage: Usage | None = None
        self.finish_reason: str | None = None
        self.model: str | None = None

    @property
    def output_characters(self) -> int:
        """Exact for events that were read; by size for those that were passed on."""
        return self._characters + max(0, self._raw_bytes - self._raw_events * self._overhead)

    def feed(self, data: bytes) -> list[Frame]:
        """Judge each event up to the first content; what follows that goes the short way."""
        whole = self._cut(data)
        frames: list[Frame] = []
        place, seen = 0, False
        while place < len(whole) and not seen and not self.done and self.failure is None:
            end = whole.find(b"\n\n", place)
            for frame in self._read(whole[place:end].lstrip(b"\n")):
                frames.append(frame)
                seen = seen or frame.content
            place = end + 2
        if seen and place < len(whole) and (rest := self._pass(whole[place:])):
            frames.append(Frame(rest))
        return frames

    def push(self, data: bytes) -> bytes:
        """Pass on what needs no reading."""
        whole = self._cut(data)
        return self._pass(whole) if whole else b""

    def _pass(self, whole: bytes) -> bytes:
        if self.done or self.failure is not None:
            return b""
        if not self._every:
            if self._note(whole):
                return whole
            cut = quiet_beginning(whole)
            if cut and self._note(head := whole[:cut]):
                return head + b"".join(self._push_events(whole[cut:]))
        return b"".join(self._push_events(whole))

    def _note(self, whole: bytes) -> bool:
        """Whether all of it can pass unread; if so it is counted."""
        count = plain_events(whole)
        self._raw_bytes += len(whole) if count else 0
        self._raw_events += count
        return count > 0

    def finish(self) -> list[Frame]:
        """Take the last event even where its blank line is missing; then say whether this was a proper end."""
        frames: list[Frame] = []
        if not self.done and self.failure is None:
            frames += self._read_all(self._cutter.rest())
        if self.failure is not None:
            return frames
        if not self.done and self.finish_reason is None:
            code = "upstream_truncated" if self._seen else "empty_reply"
            self.failure = degraded(code, f"{self._name} ended its answer too early.")
        elif not self._seen and self.finish_reason in (None, "stop", "tool_calls") and not self._tiny:
            self.failure = degraded("empty_reply", f"{self._name} answered with nothing.")
        elif not self.done:
            frames.append(Frame(sse.DONE))
        return frames

    def _cut(self, data: bytes) -> bytes:
        try:
            return self._cutter.feed(data)
        except sse.EventTooLargeError:
            self.failure = degraded("invalid_reply", f"{self._name} sent an event without an end.")
            return b""

    def _push_events(self, whole: bytes) -> Iterator[bytes]:
        for block in sse.split(whole):
            data = block + b"\n\n"
            if not self._every and self._note(data):
                yield data
            else:
                for frame in self._read(block):
                    yield frame.data
            if self.done or self.failure is not None:
                return

    def _read_all(self, whole: bytes) -> Iterator[Frame]:
        for block in sse.split(whole):
            if self.done or self.failure is not None:
                return
            yield from self._read(block)

    def _read(self, block: bytes) -> Iterator[Frame]:
        name, data = sse.parse(block)
        if data is None or not data.strip():
            return
        if data.strip() == b"[DONE]":
            self.done = True
            yield Frame(sse.DONE)
            return
        try:
            chunk = orjson.loads(data)
        except orjson.JSONDecodeError:
            self.malformed += 1
            return
        if isinstance(chunk, list) and chunk:
            chunk = chunk[0]
        if not isinstance(chunk, dict):
            self.malformed += 1
        elif chunk.get("error") or name == "error":
            self.failure = in_band(self._name, chunk, 0.0, self._secrets)
        else:
            yield from self._chunk(chunk, block)

    def _chunk(self, chunk: Json, block: bytes) -> Iterator[Frame]:
        self._count(chunk)
        choices = choices_of(chunk)
        if not choices:
            if self._want_usage or not chunk.get("usage"):
                yield Frame(block + b"\n\n")
            return
        changed = False
        for choice in choices:
            changed |= self._choice(choice)
        if self.failure is not None:
            return
        content = any(has_content(choice.get("delta")) for choice in choices)
        self._seen = self._seen or content
        if changed or any(needs_split(choice) for choice in choices):
            if revealed := self._reveal(chunk, choices):
                yield Frame(chunk_event(revealed), content=True)
            for part in split_chunk(chunk):
                yield Frame(chunk_event(part), any(has_content(choice.get("delta")) for choice in part["choices"]))
        else:
            yield Frame(block + b"\n\n", content)
            if content:
                self._overhead = len(block) + 2 - sum(characters(choice.get("delta")) for choice in choices)

    def _count(self, chunk: Json) -> None:
        usage = chunk.get("usage")
        if usage is None and isinstance(groq := chunk.get("x_groq"), dict):
            usage = groq.get("usage")
        if usage is not None:
            self.usage = parse_usage(usage) or self.usage
        if self.model is None and isinstance(model := chunk.get("model"), str):
            self.model = model

    def _choice(self, choice: Json) -> bool:
        """Note what a choice says; says whether it had to be changed."""
        delta = choice.get("delta")
        if isinstance(delta, dict):
            self._characters += characters(delta)
            self._called = self._called or bool(delta.get("tool_calls"))
            self._answered = self._answered or answers(delta)
            if self._every and not self._answered and (text := reasoning_of(delta)):
                self._reasoning.append(text)
        reason: Any = choice.get("finish_reason")
        if not isinstance(reason, str) or not reason:
            return False
        ours = finish_reason(reason, self._quirks, calls=self._called)
        if ours == "error":
            self.failure = degraded("upstream_error", f"{self._name} broke off with an error.")
            return False
        self.finish_reason = ours
        choice["finish_reason"] = ours
        return ours != reason or self._hidden_answer

    @property
    def _hidden_answer(self) -> bool:
        return bool(self._reasoning) and not self._answered and self.finish_reason == "stop"

    def _reveal(self, chunk: Json, choices: list[Json]) -> Json | None:
        """The answer that this vendor put into its reasoning, as content just before the finish."""
        if not self._hidden_answer:
            return None
        text, self._reasoning = "".join(self._reasoning), []
        index = choices[0].get("index", 0)
        base = {name: value for name, value in chunk.items() if name not in ("choices", "usage")}
        return {**base, "choices": [{"index": index, "delta": {"content": text}, "finish_reason": None}]}


def plain_events(whole: bytes) -> int:
    """How many events there are, if all are whole chunks that need no reading; else 0.

    Quotes inside JSON strings are escaped, so a bare `"error"` or `"finish_reason":"` is never part of a text.
    Unequal brackets may be a text's own: then the events are read after all, which costs time and nothing else.
    """
    count = whole.count(b"\n\n")
    if (
        whole.count(b'data: {"') != count
        or whole.count(b"}\n\n") != count
        or b'"finish_reason":"' in whole
        or b'"finish_reason": "' in whole
        or b'"usage":{' in whole
        or b'"usage": {' in whole
        or b'"error"' in whole
        or b'_calls":[{' in whole
        or b'_calls": [{' in whole
        or b"event:" in whole
        or whole.count(b"{") != whole.count(b"}")
        or whole.count(b"[") != whole.count(b"]")
    ):
        return 0
    return count


_MARKS: Final = (
    b'"finish_reason":"', b'"finish_reason": "', b'"usage":{', b'"usage": {', b'"error"', b'_calls":[{', b'_calls": [{',
    b"event:", b"data: [DONE]",
)  # fmt: skip


def quiet_beginning(whole: bytes) -> int:
    """Where the first event begins that has to be read for what is in it; 0 where there is nothing before it."""
    first = min((place for mark in _MARKS if (place := whole.find(mark)) >= 0), default=0)
    end = whole.rfind(b"\n\n", 0, first)
    return end + 2 if end >= 0 else 0
