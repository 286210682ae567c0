"""The one facade that front doors call for everything that is not a chat: state, settings, reports, explanations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from .accounts.budget import Period
from .accounts.service import Devices
from .books.metrics import Metrics
from .books.prometheus import render
from .books.reports import Reports
from .catalog.prices import price_at
from .catalog.table import ModelTable
from .config.settings import Settings
from .core.const import VERSION
from .core.errors import SettingError
from .core.models import Json, Model, Profile
from .gateway import Gateway
from .routing.router import RouteContext
from .upstream.pool import Pool

AUTO: Final = "auto"


@dataclass(slots=True)
class Services:
    """The parts that the facade speaks for."""

    gateway: Gateway
    devices: Devices
    pool: Pool
    metrics: Metrics
    reports: Reports
    settings: Callable[[], Settings]
    table: Callable[[], ModelTable]
    mqtt_state: Callable[[], str]
    problems: Callable[[], tuple[str, ...]]
    instance_id: str
    acknowledge: Callable[[], object] = lambda: None


class Control:
    """What can be seen and set from outside."""

    version = VERSION
    latest_version = ""

    def __init__(self, services: Services) -> None:
        self._s = services
        self.instance_id = services.instance_id

    @property
    def currency(self) -> str:
        """ISO 4217 code in which money is shown; the books are in USD."""
        return self._s.settings().currency

    @property
    def usd_rate(self) -> float:
        """How much of that currency one USD is."""
        return float(self._s.settings().usd_rate)

    # --- state -------------------------------------------------------------------------------------------------

    def health(self) -> Json:
        """The body of `/health`."""
        providers, mqtt = self.providers(), self._s.mqtt_state()
        states = {p["name"]: p["state"] for p in providers}
        real = [p["state"] for p in providers if p["kind"] != "mock"]  # the mock is never down, and no comfort
        none_left = bool(real) and all(state in {"down", "unauthorized"} for state in real)
        degraded = bool(self._s.problems()) or none_left or mqtt == "unauthorized"
        return {
            "status": "degraded" if degraded else "ok",
            "version": VERSION,
            "demo": self._s.settings().demo,
            "providers": states,
            "mqtt": mqtt,
            **({"problems": list(self._s.problems())} if self._s.problems() else {}),
        }

    def hub_state(self) -> Json:
        """Totals of all devices and the hub's settings, by the names that MQTT publishes."""
        return self._shown(self._s.metrics.snapshot(None)) | self.hub_settings()

    def device_state(self, device_id: str) -> Json:
        """One device's figures, what is left of its limits, and its settings."""
        return self._shown(self._s.metrics.snapshot(device_id)) | self._s.devices.effective(device_id)

    def device_report(self, device_id: str) -> Json:
        """The same with its name and where each setting is from, for the JSON API."""
        return {
            "id": device_id,
            "slug": self.slug(device_id),
            "name": self.device_name(device_id),
            "state": self.device_state(device_id),
            "usage": self._s.metrics.periods(device_id),
            "sources": dict(self._s.devices.sources(device_id)),
        }

    def _shown(self, state: Mapping[str, Any]) -> Json:
        """The state with money in the display currency."""
        rate = self._s.settings().usd_rate
        if rate == 1:
            return dict(state)
        return {k: _times(v, rate) if k.startswith(("cost_", "saved_")) else v for k, v in state.items()}

    def device_ids(self) -> list[str]:
        """All that are known."""
        return self._s.devices.ids()

    def knows(self, device_id: str) -> bool:
        """Whether there is such a device; at once, however many there are."""
        return self._s.devices.knows(device_id)

    def slug(self, device_id: str) -> str:
        """The device's name in topics."""
        return self._s.devices.slug(device_id)

    def device_for_slug(self, slug: str) -> str | None:
        """The device of a topic."""
        return self._s.devices.for_slug(slug)

    def device_name(self, device_id: str) -> str:
        """Its name for people."""
        return self._s.devices.policy(device_id).name or device_id

    # --- settings ----------------------------------------------------------------------------------------------

    def hub_settings(self) -> Json:
        """The router's own run-time settings."""
        return self._s.devices.effective(None)

    def set_hub(self, name: str, value: Any, source: str = "api") -> Any:
        """Change one of them. Raises SettingError."""
        return self._s.devices.set(None, name, value, source)

    def set_hub_many(self, changes: Json, source: str = "api") -> None:
        """Change several, or none where one is wrong."""
        for name, value in changes.items():
            self._s.devices.check(None, name, value)
        for name, value in changes.items():
            self.set_hub(name, value, source)

    def set_device(self, device_id: str, name: str, value: Any, source: str = "api") -> Any:
        """Change a device's setting. Raises SettingError; a model must exist."""
        return self._s.devices.set(device_id, name, self._checked(device_id, name, value), source)

    def _checked(self, device_id: str, name: str, value: Any) -> Any:
        """The value as `Devices` takes it: a model that exists, or none for `auto`."""
        if name == "model" and value == AUTO:
            value = None
        if name == "model" and isinstance(value, str) and value not in self.options("model", device_id):
            raise SettingError(
                f"`model` must be `auto` or one of the models of `/v1/models`, not `{value[:80]}`.", param="model"
            )
        self._s.devices.check(device_id, name, value)
        return value

    def set_device_many(self, device_id: str, changes: Json, source: str = "api") -> None:
        """Change several, or none where one is wrong."""
        checked = {name: self._checked(device_id, name, value) for name, value in changes.items()}
        for name, value in checked.items():
            self._s.devices.set(device_id, name, value, source)

    def options(self, setting: str, device_id: str | None = None) -> list[str]:
        """What a select offers: the profiles, or `auto` and the models."""
        if setting == "profile":
            return [p.value for p in Profile]
        del device_id  # all devices choose among the same models; the policy refuses what one may not use
        return [AUTO, *self._s.table().ids()]

    def remove_device(self, device_id: str) -> None:
        """Forget it."""
        self._s.devices.remove(device_id)

    def reset_budget(self, device_id: str | None, period: Period = None) -> None:
        """Begin its budgets anew, today's alone or (None) the day's and the month's; no device: those above all."""
        self._s.devices.reset_budget(device_id, period)

    def acknowledge_problems(self) -> None:
        """Someone has read what was lost of the books: go on without it."""
        self._s.acknowledge()

    # --- providers and models ----------------------------------------------------------------------------------

    def providers(self) -> list[Json]:
        """Each provider's health."""
        return self._s.pool.status()

    async def check_providers(self) -> list[Json]:
        """Ask each provider now."""
        return [await self._s.pool.check(p["name"]) for p in self.providers()]

    def clear_cooldowns(self) -> None:
        """Let everything be tried again."""
        self._s.pool.clear_cooldowns()

    def models(self) -> list[Json]:
        """Profiles, aliases and models, in the shape of `/v1/models`."""
        settings, table = self._s.settings(), self._s.table()
        ids = [(p.model_id, "cheaprouter") for p in Profile]
        ids += [(a, "alias") for a in settings.aliases if a != "*"]
        ids += [(m.id, m.provider) for m in table.models]
        seen: dict[str, str] = {}
        for model_id, owner in ids:
            seen.setdefault(model_id, owner)
        return [{"id": i, "object": "model", "created": _EPOCH, "owned_by": o} for i, o in seen.items()]

    def model_details(self) -> list[Json]:
        """Every routable model with its prices (USD per million tokens), context and quality, for people."""
        now = self._s.gateway.books.clock.utcnow()
        return [model_detail(model, now) for model in self._s.table().models]

    def explain(self, body: Json, device_id: str) -> Json:
        """Which model a body would go to and why; nobody is called."""
        return self._s.gateway.router.explain(body, self.context(device_id))

    def context(self, device_id: str) -> RouteContext:
        """What a decision for that device would know now."""
        return self._s.gateway.context(device_id)

    # --- books -------------------------------------------------------------------------------------------------

    async def audit(self, limit: int) -> list[Json]:
        """The newest requests first."""
        return await self._s.reports.audit(limit)

    async def recent(self, limit: int) -> list[Json]:
        """The same, with why each went where it did."""
        return await self._s.reports.recent(limit)

    async def usage_report(self, query: Json) -> Json:
        """What was used in a span of time."""
        return await self._s.reports.usage(query)

    async def usage_csv(self, query: Json) -> str:
        """The same as CSV."""
        return await self._s.reports.usage_csv(query)

    async def metrics_summary(self) -> Json:
        """The predecessor's `/v1/metrics`."""
        return await self._s.reports.summary()

    def prometheus(self) -> str:
        """The text of `/metrics`."""
        return render(self._s.metrics, self.providers())


_EPOCH: Final = 1_700_000_000
"""`created` of every model: nobody knows the real dates, and clients only want a number that stays."""


def model_detail(model: Model, at: datetime) -> Json:
    """One model as a page shows it."""
    rates = price_at(model, at, 0)
    return {
        "id": model.id,
        "provider": model.provider,
        "local": model.local,
        "input": None if rates is None else float(rates.input),
        "output": None if rates is None else float(rates.output),
        "context": model.context,
        "quality": model.quality.value,
        "quality_source": model.quality.source,
        "capabilities": sorted(model.capabilities),
    }


def _times(value: Any, rate: Decimal) -> Any:
    return value if value is None else round(float(Decimal(str(value)) * rate), 6)
