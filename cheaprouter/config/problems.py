"""What is wrong with settings, alone or together, said so that whoever wrote them can mend it. No secret is ever repeated."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

from ..core.models import Json
from ..core.records import dataclass
from .kinds import CLOUD, KINDS, MOCK, NEEDS_URL
from .references import Hidden, Missing
from .settings import Alias, model_id

Path = tuple[str | int, ...]

_SECRET: Final = re.compile(r"key|password|secret|token|headers|url|username|proxy", re.IGNORECASE)
_SHOWN: Final = 60
_MOST_LINKS: Final = 20
"""Of a chain of aliases: each is followed at every request."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong: where (keys and list positions from the top) and a sentence about it."""

    path: Path
    text: str


def dotted(path: Path) -> str:
    """A path as people write it: `providers.lab.models[0].price`."""
    out = ""
    for part in path:
        if isinstance(part, int):
            out += f"[{part}]"
        else:
            name = str(part)
            name = name if name.isprintable() else ascii(name)
            out += f".{name}" if out else name
    return out or "the settings"


def render(path: Path, allowed: str, value: Any) -> Problem:
    """`key: expected ..., got the string 'x'`; of a reference that leads nowhere, why."""
    if isinstance(value, Missing):
        return Problem(path, f"{dotted(path)}: {value.why}")
    return Problem(path, f"{dotted(path)}: expected {allowed}, got {_describe(path, value)}")


def nearest(word: str, known: Iterable[str], *, lower: bool = True) -> str:
    """`; did you mean ...?` where one is close, else what there is, as far as that is short."""
    names = sorted(set(known))
    if close := difflib.get_close_matches(word.lower() if lower else word, names, n=1, cutoff=0.6):
        return f"; did you mean `{close[0]}`?"
    listing = ", ".join(names)
    return f"; known are {listing}" if 0 < len(listing) <= 400 else ""


def at(raw: Any, path: Path) -> Any:
    """The value at a path, or None where it does not lead."""
    for part in path:
        if isinstance(raw, dict):
            raw = raw.get(part)
        elif isinstance(raw, list) and isinstance(part, int) and part < len(raw):
            raw = raw[part]
        else:  # where one value may stand for a list of one, it is that one
            return raw if isinstance(raw, Missing) else None
    return raw


def _describe(path: Path, value: Any) -> str:
    hidden = any(isinstance(part, str) and _SECRET.search(part) for part in path)
    for kind, words in _WORDS:
        if isinstance(value, kind):
            return words(value, hidden)
    return f"a {type(value).__name__}"


def _string(value: str, hidden: bool) -> str:  # noqa: FBT001 - one table, one signature
    if not value:
        return "an empty string"
    login = "://" in value and ("@" in value or "?" in value)  # which an address may hold
    hidden = hidden or login or isinstance(value, Hidden)
    return "a string (not shown)" if hidden else f"the string {_short(value)}"


def _short(value: Any) -> str:
    try:
        shown = ascii(value)
    except ValueError:  # Python writes no integer of more than 4300 digits
        shown = hex(value)
    return shown if len(shown) <= _SHOWN else shown[: _SHOWN - 3] + "..."


_WORDS: Final[tuple[tuple[Any, Callable[[Any, bool], str]], ...]] = (
    (type(None), lambda _, __: "nothing (null)"),
    (bool, lambda value, _: f"the boolean {str(value).lower()}"),
    (int, lambda value, hidden: "a number (not shown)" if hidden else f"the number {_short(value)}"),
    (float | Decimal, lambda value, hidden: "a number (not shown)" if hidden else f"the number {value}"),
    (str, _string),
    (list, lambda value, _: f"a list of {len(value)}"),
    (dict, lambda value, _: f"a mapping of {len(value)}"),
)


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
        if "kind" not in data and name not in KINDS:
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
        while target in aliases and target not in seen and len(seen) <= _MOST_LINKS:
            seen.append(target)
            target = aliases[target].target
        if len(seen) > _MOST_LINKS:
            yield ("aliases", name), f"leads through more than {_MOST_LINKS} others"
        elif target in seen and not (target == name and len(seen) == 1):
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
