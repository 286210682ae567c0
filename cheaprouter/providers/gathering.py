"""A stream that is gathered to one whole reply, for a client that asked for no stream.

Asked so, an upstream that says nothing is given up as soon as it would be in a stream; and what was written is known.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Final, Protocol

import orjson

from ..core.models import Operation, Usage
from ..wire.events import CHARACTERS_OF_A_TOKEN, Piece, StreamReader
from ..wire.openai_chat.encode import Assembler
from .completion import Completion
from .failures import Failure, degraded
from .transport import WireRequest

_CONTENT: Final = re.compile(
    rb'"(?:content|reasoning|reasoning_content|refusal|arguments|name|text|thinking|partial_json)": ?"[^"]'
)
"""Some content, in whichever wire: enough to know that an upstream has begun to write."""

_TEXT: Final = re.compile(
    rb'"(?:content|reasoning|reasoning_content|refusal|arguments|text|thinking|partial_json)": ?"([^"\\]*(?:\\.[^"\\]*)*)"'
)
"""The same, and all of it. Linear: there is one way to read each byte."""

_LONGEST_END: Final = 32
"""Bytes of which an end is looked for: it may come in several pieces."""

_BATCH: Final = 64 * 1024
_EVENTS: Final = 500
"""Bytes, and events, kept as they came; of a longer stream only what it says is kept. To read them takes some milliseconds."""


class Gatherer(Protocol):
    """What gathering asks of an adapter."""

    name: str
    stream_ends: tuple[bytes, ...]

    def whole_reader(
        self, request: Operation, keep: Callable[[str, str], None] | None, *, think: bool
    ) -> StreamReader: ...

    def at_once(self, whole: bytes, request: Operation, *, think: bool) -> Completion | None: ...

    def judge_stream(self, reader: StreamReader, max_tokens: int | None = None) -> Failure | None: ...

    def made_of(self, reader: StreamReader, body: bytes, headers: Mapping[str, str]) -> Completion: ...


class Gathering:
    """`feed` it what comes, until it is `over` or the body ends; then ask for the `completion`. `said`: some content has come."""

    __slots__ = (
        "_adapter",
        "_around",
        "_events",
        "_finished",
        "_keep",
        "_parts",
        "_reader",
        "_request",
        "_size",
        "_tail",
        "_think",
        "_whole",
        "over",
        "said",
    )

    def __init__(
        self, adapter: Gatherer, request: Operation, keep: Callable[[str, str], None] | None, *, think: bool
    ) -> None:
        self._adapter = adapter
        self._request = request
        self._keep = keep
        self._think = think
        self._reader: StreamReader | None = None
        self._parts: list[bytes] = []
        self._whole = Assembler()
        self._tail = b""
        self._size = self._events = self._around = 0
        self._finished = False
        self.said = self.over = False

    def feed(self, data: bytes) -> None:
        """Some more of the stream."""
        self._parts.append(data)
        self._size += len(data)
        self.said = self.said or _CONTENT.search(data) is not None
        self._tail = tail = (data if len(data) >= _LONGEST_END else self._tail + data)[-_LONGEST_END:]
        self.over = tail.endswith(self._adapter.stream_ends)
        self._events += data.count(b"\n\n")
        if (self._size > _BATCH or self._events > _EVENTS) and self._read().trouble is not None:
            self.over = True  # nothing that follows can mend it

    @property
    def complete(self) -> bool:
        """Whether all of the answer has come, be the upstream's word for it missing or not."""
        reader = self._read()
        return reader.complete and reader.trouble is None

    def about(self) -> int:
        """Characters that have come, or more: what was only kept is not read, but counted by what stands around a text in it."""
        whole = b"".join(self._parts)
        self._parts = [whole]
        before, events = 0 if self._reader is None else self._reader.written, whole.count(b"\n\n")
        if not self._around and (first := _CONTENT.search(whole)) is not None:
            start, end = whole.rfind(b"\n\n", 0, first.start()) + 1, whole.find(b"\n\n", first.end())
            if end > 0:
                self._around = end - start - sum(map(len, _TEXT.findall(whole, start, end)))
        return before + max(len(whole) - events * self._around, CHARACTERS_OF_A_TOKEN * events)

    def written(self) -> int:
        """Characters that have come, as far as they can be read by now; see `StreamReader`."""
        return self._read().written

    def cut(self, headers: Mapping[str, str], prompt: int) -> Completion:
        """The completion as far as it came, as if its length was limited: nothing more may come. `prompt`: its tokens, estimated."""
        reader = self._read()
        usage = reader.usage or Usage()
        told = Usage(
            usage.prompt_tokens or prompt,
            max(usage.completion_tokens, -(-reader.written // CHARACTERS_OF_A_TOKEN)),
            usage.cached_tokens,
            usage.cache_write_tokens,
            estimated=True,
        )
        reply = self._whole.completion()
        reply["choices"] = reply["choices"] or [{"index": 0, "message": {"role": "assistant", "content": ""}}]
        for choice in reply["choices"]:
            choice["finish_reason"] = "length"
            choice.setdefault("logprobs", None)
        reply["usage"] = {
            "prompt_tokens": told.prompt_tokens,
            "completion_tokens": told.completion_tokens,
            "total_tokens": told.total_tokens,
        }
        done = self._adapter.made_of(reader, orjson.dumps(reply), headers)
        return replace(done, usage=told, finish_reason="length")

    def completion(self, headers: Mapping[str, str]) -> Completion | Failure:
        """What it makes; nothing more comes."""
        if self._reader is None and self._keep is None:
            whole = b"".join(self._parts)
            if (done := self._adapter.at_once(whole, self._request, think=self._think)) is not None:
                return done
            self._parts = [whole]
        try:
            return self._made(headers)
        except orjson.JSONEncodeError:
            return degraded("invalid_reply", f"{self._adapter.name} answered with JSON that is nested too deep.")

    def _made(self, headers: Mapping[str, str]) -> Completion | Failure:
        reader = self._finish()
        if (failure := self._adapter.judge_stream(reader, self._request.max_tokens)) is not None:
            return failure
        reply = self._whole.completion()
        for choice in reply["choices"]:
            choice.setdefault("logprobs", None)
        if not reply["choices"]:
            return degraded("no_choices", f"{self._adapter.name} answered without choices.")
        return self._adapter.made_of(reader, orjson.dumps(reply), headers)

    @property
    def reader(self) -> StreamReader:
        """Who has read all that has come."""
        return self._read()

    def resumed(self, go_on: Callable[[StreamReader], WireRequest | None]) -> WireRequest | None:
        """What is to be asked where the stream only paused; what follows is fed on."""
        wire = go_on(self._finish())
        if wire is not None:
            self._finished = self.over = False
        return wire

    def _finish(self) -> StreamReader:
        reader = self._read()
        if not self._finished:
            self._finished = True
            self._add(reader.finish())
        return reader

    def _read(self) -> StreamReader:
        """Read what was only kept."""
        if self._reader is None:
            self._reader = self._adapter.whole_reader(self._request, self._keep, think=self._think)
        if self._parts:
            self._add(self._reader.feed(b"".join(self._parts)))
            self._parts, self._size, self._events = [], 0, 0
        return self._reader

    def _add(self, pieces: Iterable[Piece]) -> None:
        for piece in pieces:
            if not isinstance(piece, bytes):
                self._whole.add(piece)
