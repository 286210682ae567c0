"""Every setting, typed and frozen. What is allowed is in `schema`; where values come from, in `loader`.

Money is USD, times are seconds, prices are USD per million tokens, unless a name says otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType

from ..core.const import DEFAULT_PORT
from ..core.models import Capability, Price, Profile

_EMPTY: Mapping[str, str] = MappingProxyType({})


class Auth(StrEnum):
    """Whether callers need a key."""

    OPEN = "open"
    KEYS = "keys"


class BudgetAction(StrEnum):
    """What happens to a request once a budget is spent."""

    REFUSE = "refuse"
    FREE = "free"
    ECO = "eco"


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds an upstream may take: to connect, to send headers, the first content, between chunks, and altogether.

    `headers` None: as `first_token` for a stream, four times that for a whole reply, which has to be written first.
    """

    connect: float = 5.0
    first_token: float = 30.0
    idle: float = 60.0
    total: float = 600.0
    headers: float | None = None


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """A model as the user describes it. None: what the catalogue or the provider says."""

    id: str
    upstream: str | None = None
    price: Price | None = None
    context: int | None = None
    max_output: int | None = None
    quality: float | None = None
    capabilities: frozenset[Capability] | None = None


@dataclass(frozen=True, slots=True)
class ProviderSettings:
    """One provider. `kind`: `openai`, `anthropic`, `mock` or a preset's name; `base_url` "" where the preset has one.

    `local`: runs in the home (price 0 where none is given); None: as the preset says. `discover`: ask its models
    endpoint; None: where no models are listed.
    """

    name: str
    kind: str
    base_url: str = ""
    api_keys: tuple[str, ...] = ()
    headers: Mapping[str, str] = field(default_factory=lambda: _EMPTY)
    timeouts: Timeouts | None = None
    models: tuple[ModelSettings, ...] = ()
    local: bool | None = None
    discover: bool | None = None
    enabled: bool = True


@dataclass(frozen=True, slots=True)
class Alias:
    """A model name of the user's own, and the rules that come with it. None or empty: no rule.

    `max_first_token_ms`: leave out models that are usually slower. `max_cost`: USD a request may be expected to cost.
    `models`: only these (ids, `provider/*`); `exclude`: never these. `cost_quality`: 0 (cost) .. 10 (quality).
    """

    target: str
    max_first_token_ms: float | None = None
    max_cost: Decimal | None = None
    models: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    cost_quality: float | None = None


@dataclass(frozen=True, slots=True)
class DeviceSettings:
    """A device's settings. None everywhere means: not set here, the next layer decides; finally no limit.

    `rpm`, `tpm`: requests and tokens a minute; `parallel`: requests at once. Budgets in USD. `model`: always this one.
    `models`: allowed ids, `provider/*` or profile ids. `schedule`: spans such as `mon-fri 07:00-21:30` in which it may ask.
    `cache`: answer exact repeats from memory. `name`: for people.
    """

    name: str | None = None
    enabled: bool | None = None
    profile: Profile | None = None
    model: str | None = None
    models: tuple[str, ...] | None = None
    exclude: tuple[str, ...] | None = None
    rpm: int | None = None
    tpm: int | None = None
    parallel: int | None = None
    daily_budget: Decimal | None = None
    monthly_budget: Decimal | None = None
    budget_action: BudgetAction | None = None
    schedule: tuple[str, ...] | None = None
    cost_quality: float | None = None
    cache: bool | None = None


@dataclass(frozen=True, slots=True)
class BudgetSettings:
    """The budget above all devices', USD; None: none. `warn_percent`: when to warn, devices' budgets included."""

    daily: Decimal | None = None
    monthly: Decimal | None = None
    action: BudgetAction = BudgetAction.REFUSE
    warn_percent: float = 80.0


@dataclass(frozen=True, slots=True)
class RoutingSettings:
    """How models are chosen. `baseline_model`: what savings are counted against; "": the best configured one.

    `cost_quality`: 0 (cost) .. 10 (quality) for `auto`. `max_cost`: USD ceiling for one request, fallbacks included.
    `exclude`: ids or `provider/*` never chosen by a profile. `sticky`: keep a conversation on its model where that pays.
    `fallback_on_content_filter`: try another model where one refuses by filter.
    """

    profile: Profile = Profile.AUTO
    cost_quality: float = 5.0
    baseline_model: str = ""
    max_cost: Decimal | None = None
    exclude: tuple[str, ...] = ()
    sticky: bool = True
    max_attempts: int = 6
    fallback_on_content_filter: bool = False


@dataclass(frozen=True, slots=True)
class MqttSettings:
    """The broker. `host` "": none is set (in the app, the Supervisor is asked). `embedded`: run our own, for trying out.

    `protocol`: `5`, `3.1.1` or `auto` (5 first). `interval`: least seconds between two states of the same device.
    `discovery`: announce to Home Assistant. `commands` / `chat`: whether publishers may set things / ask models.
    """

    host: str = ""
    port: int = 1883
    username: str | None = None
    password: str | None = None
    tls: bool = False
    ca_file: str | None = None
    tls_insecure: bool = False
    protocol: str = "auto"
    base_topic: str = "cheaprouter"
    discovery: bool = True
    discovery_prefix: str = "homeassistant"
    device_discovery: bool = True
    interval: float = 10.0
    commands: bool = True
    chat: bool = True
    embedded: bool = False
    enabled: bool = True


@dataclass(frozen=True, slots=True)
class StorageSettings:
    """How much history is kept: days, and megabytes of the whole database file."""

    retention_days: int = 90
    max_mb: int = 200


@dataclass(frozen=True, slots=True)
class CacheSettings:
    """The exact-match response cache: whether on by default, seconds an answer holds, and megabytes of memory at most."""

    enabled: bool = False
    ttl: float = 3600.0
    max_mb: int = 16


@dataclass(frozen=True, slots=True)
class HttpSettings:
    """The LAN site. `host` "": every IPv4 and IPv6 address. `cors_origins`: browser pages that may call, `*` for any.

    `allowed_hosts`: public names under which it is also reached without keys, by way of a reverse proxy say.
    """

    host: str = ""
    port: int = DEFAULT_PORT
    ingress_port: int | None = None
    cors_origins: tuple[str, ...] = ()
    allowed_hosts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything. `auth` None: keys as soon as a provider can cost money, else open. `usd_rate`: units of `currency` a USD.

    `time_zone`: where days and months of budgets begin; "": the system's. `max_devices`: how many are remembered.
    """

    auth: Auth | None = None
    admin_key: str | None = None
    providers: tuple[ProviderSettings, ...] = ()
    aliases: Mapping[str, Alias] = field(default_factory=dict)
    fallbacks: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    device_defaults: DeviceSettings = field(default_factory=DeviceSettings)
    devices: Mapping[str, DeviceSettings] = field(default_factory=dict)
    max_devices: int = 200
    budget: BudgetSettings = field(default_factory=BudgetSettings)
    routing: RoutingSettings = field(default_factory=RoutingSettings)
    mqtt: MqttSettings = field(default_factory=MqttSettings)
    storage: StorageSettings = field(default_factory=StorageSettings)
    cache: CacheSettings = field(default_factory=CacheSettings)
    http: HttpSettings = field(default_factory=HttpSettings)
    currency: str = "USD"
    usd_rate: Decimal = Decimal(1)
    time_zone: str = ""
    log_level: str = "info"

    @property
    def demo(self) -> bool:
        """Nothing is configured but the mock, if that: it stands behind every profile."""
        return not any(p.enabled and p.kind != "mock" for p in self.providers)

    @property
    def locked(self) -> bool:
        """Whether these stand in for a configuration that cannot be read."""
        return False


@dataclass(frozen=True, slots=True)
class LockedSettings(Settings):
    """What holds where no configuration can be read: callers need keys, and nobody is asked, not even the mock."""

    auth: Auth | None = Auth.KEYS

    @property
    def demo(self) -> bool:
        """Never."""
        return False

    @property
    def locked(self) -> bool:
        """They do."""
        return True
