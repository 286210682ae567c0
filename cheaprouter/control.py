"""What front doors ask for and set, beside operations: state, settings, reports, explanations. Put together here; no rules."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from .accounts.accounts import Accounts
from .accounts.ledger import Period
from .books.metrics import Metrics
from .books.prometheus import Page
from .books.reports import Reports
from .catalog import shown
from .catalog.prices import price_at
from .core.const import VERSION
from .core.errors import NotFoundError, SettingError
from .core.models import Json, Model, Profile
from .core.records import dataclass
from .gateway import Gateway
from .learning import Learning
from .routing.forecast import MOST
from .routing.router import Router
from .world import World

AUTO: Final = "auto"

_FORECAST_SECONDS: Final = 60.0
"""A forecast is made anew at most so often, however often it is asked for."""

_EPOCH: Final = 1_700_000_000
"""`created` of every model: nobody knows the real dates, and clients only want a number that stays."""


@dataclass(slots=True)
class Facts:
    """What else `/health` tells. `mqtt`: the bridge's state; `tasks`: background work by name; `problems`: in words."""

    mqtt: Callable[[], str] = lambda: "disabled"
    tasks: Callable[[], Mapping[str, str]] = dict
    problems: Callable[[], tuple[str, ...]] = tuple


class Control:
    """What can be seen and set from outside. `accounts`, `reports` and `gateway` are there to be asked directly, too."""

    version = VERSION
    latest_version = ""
    page = ""
    """Where the dashboard is, as links in Home Assistant have it; "" where it has none."""

    def __init__(self, gateway: Gateway, metrics: Metrics, reports: Reports, instance_id: str) -> None:
        self.gateway = gateway
        self.accounts: Accounts = gateway.accounts
        self.reports = reports
        self.instance_id = instance_id
        self._metrics = metrics
        self._page = Page(metrics)
        metrics.cache_saves = self._cache_saves
        self.facts = Facts()
        self._forecast: tuple[Router, float | None, float, Json] | None = None

    @property
    def world(self) -> World:
        """What is in force now."""
        return self.gateway.world

    @property
    def currency(self) -> str:
        """ISO 4217 code in which money is shown; the books are in USD."""
        return self.world.settings.currency

    @property
    def usd_rate(self) -> float:
        """How much of that currency one USD is."""
        return float(self.world.settings.usd_rate)

    # --- state -------------------------------------------------------------------------------------------------

    def health(self) -> Json:
        """The body of `/health`."""
        providers, mqtt, tasks = self.providers(), self.facts.mqtt(), dict(self.facts.tasks())
        problems = self.facts.problems()
        real = [p["state"] for p in providers if p["kind"] != "mock"]  # the mock is never down, and no comfort
        none_left = bool(real) and all(state in {"down", "unauthorized"} for state in real)
        degraded = bool(problems) or none_left or mqtt == "unauthorized" or "restarting" in tasks.values()
        return {
            "status": "degraded" if degraded else "ok",
            "version": VERSION,
            "demo": self.world.settings.demo,
            "providers": {p["name"]: p["state"] for p in providers},
            "mqtt": mqtt,
            "tasks": tasks,
            **({"problems": list(problems)} if problems else {}),
        }

    def acknowledge_problems(self) -> None:
        """Somebody has read what was lost of the books: hard budgets go by what is left of them from now on.

        A clock that was in doubt is taken at its word, too.
        """
        self.accounts.database.acknowledge()
        self.accounts.clock.believe()

    def hub_state(self) -> Json:
        """Totals of all devices and the hub's settings, by the names that MQTT publishes."""
        total, last_minute = self.turned_away()
        refused = {"unauthorized": total, "unauthorized_last_minute": last_minute}
        return self._shown(self._metrics.snapshot(None)) | refused | self.hub_settings()

    def device_state(self, device_id: str) -> Json:
        """One device's figures, what is left of its limits, and its settings."""
        return self._shown(self._metrics.snapshot(device_id)) | self.world.policies.effective(device_id)

    def device_report(self, device_id: str) -> Json:
        """The same with its name and where each setting is from, for the JSON API."""
        return {
            "id": device_id,
            "slug": self.slug(device_id),
            "name": self.device_name(device_id),
            "state": self.device_state(device_id),
            "usage": self._metrics.periods(device_id),
            "sources": self.world.policies.sources(device_id),
        }

    def _cache_saves(self, model_id: str) -> float:
        """USD that each token read from a model's cache costs less than one read anew, at its present price; 0 where unknown."""
        model = self.world.table.get(model_id)
        rates = None if model is None else price_at(model, self.accounts.clock.utcnow(), 0)
        if rates is None or rates.cached_input is None:
            return 0.0
        return float(rates.input - rates.cached_input) / 1e6

    def _shown(self, state: Mapping[str, Any]) -> Json:
        """The state with money in the display currency."""
        rate = self.world.settings.usd_rate
        if rate == 1:
            return dict(state)
        return {k: _times(v, rate) if k.startswith(("cost_", "saved_")) else v for k, v in state.items()}

    def judge(self, request_id: str, device_id: str | None, *, good: bool) -> Json:
        """Somebody says how an answer was, see `Learning.judge`. Raises NotFoundError, PermissionDeniedError."""
        return self._learning.judge(request_id, device_id, good=good)

    def judge_last(self, device_id: str | None, *, good: bool) -> None:
        """The same of the last answer that a device got. Raises NotFoundError."""
        request_id = None if device_id is None else self._learning.last(device_id)
        if request_id is None:
            raise NotFoundError("There is no answer to be judged.")
        self._learning.judge(request_id, device_id, good=good)

    def learned(self) -> Json:
        """What this home has taught, in numbers and in words."""
        return self._learning.told()

    def forget_learned(self) -> None:
        """Begin to learn anew."""
        self._learning.reset()

    @property
    def _learning(self) -> Learning:
        found = self.gateway.learning
        assert found is not None
        return found

    # --- devices -----------------------------------------------------------------------------------------------

    def device_ids(self) -> list[str]:
        """All that are known."""
        return self.accounts.known.ids()

    def latest_devices(self, most: int) -> list[str]:
        """So many of them, the one that called last first."""
        return self.accounts.known.recent()[:most]

    def knows(self, device_id: str) -> bool:
        """Whether a device is known."""
        return device_id in self.accounts.known

    def slug(self, device_id: str) -> str:
        """The device's name in topics, `[a-z0-9_]`, the same for ever, no two alike."""
        return self.accounts.known.slug(device_id)

    def device_for_slug(self, slug: str) -> str | None:
        """The device of a topic."""
        return self.accounts.known.for_slug(slug)

    def device_name(self, device_id: str) -> str:
        """Its name for people."""
        return self.world.policies.of(device_id).device.name or device_id

    # --- settings ----------------------------------------------------------------------------------------------

    def hub_settings(self) -> Json:
        """The router's own run-time settings."""
        return self.world.policies.effective(None)

    def set_hub(self, name: str, value: Any, source: str = "api") -> None:
        """Change one of them; None: back to what the file says. Raises SettingError."""
        self.set_hub_many({name: value}, source)

    def set_hub_many(self, changes: Json, source: str = "api") -> None:
        """Change several, or none where one is wrong. Raises SettingError."""
        self.accounts.set_many(self.world.settings, None, changes, source)

    def set_device(self, device_id: str, name: str, value: Any, source: str = "api") -> None:
        """Change a device's setting; None: back to what the file says. Raises SettingError."""
        self.set_device_many(device_id, {name: value}, source)

    def set_device_many(self, device_id: str, changes: Json, source: str = "api") -> None:
        """Change several, or none where one is wrong; a model must exist. Raises SettingError."""
        checked = {name: self._existing(name, value) for name, value in changes.items()}
        self.accounts.set_many(self.world.settings, device_id, checked, source)

    def _existing(self, name: str, value: Any) -> Any:
        """The value, a model being one that exists, or none for `auto`."""
        if name != "model" or value == AUTO:
            return None if name == "model" else value
        if isinstance(value, str) and value not in self.options("model"):
            raise SettingError(
                f"`model` must be `auto` or one of the models of `/v1/models`, not `{value[:80]}`.", param="model"
            )
        return value

    def options(self, setting: str) -> list[str]:
        """What a select offers: the profiles, or `auto` and the models; a policy refuses what a device may not use."""
        if setting == "profile":
            return [p.value for p in Profile]
        return [AUTO, *self.world.table.ids()]

    def remove_device(self, device_id: str) -> None:
        """Forget it."""
        self.accounts.remove(device_id)

    def reset_budget(self, device_id: str | None, period: Period = None) -> None:
        """Begin its budget of today anew, and with `period` None that of the month, too; None: the one above all."""
        self.accounts.reset_budget(device_id, period)

    # --- providers and models ----------------------------------------------------------------------------------

    def providers(self) -> list[Json]:
        """Each provider's health."""
        return self.gateway.pool.status(self.world.upstreams)

    async def check_providers(self) -> list[Json]:
        """Ask each provider now."""
        return [await self.gateway.pool.check(adapter) for adapter in self.world.upstreams.adapters.values()]

    def clear_cooldowns(self) -> None:
        """Let everything be tried again."""
        self.gateway.pool.clear_cooldowns()

    def models(self) -> list[Json]:
        """Profiles, aliases and models, in the shape of `/v1/models`."""
        settings, table = self.world.settings, self.world.table
        now, lacking = self.accounts.clock.utcnow(), self.gateway.pool.learned.lacking
        any_model = shown.of_profile(table.models)
        own = {m.id: shown.of_model(m, now, lacking.get((m.provider, m.upstream), {})) for m in table.models}
        own |= {profile.model_id: any_model for profile in Profile}
        ids = [(p.model_id, "cheaprouter") for p in Profile]
        ids += [(a, "alias") for a in settings.aliases if a != "*"]
        ids += [(m.id, m.provider) for m in table.models]
        seen: dict[str, str] = {}
        for model_id, owner in ids:
            seen.setdefault(model_id, owner)
        return [
            {"id": i, "object": "model", "created": _EPOCH, "owned_by": o, "cheaprouter": own.get(self._stands_for(i))}
            for i, o in seen.items()
        ]

    def _stands_for(self, model_id: str) -> str:
        """The id that an alias leads to; any other is itself. What leads nowhere, or in a circle, is left where it was."""
        aliases, target = self.world.settings.aliases, model_id
        for _ in range(len(aliases)):
            if (step := aliases.get(target)) is None:
                break
            target = step.target
        return target

    def model_details(self) -> list[Json]:
        """Every routable model with its prices (USD per million tokens), context and quality, for people."""
        now = self.accounts.clock.utcnow()
        return [model_detail(model, now) for model in self.world.table.models]

    def explain(self, body: Json, device_id: str) -> Json:
        """Which model a body would go to and why; nobody is called."""
        return self.gateway.explain(body, device_id)

    async def forecast(self) -> Json:
        """What each step of the dial between cost and quality would have meant for the last requests; at most a minute old."""
        router, slider = self.world.router, self.world.policies.hub.cost_quality
        at = self.accounts.clock.monotonic()
        kept = self._forecast
        if kept is None or kept[0] is not router or kept[1] != slider or at - kept[2] >= _FORECAST_SECONDS:
            made = await self.reports.scored(MOST, router.forecaster(self.accounts.clock.utcnow(), slider))
            kept = self._forecast = (router, slider, at, made)
        return kept[3]

    # --- books -------------------------------------------------------------------------------------------------

    def prometheus(self) -> str:
        """The text of `/metrics`."""
        return self._page.render(self.providers(), self.turned_away())

    def own_prometheus(self, device_id: str) -> str:
        """The part of it that is about one device."""
        return self._page.of_device(device_id)

    def turned_away(self) -> tuple[int, int]:
        """Callers refused for want of a key: since the start, and within the last minute."""
        counted = self.accounts.turned_away
        return counted.total, counted.last_minute(self.accounts.clock.monotonic())


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
