"""Settings and questions over MQTT. Nothing here shows or takes a secret; whatever is refused is refused whole.

A setting is changed on its `…/set` topic; `request/<verb>` is answered on `response/<verb>`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import orjson

from ..config import fields
from ..config.fields import Field
from ..config.settings import MqttSettings
from ..control import Control
from ..core import rounds
from ..core.errors import (
    CheapRouterError,
    InvalidRequestError,
    NotFoundError,
    PermissionDeniedError,
    SettingError,
)
from ..core.ids import MQTT
from ..core.models import Json
from ..core.records import dataclass
from ..home_assistant.discovery import PRESS
from . import shown
from .messages import Incoming, encode
from .pacing import Once
from .publisher import Publisher

LONGEST: Final = 256
"""Bytes of a value; the longest real one is a model's name."""

_CHANGES: Final = ("set_device", "set_hub", "reset_budget", "feedback")
"""Verbs that need `mqtt.commands`."""

_PROVIDER_KEYS: Final = ("name", "kind", "local", "state", "keys", "cooldowns", "first_token_ms")
"""What is told of a provider; `keys` is their number."""


@dataclass(frozen=True, slots=True)
class Command:
    """What a `…/set` topic takes: a setting's value, read by its `field`, or the one word of a button that is `pressed`.

    `pressed` is handed control and the device's id (None: the hub).
    """

    field: Field | None = None
    pressed: Callable[[Control, str | None], None] | None = None

    def value(self, payload: str) -> Any:
        """The value as control takes it; None: what the configuration says. Raises SettingError."""
        if self.field is not None:
            return self.field.published(payload)
        if payload != PRESS:
            raise SettingError(f"must be {PRESS}")
        return None


def _commands(table: Mapping[str, Field]) -> dict[str, Command]:
    settings = {name: Command(field) for name, field in table.items() if field.mqtt}
    return settings | {"reset_today": Command(pressed=lambda control, device: control.reset_budget(device, "day"))}


DEVICE_COMMANDS: Final[Mapping[str, Command]] = {
    **_commands(fields.DEVICE),
    "good_answer": Command(pressed=lambda control, device: control.judge_last(device, good=True)),
    "bad_answer": Command(pressed=lambda control, device: control.judge_last(device, good=False)),
}
HUB_COMMANDS: Final[Mapping[str, Command]] = {
    **_commands(fields.HUB),
    "clear_cooldowns": Command(pressed=lambda control, _: control.clear_cooldowns()),
    "acknowledge_problems": Command(pressed=lambda control, _: control.acknowledge_problems()),
}


class Commands:
    """Takes a message on a `…/set` topic: does it, or refuses it and logs that once; shows the true state in any case."""

    def __init__(self, control: Control, show: Callable[[str | None], None], once: Once) -> None:
        self._control = control
        self._show = show
        self._once = once

    def take(self, slug: str | None, setting: str, message: Incoming) -> None:
        """`slug` None: the hub's setting. No payload at all is what everyone hears when a retained message is cleared."""
        cleared = not message.payload
        device_id = None if slug is None else self._control.device_for_slug(slug)
        if slug is not None and device_id is None:
            if not cleared:
                self._refuse(message.topic, "no such device")
            return
        try:
            if not cleared:
                self._obey(device_id, setting, message)
        except CheapRouterError as error:
            self._refuse(message.topic, error.message)
        self._show(device_id)

    def _obey(self, device_id: str | None, setting: str, message: Incoming) -> None:
        if message.retain:
            raise SettingError("a retained command is stale; publish it without the retain flag")
        command = (HUB_COMMANDS if device_id is None else DEVICE_COMMANDS).get(setting)
        if command is None:
            raise SettingError("no such setting")
        value = shown.taken(self._control, setting, command.value(_decode(message.payload)))
        if command.pressed is not None:
            command.pressed(self._control, device_id)
        elif device_id is None:
            self._control.set_hub(setting, value, "mqtt")
        else:
            self._control.set_device(device_id, setting, value, "mqtt")

    def _refuse(self, topic: str, reason: str) -> None:
        self._once.warning(f"refused {topic} {reason}", "Refused what was published on %s: %s", topic, reason)


def _decode(payload: bytes) -> str:
    if len(payload) > LONGEST:
        raise SettingError(f"longer than {LONGEST} bytes")
    try:
        return payload.decode().strip()
    except UnicodeDecodeError:
        raise SettingError("not UTF-8 text") from None


class Requests:
    """One method for each verb."""

    questions = "requests"

    def __init__(self, settings: MqttSettings, control: Control, publisher: Publisher) -> None:
        self._control = control
        self._topics = publisher.topics
        self._show = publisher.show
        self._commands = settings.commands
        self._verbs: Mapping[str, Callable[[Json], Awaitable[Any]]] = {
            "usage": self._usage,
            "route": self._route,
            "providers": self._providers,
            "devices": self._devices,
            "models": self._models,
            "health": self._health,
            "set_device": self._set_device,
            "set_hub": self._set_hub,
            "reset_budget": self._reset_budget,
            "feedback": self._feedback,
        }

    def topic(self, what: str | None) -> str:
        """`response/<verb>`, or `response/unknown`."""
        return self._topics.response(str(what) if what in self._verbs else "unknown")

    def read(self, message: Incoming) -> Json:
        return message.read_object()

    async def answer(self, what: str | None, body: Json, _: Incoming) -> Any:
        """Do what is asked. Raises NotFoundError for an unknown verb."""
        if what is None or what not in self._verbs:
            raise NotFoundError(f"No such request; there are: {', '.join(self._verbs)}.")
        if what in _CHANGES and not self._commands:
            raise PermissionDeniedError("Changes over MQTT are switched off (mqtt.commands).")
        return await self._verbs[what](body)

    async def _usage(self, body: Json) -> orjson.Fragment:
        for name, value in body.items():
            if not isinstance(value, (str, int)):
                raise InvalidRequestError(f"`{name}` must be a text or a number.", param=name[:64])
        # Ten thousand rows are JSON already, made beside the event loop.
        return orjson.Fragment(await self._control.reports.usage({name: str(value) for name, value in body.items()}))

    async def _route(self, body: Json) -> Json:
        device_id = self._device(body) if "device" in body else MQTT
        return self._control.explain({k: v for k, v in body.items() if k != "device"}, device_id)

    async def _providers(self, _: Json) -> list[Json]:
        return [{k: p[k] for k in _PROVIDER_KEYS if k in p} for p in self._control.providers()]

    async def _devices(self, _: Json) -> orjson.Fragment:
        house, rows = self._control, []
        for i in house.device_ids():
            await rounds.turn()
            if house.knows(i):
                names = {"id": i, "slug": house.slug(i), "name": house.device_name(i)}
                rows.append(encode({**names, **shown.state(house, i)}))
        return orjson.Fragment(b"[%b]" % b",".join(rows))

    async def _models(self, _: Json) -> list[Json]:
        return list(self._control.models())

    async def _health(self, _: Json) -> Json:
        return self._control.health()

    async def _set_device(self, body: Json) -> Json:
        device_id = self._device(body)
        values = {k: v for k, v in body.items() if k != "device"}
        self._control.set_device_many(device_id, self._published(values, fields.DEVICE), "mqtt")
        self._show(device_id)
        return shown.state(self._control, device_id)

    async def _set_hub(self, body: Json) -> Json:
        self._control.set_hub_many(self._published(body, fields.HUB), "mqtt")
        self._show(None)
        return shown.state(self._control, None)

    async def _reset_budget(self, body: Json) -> Json:
        device_id = self._device(body) if "device" in body else None
        self._control.reset_budget(device_id)
        self._show(device_id)
        return {"device": device_id}

    async def _feedback(self, body: Json) -> Json:
        """How an answer was. MQTT shows nobody's identity: whoever the broker lets publish may judge all answers."""
        request_id, good = body.get("request_id"), body.get("good")
        if not isinstance(request_id, str) or not request_id:
            raise InvalidRequestError("`request_id` must be the id of an answer.", param="request_id")
        if not isinstance(good, bool):
            raise InvalidRequestError("`good` must be true or false.", param="good")
        return self._control.judge(request_id, None, good=good)

    def _device(self, body: Json) -> str:
        """The device meant, by its id or its slug."""
        name = body.get("device")
        if not isinstance(name, str):
            raise InvalidRequestError("`device` must name a device, by its id or slug.", param="device")
        if self._control.knows(name):
            return name
        if (device_id := self._control.device_for_slug(name)) is None:
            raise NotFoundError("There is no such device.", param="device")
        return device_id

    def _published(self, values: Json, table: Mapping[str, Field]) -> Json:
        """All values as control takes them, which checks each before it sets any. Raises InvalidRequestError."""
        allowed = [name for name, field in table.items() if field.mqtt]
        if not values:
            raise InvalidRequestError(f"Nothing to set; there are: {', '.join(allowed)}.")
        for name in values:
            if name not in allowed:
                raise InvalidRequestError(f"No such setting; there are: {', '.join(allowed)}.", param=name)
        return {name: shown.taken(self._control, name, table[name].published(value)) for name, value in values.items()}
