"""The app's options and the environment's variables, made of the table of settings, and what they say as raw settings. Pure.

Each option is also an environment variable, `CHEAPROUTER_` and its name in capitals (`mqtt.host`: `CHEAPROUTER_MQTT_HOST`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from ..core.models import Json
from .fields import Field, everything
from .kinds import CLOUD, LOCAL, LOCAL_PORTS, NEEDS_URL
from .problems import Problem, nearest
from .values import Row, flag, numeral

PREFIX: Final = "CHEAPROUTER_"
_PLAIN: Final = {"bool": flag.plain, "int": numeral, "port": numeral, "float": numeral}


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
    Option("local_url", "url?"),
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
    for begin, plain in _PLAIN.items():
        if kind.startswith(begin):
            return plain(value)
    return value


def _translate(
    values: Mapping[Option, Any], origins: Mapping[Option, str], problems: tuple[Problem, ...]
) -> Translated:
    raw: Json = {}
    where: dict[str, str] = {}
    for option, value in values.items():
        if option.unset is not None and value == option.unset and not isinstance(value, bool):
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
