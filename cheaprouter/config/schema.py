"""What the settings may hold, as tables. Pure: a raw mapping in, typed settings or every problem at once out.

A key set to nothing (`null`) counts as not set. Numbers are not taken from quoted strings, except amounts of money.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import voluptuous as vol

from ..core.errors import ConfigurationError
from ..core.models import Capability, Json
from . import convert
from . import values as read
from .checks import cross_check
from .kinds import KINDS
from .problems import Problem, at, dotted, nearest, render
from .settings import (
    Alias,
    Auth,
    BudgetAction,
    BudgetSettings,
    CacheSettings,
    DeviceSettings,
    HttpSettings,
    RoutingSettings,
    Settings,
    StorageSettings,
    Timeouts,
)

Validator = Callable[[Any], Any]


class _Told(vol.Invalid):
    """An error about a key rather than its value; the message says all there is to say."""


def _value(reader: read.Reader) -> Validator:
    def validate(value: Any) -> Any:
        try:
            return reader(value)
        except ValueError as error:
            raise vol.Invalid(str(error)) from None

    return validate


def _section(fields: Mapping[str, Validator], make: Callable[..., Any], *, required: tuple[str, ...] = ()) -> Validator:
    """A mapping with known keys, each with its validator, handed to `make` by name."""
    schema = vol.Schema({vol.Optional(key): validator for key, validator in fields.items()})

    def validate(value: Any) -> Any:
        value = {} if value is None else value
        if not isinstance(value, dict):
            raise vol.Invalid("a mapping of settings")
        known = {key: item for key, item in value.items() if key in fields and item is not None}
        errors: list[vol.Invalid] = [
            _Told(f"unknown key{nearest(str(key), fields)}", path=[key]) for key in value if key not in fields
        ]
        errors += [_Told("missing; it has to be set", path=[key]) for key in required if key not in known]
        try:
            data = schema(known)
        except vol.MultipleInvalid as invalid:
            errors += invalid.errors
        if errors:
            raise vol.MultipleInvalid(errors)
        return _made(make, data)

    return validate


def _made(make: Callable[..., Any], data: Json) -> Any:
    try:
        return make(**data)
    except ValueError as error:
        raise vol.Invalid(str(error)) from None


def _each(validator: Validator) -> Validator:
    """A list; one bare value counts as a list of one."""

    def validate(value: Any) -> tuple[Any, ...]:
        if isinstance(value, dict):
            raise vol.Invalid("a list")
        items = value if isinstance(value, list | tuple) else [value]
        return tuple(_collect(enumerate(items), validator))

    return validate


def _named(key: read.Reader, validator: Validator) -> Validator:
    """A mapping whose keys are the user's own names."""

    def validate(value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise vol.Invalid("a mapping of names to settings")
        found = _collect(((k, (k, v)) for k, v in value.items()), lambda kv: (_key(key, kv[0]), validator(kv[1])))
        return dict(found)

    return validate


def _key(reader: read.Reader, key: Any) -> str:
    try:
        return str(reader(key))
    except ValueError as error:
        raise _Told(f"the name must be {error}") from None


def _collect(items: Iterable[tuple[Any, Any]], validator: Validator) -> list[Any]:
    done: list[Any] = []
    errors: list[vol.Invalid] = []
    for where, item in items:
        try:
            done.append(validator(item))
        except vol.MultipleInvalid as invalid:
            invalid.prepend([where])
            errors += invalid.errors
        except vol.Invalid as invalid:
            invalid.prepend([where])
            errors.append(invalid)
    if errors:
        raise vol.MultipleInvalid(errors)
    return done


_count = _value(read.whole(1))
_usd = _value(read.money())
_flag = _value(read.flag)
_word = _value(read.text())
_percent = _value(read.number(0, 100))
_slider = _value(read.number(0, 10))
_ids = _each(_value(read.name("a model id, `provider/*` or a profile id")))
_action = _value(read.choice(BudgetAction))
_seconds = _value(read.number(0.001, 86400, unit="seconds"))
_port = _value(read.whole(0, 65535))

_rates: Final = {"input": _usd, "output": _usd, "cached_input": _usd, "cache_write": _usd}
_tier = _section({"above": _count, **_rates}, dict, required=("above", "input", "output"))
_price_table = _section(
    {**_rates, "per_request": _usd, "tiers": _each(_tier)}, convert.price, required=("input", "output")
)


def _price(value: Any) -> Any:
    """A table of rates; 0 or `free` for nothing at all."""
    if value in (0, "0", "free") and not isinstance(value, bool):
        return convert.price(input=read.money()(0), output=read.money()(0))
    if not isinstance(value, dict):
        raise vol.Invalid("a mapping with `input` and `output` in USD per million tokens, or 0")
    return _price_table(value)


_MODEL: Final = {
    "id": _value(read.name("a model id")),
    "upstream": _word,
    "price": _price,
    "context": _count,
    "max_output": _count,
    "quality": _percent,
    "capabilities": _each(_value(read.choice(Capability))),
}
_model_table = _section(_MODEL, dict, required=("id",))


def _model(value: Any) -> Json:
    """A model's table, or its bare id."""
    return _model_table({"id": value} if isinstance(value, str) else value)  # type: ignore[no-any-return]


_timeouts = _section(dict.fromkeys(("connect", "first_token", "idle", "total", "headers"), _seconds), Timeouts)
_provider = _section(
    {
        "kind": _value(read.one_of(KINDS)),
        "base_url": _value(read.url(("http", "https"))),
        "api_key": _word,
        "api_keys": _each(_word),
        "api_key_env": _each(_word),
        "headers": _named(read.header_name, _value(read.header_value)),
        "timeouts": _timeouts,
        "models": _each(_model),
        "local": _flag,
        "discover": _flag,
        "enabled": _flag,
    },
    dict,
)
_alias_table = _section(
    {
        "target": _value(read.target),
        "max_first_token_ms": _value(read.number(1, unit="milliseconds")),
        "max_cost": _usd,
        "models": _ids,
        "exclude": _ids,
        "cost_quality": _slider,
    },
    Alias,
    required=("target",),
)


def _alias(value: Any) -> Any:
    """An alias's rules, or its bare target."""
    return _alias_table({"target": value} if isinstance(value, str) else value)


_device = _section(
    {
        "name": _value(read.name("a name for people", longest=64)),
        "enabled": _flag,
        "profile": _value(read.profile),
        "model": _value(read.name("a model id")),
        "models": _ids,
        "exclude": _ids,
        "rpm": _count,
        "tpm": _count,
        "parallel": _count,
        "daily_budget": _usd,
        "monthly_budget": _usd,
        "budget_action": _action,
        "schedule": _each(_value(read.span)),
        "cost_quality": _slider,
        "cache": _flag,
    },
    DeviceSettings,
)
_mqtt_table = _section(
    {
        "url": _value(read.broker),
        "host": _value(read.text(longest=255, empty=True)),
        "port": _value(read.whole(1, 65535)),
        "username": _value(read.text(empty=True)),
        "password": _value(read.text(empty=True)),
        "tls": _flag,
        "ca_file": _word,
        "tls_insecure": _flag,
        "protocol": _value(read.one_of(("auto", "5", "3.1.1"))),
        "base_topic": _value(read.topic),
        "discovery": _flag,
        "discovery_prefix": _value(read.topic),
        "device_discovery": _flag,
        "interval": _value(read.number(0, 3600, unit="seconds")),
        "commands": _flag,
        "chat": _flag,
        "embedded": _flag,
        "enabled": _flag,
    },
    convert.mqtt,
)


def _mqtt(value: Any) -> Any:
    """A broker's settings, its URL alone, `embedded`, or false for none."""
    if value == "embedded":
        return _mqtt_table({"embedded": True})
    if value is False:
        return _mqtt_table({"enabled": False})
    if isinstance(value, str):
        return _mqtt_table({"url": value})
    if not isinstance(value, dict):
        raise vol.Invalid("a mapping such as {url: mqtt://user:password@host:1883}, the word embedded, or false")
    if isinstance(value.get("protocol"), int | float):
        value = {**value, "protocol": str(value["protocol"])}
    return _mqtt_table(value)


_SETTINGS: Final = {
    "auth": _value(read.choice(Auth)),
    "admin_key": _value(read.text(longest=200)),
    "providers": _named(convert.provider_name, _provider),
    "aliases": _named(read.name("a model name, or `*`"), _alias),
    "fallbacks": _named(read.name("a model id"), _ids),
    "devices": _named(read.name("a device id", longest=64), _device),
    "max_devices": _count,
    "budget": _section({"daily": _usd, "monthly": _usd, "action": _action, "warn_percent": _percent}, BudgetSettings),
    "routing": _section(
        {
            "profile": _value(read.profile),
            "cost_quality": _slider,
            "baseline_model": _value(read.text(empty=True)),
            "max_cost": _usd,
            "exclude": _ids,
            "sticky": _flag,
            "max_attempts": _value(read.whole(1, 20)),
            "fallback_on_content_filter": _flag,
        },
        RoutingSettings,
    ),
    "mqtt": _mqtt,
    "storage": _section({"retention_days": _count, "max_mb": _value(read.whole(5))}, StorageSettings),
    "cache": _section({"enabled": _flag, "ttl": _seconds, "max_mb": _count}, CacheSettings),
    "http": _section(
        {
            "host": _value(read.text(longest=255, empty=True)),
            "port": _port,
            "ingress_port": _port,
            "cors_origins": _each(_value(read.text())),
            "allowed_hosts": _each(_value(read.text())),
        },
        HttpSettings,
    ),
    "currency": _value(read.currency),
    "usd_rate": _value(read.money(zero=False, what="units of the currency for one USD")),
    "time_zone": _value(read.time_zone),
    "log_level": _value(read.one_of(("debug", "info", "warning", "error", "critical"))),
}
_top = _section(_SETTINGS, dict)


def check(raw: Any, environ: Mapping[str, str]) -> tuple[Settings | None, list[Problem]]:
    """Settings, or None and everything that is wrong. `environ`: where `api_key_env` is looked up."""
    try:
        data = _top({} if raw is None else raw)
    except vol.MultipleInvalid as invalid:
        return None, [_problem(raw, error) for error in invalid.errors]
    except vol.Invalid as invalid:
        return None, [_problem(raw, invalid)]
    problems = cross_check(data, environ)
    return (None, problems) if problems else (convert.settings(data, environ), [])


def build(raw: Any, environ: Mapping[str, str] | None = None) -> Settings:
    """Typed settings from what files and variables held. Raises ConfigurationError with every problem found."""
    settings, problems = check(raw, environ or {})
    if settings is None:
        raise ConfigurationError([problem.text for problem in problems])
    return settings


def _problem(raw: Any, error: Any) -> Problem:
    path = tuple(error.path)
    if isinstance(error, _Told):
        return Problem(path, f"{dotted(path)}: {error.msg}")
    return render(path, error.msg, at(raw, path))
