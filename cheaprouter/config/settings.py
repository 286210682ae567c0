"""Every setting, typed and frozen, each with the row that says all about it: how it is read and where it can be set.

Money is USD, times are seconds, prices are USD per million tokens, unless a name says otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field, fields
from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType
from typing import ClassVar, Final

from ..core.addresses import Network
from ..core.const import DEFAULT_PORT
from ..core.logs import FORMATS
from ..core.models import Capability, Price, Profile
from ..core.records import dataclass
from . import texts, values
from .kinds import KINDS, Timeouts, costs_money
from .values import row, setting

LANGUAGES: Final = ("en", "de", "es", "fr", "nl")
"""Those that translations/ has."""

_EMPTY: Mapping[str, str] = MappingProxyType({})
_count: Final = values.whole(1, values.MOST_COUNT)
_percent: Final = values.number(0, 100)
_seconds: Final = values.number(0.001, 86_400, unit="seconds")
_word: Final = values.text()
_maybe: Final = values.text(empty=True)
_abilities: Final = values.many(values.choice(Capability), f"a list of some of {', '.join(Capability)}")


class Auth(StrEnum):
    """Whether callers need a key."""

    OPEN = "open"
    KEYS = "keys"


class BudgetAction(StrEnum):
    """What happens to a request once a budget is spent."""

    REFUSE = "refuse"
    FREE = "free"
    ECO = "eco"


class Verify(StrEnum):
    """What of an answer is looked at before it leaves. `tools`: calls, and whole answers' formats; `on`: texts, too."""

    OFF = "off"
    TOOLS = "tools"
    ON = "on"


_action: Final = values.choice(BudgetAction)
_verify: Final = values.choice(Verify, flags=(Verify.OFF, Verify.ON))


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """A model as the user describes it. None: what the catalogue or the provider says.

    `think_tags`: its answers may begin with thoughts between tags, which are then told as `reasoning_content`.
    """

    id: str = field(metadata=row(texts.model_id))
    upstream: str | None = setting(_word, None)
    price: Price | None = None
    context: int | None = setting(_count, None)
    max_output: int | None = setting(_count, None)
    quality: float | None = setting(_percent, None)
    capabilities: frozenset[Capability] | None = setting(_abilities, None)
    think_tags: bool = setting(values.flag, default=False)


def model_id(provider_name: str, given: str) -> str:
    """A model's routable id: its provider's name goes before it, once."""
    return given if given.startswith(f"{provider_name}/") else f"{provider_name}/{given}"


@dataclass(frozen=True, slots=True)
class ProviderSettings:
    """One provider. `kind`: `openai`, `anthropic`, `mock` or a preset's name; `base_url` "" where the preset has one.

    `local`: runs in the home (price 0 where none is given); None: as the preset says. `discover`: ask its models
    endpoint; None: where no models are listed. `ca_file`: certificates that are trusted besides the system's. `verify_tls`:
    whether the server has to prove who it is. `proxy`: by which it is reached.
    """

    name: str
    kind: str = field(metadata=row(values.one_of(KINDS)))
    base_url: str = setting(texts.base_url, "")
    api_keys: tuple[str, ...] = setting(values.many(texts.api_key, "a list of keys"), ())
    headers: Mapping[str, str] = field(default_factory=lambda: _EMPTY)
    timeouts: Timeouts | None = None
    models: tuple[ModelSettings, ...] = ()
    local: bool | None = setting(values.flag, None)
    discover: bool | None = setting(values.flag, None)
    ca_file: str | None = setting(texts.certificates, None)
    verify_tls: bool = setting(values.flag, default=True)
    proxy: str | None = setting(texts.proxy, None)
    enabled: bool = setting(values.flag, default=True)


@dataclass(frozen=True, slots=True)
class Alias:
    """A model name of the user's own, and the rules that come with it. None or empty: no rule.

    `max_first_token_ms`: leave out models that are usually slower. `max_cost`: USD a request may be expected to cost.
    `models`: only these (ids, `provider/*`); `exclude`: never these. `cost_quality`: 0 (cost) .. 10 (quality).
    """

    target: str = field(metadata=row(texts.target))
    max_first_token_ms: float | None = setting(values.number(1, 86_400_000, unit="milliseconds"), None)
    max_cost: Decimal | None = setting(values.money(), None)
    models: tuple[str, ...] = setting(texts.models, ())
    exclude: tuple[str, ...] = setting(texts.models, ())
    cost_quality: float | None = setting(values.slider, None)


@dataclass(frozen=True, slots=True)
class DeviceSettings:
    """A device's settings. None everywhere means: not set here, the next layer decides; finally no limit.

    `rpm`, `tpm`: requests and tokens a minute; `parallel`: requests at once. Budgets in USD. `model`: always this one.
    `models`: allowed ids, `provider/*` or profile ids. `schedule`: spans such as `mon-fri 07:00-21:30` in which it may ask.
    `cache`: answer exact repeats from memory. `name`: for people.
    """

    name: str | None = setting(values.name("a name for people", longest=64), None, run_time=True)
    enabled: bool | None = setting(values.flag, None, run_time=True, mqtt=True)
    profile: Profile | None = setting(values.profile, None, run_time=True, mqtt=True)
    model: str | None = setting(texts.model, None, run_time=True, mqtt=True)
    models: tuple[str, ...] | None = setting(texts.models, None, run_time=True)
    exclude: tuple[str, ...] | None = setting(texts.models, None, run_time=True)
    rpm: int | None = setting(values.limit, None, option="rpm", shipped=60, unset=0, run_time=True, mqtt=True)
    tpm: int | None = setting(values.limit, None, option="tpm", shipped=100_000, unset=0, run_time=True, mqtt=True)
    parallel: int | None = setting(values.limit, None, option="parallel", run_time=True, mqtt=True)
    daily_budget: Decimal | None = setting(values.budget, None, option="daily_budget", run_time=True, mqtt=True)
    monthly_budget: Decimal | None = setting(values.budget, None, option="monthly_budget", run_time=True, mqtt=True)
    budget_action: BudgetAction | None = setting(_action, None, option="budget_action", run_time=True)
    schedule: tuple[str, ...] | None = setting(texts.schedule, None, run_time=True)
    cost_quality: float | None = setting(values.slider, None, run_time=True)
    cache: bool | None = setting(values.flag, None, run_time=True)


@dataclass(frozen=True, slots=True)
class BudgetSettings:
    """The budget above all devices', USD; None: none. `warn_percent`: when to warn, devices' budgets included."""

    daily: Decimal | None = setting(values.budget, None, option="global_daily_budget")
    monthly: Decimal | None = setting(values.budget, None, option="global_monthly_budget")
    action: BudgetAction = setting(_action, BudgetAction.REFUSE, option="budget_action", shipped="refuse")
    warn_percent: float = setting(_percent, 80.0)


@dataclass(frozen=True, slots=True)
class RoutingSettings:
    """How models are chosen. `baseline_model`: what savings are counted against; "": the best configured one.

    `cost_quality`: 0 (cost) .. 10 (quality) for `auto`. `max_cost`: USD ceiling for one request, fallbacks included.
    `exclude`: ids or `provider/*` never chosen by a profile. `sticky`: keep a conversation on its model where that pays.
    `learn`: correct what a better model gains by answers of this home that somebody judged.
    `fallback_on_content_filter`: try another model where one refuses by filter.
    """

    profile: Profile = setting(values.profile, Profile.AUTO, option="default_profile", shipped="auto")
    cost_quality: float = setting(values.slider, 5.0, option="cost_quality", shipped=5)
    baseline_model: str = setting(_maybe, "", option="baseline_model")
    max_cost: Decimal | None = setting(values.money(), None)
    exclude: tuple[str, ...] = setting(texts.models, ())
    sticky: bool = setting(values.flag, default=True)
    learn: bool = setting(values.flag, default=True)
    max_attempts: int = setting(values.whole(1, 20), 6)
    fallback_on_content_filter: bool = setting(values.flag, default=False)


@dataclass(frozen=True, slots=True)
class HubSettings:
    """The router's own settings that can be set at run time, as they hold then. `cloud_paused`: only local models."""

    profile: Profile = setting(values.profile, Profile.AUTO, follows="routing.profile", run_time=True, mqtt=True)
    cost_quality: float = setting(values.slider, 5.0, follows="routing.cost_quality", run_time=True, mqtt=True)
    daily_budget: Decimal | None = setting(values.budget, None, follows="budget.daily", run_time=True, mqtt=True)
    monthly_budget: Decimal | None = setting(values.budget, None, follows="budget.monthly", run_time=True, mqtt=True)
    budget_action: BudgetAction = setting(_action, BudgetAction.REFUSE, follows="budget.action", run_time=True)
    cloud_paused: bool = setting(values.flag, default=False, run_time=True, mqtt=True)


@dataclass(frozen=True, slots=True)
class MqttSettings:
    """The broker. `host` "": none is set (in the app, the Supervisor is asked). `embedded`: run our own, for trying out.

    `protocol`: `5`, `3.1.1` or `auto` (5 first). `interval`: least seconds between two states of the same device.
    `discovery`: announce to Home Assistant. `max_devices`: how many have topics of their own, beside those that something
    is set for. `commands` / `chat`: whether publishers may set things / ask models. `response_topics`: where else than under
    the base topic they may have answers. `deleted_devices`: what becomes of one that somebody deletes in Home Assistant.
    """

    host: str = setting(texts.host, "", option="mqtt.host")
    port: int = setting(values.whole(1, 65535, store="port"), 1883, option="mqtt.port")
    username: str | None = setting(_maybe, None, option="mqtt.username")
    password: str | None = setting(values.text(empty=True, store="password"), None, option="mqtt.password")
    tls: bool = setting(values.flag, default=False, option="mqtt.tls")
    ca_file: str | None = setting(_word, None)
    tls_insecure: bool = setting(values.flag, default=False)
    protocol: str = setting(values.one_of(("auto", "5", "3.1.1")), "auto")
    base_topic: str = setting(texts.topic, "cheaprouter", option="mqtt.base_topic")
    discovery: bool = setting(values.flag, default=True, option="mqtt.discovery")
    discovery_prefix: str = setting(texts.topic, "homeassistant", option="mqtt.discovery_prefix")
    device_discovery: bool = setting(values.flag, default=True)
    max_devices: int = setting(values.whole(0, 100_000), 200)
    interval: float = setting(values.number(0, 3600, unit="seconds"), 10.0)
    commands: bool = setting(values.flag, default=True, option="mqtt.commands")
    chat: bool = setting(values.flag, default=True, option="mqtt.chat")
    response_topics: tuple[str, ...] = setting(values.many(texts.topic_filter, "a list of topics"), ())
    deleted_devices: str = setting(values.one_of(("return", "stay_away")), "return")
    embedded: bool = setting(values.flag, default=False)
    enabled: bool = setting(values.flag, default=True, option="mqtt.enabled")


@dataclass(frozen=True, slots=True)
class StorageSettings:
    """How much is kept: days of single requests, and megabytes of everything in the data folder."""

    retention_days: int = setting(values.whole(1, 36_500), 90, option="retention_days", shipped=90)
    max_mb: int = setting(values.whole(5, 1_000_000), 500)


@dataclass(frozen=True, slots=True)
class CacheSettings:
    """The exact-match response cache: whether on by default, seconds an answer holds, and megabytes of memory at most."""

    enabled: bool = setting(values.flag, default=False)
    ttl: float = setting(_seconds, 3600.0)
    max_mb: int = setting(values.whole(1, 100_000), 16)


@dataclass(frozen=True, slots=True)
class PricesSettings:
    """`refresh`: read once a day what genai-prices publishes, and take its prices for those of the shipped catalogue."""

    refresh: bool = setting(values.flag, default=False)


@dataclass(frozen=True, slots=True)
class HttpSettings:
    """The LAN site. `host` "": every IPv4 and IPv6 address. `cors_origins`: browser pages that may call, `*` for any.

    `allowed_hosts`: public names under which it is also reached without keys, by way of a reverse proxy say.
    `trusted_proxies`: whose word is taken for where a request comes from; of none, as long as it is empty.
    `max_new_devices_per_hour`: how many devices one address may add (of IPv6, one /64); more of its count as `others`.
    `client_idle`: seconds that a client may read nothing of a reply that waits for it, until it is cut off.
    """

    host: str = setting(texts.host, "", variable="host")
    port: int = setting(values.port, DEFAULT_PORT, variable="port")
    ingress_port: int | None = setting(values.port, None, variable="ingress_port")
    cors_origins: tuple[str, ...] = setting(values.many(_word, "a list of origins"), ())
    allowed_hosts: tuple[str, ...] = setting(values.many(_word, "a list of hosts"), ())
    trusted_proxies: tuple[Network, ...] = setting(values.many(texts.network, "a list of addresses and networks"), ())
    max_new_devices_per_hour: int = setting(values.whole(0, 100_000), 20)
    client_idle: float = setting(values.number(1, 86_400, unit="seconds"), 60.0)


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything. `auth` None: keys as soon as a provider can cost money, else open. `usd_rate`: units of `currency` a USD.

    `verify`: what of an answer is looked at before it leaves, so that a better model can be asked where something is wrong.
    `language`: of what is told over MQTT for people to read, the names of entities. `time_zone`: where days and months of budgets
    begin; "": the system's. `max_devices`: how many are remembered.
    """

    locked: ClassVar[bool] = False

    auth: Auth | None = setting(values.choice(Auth), None, option="auth", shipped="auto", unset="auto")
    admin_key: str | None = setting(values.text(longest=200, store="password"), None, variable="admin_key")
    providers: tuple[ProviderSettings, ...] = ()
    aliases: Mapping[str, Alias] = field(default_factory=dict)
    fallbacks: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    device_defaults: DeviceSettings = field(default_factory=DeviceSettings)
    devices: Mapping[str, DeviceSettings] = field(default_factory=dict)
    max_devices: int = setting(values.whole(1, 100_000), 10_000)
    budget: BudgetSettings = field(default_factory=BudgetSettings)
    routing: RoutingSettings = field(default_factory=RoutingSettings)
    mqtt: MqttSettings = field(default_factory=MqttSettings)
    storage: StorageSettings = field(default_factory=StorageSettings)
    cache: CacheSettings = field(default_factory=CacheSettings)
    prices: PricesSettings = field(default_factory=PricesSettings)
    verify: Verify = setting(_verify, Verify.TOOLS, option="verify", shipped="tools")
    http: HttpSettings = field(default_factory=HttpSettings)
    currency: str = setting(texts.currency, "USD", option="currency", shipped="USD")
    usd_rate: Decimal = setting(
        values.money("0.000001", values.MOST_COUNT, what="units of the currency for one USD"),
        Decimal(1),
        option="usd_rate",
    )
    language: str = setting(values.one_of(LANGUAGES), "en", option="language", shipped="en")
    time_zone: str = setting(texts.time_zone, "", option="time_zone")
    log_level: str = setting(
        values.one_of(("debug", "info", "warning", "error", "critical")), "info", option="log_level", shipped="info"
    )
    log_format: str = setting(values.one_of(FORMATS), "text", variable="log_format")

    @property
    def demo(self) -> bool:
        """Nothing is configured but the mock, if that: it stands behind every profile."""
        return not self.locked and not any(p.enabled and p.kind != "mock" for p in self.providers)


@dataclass(frozen=True, slots=True)
class LockedSettings(Settings):
    """What holds where no configuration can be read: callers need keys, and nobody is asked, not even the mock."""

    locked: ClassVar[bool] = True


def lock(settings: Settings) -> LockedSettings:
    """Of settings that cannot be trusted, what opens neither a door nor a purse."""
    kept = {f.name: getattr(settings, f.name) for f in fields(settings)}
    return LockedSettings(**kept | {"auth": Auth.KEYS, "providers": ()})


def auth_of(settings: Settings) -> Auth:
    """Whether callers need a key: as chosen, else as soon as a provider can cost money."""
    return settings.auth or (Auth.KEYS if any(map(costs_money, settings.providers)) else Auth.OPEN)
