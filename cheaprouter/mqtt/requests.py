"""Questions over MQTT: `request/<verb>` is answered on `response/<verb>`. Nothing here shows or takes a secret."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from ..config import fields
from ..config.fields import Field
from ..config.settings import MqttSettings
from ..control import Control
from ..core.errors import CheapRouterError, InvalidRequestError, NotFoundError, PermissionDeniedError
from ..core.models import Json
from .answers import Answers, BusyError, InternalError, read_object, transaction_of
from .messages import Incoming
from .publisher import Publisher

_PROVIDER_KEYS: Final = ("name", "kind", "local", "state", "keys", "cooldowns", "first_token_ms")
"""What is told of a provider; `keys` is their number."""


class Requests:
    """One method for each verb; those that change something need `mqtt.commands`."""

    def __init__(self, settings: MqttSettings, control: Control, publisher: Publisher) -> None:
        self._control = control
        self._topics = publisher.topics
        self._show = publisher.show
        self._commands = settings.commands
        self._answers = Answers(publisher)
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
        }

    def busy(self, verb: str | None, message: Incoming) -> None:
        """Say so."""
        if verb in self._verbs:
            error = BusyError("Too many requests at once; ask again.")
            self._answers.error(self._topics.response(str(verb)), message, None, error)

    def failed(self, verb: str | None, message: Incoming) -> None:
        """Say that it was our fault."""
        usual = self._topics.response(str(verb) if verb in self._verbs else "unknown")
        self._answers.error(usual, message, None, InternalError())

    async def answer(self, verb: str | None, message: Incoming) -> None:
        """Do what is asked and publish what came of it. An unknown verb is answered on `response/unknown`."""
        usual = self._topics.response(str(verb) if verb in self._verbs else "unknown")
        transaction = None
        try:
            body = read_object(message)
            transaction = transaction_of(body)
            data = await self._verb(verb)({k: v for k, v in body.items() if k != "transaction"})
        except CheapRouterError as error:
            self._answers.error(usual, message, transaction, error)
        else:
            self._answers.ok(usual, message, transaction, data)

    def _verb(self, verb: str | None) -> Callable[[Json], Awaitable[Any]]:
        if verb is None or verb not in self._verbs:
            raise NotFoundError(f"No such request; there are: {', '.join(self._verbs)}.")
        return self._verbs[verb]

    async def _usage(self, body: Json) -> Json:
        for name, value in body.items():
            if not isinstance(value, (str, int)):
                raise InvalidRequestError(f"`{name}` must be a text or a number.", param=name[:64])
        return await self._control.reports.usage({name: str(value) for name, value in body.items()})

    async def _route(self, body: Json) -> Json:
        device_id = self._device(body) if "device" in body else "mqtt"
        return self._control.explain({k: v for k, v in body.items() if k != "device"}, device_id)

    async def _providers(self, _: Json) -> list[Json]:
        return [{k: p[k] for k in _PROVIDER_KEYS if k in p} for p in self._control.providers()]

    async def _devices(self, _: Json) -> list[Json]:
        control = self._control
        return [
            {"id": d, "slug": control.slug(d), "name": control.device_name(d), **control.device_state(d)}
            for d in control.device_ids()
        ]

    async def _models(self, _: Json) -> list[Json]:
        return list(self._control.models())

    async def _health(self, _: Json) -> Json:
        return self._control.health()

    async def _set_device(self, body: Json) -> Json:
        self._check_allowed()
        device_id = self._device(body)
        values = {k: v for k, v in body.items() if k != "device"}
        self._control.set_device_many(device_id, _checked(values, fields.DEVICE), "mqtt")
        self._show(device_id)
        return self._control.device_state(device_id)

    async def _set_hub(self, body: Json) -> Json:
        self._check_allowed()
        self._control.set_hub_many(_checked(body, fields.HUB), "mqtt")
        self._show(None)
        return self._control.hub_state()

    async def _reset_budget(self, body: Json) -> Json:
        self._check_allowed()
        device_id = self._device(body) if "device" in body else None
        self._control.reset_budget(device_id)
        self._show(device_id)
        return {"device": device_id}

    def _check_allowed(self) -> None:
        if not self._commands:
            raise PermissionDeniedError("Changes over MQTT are switched off (mqtt.commands).")

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


def _checked(values: Json, table: Mapping[str, Field]) -> Json:
    """All values as control takes them, each read before any is set. Raises InvalidRequestError."""
    allowed = [name for name, field in table.items() if field.mqtt]
    if not values:
        raise InvalidRequestError(f"Nothing to set; there are: {', '.join(allowed)}.")
    checked: Json = {}
    for name, value in values.items():
        if name not in allowed:
            raise InvalidRequestError(f"No such setting; there are: {', '.join(allowed)}.", param=name)
        checked[name] = table[name].published(value)
        if checked[name] is not None:
            fields.read(table, name, checked[name])
    return checked
