"""What the settings may hold, as tables. Pure: a raw mapping in, typed settings or every problem at once out.

A key set to nothing (`null`) counts as not set. Numbers are not taken from quoted strings, except amounts of money.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from decimal import Decimal
from types import MappingProxyType
from typing import Any, Final

import voluptuous as vol

from ..core.errors import ConfigurationError
from ..core.models import PIECES, RATES, Json, Price, PriceTier, Rates
from . import fields, texts, values
from .kinds import LOCAL, Timeouts, kind_of
from .layers import spelled_out, without
from .problems import Path, Problem, at, cross_check, dotted, nearest, render
from .references import is_holder
from .settings import Alias, DeviceSettings, ModelSettings, MqttSettings, ProviderSettings, Settings, model_id

Validator = Callable[[Any], Any]
_MOST_GUESSES: Final = 20
"""Unknown keys of one section for which the nearest known one is looked for."""

MOST_TOLD: Final = 100
"""Problems of which anybody reads more are told as so many."""

_BROKER_KEYS: Final = ("host", "port", "username", "password", "tls")


class _Told(vol.Invalid):
    """An error about a key rather than its value; the message says all there is to say."""


def _value(reader: values.Reader) -> Validator:
    def validate(value: Any) -> Any:
        try:
            return reader(value)
        except ValueError as error:
            raise vol.Invalid(str(error)) from None

    return validate


def _section(keys: Mapping[str, Validator], make: Callable[..., Any], *, required: tuple[str, ...] = ()) -> Validator:
    """A mapping with known keys, each with its validator, handed to `make` by name."""
    schema = vol.Schema({vol.Optional(key): validator for key, validator in keys.items()})
    made = _value(lambda data: make(**data))

    def validate(value: Any) -> Any:
        value = {} if value is None else value
        if not isinstance(value, dict):
            raise vol.Invalid("a mapping of settings")
        known = {key: item for key, item in value.items() if key in keys and item is not None}
        unknown = [key for key in value if key not in keys and not is_holder(key)]
        errors: list[vol.Invalid] = [
            _Told(f"unknown key{nearest(str(key), keys) if place < _MOST_GUESSES else ''}", path=[key])
            for place, key in enumerate(unknown)
        ]
        errors += [_Told("missing; it has to be set", path=[key]) for key in required if key not in known]
        try:
            data = schema(known)
        except vol.MultipleInvalid as invalid:
            errors += invalid.errors
        if errors:
            raise vol.MultipleInvalid(errors)
        return made(data)

    return validate


def _each(validator: Validator) -> Validator:
    """A list; one bare value counts as a list of one."""

    def validate(value: Any) -> tuple[Any, ...]:
        if isinstance(value, dict):
            raise vol.Invalid("a list")
        items = value if isinstance(value, list | tuple) else [value]
        return tuple(_collect(enumerate(items), validator))

    return validate


def _named(key: values.Reader, validator: Validator) -> Validator:
    """A mapping whose keys are the user's own names."""

    def validate(value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise vol.Invalid("a mapping of names to settings")
        found = _collect(((k, (k, v)) for k, v in value.items()), lambda kv: (_key(key, kv[0]), validator(kv[1])))
        return dict(found)

    return validate


def _key(reader: values.Reader, key: Any) -> str:
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
        except vol.Invalid as invalid:
            invalid.prepend([where])
            errors += _errors(invalid)
    if errors:
        raise vol.MultipleInvalid(errors)
    return done


def _errors(invalid: vol.Invalid) -> list[vol.Invalid]:
    return invalid.errors if isinstance(invalid, vol.MultipleInvalid) else [invalid]


def _keys(section: type) -> dict[str, Validator]:
    return {name: _kind(field.row.kind) for name, field in fields.of(section).items()}


def _kind(kind: values.Kind) -> Validator:
    return _value(kind) if kind.item is None else _each(_kind(kind.item))


def _made_tier(*, above: int, **rates: Decimal) -> PriceTier:
    return PriceTier(above, Rates(**rates))


def _made_price(*, tiers: tuple[PriceTier, ...] = (), **amounts: Decimal) -> Price:
    rates = {name: amount for name, amount in amounts.items() if name in RATES}
    pieces: Json = {name: amount for name, amount in amounts.items() if name in PIECES}
    ordered = tuple(sorted(tiers, key=lambda tier: tier.above_prompt_tokens))
    return Price(Rates(**rates), ordered, source="configured", **pieces)


def _made_mqtt(*, url: Mapping[str, Any] | None = None, **data: Any) -> MqttSettings:
    """The broker: its URL is taken apart; what is also set by itself must not contradict it."""
    if url is not None:
        if twice := [key for key in _BROKER_KEYS if key in data and data[key] != url.get(key, data[key])]:
            raise ValueError(f"either `url` or {', '.join(f'`{key}`' for key in twice)}, not two that differ")
        data = {**data, **url}
    elif data.get("tls") and "port" not in data:
        data["port"] = 8883
    for key in ("username", "password"):
        data[key] = data.get(key) or None
    return MqttSettings(**data)


_count = _value(values.whole(1, values.MOST_COUNT))
_usd = _value(values.money())
_word = _value(values.text())

_rates: Final = dict.fromkeys(RATES, _usd)
_tier = _section({"above": _count, **_rates}, _made_tier, required=("above", "input", "output"))
_price_table = _section(
    {**_rates, **dict.fromkeys(PIECES, _usd), "tiers": _each(_tier)}, _made_price, required=("input", "output")
)


def _price(value: Any) -> Any:
    """A table of rates; 0 or `free` for nothing at all."""
    if value in (0, "0", "free") and not isinstance(value, bool):
        return _made_price(input=Decimal(0), output=Decimal(0))
    if not isinstance(value, dict):
        raise vol.Invalid("a mapping with `input` and `output` in USD per million tokens, or 0")
    if any(value.get(name) is not None for name in PIECES if name != "per_request"):
        value = {"input": 0, "output": 0, **value}  # what is paid by the second or the picture need not have tokens
    return _price_table(value)


def _or_bare(key: str, table: Validator) -> Validator:
    """A table, or what it has to hold alone."""
    return lambda value: table({key: value} if isinstance(value, str) else value)


_model = _or_bare("id", _section({**_keys(ModelSettings), "price": _price}, dict, required=("id",)))
_alias = _or_bare("target", _section(_keys(Alias), Alias, required=("target",)))

_provider = _section(
    {
        **_keys(ProviderSettings),
        "api_key": _value(texts.api_key),
        "api_key_env": _each(_word),
        "headers": _named(texts.header_name, _value(texts.header_value)),
        "timeouts": _section(_keys(Timeouts), dict),
        "models": _each(_model),
    },
    dict,
)
_mqtt_table = _section({**_keys(MqttSettings), "url": _value(texts.broker)}, _made_mqtt)


def _mqtt(value: Any) -> Any:
    """A broker's settings, its URL alone, `embedded`, or false for none."""
    value = spelled_out(value)
    if not isinstance(value, dict):
        raise vol.Invalid("a mapping such as {url: mqtt://user:password@host:1883}, the word embedded, or false")
    if isinstance(value.get("protocol"), int | float):
        value = {**value, "protocol": str(value["protocol"])}
    return _mqtt_table(value)


_SETTINGS: Final = {
    **_keys(Settings),
    "providers": _named(texts.provider_name, _provider),
    "aliases": _named(values.name("a model name, or `*`"), _alias),
    "fallbacks": _named(texts.model_id, _kind(texts.models)),
    "devices": _named(texts.device_id, _section(_keys(DeviceSettings), DeviceSettings)),
    **{place: _section(_keys(section), section) for place, section in fields.SECTIONS.items() if place.isalpha()},
    "mqtt": _mqtt,
}
_top = _section(_SETTINGS, dict)


def _made_provider(name: str, data: Json, environ: Mapping[str, str]) -> ProviderSettings:
    """A provider; `kind` is its name where that is a known provider's."""
    given = {"kind": name, "api_keys": (), "headers": {}, "models": (), **data}
    own = [given.pop("api_key")] if "api_key" in given else []
    named = [environ[variable] for variable in given.pop("api_key_env", ())]
    given.setdefault("local", True if given["kind"] in LOCAL else None)
    given["api_keys"] = tuple(dict.fromkeys([*own, *given["api_keys"], *named]))
    given["headers"] = MappingProxyType(given["headers"])
    given["models"] = tuple(_made_model(name, model) for model in given["models"])
    limits = given.pop("timeouts", None)
    made = ProviderSettings(name=name, **given)
    return made if limits is None else replace(made, timeouts=replace(kind_of(made).timeouts, **limits))


def _made_model(provider_name: str, data: Json) -> ModelSettings:
    given = {**data, "id": model_id(provider_name, data["id"])}
    if "capabilities" in given:
        given["capabilities"] = frozenset(given["capabilities"])
    return ModelSettings(**given)


def _made_settings(data: Json, environ: Mapping[str, str]) -> Settings:
    """Everything, once it has been checked."""
    data = dict(data)
    devices = data.pop("devices", {})
    providers = data.pop("providers", {})
    return Settings(
        providers=tuple(_made_provider(name, item, environ) for name, item in providers.items()),
        aliases=MappingProxyType(data.pop("aliases", {})),
        fallbacks=MappingProxyType(data.pop("fallbacks", {})),
        device_defaults=devices.pop("defaults", DeviceSettings()),
        devices=MappingProxyType(devices),
        **data,
    )


def check(raw: Any, environ: Mapping[str, str]) -> tuple[Settings | None, list[Problem]]:
    """Settings, or None and everything that is wrong. `environ`: where `api_key_env` is looked up."""
    try:
        data = _top({} if raw is None else raw)
    except vol.Invalid as invalid:
        wrong = [_problem(raw, error) for error in _errors(invalid)]
        return None, wrong + _between_the_rest(raw, [problem.path for problem in wrong], environ)
    problems = cross_check(data, environ)
    return (None, problems) if problems else (_made_settings(data, environ), [])


def _between_the_rest(raw: Any, wrong: list[Path], environ: Mapping[str, str]) -> list[Problem]:
    """What does not go together of the parts that are right by themselves."""
    if len(wrong) > MOST_TOLD:
        return []
    try:
        data = _top(without(raw, wrong)[0]) if isinstance(raw, dict) else {}
    except vol.Invalid:
        return []
    # Where one of a list is left out, the others have other places.
    near = {path[:3] for path in wrong}
    return [problem for problem in cross_check(data, environ) if problem.path[:3] not in near]


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
