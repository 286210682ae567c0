"""Where a message that arrived goes: a setting, a question, or chat; and what the asker is told."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Final, Protocol

from ..config.settings import MqttSettings
from ..control import Control
from ..core.calendar import Clock
from ..core.errors import CheapRouterError
from ..core.models import Json
from ..gateway import Gateway
from .chat import Chat
from .messages import BusyError, Incoming, InternalError, Outgoing, encode, error_data, transaction_of
from .pacing import Once
from .publisher import Publisher
from .requests import Commands, Requests

_LOG = logging.getLogger(__name__)

AT_ONCE: Final = 8
"""Questions and chats that are worked on at the same time; more are told that we are busy."""


class Desk(Protocol):
    """Who answers questions. `what`: the verb, or the slug of the device that chats. All raise CheapRouterError."""

    questions: str

    def topic(self, what: str | None) -> str:
        """Where answers go, unless the asker names a place."""

    def read(self, message: Incoming) -> Json:
        """The question's body."""

    async def answer(self, what: str | None, body: Json, message: Incoming) -> Any:
        """Do what is asked; what came of it."""


class Inbox:
    """Dispatches by topic. Settings are done at once, the rest in tasks, few at a time."""

    def __init__(
        self, settings: MqttSettings, control: Control, gateway: Gateway, publisher: Publisher, clock: Clock, once: Once
    ) -> None:
        self._settings = settings
        self._publisher = publisher
        self._commands = Commands(control, publisher.show, once)
        self._requests = Requests(settings, control, publisher)
        self._chat = Chat(control, gateway, publisher, clock)
        self._once = once
        self._jobs: set[asyncio.Task[None]] = set()

    def take(self, message: Incoming) -> None:
        """Act on a message; whatever it holds, it harms nobody."""
        try:
            self._dispatch(message)
        except Exception:  # noqa: BLE001 - the boundary: one message must never end the connection for all
            _LOG.exception("A message on %s could not be handled", message.topic)

    def _dispatch(self, message: Incoming) -> None:
        match self._publisher.topics.inside(message.topic):
            case ["request", verb]:
                self._start(message, self._requests, verb)
            case ["chat", "request"] if self._settings.chat:
                self._start(message, self._chat, None)
            case ["device", slug, "chat", "request"] if self._settings.chat:
                self._start(message, self._chat, slug)
            case [setting, "set"] if self._settings.commands:
                self._commands.take(None, setting, message)
            case ["device", slug, setting, "set"] if self._settings.commands:
                self._commands.take(slug, setting, message)
            case _:
                self._once.warning(f"unknown {message.topic}", "Nothing is done about a message on %s", message.topic)

    def _start(self, message: Incoming, desk: Desk, what: str | None) -> None:
        if message.retain:
            self._once.warning(f"retained {message.topic}", "A retained message on %s is stale: ignored", message.topic)
        elif len(self._jobs) >= AT_ONCE:
            self._say(desk.topic(what), message, None, BusyError(f"Too many {desk.questions} at once; ask again."))
        else:
            task = asyncio.create_task(self._answer(desk, what, message), name=f"mqtt {message.topic}")
            self._jobs.add(task)
            task.add_done_callback(self._jobs.discard)

    async def _answer(self, desk: Desk, what: str | None, message: Incoming) -> None:
        topic, transaction = desk.topic(what), None
        try:
            body = desk.read(message)
            transaction = transaction_of(body)
            body.pop("transaction", None)
            self._say(topic, message, transaction, await desk.answer(what, body, message))
        except CheapRouterError as error:
            self._say(topic, message, transaction, error)
        except Exception:  # noqa: BLE001 - the boundary: whatever went wrong, the asker is told that something did
            _LOG.exception("%s could not be answered", message.topic)
            self._say(topic, message, transaction, InternalError())

    def _say(self, usual: str, message: Incoming, transaction: str | int | None, told: Any) -> None:
        """Answer on the response topic that MQTT 5 lets an asker name, if it may be written to, else on the usual one.

        `told`: what came of it, or the error.
        """
        topic = self._place(usual, message)
        body: Json = {"status": "ok", "data": told, "error": None, "transaction": transaction}
        if isinstance(told, CheapRouterError):
            body |= {"status": "error", "data": None, "error": error_data(told)}
        self._publisher.say(Outgoing(topic, encode(body), correlation=message.correlation))

    def _place(self, usual: str, message: Incoming) -> str:
        wanted = message.response_topic
        if not wanted or self._publisher.topics.may_answer_on(wanted):
            return wanted or usual
        told = "Nothing is answered on %s, which a message on %s asks for: it is not in mqtt.response_topics. The answer is on %s."
        self._once.warning(f"response {wanted}", told, wanted[:256], message.topic, usual)
        return usual

    async def close(self) -> None:
        for task in self._jobs:
            task.cancel()
        await asyncio.gather(*self._jobs, return_exceptions=True)
