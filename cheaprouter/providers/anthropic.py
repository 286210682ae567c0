"""Anthropic's Messages API, spoken natively."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Final

import orjson

from ..core.models import Json, Model, Operation, Usage
from ..wire.anthropic.pause import SaidBlocks, may_pause
from ..wire.anthropic.reply import MessageReader, MessageStream, to_usage
from ..wire.anthropic.request import to_messages
from ..wire.anthropic.shape import json_tool
from ..wire.events import StreamReader
from ..wire.openai_chat.chunks import characters, has_content
from ..wire.openai_chat.encode import ChunkEncoder, assemble
from ..wire.openai_chat.lenient import loads_numbers
from ..wire.openai_chat.shapes import error_in
from ..wire.openai_chat.thoughts import Keep
from . import unsupported
from .adapter import EMPTY_ENDS, Adapter, is_tiny
from .complaints import Changes
from .completion import Completion
from .failures import (
    Failure,
    in_band,
)
from .transport import WireRequest

_ANTHROPIC_TIERS: Final = {
    **dict.fromkeys(("auto", "priority", "scale", "performance"), "auto"),
    **dict.fromkeys(("standard_only", "default", "standard", "on_demand"), "standard_only"),
}
"""What OpenAI's and others' tiers are called: https://platform.claude.com/docs/en/api/service-tiers (2026-11)."""


class Anthropic(Adapter):
    """Anthropic's Messages API; `created`, which it does not tell, is now."""

    chat_path: ClassVar[str] = "/messages"
    pauses = staticmethod(may_pause)
    stream_ends: tuple[bytes, ...] = (b'"message_stop"}\n\n', b'"message_stop" }\n\n')
    fixed_headers: ClassVar[Mapping[str, str]] = {"Content-Type": "application/json", "anthropic-version": "2023-06-01"}

    def _body(self, request: Operation, model: Model, learned: Changes, *, stream: bool) -> Json:
        """The same request in Anthropic's words. What is taken here has one name only, so nothing is renamed."""
        body = to_messages(request.body, model, learned)
        if stream:
            body["stream"] = True
        else:
            body.pop("stream", None)
        if "service_tier" in body and (tier := _ANTHROPIC_TIERS.get(str(body.pop("service_tier")))):
            body["service_tier"] = tier
        unsupported.apply(body, {name: new for name, new in learned.items() if new is None or "." in name})
        return body

    def _whole(self, body: bytes, request: Operation, *, think: bool) -> Completion | Failure:  # noqa: ARG002 - it tells them apart
        message = loads_numbers(body)
        if not isinstance(message, dict):
            return self._degraded("invalid_reply", "answered with JSON that is no message")
        content = message.get("content")
        if (content is None or message.get("error")) and (error := error_in(message)) is not None:
            return in_band(self.name, error, self.secrets, self._now())
        if not isinstance(content, list):
            return self._degraded("no_choices", "answered without content")
        reader = MessageReader(created=int(self._now()), tool=json_tool(request.body))
        reply = assemble(reader.whole(message))
        choice = reply["choices"][0]
        choice.setdefault("logprobs", None)
        if (
            not has_content(choice["message"])
            and reader.finish_reason in EMPTY_ENDS
            and not is_tiny(request.max_tokens)
        ):
            return self._degraded("empty_reply", "answered with nothing")
        usage = reader.usage
        size = 0 if usage is not None and usage.completion_tokens else characters(choice["message"])
        return Completion(orjson.dumps(reply), usage, reader.finish_reason, size)

    def _usage(self, reply: Json) -> Usage | None:
        usage = reply.get("usage")
        return to_usage(usage) if isinstance(usage, dict) else None

    def _written(self, reply: Json) -> int:
        content = reply.get("content")
        blocks = content if isinstance(content, list) else []
        return sum(
            len(text) for block in blocks if isinstance(block, dict) and isinstance(text := block.get("text"), str)
        )

    def reader(self, request: Operation, wire: str, keep: Keep | None = None, *, think: bool = False) -> StreamReader:
        del (
            keep,
            think,
        )  # thoughts are signed here, and lost ones are got along without; they come as blocks of their own
        encoder = None if wire == "events" else ChunkEncoder(want_usage=request.include_usage)
        said = SaidBlocks() if may_pause(request.body) else None
        return MessageStream(created=int(self._now()), tool=json_tool(request.body), encoder=encoder, said_blocks=said)

    def go_on(
        self, reader: StreamReader, request: Operation, model: Model, api_key: str | None, learned: Changes
    ) -> WireRequest | None:
        """A paused turn goes on where what was said is sent back as it came."""
        if not isinstance(reader, MessageStream) or not reader.paused or reader.said_blocks is None:
            return None
        body = self._body(request, model, learned, stream=True)
        said = {"role": "assistant", "content": reader.said_blocks.content()}
        if body["messages"][-1]["role"] == "assistant":
            said["content"] = [*body["messages"].pop()["content"], *said["content"]]
        reader.resume()
        return WireRequest(self._endpoints[api_key], orjson.dumps({**body, "messages": [*body["messages"], said]}))
