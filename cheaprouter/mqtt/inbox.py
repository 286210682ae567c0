"""Where a message that arrived goes: a setting, a question, or chat."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, Final

from ..config.settings import MqttSettings
from ..control import Control
from ..core.calendar import Clock
from ..gateway import Gateway
from .chat import Chat
from .commands import Commands
from .messages import Incoming
from .pacing import Once
from .publisher import Publisher
from .requests import Requests

_LOG = logging.getLogger(__name__)

AT_ONCE: Final = 8
"""Questions and chats that are worked on at the same time; more are told that we are busy."""


class Inbox:
    """Dispatches by topic. Settings are done at once, the rest in tasks, few at a time."""

    def __init__(
        self,
        settings: MqttSettings,
        control: Control,
        gateway: Gateway,
        publisher: Publisher,
        clock: Clock,
        once: Once,
    ) -> None:
        self._settings = settings
        self._topics = publisher.topics
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
        match self._topics.inside(message.topic):
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

    def _start(self, message: Incoming, worker: Requests | Chat, what: str | None) -> None:
        if message.retain:
            self._once.warning(f"retained {message.topic}", "A retained message on %s is stale: ignored", message.topic)
        elif len(self._jobs) >= AT_ONCE:
            worker.busy(what, message)
        else:
            self._run(self._answer(worker, what, message), message.topic)

    async def _answer(self, worker: Requests | Chat, what: str | None, message: Incoming) -> None:
        try:
            await worker.answer(what, message)
        except Exception:  # noqa: BLE001 - the boundary: whatever went wrong, the asker is told that something did
            _LOG.exception("%s could not be answered", message.topic)
            worker.failed(what, message)

    def _run(self, work: Coroutine[Any, Any, None], topic: str) -> None:
        task = asyncio.create_task(work, name=f"mqtt {topic}")
        self._jobs.add(task)
        task.add_done_callback(self._jobs.discard)

    async def close(self) -> None:
        """End what is running."""
        for task in self._jobs:
            task.cancel()
        await asyncio.gather(*self._jobs, return_exceptions=True)
