"""Home Assistant's device discovery as bytes. Pure: what is announced depends on nothing but what is handed in.

A key is a component's id for ever: its unique id is made of it. Its name is what `names` calls it in the user's language, since
discovery knows no translations; names never hold the device's name; Home Assistant puts it
in front. Templates answer `None` for what is not known, which Home Assistant shows as unknown. Needs Home Assistant
2024.12, for chosen entity ids 2025.10.
"""

from __future__ import annotations

import re
from collections.abc import Container, Mapping, Sequence
from typing import Any, Final

import orjson

from ..config.fields import DEVICE, FOLLOW, HUB
from ..core.models import Json
from ..core.records import dataclass
from .topics import Topics

DEVICE_EVENTS: Final = ("rate_limited", "budget_warning", "budget_reached", "fallback_used")
HUB_EVENTS: Final = (*DEVICE_EVENTS, "provider_down", "provider_up")
PROVIDER_STATES: Final = (
    "available",
    "degraded",
    "cooling_down",
    "probing",
    "down",
    "paused",
    "unauthorized",
    "unknown",
)
PRESS: Final = "PRESS"

_ID_LENGTH: Final = 12
"""Digits of the instance id in names at the broker: 48 bits keep two homes apart."""

_SUPPORT_URL: Final = "https://github.com/cheaprouter/cheaprouter"
_RELEASES: Final = f"{_SUPPORT_URL}/blob/main/CHANGELOG.md"
_TRIGGER: Final = "device_automation"
_OFF_AT_FIRST: Final = {"enabled_by_default": False}
_TODAY: Final = "{{ value_json.get('day_began') }}"
_MONTH: Final = "{{ value_json.get('month_began') }}"
"""By the router's calendar: with another zone Home Assistant's own clock would count a day's cost again and again."""


SHOWN: Final = frozenset(
    {
        "requests", "cost_today", "cost_month", "budget_percent", "rate_limited", "last_model", "profile", "model",
        "daily_budget", "enabled",
    }
)  # fmt: skip
"""What is enabled of a client. The rest is there for who wants it: with all of it, some sixty clients were over 2,000 entities."""

SHOWN_OF_HUB: Final = SHOWN | {
    "provider_problem", "event", "version", "connection", "cost_quality", "monthly_budget", "cloud_paused", "reset_today",
    "clear_cooldowns", "acknowledge_problems",
}  # fmt: skip
"""What is enabled of the router itself."""


@dataclass(frozen=True, slots=True)
class Choices:
    """What selects offer, the unit of costs, and whether publishers may change anything at all.

    `names`: what entities are called. `page`: the address of the dashboard as Home Assistant opens it, "" where it has none.
    """

    profiles: Sequence[str]
    models: Sequence[str]
    currency: str
    commands: bool
    names: Mapping[str, str]
    page: str = ""


@dataclass(frozen=True, slots=True)
class Announcement:
    """A device as announced: the message and the platform of each of its components."""

    discovery_id: str
    payload: bytes
    components: Mapping[str, str]


def hub_id(instance_id: str) -> str:
    """The hub's identifier in Home Assistant and its discovery topic."""
    return f"cheaprouter_{instance_id[:_ID_LENGTH]}"


def device_id(instance_id: str, slug: str) -> str:
    """A device's identifier, likewise."""
    return f"{hub_id(instance_id)}_{slug}"


def announce_hub(
    topics: Topics, instance_id: str, version: str, choices: Choices, providers: Sequence[str], gone: Mapping[str, str]
) -> Announcement:
    """The router itself. `providers`: their names. `gone`: components of an earlier announcement to take out now."""
    device = _device(hub_id(instance_id), "CheapRouter", "LLM router", choices) | {"sw_version": version}
    entities = _presented(_hub_entities(topics, choices, providers), choices.names, SHOWN_OF_HUB)
    return _announce(topics, None, device, version, entities, gone)


def announce_device(
    topics: Topics, instance_id: str, version: str, slug: str, name: str, choices: Choices, gone: Mapping[str, str]
) -> Announcement:
    """A client of the router."""
    device = _device(device_id(instance_id, slug), name, "LLM client", choices) | {"via_device": hub_id(instance_id)}
    entities = _presented(_device_entities(topics, slug, choices), choices.names, SHOWN)
    return _announce(topics, slug, device, version, entities, gone)


def _device(identifier: str, name: str, model: str, choices: Choices) -> Json:
    device = {"identifiers": [identifier], "name": name, "manufacturer": "CheapRouter", "model": model}
    return device | {"configuration_url": choices.page} if choices.page else device


def _presented(entities: Mapping[str, Json], names: Mapping[str, str], shown: Container[str]) -> dict[str, Json]:
    """Entities with their names; those that are not `shown` are disabled until somebody enables them, and diagnostic."""
    found = {}
    for key, entity in entities.items():
        if entity["p"] == _TRIGGER:
            found[key] = entity
            continue
        about = {"p": entity["p"], "name": entity.get("name") or names[key]} | entity
        if key not in shown:
            about = {"entity_category": "diagnostic"} | about | _OFF_AT_FIRST
        found[key] = about
    return found


def _announce(
    topics: Topics, slug: str | None, device: Json, version: str, entities: Mapping[str, Json], gone: Mapping[str, str]
) -> Announcement:
    (identifier,) = device["identifiers"]
    prefix = "cheaprouter" if slug is None else f"cheaprouter_{slug}"
    components: dict[str, Any] = {
        key: entity
        if entity["p"] == _TRIGGER
        else {**entity, "unique_id": f"{identifier}_{key}", "default_entity_id": f"{entity['p']}.{prefix}_{key}"}
        for key, entity in entities.items()
    }
    stubs = {key: {"p": platform} for key, platform in gone.items() if key not in components}
    available = [topics.status] if slug is None else [topics.status, topics.availability(slug)]
    payload = {
        "dev": device,
        "o": {"name": "CheapRouter", "sw": version, "url": _SUPPORT_URL},
        "availability": [{"topic": topic} for topic in available],
        "availability_mode": "all",
        "qos": 1,
        "state_topic": topics.state(slug),
        "cmps": components | stubs,
    }
    return Announcement(identifier, orjson.dumps(payload), {key: str(entity["p"]) for key, entity in entities.items()})


# --- the entities of the hub and of each device -----------------------------------------------------------------------


def _hub_entities(topics: Topics, choices: Choices, providers: Sequence[str]) -> dict[str, Json]:
    details = topics.details(None)
    entities = _measurements(choices.currency, details)
    entities["provider_problem"] = _problem("value_json.get('providers_down')", state_topic=details)
    for name in providers:
        entities[f"provider_{slug_of(name)}"] = _sensor(
            name=choices.names["provider"].format(name=name),
            device_class="enum",
            options=PROVIDER_STATES,
            icon="mdi:cloud-check-outline",
            state_topic=details,
            value_template=f"{{{{ value_json.get('providers', {{}}).get({_quoted(name)}) }}}}",
        )
    entities["event"] = _event(topics, None, HUB_EVENTS)
    versions = (
        "{{ {'installed_version': value_json.version,"
        " 'latest_version': value_json.get('latest_version') or value_json.version,"
        f" 'release_url': '{_RELEASES}'}} | to_json }}}}"
    )
    entities["version"] = {"p": "update", "entity_category": "diagnostic"}
    entities["version"] |= {"state_topic": details, "value_template": versions}
    entities["connection"] = _connection(topics)
    entities |= _triggers(topics, None, HUB_EVENTS)
    return entities | _hub_controls(topics, choices) if choices.commands else entities


def _device_entities(topics: Topics, slug: str, choices: Choices) -> dict[str, Json]:
    details = topics.details(slug)
    entities = _measurements(choices.currency, details)
    resets = _sensor(device_class="timestamp", entity_category="diagnostic", state_topic=details)
    entities["limit_resets_at"] = resets | {"value_template": _get("limit_resets_at")}
    entities["event"] = _event(topics, slug, DEVICE_EVENTS)
    entities |= _triggers(topics, slug, DEVICE_EVENTS)
    return entities | _device_controls(topics, slug, choices) if choices.commands else entities


def _connection(topics: Topics) -> Json:
    """Says that the router is not there while all others are unavailable: it asks for no availability of its own."""
    entity = {"p": "binary_sensor", "device_class": "connectivity", "entity_category": "diagnostic", "availability": []}
    return entity | {"state_topic": topics.status, "payload_on": "online", "payload_off": "offline"}


def _triggers(topics: Topics, slug: str | None, types: Sequence[str]) -> dict[str, Json]:
    """What automations may begin with: one for each kind of event, found under the device."""
    common = {"p": _TRIGGER, "automation_type": "trigger", "subtype": "cheaprouter", "topic": topics.event(slug)}
    template = "{{ value_json.event_type }}"
    return {f"on_{kind}": {**common, "type": kind, "payload": kind, "value_template": template} for kind in types}


def slug_of(text: str) -> str:
    """A provider's name as part of an id: `[a-z0-9_]`, two that would collide kept apart."""
    plain = re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")
    checksum = sum((i + 1) * b for i, b in enumerate(text.encode())) % 0xFFFF
    return plain if plain == text else f"{plain}_{checksum:04x}"


def _measurements(currency: str, details: str) -> dict[str, Json]:
    """What both kinds of device tell."""
    entities: dict[str, Json] = {
        "requests": _total("requests", "mdi:counter"),
        "input_tokens": _total("tokens", "mdi:import"),
        "output_tokens": _total("tokens", "mdi:export"),
        "cached_tokens": _total("tokens", "mdi:cached"),
        "errors": _total("requests", "mdi:alert-circle-outline"),
        "limit_hits": _total("requests", "mdi:speedometer"),
        "cost_today": _money(currency, last_reset=_TODAY),
        "cost_month": _money(currency, last_reset=_MONTH),
        "cost_total": _money(currency),
        "saved_month": _money(currency, last_reset=_MONTH),
        "saved_cache_month": _money(currency, last_reset=_MONTH),
        "cached_percent": _now("%", "mdi:cached"),
        "requests_remaining": _now("requests", "mdi:gauge"),
        "tokens_remaining": _now("tokens", "mdi:gauge"),
        "budget_percent": _now("%", "mdi:piggy-bank-outline"),
        "tokens_per_second": _now("tokens/s", "mdi:speedometer-medium") | {"state_topic": details},
        "latency_p50_ms": _duration(),
        "first_token_p50_ms": _duration(),
        "last_model": _text("last_model", "mdi:brain"),
        "last_reason": _text("last_reason", "mdi:comment-question-outline"),
        "last_seen": _sensor(device_class="timestamp", entity_category="diagnostic"),
        "rate_limited": _problem("value_json.get('rate_limited')"),
        "over_budget": _problem("(value_json.get('budget_percent') or 0) >= 100"),
    }
    for key, entity in entities.items():
        entity.setdefault("value_template", _get(key))
    return entities


def _hub_controls(topics: Topics, choices: Choices) -> dict[str, Json]:
    acknowledge = _button(topics, None, "acknowledge_problems", "mdi:check-decagram")
    return {
        "profile": _select(topics, None, "profile", choices.profiles, "mdi:tune"),
        "cost_quality": _number(topics, None, "cost_quality", "mdi:scale-balance", 0.5),
        "daily_budget": _budget(topics, None, "daily_budget", choices.currency),
        "monthly_budget": _budget(topics, None, "monthly_budget", choices.currency),
        "cloud_paused": _switch(topics, None, "cloud_paused", "mdi:cloud-off-outline", default="false"),
        "reset_today": _button(topics, None, "reset_today", "mdi:restore"),
        "clear_cooldowns": _button(topics, None, "clear_cooldowns", "mdi:snowflake-off"),
        "acknowledge_problems": acknowledge | {"entity_category": "diagnostic"},
    }


def _device_controls(topics: Topics, slug: str, choices: Choices) -> dict[str, Json]:
    return {
        "profile": _select(topics, slug, "profile", (*choices.profiles, FOLLOW), "mdi:tune"),
        "model": _select(topics, slug, "model", choices.models, "mdi:brain"),
        "rpm": _limit(topics, slug, "rpm", "requests/min"),
        "tpm": _limit(topics, slug, "tpm", "tokens/min"),
        "parallel": _limit(topics, slug, "parallel", "requests"),
        "daily_budget": _budget(topics, slug, "daily_budget", choices.currency),
        "monthly_budget": _budget(topics, slug, "monthly_budget", choices.currency),
        "enabled": _switch(topics, slug, "enabled", "mdi:power", default="true"),
        "reset_today": _button(topics, slug, "reset_today", "mdi:restore"),
        "good_answer": _button(topics, slug, "good_answer", "mdi:thumb-up-outline"),
        "bad_answer": _button(topics, slug, "bad_answer", "mdi:thumb-down-outline"),
    }


def _get(key: str) -> str:
    return f"{{{{ value_json.get('{key}') }}}}"


def _on_off(condition: str) -> str:
    return f"{{{{ 'ON' if {condition} else 'OFF' }}}}"


def _quoted(text: str) -> str:
    """A string literal of the template language; quotes and escapes are not let through."""
    safe = (c if ord(c) > 255 or c.isalnum() or c in "-_. " else f"\\x{ord(c):02x}" for c in text)
    return f"'{''.join(safe)}'"


def _sensor(**facts: Any) -> Json:
    return {"p": "sensor", **facts}


def _total(unit: str, icon: str) -> Json:
    return _sensor(state_class="total_increasing", unit_of_measurement=unit, icon=icon)


def _now(unit: str, icon: str) -> Json:
    return _sensor(state_class="measurement", unit_of_measurement=unit, icon=icon)


def _money(currency: str, *, last_reset: str | None = None) -> Json:
    """`monetary` takes no other state class than `total`."""
    entity = _sensor(device_class="monetary", state_class="total", unit_of_measurement=currency)
    entity["suggested_display_precision"] = 4
    return entity if last_reset is None else entity | {"last_reset_value_template": last_reset}


def _duration() -> Json:
    entity = _sensor(device_class="duration", state_class="measurement", unit_of_measurement="ms")
    return entity | {"entity_category": "diagnostic", "suggested_display_precision": 0}


def _text(key: str, icon: str) -> Json:
    """Home Assistant takes at most 255 characters as a state."""
    return _sensor(icon=icon, value_template=f"{{{{ (value_json.get('{key}') | string)[:255] }}}}")


def _problem(condition: str, **facts: Any) -> Json:
    entity = {"p": "binary_sensor", "device_class": "problem"}
    return entity | {**facts, "value_template": _on_off(condition)}


def _event(topics: Topics, slug: str | None, types: Sequence[str]) -> Json:
    entity = {"p": "event", "icon": "mdi:bell-outline", "event_types": types}
    return entity | {"state_topic": topics.event(slug)}


def _control(topics: Topics, slug: str | None, key: str, platform: str, icon: str, **facts: Any) -> Json:
    entity = {"p": platform, "icon": icon, "command_topic": topics.command(slug, key)}
    return entity | {"entity_category": "config", **facts}


def _select(topics: Topics, slug: str | None, key: str, options: Sequence[str], icon: str) -> Json:
    template = f"{{{{ value_json.get('{key}') or 'auto' }}}}"
    return _control(topics, slug, key, "select", icon, options=list(options), value_template=template)


def _number(topics: Topics, slug: str | None, key: str, icon: str, step: float) -> Json:
    least, most = (HUB if slug is None else DEVICE)[key].box
    box = {"mode": "box", "min": least, "max": most, "step": step}
    template = f"{{{{ value_json.get('{key}') or 0 }}}}"
    return _control(topics, slug, key, "number", icon, **box, value_template=template)


def _limit(topics: Topics, slug: str, key: str, unit: str) -> Json:
    return _number(topics, slug, key, "mdi:speedometer", 1) | {"unit_of_measurement": unit}


def _budget(topics: Topics, slug: str | None, key: str, currency: str) -> Json:
    """In the currency of the costs. The least of the box says that there is none: 0 means that nothing may be spent."""
    number = _number(topics, slug, key, "mdi:piggy-bank-outline", 0.01)
    template = f"{{% set b = value_json.get('{key}') %}}{{{{ b if b is number else {number['min']} }}}}"
    return number | {"unit_of_measurement": currency, "value_template": template}


def _switch(topics: Topics, slug: str | None, key: str, icon: str, *, default: str) -> Json:
    template = _on_off(f"value_json.get('{key}', {default})")
    return _control(topics, slug, key, "switch", icon, value_template=template)


def _button(topics: Topics, slug: str | None, key: str, icon: str) -> Json:
    return _control(topics, slug, key, "button", icon, payload_press=PRESS)
