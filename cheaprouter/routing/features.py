"""What a request needs and how big it is: one cheap pass over a chat body of any shape. Left out: how hard it is (`difficulty`).

`extract` runs on every request, so it only walks and counts. Whatever costs more (the ask without its pastes, the
conversation's key) is worked out when first read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Any, Final

import orjson

from ..core.models import Capability
from ..core.records import dataclass
from .lengths import Length, reply_length
from .text import LONG, Ask, clip, find_ask, is_closing, squeeze

MESSAGE_TOKENS: Final = 4
"""Role and separators of one message, as OpenAI's cookbook counts them."""
IMAGE_TOKENS: Final = 1000
"""An image of ordinary size: vendors bill 258 to 1,600 tokens for one."""
LOW_DETAIL_TOKENS: Final = 85
"""An image sent with `detail: low`, as OpenAI bills it."""
AUDIO_TOKENS: Final = 500
"""A spoken clip of some tens of seconds; its length is not known without decoding it."""
FILE_TOKENS: Final = 2000
"""An attached document of a few pages."""
TOOL_CALL_TOKENS: Final = 12
SCHEMA_BYTES_PER_TOKEN: Final = 4.5
"""JSON schemas are mostly ASCII with frequent words."""
DEFAULT_OUTPUT: Final = 320
"""Tokens of an ordinary chat reply, where nothing in the request says more."""

_MAYBE_PASTED: Final = 600
_HASHED: Final = 2000
"""The first characters tell openings apart; a pasted book need not be hashed whole. Python's own hash (64 bits, keyed anew in
each process) is as good here as any: keys are never stored."""

_IMAGE_PARTS: Final = frozenset({"image_url", "input_image", "image"})
_AUDIO_PARTS: Final = frozenset({"input_audio", "audio", "audio_url"})
_FILE_PARTS: Final = frozenset({"file", "input_file", "document"})
_SYSTEM: Final = ("system", "developer")
_OBJECT: Final = (dict, Mapping)
"""Nearly always the first, which is much faster to ask for."""
_TOOL: Final = ("tool", "function")


@dataclass(slots=True, eq=False)
class Features:
    """One request, measured.

    `said`: the last user message as it came; `previous`: the user messages before it, oldest first, at most four.
    `prompt_tokens`: estimate for the whole body; images and audio by constants, base64 never as text. `max_tokens`: the
    client's own ceiling on the reply, None where it set none. `in_tool_loop`: the model is being handed a tool's result, or several:
    `results`, in their words.
    `turns`: user messages. `opening`: what opened the conversation (system prompt and first user message); `first_reply`: the
    first answer to it, None before there is one. `offered`: the tools as they came; `schemas`: their JSON, by which they are known again.
    """

    said: str = ""
    previous: tuple[str, ...] = ()
    needs: frozenset[Capability] = frozenset()
    prompt_tokens: int = 0
    max_tokens: int | None = None
    in_tool_loop: bool = False
    turns: int = 0
    images: int = 0
    tools: int = 0
    opening: tuple[str, str] = ("", "")
    first_reply: str | None = None
    results: tuple[str, ...] = ()
    offered: Sequence[Any] = ()
    schemas: bytes = b""
    _asked: Ask | None = field(default=None, init=False, repr=False)

    @property
    def opening_key(self) -> int:
        """Hash of what opened the conversation, for this process. It does not say who asks: scope it by device."""
        system, asked = self.opening
        return hash((system[:_HASHED], asked[:_HASHED]))

    @property
    def conversation_key(self) -> int:
        """The same with the first reply, so that two chats that both begin with "hello" part as soon as they differ."""
        system, asked = self.opening
        if self.first_reply is None:
            return hash((system[:_HASHED], asked[:_HASHED]))
        return hash((system[:_HASHED], asked[:_HASHED], self.first_reply[:_HASHED]))

    @property
    def asked(self) -> Ask:
        """What the user asks now, and what was taken off it: pastes, quotations and pleasantries."""
        if self._asked is None:
            self._asked = find_ask(self.said)
        return self._asked

    @property
    def ask(self) -> str:
        """What the user asks now, in words."""
        return self.asked.text

    @property
    def repeats(self) -> bool:
        """Whether this very question was asked before in the conversation. Closing remarks do not count."""
        if not self.previous:
            return False
        now = _alike(self.said)
        return now in [_alike(one) for one in self.previous] and bool(now) and not is_closing(now)

    @property
    def length(self) -> Length:
        """Tokens that the reply will have, what is usual and what nine of ten stay below; never above `max_tokens`."""
        return reply_length(self.said, self.max_tokens, tools=self.tools > 0, looped=self.in_tool_loop)

    @property
    def expected_output_tokens(self) -> int:
        """Tokens that the reply will probably have: short for a command, longer for a long ask, never above `max_tokens`."""
        length, most = len(self.said), self.max_tokens
        if length < 60:
            guess = 80
        elif self.in_tool_loop:
            guess = DEFAULT_OUTPUT // 2
        else:
            # Looking for the ask costs a tenth of a millisecond: worth it only where there may be a paste around it.
            guess = min(1500, DEFAULT_OUTPUT + (length if length < _MAYBE_PASTED else len(self.ask)) // 2)
        return guess if most is None or guess <= most else max(1, most)


def _alike(text: str) -> str:
    """The text without what a second try may differ in; of a long one its ends and middle are enough to know it by."""
    return squeeze(clip(text, LONG)).casefold()


class _Walk:
    """The running sums of one pass. Lives only inside `extract`."""

    __slots__ = ("audio", "first_reply", "images", "results", "role", "system", "tokens", "tool_talk", "users")

    def __init__(self) -> None:
        self.tokens: float = 0.0
        self.images = 0
        self.audio = self.tool_talk = False
        self.users: list[str] = []
        self.results: list[str] = []
        self.system = self.role = ""
        self.first_reply: str | None = None

    def message(self, message: Mapping[Any, Any]) -> None:
        """Count one message."""
        self.tokens += MESSAGE_TOKENS
        role, text = message.get("role"), message.get("content")
        if isinstance(text, str) and text.isascii():
            self.tokens += len(text) / 4
        else:
            text = self._text(text)
        self.role = role if isinstance(role, str) else ""
        if self.role in _TOOL:
            self.tool_talk = True
            self.results.append(text)
            return
        if self.results:
            self.results = []
        if role == "user":
            self.users.append(text)
        elif role == "assistant":
            calls = message.get("tool_calls")
            if calls or message.get("function_call"):
                self._calls(calls)
                text = text or _first_call(calls)
            if self.first_reply is None and self.users:
                self.first_reply = text
        elif self.role in _SYSTEM:
            self.system = self.system or text

    def _text(self, content: object) -> str:
        """The text of a message's content; counts what it holds."""
        if isinstance(content, str):
            self.tokens += text_tokens(content)
            return content
        if not isinstance(content, list):
            return ""
        texts = [text for part in content if (text := self._part(part))]
        return "\n".join(texts)

    def _part(self, part: object) -> str:
        if isinstance(part, str):
            self.tokens += text_tokens(part)
            return part
        if not isinstance(part, _OBJECT):
            return ""
        kind = part.get("type")
        if not isinstance(kind, str):
            kind = ""
        if kind in _IMAGE_PARTS or "image_url" in part:
            self.images += 1
            self.tokens += _image_tokens(part)
        elif kind in _AUDIO_PARTS or "input_audio" in part:
            self.audio = True
            self.tokens += AUDIO_TOKENS
        elif kind in _FILE_PARTS:
            self.tokens += FILE_TOKENS
        else:
            text = part.get("text")
            if isinstance(text, str):
                self.tokens += text_tokens(text)
                return text
        return ""

    def _calls(self, calls: object) -> None:
        self.tool_talk = True
        for call in calls if isinstance(calls, list) else ():
            function = call.get("function") if isinstance(call, Mapping) else None
            arguments = function.get("arguments") if isinstance(function, Mapping) else None
            self.tokens += TOOL_CALL_TOKENS + (text_tokens(arguments) if isinstance(arguments, str) else 0)


def extract(body: Mapping[str, Any] | object) -> Features:
    """Measure a chat request. Never raises, whatever the body holds: what cannot be read counts as absent.

    Most are a few messages of plain ASCII and ask for nothing else; for those this is what `walked` comes to.
    """
    if type(body) is not dict or not _MORE.isdisjoint(body) or type(messages := body.get("messages")) is not list:
        return walked(body)
    system, users, first_reply, length = "", [], None, 0
    for message in messages:
        if type(message) is not dict or len(message) != 2:
            return walked(body)
        role, text = message.get("role"), message.get("content")
        if type(text) is not str or not text.isascii():
            return walked(body)
        length += len(text)
        if role == "user":
            users.append(text)
        elif role == "system":
            system = system or text
        elif role != "assistant":
            return walked(body)
        elif first_reply is None and users:
            first_reply = text
    if not users:
        return walked(body)
    most, asked = body.get("max_tokens"), len(users)
    return Features(
        users[-1],
        tuple(users[-5:-1]) if asked > 1 else (),
        _NOTHING,
        MESSAGE_TOKENS * len(messages) + length // 4 + 3,
        most if type(most) is int and most > 0 else None,
        turns=asked,
        opening=(system, users[0]),
        first_reply=first_reply,
    )


def walked(body: Mapping[str, Any] | object) -> Features:
    """The same for a body of any shape."""
    if not isinstance(body, _OBJECT):
        return Features()
    walk, messages = _Walk(), body.get("messages")
    for message in messages if isinstance(messages, list) else (messages,) if isinstance(messages, str) else ():
        if isinstance(message, _OBJECT):
            walk.message(message)
        elif isinstance(message, str):
            walk.message({"role": "user", "content": message})
    tools = body.get("tools")
    if not tools or not isinstance(tools, list):
        tools = body.get("functions")
    tools = tools if isinstance(tools, list) else []
    schemas = _schemas(tools) if tools else b""
    users = walk.users
    return Features(
        users[-1] if users else "",
        tuple(users[-5:-1]) if len(users) > 1 else (),
        _needs(walk, body, tools=bool(tools)),
        int(walk.tokens + len(schemas) / SCHEMA_BYTES_PER_TOKEN) + 3,
        _ceiling(body),
        walk.role in _TOOL,
        len(users),
        walk.images,
        len(tools),
        (walk.system, users[0] if users else ""),
        walk.first_reply,
        tuple(walk.results),
        tools or (),
        schemas,
    )


def text_tokens(text: str) -> float:
    """Estimated tokens of a text: a quarter a character of ASCII, 0.6 of other alphabets, 1 of CJK and the scripts of India.

    UTF-8 tells them apart by width, so three C-speed length counts do what a loop over the characters would.
    """
    if text.isascii():
        return len(text) / 4
    encoded = text.encode("utf-8", "replace")
    ascii_chars = len(text.encode("ascii", "ignore"))
    other = len(text) - ascii_chars
    wide = min(other, max(0, len(encoded) - len(text) - other))
    return ascii_chars / 4 + (other - wide) * 0.6 + wide


def _needs(walk: _Walk, body: Mapping[str, Any], *, tools: bool) -> frozenset[Capability]:
    modalities, shape = body.get("modalities"), body.get("response_format")
    if not (tools or walk.tool_talk or walk.images or walk.audio or modalities or shape):
        return _NOTHING
    found = (
        (Capability.TOOLS, tools or walk.tool_talk),
        (Capability.VISION, walk.images),
        (Capability.AUDIO, walk.audio or (isinstance(modalities, list) and "audio" in modalities)),
        (Capability.JSON_SCHEMA, isinstance(shape, Mapping) and shape.get("type") == "json_schema"),
    )
    return frozenset([capability for capability, needed in found if needed])


_NOTHING: Final[frozenset[Capability]] = frozenset()
_MORE: Final = frozenset({"tools", "functions", "modalities", "response_format", "max_completion_tokens"})
"""Fields that say more of what is needed than the messages."""


def _ceiling(body: Mapping[str, Any]) -> int | None:
    """The client's own ceiling on the reply, by its newer name or its older one."""
    for value in (body.get("max_completion_tokens"), body.get("max_tokens")):
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            return value
    return None


def _image_tokens(part: Mapping[Any, Any]) -> int:
    image = part.get("image_url")
    detail = image.get("detail") if isinstance(image, Mapping) else part.get("detail")
    return LOW_DETAIL_TOKENS if detail == "low" else IMAGE_TOKENS


def _schemas(tools: list[Any]) -> bytes:
    try:
        return orjson.dumps(tools)
    except TypeError:  # a key that is no string, a lone surrogate: not from JSON, so any text of its size will do
        return repr(tools).encode("utf-8", "replace")


def _first_call(calls: object) -> str:
    call = calls[0] if isinstance(calls, list) and calls else None
    return str(call.get("id", "")) if isinstance(call, Mapping) else ""
