"""Where settings come from: files and environment variables, read and laid over each other.

Precedence, highest first: environment (`CHEAPROUTER_*`), the YAML file, the app's options (`<data>/options.json`), defaults.
The file is the one named by `--config` or CHEAPROUTER_CONFIG; without one, `<data>/cheaprouter.yaml` if there, and in the app
`/config/cheaprouter.yaml` (the folder that its user can reach) over that. Never `./config.yaml`. A `secrets.yaml` beside a file
is for its `!secret NAME`. Of the texts of files only what they say by reference is kept and compared, never what that stands for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import field, replace
from pathlib import Path
from typing import Any, Final

import orjson

from ..core.errors import ConfigurationError
from ..core.logs import Redactor
from ..core.models import Json
from ..core.records import dataclass
from . import fields, files, losses
from .files import APP_FOLDER, OPTIONS, is_named
from .kinds import CLOUD
from .layers import Layer, merge, without
from .origins import Origins
from .references import SECRETS, put_in, uses_secrets
from .schema import MOST_TOLD, check
from .secret import secrets_of
from .settings import Settings, lock
from .strict_yaml import DEEPEST, parse_secrets, parse_yaml

_ELSEWHERE: Final = (files.CONFIG_VARIABLE, "CHEAPROUTER_DATA")
_ROUNDS: Final = 20


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings, what was wrong and left out, where each dotted key came from, and the files to watch (there or not).

    `texts`: what the files held that set something; secrets are inside. `good`: all that the files say was understood.
    Where not, nothing may be concluded from what the settings do not hold. `secrets`: what was put in by reference.
    """

    settings: Settings
    problems: tuple[str, ...] = ()
    sources: Mapping[str, str] = field(default_factory=dict)
    files: tuple[Path, ...] = ()
    texts: Mapping[Path, str] = field(default_factory=dict, repr=False)
    good: bool = True
    secrets: frozenset[str] = field(default=frozenset(), repr=False)


def load(
    config_file: Path | None,
    data: Path,
    environ: Mapping[str, str],
    *,
    lenient: bool = False,
    app_folder: Path = APP_FOLDER,
    kept: Mapping[Path, str] = files.NOTHING,
) -> Loaded:
    """Read everything. Strict: raises ConfigurationError with all problems. Lenient: bad parts are left out and reported.

    `kept`: what was read before, for a file that can be read only once.
    """
    found = files.find(config_file, data, environ, app_folder)
    named = is_named(config_file, environ)
    texts, problems = files.read(found, required=named, poured=kept if named else None)
    layers = _layers(texts, environ)
    if named and not lenient and _is_idle(layers.get(found[-1])):
        problems.append(
            f"{found[-1]}: it sets nothing (`providers: {{}}` would do; without a file named, the demo starts)"
        )
    return _understand(texts, layers, found, problems, environ, lenient=lenient)


def reload(config_file: Path | None, data: Path, environ: Mapping[str, str], in_force: Mapping[Path, str]) -> Loaded:
    """Read everything again. Strict; a file of `in_force` that is cut off or empty, or opens by silence, is a problem too."""
    loaded = load(config_file, data, environ, kept=in_force)
    words = "it is empty or gone; what it set stays in force until a restart"
    problems = {path: f"{path}: {words}" for path in in_force if path not in loaded.texts}
    problems |= _opened(in_force, loaded, environ)
    problems |= _cut_off(in_force, loaded.texts)
    if problems:
        raise ConfigurationError(list(problems.values()))
    return loaded


def start(data: Path, environ: Mapping[str, str], last_good: Mapping[Path, str]) -> Loaded:
    """The usual files, to serve whatever they hold. Where they are wrong, the texts of the last good configuration count.

    Without those, keys are needed and there are no providers. A wrong environment is not the files' fault: it is left out.
    """
    found = files.find(None, data, environ)
    texts, problems = files.read(found)
    problems += losses.emptied(last_good, texts, app=bool(environ.get("SUPERVISOR_TOKEN")))
    problems += _cut_off(last_good, texts).values()
    layers = _layers(texts, environ)
    rest = _understand(texts, layers, found, [], environ, lenient=True)
    if len(rest.problems) > MOST_TOLD:
        wrong = [*problems, *rest.problems]
    elif problems or not (rest.good or _files_are_good(layers, environ)):
        wrong = _wrong(texts, layers, found, problems, environ)
    elif opened := _opened(last_good, rest, environ):
        wrong = [*rest.problems, *opened.values()]
    elif rest.problems and rest.settings.demo:
        wrong = list(rest.problems)  # what was left out may have named a provider: nothing but silence means the demo
    else:
        return rest
    if last_good:
        before = _layers(last_good, environ)
        kept = _understand(last_good, before, found, [], environ, lenient=True)
        said = (*wrong, *kept.problems, "the last good configuration is used until this is mended")
        return replace(kept, settings=_shut(kept, before, environ), problems=said, good=False)
    said = (*wrong, "no provider is used, and callers need a key, until this is mended")
    return replace(rest, settings=lock(rest.settings), problems=said, good=False)


def secrets(settings: Settings) -> set[str]:
    """Every value that no log, page or message may show, beside what was put in by reference (`Loaded.secrets`)."""
    found = {secret for provider in settings.providers for secret in secrets_of(provider)}
    return {value for value in (*found, settings.admin_key, settings.mqtt.password) if value}


def _understand(
    texts: Mapping[Path, str],
    layers: Mapping[Path, Layer],
    found: tuple[Path, ...],
    problems: list[str],
    environ: Mapping[str, str],
    *,
    lenient: bool = False,
) -> Loaded:
    """Settings out of texts, lowest precedence first. `layers`: theirs; `problems`: those of reading them."""
    known = _key_variables(merge(layers.values())[0], environ)
    everything = [*layers.values(), fields.from_environment(environ, known)]
    raw, sources = merge(everything)
    origins = Origins(sources, {path: text for path, text in texts.items() if path.name != OPTIONS})
    settings, more = _settle(raw, environ, origins, lenient=lenient)
    put_in = frozenset[str]().union(*(layer.secrets for layer in layers.values()))
    said = (*problems, *(problem for layer in everything for problem in layer.problems), *more)
    redactor = Redactor()  # values are told only where they are harmless, so this is for what slipped through
    redactor.register(put_in)
    said = tuple(map(redactor.clean, said))
    if said and not lenient:
        raise ConfigurationError(list(said))
    held = {path: texts[path] for path, layer in layers.items() if layer.raw or _says(path, texts[path])}
    watched = tuple(dict.fromkeys((*found, *(path.with_name(SECRETS) for path in found if path.name != OPTIONS))))
    return Loaded(settings, said, sources, watched, held, good=not said, secrets=put_in)


def _shut(kept: Loaded, layers: Mapping[Path, Layer], environ: Mapping[str, str]) -> Settings:
    """Settings of which the files' part may lack something: what is lacking opens nothing."""
    if kept.good or kept.settings.auth is not None or _files_are_good(layers, environ):
        return kept.settings
    return replace(lock(kept.settings), providers=kept.settings.providers)


def _is_idle(layer: Layer | None) -> bool:
    """Whether a file is there, and not wrong, and sets nothing."""
    return layer is not None and not layer.problems and all(value is None for value in layer.raw.values())


def _wrong(
    texts: Mapping[Path, str],
    layers: Mapping[Path, Layer],
    found: tuple[Path, ...],
    problems: list[str],
    environ: Mapping[str, str],
) -> list[str]:
    try:
        _understand(texts, layers, found, problems, environ)
    except ConfigurationError as error:
        return error.problems
    return problems


def _files_are_good(layers: Mapping[Path, Layer], environ: Mapping[str, str]) -> bool:
    """Whether they would do if nothing were set by the environment."""
    good = not any(layer.problems for layer in layers.values())
    return good and check(merge(layers.values())[0], environ)[0] is not None


def _cut_off(before: Mapping[Path, str], texts: Mapping[Path, str]) -> dict[Path, str]:
    """Files whose end is missing, and with it some setting."""
    cut = losses.cut_off(before, texts)
    return {path: said for path, said in cut.items() if _layer(path, texts[path]) != _layer(path, before[path])}


def _opened(before: Mapping[Path, str], loaded: Loaded, environ: Mapping[str, str]) -> dict[Path, str]:
    """Files whose silence opens what they closed before."""
    if before == loaded.texts:  # as at most starts: no need to understand them again
        return {}
    was = _understand(before, _layers(before, environ), loaded.files, [], environ, lenient=True).settings
    said = {path: _says(path, text) for path, text in before.items()}
    says = {path: _says(path, loaded.texts.get(path, "{}")) for path in loaded.files}
    return losses.opened(said, says, was, loaded.settings)


def _says(path: Path, text: str) -> frozenset[str]:
    """What a file says of who may ask whom. The Supervisor writes all options: what is not among them was taken out."""
    if path.name == OPTIONS and '"auth"' in text:
        return losses.OPENERS
    raw = _layer(path, text).raw
    return frozenset(key for key in losses.OPENERS if raw.get(key) is not None)


def _layers(texts: Mapping[Path, str], environ: Mapping[str, str]) -> dict[Path, Layer]:
    """What each file says, with all put in that it says by reference. Reading YAML is most of the work of a start: it is done once."""
    return {path: _put_in(path, _layer(path, text), environ) for path, text in texts.items()}


def _put_in(path: Path, layer: Layer, environ: Mapping[str, str]) -> Layer:
    secrets: Json | str = {}
    if uses_secrets(layer.raw):
        secrets = _read_secrets(path.with_name(SECRETS))
    put = put_in(layer.raw, environ, secrets)
    return replace(layer, raw=put.raw, secrets=put.secrets)


def _read_secrets(path: Path) -> Json | str:
    """The secrets beside a file, or why there are none."""
    texts, problems = files.read((path,), required=True)
    try:
        return parse_secrets(texts[path]) if texts else problems[0]
    except ConfigurationError as error:
        return f"{path}: {error.problems[0]}"


def _layer(path: Path, text: str) -> Layer:
    try:
        if path.name == OPTIONS:
            return fields.from_options(_json(text), str(path))
        return Layer(str(path), parse_yaml(text))
    except orjson.JSONDecodeError as error:
        words = [f"line {error.lineno}, column {error.colno}: not JSON ({error.msg})"]
    except ConfigurationError as error:
        words = error.problems
    return Layer(str(path), {}, problems=tuple(f"{path}: {problem}" for problem in words))


def _json(text: str) -> Any:
    """The app's options. Raises JSONDecodeError; ConfigurationError where they are nested like no options."""
    raw, depth = orjson.loads(text), 0
    level = [raw]
    while level := [inner for item in level for inner in _inside(item)]:
        depth += 1
        if depth > DEEPEST:
            raise ConfigurationError([f"line 1: nested more than {DEEPEST} levels deep"])
    return raw


def _inside(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _key_variables(raw: Json, environ: Mapping[str, str]) -> dict[str, str]:
    """Variables that only this configuration gives a meaning: keys of its own providers, and those it names itself."""
    known = dict.fromkeys(_ELSEWHERE, "")
    providers = raw.get("providers")
    for name, data in (providers if isinstance(providers, dict) else {}).items():
        if name not in CLOUD and isinstance(name, str):
            known[f"{fields.PREFIX}{name.upper().replace('-', '_')}_API_KEY"] = f"providers.{name}.api_key"
        variables = data.get("api_key_env", []) if isinstance(data, dict) else []
        for variable in variables if isinstance(variables, list) else [variables]:
            if isinstance(variable, str) and variable in environ:
                known[variable] = ""
    return known


def _settle(raw: Json, environ: Mapping[str, str], origins: Origins, *, lenient: bool) -> tuple[Settings, list[str]]:
    """Check, and leave out what is wrong until the rest passes; of what is wrong all over nothing is used."""
    said: list[str] = []
    for _ in range(_ROUNDS):
        settings, problems = check(raw, environ)
        if settings is not None:
            return settings, said
        lines = [origins.told(problem) for problem in problems[:MOST_TOLD]]
        if len(problems) > MOST_TOLD:
            return Settings(), [*lines, f"... and {len(problems) - MOST_TOLD} more"]
        if not lenient:
            return Settings(), lines
        raw, done = without(raw, [problem.path for problem in problems])
        said += [f"{line} - {words}" for line, words in zip(lines, done, strict=True)]
    return Settings(), said
