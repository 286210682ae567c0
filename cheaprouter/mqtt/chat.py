"""Chat over MQTT, for an ESP32 or a flow without an HTTP client: the same line, limits and books as over HTTP.

`…/chat/request` takes plain text, `{"prompt": …}` or a chat completion's body; `…/chat/response` gets the whole answer.
With `"stream": true` the text is also published piece by piece: on `…/chat/stream`, or on `/stream` below the response topic
that MQTT 5 lets an asker name. The last piece is `{"done": true}`, whatever came of it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final

import orjson

from ..control import Control
from ..core.calendar import Clock
from ..core.errors import InvalidRequestError, UpstreamError
from ..core.ids import MQTT, key_owner
from ..core.models import Caller, Json
from ..gateway import Gateway, Reply
from ..wire.decode import decode_message
from ..wire.embedded import LONG
from ..wire.events import Failed, Piece, Text
from ..wire.openai_chat.encode import Assembler
from ..wire.openai_chat.request import ChatRequest, parse
from .messages import BusyError, Incoming, Outgoing
from .publisher import Publisher

_ADDRESS: Final = "(mqtt)"
"""What newcomers are counted by: nobody knows who published, so all publishers share one count."""

DONE: Final = b'{"done": true}'
"""The last of the pieces: only then has the whole answer left for the response topic."""

PIECE_SECONDS: Final = 0.1
"""Streamed text is gathered that long: ten messages a second read well and do not flood a broker."""


class Chat:
    """Asks the gateway for a publisher, and publishes what it says."""

    questions = "chats"

    def __init__(self, control: Control, gateway: Gateway, publisher: Publisher, clock: Clock) -> None:
        self._control = control
        self._gateway = gateway
        self._topics = publisher.topics
        self._clock = clock
        self._say = publisher.say
        self._streaming: set[str | None] = set()

    def topic(self, what: str | None) -> str:
        """The chat's response topic."""
        return self._topics.chat(what, "response")

    def read(self, message: Incoming) -> Json:
        """The chat body in a message, whichever of the three forms it has. Raises InvalidRequestError."""
        try:
            text = message.read().decode()
        except UnicodeDecodeError:
            raise InvalidRequestError("The message must be UTF-8 text or JSON.") from None
        if not text.strip():
            raise InvalidRequestError("The message is empty; publish a prompt or a chat body.")
        value = _object(text)
        if value is None:
            return {"messages": [{"role": "user", "content": text}]}
        if "prompt" in value and "messages" not in value:
            prompt = value.pop("prompt")
            if not isinstance(prompt, str) or not prompt.strip():
                raise InvalidRequestError("`prompt` must be a text.", param="prompt")
            value["messages"] = [{"role": "user", "content": prompt}]
        return value

    async def answer(self, what: str | None, body: Json, message: Incoming) -> Json:
        """`what`: the slug of the device that asks, known or not yet; None: nobody in particular."""
        caller = self._control.accounts.let_in(Caller(self._device(what), source="mqtt"), _ADDRESS)
        request = self._parse(body, caller)
        if len(message.payload) > LONG:
            request.size = len(message.payload)
        if not request.stream:
            return await self._ask(what, request, caller, message)
        if what in self._streaming:
            raise BusyError("This device has a stream running; ask again when it is done.")
        self._streaming.add(what)
        try:
            return await self._ask(what, request, caller, message)
        finally:
            self._streaming.discard(what)

    def _device(self, slug: str | None) -> str:
        """The device's id: the one of that topic level, or the level itself as far as it is printable.

        Raises SettingError for a name of the router's own, but that of these questions.
        """
        if slug is None:
            return MQTT
        name = self._control.device_for_slug(slug) or slug
        return MQTT if name == MQTT else key_owner(name)

    def _parse(self, body: Json, caller: Caller) -> ChatRequest:
        try:
            return parse(body, default_model=self._default_model(caller.device_id), wire="events")
        except InvalidRequestError as error:
            self._gateway.refused(error, caller, str(body.get("model") or ""), via="mqtt")
            raise

    def _default_model(self, device_id: str) -> str:
        state = self._control.device_state(device_id) if self._control.knows(device_id) else {}
        profile = state.get("profile") or self._control.hub_state().get("profile") or "auto"
        return f"blockrun/{profile}"

    async def _ask(self, slug: str | None, request: ChatRequest, caller: Caller, message: Incoming) -> Json:
        reply = await self._gateway.serve(request, caller, via="mqtt")
        try:
            return await self._read(slug, reply, message)
        finally:
            reply.close()

    async def _read(self, slug: str | None, reply: Reply, message: Incoming) -> Json:
        if reply.chunks is None:
            data = orjson.loads(reply.body or b"{}")
        else:
            data = await self._stream(slug, reply.chunks, message)
        if not isinstance(data, dict):
            raise UpstreamError("The reply is no JSON object.")
        text = _text(data)
        return {**data, "text": text, "routed_model": reply.headers.get("x-cheaprouter-model")}

    async def _stream(self, slug: str | None, pieces: AsyncIterator[Piece], message: Incoming) -> Json:
        """Publish the text of the first choice as it comes; returns the whole as one completion."""
        topic, correlation = self._stream_topic(slug, message), message.correlation
        whole, waiting, since = Assembler(), "", self._clock.monotonic()
        try:
            async for event in pieces:
                if isinstance(event, bytes):
                    continue
                if isinstance(event, Failed):
                    raise event.error
                whole.add(event)
                if isinstance(event, Text) and not event.choice:
                    waiting += event.text
                if waiting and self._clock.monotonic() - since >= PIECE_SECONDS:
                    self._say(Outgoing(topic, waiting.encode(), correlation=correlation))
                    waiting, since = "", self._clock.monotonic()
        finally:
            if waiting:
                self._say(Outgoing(topic, waiting.encode(), correlation=correlation))
            self._say(Outgoing(topic, DONE, correlation=correlation))
        return whole.completion()

    def _stream_topic(self, slug: str | None, message: Incoming) -> str:
        wanted = message.response_topic
        if wanted and self._topics.may_answer_on(wanted):
            return f"{wanted}/stream"
        return self._topics.chat(slug, "stream")


def _meant_as_json(text: str) -> bool:
    """Whether it begins like an object, or like a list that is empty or has one."""
    text = text.lstrip()
    return text.startswith("{") or (text.startswith("[") and text[1:].lstrip().startswith(("{", "]")))


def _object(text: str) -> Json | None:
    """The JSON object that a text is, None where it is meant as a plain prompt.

    Raises InvalidRequestError for what begins like an object, or a list of them, and is no question: an automation whose
    template went wrong must not pay for an answer to its own braces.
    """
    if not _meant_as_json(text):
        return None
    value = decode_message(text.encode(), "The message")
    if not isinstance(value, dict) or not value.keys() & {"messages", "prompt"}:
        raise InvalidRequestError(
            "The message looks like JSON but has neither `prompt` nor `messages`.", param="prompt"
        )
    return value


def _text(completion: Json) -> str:
    choices: Any = completion.get("choices")
    message = choices[0].get("message") if isinstance(choices, list) and choices else None
    content = message.get("content") if isinstance(message, dict) else None
    return content if isinstance(content, str) else ""
