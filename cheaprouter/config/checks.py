"""Settings that are right each by itself and wrong together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal

from ..core.models import Json
from .convert import known_kind, model_id
from .kinds import CLOUD, MOCK, NEEDS_URL
from .problems import Path, Problem, dotted
from .settings import Alias


def cross_check(data: Json, environ: Mapping[str, str]) -> list[Problem]:
    """Everything wrong between settings that passed one by one."""
    problems = [
        *_providers(data.get("providers", {}), environ),
        *_aliases(data.get("aliases", {})),
        *_fallbacks(data.get("fallbacks", {})),
        *_currency(data),
    ]
    return [Problem(path, f"{dotted(path)}: {words}") for path, words in problems]


def _providers(providers: Mapping[str, Json], environ: Mapping[str, str]) -> Iterator[tuple[Path, str]]:
    for name, data in providers.items():
        where: Path = ("providers", name)
        if not known_kind(name, data):
            yield (
                (*where, "kind"),
                f"missing; `{name}` is no known provider, so say which API it speaks (openai, anthropic, ...)",
            )
            continue
        kind = data.get("kind", name)
        if name == MOCK and kind != MOCK:
            yield (*where, "kind"), "a provider named `mock` can only be the mock; give this one another name"
        if kind in NEEDS_URL and "base_url" not in data:
            yield (*where, "base_url"), f"missing; {kind} has no address that is the same for everyone"
        for variable in data.get("api_key_env", ()):
            if not environ.get(variable):
                yield (*where, "api_key_env"), f"the environment variable {variable} is not set"
        if kind in CLOUD and "base_url" not in data and not _has_key(data) and data.get("enabled", True):
            yield (
                (*where, "api_key"),
                f"missing; {kind} needs a key (api_key, api_keys or api_key_env), or `enabled: false`",
            )
        yield from _models(where, name, data.get("models", ()))


def _has_key(data: Json) -> bool:
    headers = {header.lower() for header in data.get("headers", {})}
    return bool(headers & {"authorization", "x-api-key", "api-key"}) or any(
        key in data for key in ("api_key", "api_keys", "api_key_env")
    )


def _models(where: Path, name: str, models: tuple[Json, ...]) -> Iterator[tuple[Path, str]]:
    seen: set[str] = set()
    for index, model in enumerate(models):
        routable = model_id(name, model["id"])
        if routable == f"{name}/":
            yield (*where, "models", index, "id"), "nothing follows the provider's name"
        if routable in seen:
            yield (*where, "models", index, "id"), f"`{routable}` is listed twice"
        seen.add(routable)


def _aliases(aliases: Mapping[str, Alias]) -> Iterator[tuple[Path, str]]:
    for name in aliases:
        seen, target = [name], aliases[name].target
        while target in aliases and target not in seen:
            seen.append(target)
            target = aliases[target].target
        if target in seen and not (target == name and len(seen) == 1):
            yield ("aliases", name), f"leads in a circle: {' -> '.join([*seen, target])}"


def _fallbacks(fallbacks: Mapping[str, tuple[str, ...]]) -> Iterator[tuple[Path, str]]:
    for name, others in fallbacks.items():
        if name in others:
            yield ("fallbacks", name), "lists the model itself"


def _currency(data: Json) -> Iterator[tuple[Path, str]]:
    if data.get("currency", "USD") != "USD" and "usd_rate" not in data:
        yield ("usd_rate",), f"missing; amounts are kept in USD, so say how many {data['currency']} one USD is"
    if data.get("currency", "USD") == "USD" and data.get("usd_rate", Decimal(1)) != 1:
        yield ("usd_rate",), "has to be 1 while `currency` is USD"
