"""The app's options: one table of them, and their translation into the same raw settings that a YAML file gives. Pure.

Each option is also an environment variable, `CHEAPROUTER_` and its name in capitals (`mqtt.host`: `CHEAPROUTER_MQTT_HOST`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from ..core.models import Json
from .kinds import CLOUD, LOCAL, LOCAL_PORTS, NEEDS_URL
from .problems import Problem, nearest

PREFIX: Final = "CHEAPROUTER_"


@dataclass(frozen=True, slots=True)
class Option:
    """One option.

    `name`: `mqtt.host` sits in the group `mqtt`. `type`: as the store's manifest writes it. `default`: what it is set to at
    first, None: left out. `paths`: the dotted settings it stands for, none where translating takes thought.
    """

    name: str
    type: str
    default: Any = None
    paths: tuple[str, ...] = ()

    @property
    def variable(self) -> str:
        """The environment variable of the same meaning."""
        return PREFIX + self.name.replace(".", "_").upper()


OPTIONS: Final[tuple[Option, ...]] = (
    *(
        Option(f"{name}_api_key", "password?", None, (f"providers.{name}.api_key",))
        for name in CLOUD
        if name not in NEEDS_URL
    ),
    Option("local_url", "url?"),
    Option("local_kind", f"list({'|'.join((*LOCAL, 'openai'))})?"),
    Option("default_profile", "list(auto|eco|premium|free)", "auto", ("routing.profile",)),
    Option("cost_quality", "float(0,10)", 5, ("routing.cost_quality",)),
    Option("currency", "match(^[A-Za-z]{3}$)", "USD", ("currency",)),
    Option("usd_rate", "float(0.000001,)?", None, ("usd_rate",)),
    Option("baseline_model", "str?", None, ("routing.baseline_model",)),
    Option("auth", "list(auto|open|keys)", "auto", ("auth",)),
    Option("rpm", "int(0,)", 60, ("devices.defaults.rpm",)),
    Option("tpm", "int(0,)", 100_000, ("devices.defaults.tpm",)),
    Option("parallel", "int(1,)?", None, ("devices.defaults.parallel",)),
    Option("daily_budget", "float(0,)?", None, ("devices.defaults.daily_budget",)),
    Option("monthly_budget", "float(0,)?", None, ("devices.defaults.monthly_budget",)),
    Option("global_daily_budget", "float(0,)?", None, ("budget.daily",)),
    Option("global_monthly_budget", "float(0,)?", None, ("budget.monthly",)),
    Option(
        "budget_action",
        "list(refuse|free|eco)",
        "refuse",
        ("budget.action", "devices.defaults.budget_action"),
    ),
    Option("mqtt.enabled", "bool?", None, ("mqtt.enabled",)),
    Option("mqtt.host", "str?", None, ("mqtt.host",)),
    Option("mqtt.port", "port?", None, ("mqtt.port",)),
    Option("mqtt.username", "str?", None, ("mqtt.username",)),
    Option("mqtt.password", "password?", None, ("mqtt.password",)),
    Option("mqtt.tls", "bool?", None, ("mqtt.tls",)),
    Option("mqtt.base_topic", "str?", None, ("mqtt.base_topic",)),
    Option("mqtt.discovery", "bool?", None, ("mqtt.discovery",)),
    Option("mqtt.discovery_prefix", "str?", None, ("mqtt.discovery_prefix",)),
    Option("mqtt.commands", "bool?", None, ("mqtt.commands",)),
    Option("mqtt.chat", "bool?", None, ("mqtt.chat",)),
    Option("time_zone", "str?", None, ("time_zone",)),
    Option("log_level", "list(debug|info|warning|error|critical)", "info", ("log_level",)),
    Option("retention_days", "int(1,)", 90, ("storage.retention_days",)),
)

_ZERO_IS_NONE: Final = ("rpm", "tpm")
"""Limits with a default: emptying the field in Home Assistant brings the default back, so none is said by 0."""

ENVIRONMENT: Final[tuple[Option, ...]] = (
    *OPTIONS,
    Option("host", "str?", None, ("http.host",)),
    Option("port", "port", None, ("http.port",)),
    Option("ingress_port", "port?", None, ("http.ingress_port",)),
    Option("admin_key", "password?", None, ("admin_key",)),
    Option("mqtt.url", "str?", None, ("mqtt.url",)),
    Option("azure_api_key", "password?", None, ("providers.azure.api_key",)),
)
"""What environment variables may say: every option, and what the app decides for itself."""


@dataclass(frozen=True, slots=True)
class Translated:
    """Raw settings, where each dotted path came from, and what was not understood."""

    raw: Json
    origins: Mapping[str, str]
    problems: tuple[Problem, ...]


def from_options(options: Any) -> Translated:
    """Translate the app's options. Anything empty counts as left out."""
    if not isinstance(options, dict):
        return Translated({}, {}, (Problem((), "the app's options: expected a mapping of settings"),))
    found = dict(_flatten(options))
    by_name = {option.name: option for option in OPTIONS}
    problems = tuple(
        Problem((name,), f"option {name}: unknown option{nearest(name, by_name)}")
        for name in found
        if name not in by_name
    )
    values = {by_name[name]: value for name, value in found.items() if name in by_name and value not in (None, "")}
    return _translate(values, {option: f"option {option.name}" for option in values}, problems)


def from_environment(environ: Mapping[str, str], known: Mapping[str, str]) -> Translated:
    """Translate `CHEAPROUTER_*` variables.

    `known`: further names, each with the dotted path of the provider's key it holds, or "" where somebody else reads it.
    """
    by_variable = {option.variable: option for option in ENVIRONMENT}
    by_variable |= {name: Option(name, "password?", None, (path,)) for name, path in known.items() if path}
    ours = {name: value for name, value in environ.items() if name.startswith(PREFIX)}
    problems = [
        Problem((name,), f"environment variable {name}: unknown name{nearest(name, by_variable, lower=False)}")
        for name in ours
        if name not in by_variable and name not in known
    ]
    values: dict[Option, Any] = {}
    for name, value in ours.items():
        if name in by_variable and value.strip():
            values[by_variable[name]] = _typed(by_variable[name].type, value.strip())
    return _translate(values, {o: f"environment variable {o.variable}" for o in values}, tuple(problems))


def defaults() -> Json:
    """What the app's options are set to at first, nested as the manifest nests them."""
    shipped: Json = {}
    for option in OPTIONS:
        if option.default is not None:
            shipped[option.name] = option.default
    return shipped


def _flatten(options: Json) -> Iterator[tuple[str, Any]]:
    for name, value in options.items():
        if name == "mqtt" and isinstance(value, dict):
            yield from ((f"mqtt.{key}", item) for key, item in value.items())
        else:
            yield str(name), value


def _typed(kind: str, value: str) -> Any:
    """A variable's text as the value it means; what does not fit stays text, for the schema to complain about."""
    if kind.startswith("bool"):
        return {
            "true": True,
            "1": True,
            "yes": True,
            "on": True,
            "false": False,
            "0": False,
            "no": False,
            "off": False,
        }.get(value.lower(), value)
    if kind.startswith(("int", "port", "float")):
        try:
            return int(value)
        except ValueError:
            pass
        try:
            return float(value)
        except ValueError:
            return value
    return value


def _translate(
    values: Mapping[Option, Any], origins: Mapping[Option, str], problems: tuple[Problem, ...]
) -> Translated:
    raw: Json = {}
    where: dict[str, str] = {}
    for option, value in values.items():
        if (option.name == "auth" and value == "auto") or (option.name in _ZERO_IS_NONE and value == 0):
            continue
        for path in option.paths:
            _put(raw, path, value)
            where[path] = origins[option]
    by_name = {option.name: option for option in values}
    if (url := by_name.get("local_url")) is not None:
        kind = values[by_name["local_kind"]] if "local_kind" in by_name else None
        name, provider = _local(values[url], kind)
        raw.setdefault("providers", {})[name] = provider
        where |= {f"providers.{name}.{key}": origins[url] for key in provider}
    return Translated(raw, where, problems)


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
