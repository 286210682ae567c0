"""Home Assistant's device discovery as bytes. Pure: what is announced depends on nothing but what is handed in.

The tables of entities are in `entities`; this is the frame around them. Needs Home Assistant 2024.12, for chosen
entity ids 2025.10.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from ..core.models import Json
from .entities import Choices, device_entities, hub_entities
from .topics import Topics

_ID_LENGTH: Final = 12
"""Digits of the instance id in names at the broker: 48 bits keep two homes apart."""

_SUPPORT_URL: Final = "https://github.com/cheaprouter/cheaprouter"


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
    topics: Topics,
    instance_id: str,
    version: str,
    choices: Choices,
    providers: Sequence[str],
    gone: Mapping[str, str],
) -> Announcement:
    """The router itself. `gone`: components of an earlier announcement to take out now."""
    identifier = hub_id(instance_id)
    device = {
        "identifiers": [identifier],
        "name": "CheapRouter",
        "manufacturer": "CheapRouter",
        "model": "LLM router",
        "sw_version": version,
    }
    entities = hub_entities(topics, choices, providers)
    availability = [{"topic": topics.status}]
    return _announce(identifier, device, "cheaprouter", version, topics.state(None), availability, entities, gone)


def announce_device(
    topics: Topics,
    instance_id: str,
    version: str,
    slug: str,
    name: str,
    choices: Choices,
    gone: Mapping[str, str],
) -> Announcement:
    """A client of the router."""
    identifier = device_id(instance_id, slug)
    device = {
        "identifiers": [identifier],
        "name": name,
        "manufacturer": "CheapRouter",
        "model": "LLM client",
        "via_device": hub_id(instance_id),
    }
    entities = device_entities(topics, slug, choices)
    availability = [{"topic": topics.status}, {"topic": topics.availability(slug)}]
    prefix = f"cheaprouter_{slug}"
    return _announce(identifier, device, prefix, version, topics.state(slug), availability, entities, gone)


def _announce(
    identifier: str,
    device: Json,
    object_prefix: str,
    version: str,
    state_topic: str,
    availability: Sequence[Json],
    entities: Mapping[str, Json],
    gone: Mapping[str, str],
) -> Announcement:
    components: dict[str, Any] = {}
    for key, entity in entities.items():
        components[key] = {
            **entity,
            "unique_id": f"{identifier}_{key}",
            "default_entity_id": f"{entity['p']}.{object_prefix}_{key}",
        }
    for key, platform in gone.items():
        if key not in components:
            components[key] = {"p": platform}
    payload = {
        "dev": device,
        "o": {"name": "CheapRouter", "sw": version, "url": _SUPPORT_URL},
        "availability": availability,
        "availability_mode": "all",
        "qos": 1,
        "state_topic": state_topic,
        "cmps": components,
    }
    platforms = {key: str(entity["p"]) for key, entity in entities.items()}
    return Announcement(identifier, orjson.dumps(payload), platforms)
