"""The table of settings, made of the rows in `settings`: run time, app options, environment and documentation follow it. Pure.

Each option is also an environment variable, `CHEAPROUTER_` and its name in capitals (`mqtt.host`: `CHEAPROUTER_MQTT_HOST`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import urlsplit

from ..core.errors import SettingError
from ..core.models import Json
from ..core.records import dataclass
from . import settings as rows
from .kinds import CLOUD, LOCAL, LOCAL_PORTS, NEEDS_URL
from .layers import Layer
from .problems import nearest
from .values import AUTO, NO_BUDGET, ROW, UNLIMITED, Row, flag, numeral

PREFIX: Final = "CHEAPROUTER_"
_PLAIN: Final = {"bool": flag.plain, "int": numeral, "port": numeral, "float": numeral}

FOLLOW: Final = "default"
"""What a publisher sends to take a setting back, so that the configuration, or the router's own, decides again."""

SECTIONS: Final[Mapping[str, type]] = MappingProxyType(
    {
        "": rows.Settings,
        "devices.defaults": rows.DeviceSettings,
        "budget": rows.BudgetSettings,
        "routing": rows.RoutingSettings,
        "mqtt": rows.MqttSettings,
        "storage": rows.StorageSettings,
        "cache": rows.CacheSettings,
        "prices": rows.PricesSettings,
        "http": rows.HttpSettings,
    }
)
"""Where in the file each part stands whose keys are always the same."""


@dataclass(frozen=True, slots=True)
class Field:
    """One setting. `path`: where the file has it, dotted. `allowed`: what run time takes, in words."""

    name: str
    path: str
    row: Row
    default: Any

    @property
    def allowed(self) -> str:
        return self.row.kind.allowed + self.row.kind.also

    @property
    def mqtt(self) -> bool:
        return self.row.mqtt

    @property
    def box(self) -> tuple[float, float]:
        """Least and most of a number box; the least may stand for no limit."""
        least, most = self.row.kind.bounds or (0, 0)
        box = self.row.kind.box
        return (least if box is None else box), most

    def read(self, value: Any) -> Any:
        """Check a JSON value or a text. Raises ValueError saying what is allowed."""
        return self.row.kind.at_run_time(value)

    def published(self, value: Any) -> Any:
        """What a publisher sent, as `read` takes it: no limit by a box's number is one by word. None: back to the file."""
        kind = self.row.kind
        if value is None or (isinstance(value, str) and value.strip().lower() == FOLLOW):
            return None
        plain = kind.plain(value)
        return UNLIMITED if kind.box is not None and plain == kind.box and not isinstance(plain, bool) else value


def of(section: type, place: str = "") -> dict[str, Field]:
    return {
        f.name: Field(f.name, f"{place}.{f.name}" if place else f.name, f.metadata[ROW], f.default)
        for f in dataclasses.fields(section)
        if ROW in f.metadata
    }


def everything() -> Iterator[Field]:
    """All settings that have one place in the file."""
    for place, section in SECTIONS.items():
        yield from of(section, place).values()


DEVICE: Final[Mapping[str, Field]] = MappingProxyType(
    {name: field for name, field in of(rows.DeviceSettings, "devices.defaults").items() if field.row.run_time}
)
"""Settings of a device that can be set at run time."""

HUB: Final[Mapping[str, Field]] = MappingProxyType(of(rows.HubSettings))
"""Settings of the router itself that can."""


def hub(settings: rows.Settings) -> rows.HubSettings:
    """The router's own settings as the file has them."""
    followed = {name: field.row.follows.split(".") for name, field in HUB.items() if field.row.follows}
    return rows.HubSettings(**{name: getattr(getattr(settings, part), key) for name, (part, key) in followed.items()})


def read(table: Mapping[str, Field], name: str, value: Any) -> Any:
    """Check a value for a setting. Raises SettingError naming the setting and what is allowed."""
    field = table.get(name)
    if field is None:
        raise SettingError(f"There is no setting `{name[:60]}`; there are {', '.join(table)}.", param=name[:60])
    try:
        return field.read(value)
    except ValueError as error:
        raise SettingError(f"`{name}` must be {field.allowed}, not `{str(value)[:60]}`.", param=name) from error


def dump(value: Any) -> Any:
    """A value as JSON keeps it; `read` takes it back."""
    if isinstance(value, Decimal):
        return UNLIMITED if value == NO_BUDGET else str(value)
    if isinstance(value, StrEnum):
        return value.value
    return list(value) if isinstance(value, tuple) else value


def shown(hub: rows.HubSettings, policy: rows.DeviceSettings | None) -> dict[str, Any]:
    """Every run-time setting by name as JSON shows it: money as numbers, what is not set as the router does without it.

    `policy`: a device's, None to show the router's.
    """
    if policy is None:
        return {name: _plain(getattr(hub, name)) for name in HUB}
    found = {name: _plain(getattr(policy, name)) for name in DEVICE}
    found["enabled"] = policy.enabled is not False
    found["profile"] = _plain(policy.profile or hub.profile)
    found["model"] = policy.model or AUTO
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return float(value) if value.is_finite() else None
    return dump(value)


@dataclass(frozen=True, slots=True)
class Option:
    """One option.

    `name`: `mqtt.host` sits in the group `mqtt`. `type`: as the store's manifest writes it. `default`: what it is set to at
    first, None: left out. `paths`: the dotted settings it stands for, none where translating takes thought. `unset`: what
    it says for "not set": emptying a field in Home Assistant brings its default back.
    """

    name: str
    type: str
    default: Any = None
    paths: tuple[str, ...] = ()
    unset: Any = None

    @property
    def variable(self) -> str:
        """The environment variable of the same meaning."""
        return PREFIX + self.name.replace(".", "_").upper()


def _option(name: str, fields: Sequence[Field]) -> Option:
    """The option that stands for these settings, all of one kind."""
    shipped = next((field.row.shipped for field in fields if field.row.shipped is not None), None)
    unset, kind = fields[0].row.unset, fields[0].row.kind.store
    if unset is not None:
        kind = kind.replace("list(", f"list({unset}|").replace("int(1,", f"int({unset},")
    return Option(
        name, kind if shipped is not None else f"{kind}?", shipped, tuple(field.path for field in fields), unset
    )


def _by_name(names: Callable[[Row], str]) -> Iterator[Option]:
    found: dict[str, list[Field]] = {}
    for field in everything():
        if name := names(field.row):
            found.setdefault(name, []).append(field)
    yield from (_option(name, fields) for name, fields in found.items())


def _key(provider: str) -> Option:
    return Option(f"{provider}_api_key", "password?", None, (f"providers.{provider}.api_key",))


OPTIONS: Final[tuple[Option, ...]] = (
    *(_key(name) for name in CLOUD if name not in NEEDS_URL),
    Option("local_url", "str?"),
    Option("local_kind", f"list({'|'.join((*LOCAL, 'openai'))})?"),
    *_by_name(lambda row: row.option),
)
"""The app's options; config.yaml decides on their order."""

ENVIRONMENT: Final[tuple[Option, ...]] = (
    *OPTIONS,
    *_by_name(lambda row: row.variable),
    Option("mqtt.url", "str?", None, ("mqtt.url",)),
    *map(_key, NEEDS_URL),
)
"""What environment variables may say: every option, and what the app decides for itself."""


def defaults() -> Json:
    """What the app's options are set to at first."""
    return {option.name: option.default for option in OPTIONS if option.default is not None}


def from_options(options: Any, source: str = "the app's options") -> Layer:
    """Translate the app's options. Anything empty counts as left out."""
    if not isinstance(options, dict):
        return Layer(source, {}, problems=("the app's options: expected a mapping of settings",))
    found = dict(_flatten(options))
    by_name = {option.name: option for option in OPTIONS}
    unknown = [f"option {name}: unknown option{nearest(name, by_name)}" for name in found if name not in by_name]
    values = {by_name[name]: value for name, value in found.items() if name in by_name and value not in (None, "")}
    return _translate(source, values, lambda option: f"option {option.name}", unknown)


def from_environment(environ: Mapping[str, str], known: Mapping[str, str]) -> Layer:
    """Translate `CHEAPROUTER_*` variables.

    `known`: further names, each with the dotted path of the provider's key it holds, or "" where somebody else reads it.
    """
    by_variable = {option.variable: option for option in ENVIRONMENT}
    by_variable |= {name: Option(name, "password?", None, (path,)) for name, path in known.items() if path}
    ours = {name: value.strip() for name, value in environ.items() if name.startswith(PREFIX)}
    unknown = [
        f"environment variable {name}: unknown name{nearest(name, by_variable, lower=False)}"
        for name in ours
        if name not in by_variable and name not in known
    ]
    found = {by_variable[name]: value for name, value in ours.items() if name in by_variable and value}
    values = {option: _typed(option.type, value) for option, value in found.items()}
    return _translate("environment", values, lambda option: f"environment variable {option.variable}", unknown)


def _flatten(options: Json) -> Iterator[tuple[str, Any]]:
    for name, value in options.items():
        if name == "mqtt" and isinstance(value, dict):
            yield from ((f"mqtt.{key}", item) for key, item in value.items())
        else:
            yield str(name), value


def _typed(kind: str, value: str) -> Any:
    """A variable's text as the value it means; what does not fit stays text, for the schema to complain about."""
    plain = _PLAIN.get(kind.partition("(")[0].rstrip("?"))
    return value if plain is None else plain(value)


def _translate(
    source: str, values: Mapping[Option, Any], origin: Callable[[Option], str], problems: Sequence[str]
) -> Layer:
    raw: Json = {}
    where: dict[str, str] = {}
    for option, value in values.items():
        if option.unset is not None and value == option.unset and not isinstance(value, bool):
            continue
        for path in option.paths:
            _put(raw, path, value)
            where[path] = origin(option)
    by_name = {option.name: option for option in values}
    if (url := by_name.get("local_url")) is not None:
        kind = values[by_name["local_kind"]] if "local_kind" in by_name else None
        name, provider = _local(values[url], kind)
        raw.setdefault("providers", {})[name] = provider
        where |= {f"providers.{name}.{key}": origin(url) for key in provider}
    return Layer(source, raw, where, tuple(problems))


def _put(raw: Json, path: str, value: Any) -> None:
    *parents, last = path.split(".")
    for part in parents:
        raw = raw.setdefault(part, {})
    raw[last] = value


def _local(url: Any, kind: str | None) -> tuple[str, Json]:
    """The provider behind `local_url`: its API by what was said, else by the port; `/v1` where no path is given."""
    address = str(url).strip().rstrip("/")
    if "://" not in address:
        address = f"http://{address}"
    try:
        parts = urlsplit(address)
        guess = LOCAL_PORTS.get(parts.port or 0)
    except ValueError:
        return "local", {"kind": "openai", "base_url": address, "local": True}
    if not parts.path:
        address += "/v1"
    chosen = kind or guess or "openai"
    return ("local" if chosen == "openai" else chosen), {"kind": chosen, "base_url": address, "local": True}
