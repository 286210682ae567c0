"""The store's rules for an app's files, written here from Home Assistant's documentation, as voluptuous schemas.

Stricter than the Supervisor in one respect: it drops unknown keys silently, and here they are errors.
"""

from __future__ import annotations

import re
from typing import Any

import voluptuous as vol

_RANGE = r"(?:\((?:-?\d*\.?\d+)?,(?:-?\d*\.?\d+)?\))?"
ELEMENT = vol.Match(
    re.compile(rf"^(?:str|password|bool|email|url|port|(?:int|float){_RANGE}|match\(.*\)|list\(.+\))\??$")
)
SCHEMA_VALUE = vol.Schema(vol.Any(ELEMENT, [vol.Any(ELEMENT, {str: vol.Self})], {str: vol.Self}))
"""What an option may be. A list may not hold a list directly."""

ARCHITECTURE = vol.In(["aarch64", "amd64"])
"""The others are no longer built for."""

IMAGE = vol.Match(re.compile(r"^([a-zA-Z\-.:\d{}]+/)*?[\-\w{}]+/[\-\w{}]+(:[.\-\w{}]+)?$"))
"""With a slash, without a digest."""


def quoted_version(value: Any) -> str:
    """Unquoted, 0.10 is a number and becomes 0.1."""
    if not isinstance(value, str) or not re.fullmatch(r"\d+\.\d+\.\d+(?:-[a-z0-9.]+)?", value):
        raise vol.Invalid('a quoted string such as "0.1.0"')
    return value


MANIFEST = vol.Schema(
    {
        vol.Required("name"): str,
        vol.Required("version"): quoted_version,
        vol.Required("slug"): vol.Match(r"^[-_.A-Za-z0-9]+$"),
        vol.Required("description"): str,
        vol.Required("arch"): vol.All([ARCHITECTURE], vol.Length(min=1), vol.Unique()),
        "url": vol.Url(),
        "stage": vol.In(["stable", "experimental", "deprecated"]),
        "startup": vol.In(["initialize", "system", "services", "application", "once"]),
        "boot": vol.In(["auto", "manual", "manual_only"]),
        "init": bool,
        "timeout": vol.All(int, vol.Range(10, 300)),
        "tmpfs": bool,
        "ports": {vol.Match(r"^\d{1,5}/(tcp|udp)$"): vol.Any(None, vol.All(int, vol.Range(1, 65535)))},
        "ports_description": {vol.Match(r"^\d{1,5}/(tcp|udp)$"): str},
        "ingress": bool,
        "ingress_port": vol.All(int, vol.Range(0, 65535)),
        "ingress_entry": str,
        "ingress_stream": bool,
        "panel_icon": vol.Match(r"^mdi:[a-z0-9-]+$"),
        "panel_title": str,
        "panel_admin": bool,
        "services": [vol.Match(r"^(mqtt|mysql):(provide|want|need)$")],
        "map": [
            vol.Match(
                r"^(data|ssl|addons|backup|share|media|homeassistant_config|all_addon_configs|addon_config)(:(rw|ro))?$"
            )
        ],
        "backup": vol.In(["hot", "cold"]),
        "backup_pre": str,
        "backup_post": str,
        "backup_exclude": [str],
        "image": IMAGE,
        "options": dict,
        "schema": {str: SCHEMA_VALUE},
    }
)

BUILD = vol.Schema({"build_from": {ARCHITECTURE: IMAGE}, "args": {str: str}, "labels": {str: str}})

REPOSITORY = vol.Schema({vol.Required("name"): str, "url": vol.Url(), "maintainer": str})

OPTION_TEXT = vol.Schema({vol.Required("name"): str, vol.Required("description"): str, "fields": {str: vol.Self}})
TRANSLATION = vol.Schema(
    {
        vol.Required("configuration"): {str: OPTION_TEXT},
        vol.Required("network"): {str: str},
        vol.Required("entities"): {str: str},  # likewise; what entities are called
        vol.Required("dashboard"): {str: str},  # dropped by the Supervisor; the page's own
    }
)


def check_option(kind: str, value: Any) -> Any:
    """A default against its type, as the Supervisor will check it before each start."""
    kind = kind.removesuffix("?")
    name, _, inner = kind.removesuffix(")").partition("(")
    if name in {"int", "float"}:
        low, _, high = inner.partition(",")
        limits = vol.Range(min=float(low) if low else None, max=float(high) if high else None)
        return vol.Schema(vol.All(int if name == "int" else vol.Any(int, float), limits))(value)
    rules = {
        "str": str, "password": str, "bool": bool, "url": vol.Url(), "port": vol.All(int, vol.Range(1, 65535)),
        "list": vol.In(inner.split("|")), "match": vol.Match(inner),
    }  # fmt: skip
    return vol.Schema(rules[name])(value)
