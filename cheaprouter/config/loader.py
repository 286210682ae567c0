"""Where settings come from: files and environment variables, read and laid over each other.

Precedence, highest first: environment (`CHEAPROUTER_*`), the YAML file, the app's options (`<data>/options.json`), defaults.
The file is the one named by `--config` or CHEAPROUTER_CONFIG; without one, `<data>/cheaprouter.yaml` if there, and in the app
`/config/cheaprouter.yaml` (the folder that its user can reach) over that. Never `./config.yaml`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Final

import orjson

from ..core.errors import ConfigurationError
from ..core.models import Json
from . import options as app
from .kinds import CLOUD
from .layers import Layer, merge
from .lenient import without
from .problems import Problem, dotted
from .schema import check
from .settings import Auth, LockedSettings, Settings
from .strict_yaml import parse_yaml

FILE_NAME: Final = "cheaprouter.yaml"
APP_FOLDER: Final = Path("/config")
_OPTIONS: Final = "options.json"
_CONFIG_VARIABLE: Final = "CHEAPROUTER_CONFIG"
_ELSEWHERE: Final = (_CONFIG_VARIABLE, "CHEAPROUTER_DATA")
_SECRET_HEADER: Final = re.compile(r"auth|key|token|secret|cookie|password", re.IGNORECASE)
_ROUNDS: Final = 20
_NOTHING: Final[frozenset[str]] = frozenset()
_HARMLESS: Final = frozenset({"mqtt", "storage", "cache", "log_level", "currency", "usd_rate"})
"""Sections that neither open a door nor a purse where `lenient` leaves them out."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings, what was wrong and left out, where each dotted key came from, and the files to watch (there or not).

    `texts`: what the files held that set something; secrets are inside. `good`: all that the files say was understood.
    Where not, nothing may be concluded from what the settings do not hold.
    """

    settings: Settings
    problems: tuple[str, ...] = ()
    sources: Mapping[str, str] = field(default_factory=dict)
    files: tuple[Path, ...] = ()
    texts: Mapping[Path, str] = field(default_factory=dict, repr=False)
    good: bool = True


def load(
    config_file: Path | None,
    data_dir: Path,
    environ: Mapping[str, str],
    *,
    lenient: bool = False,
    app_folder: Path = APP_FOLDER,
) -> Loaded:
    """Read everything. Strict: raises ConfigurationError with all problems. Lenient: bad parts are left out and reported."""
    files = _files(config_file, data_dir, environ, app_folder)
    problems: list[str] = []
    texts = _read(files, problems, required=is_named(config_file, environ))
    return _understand(texts, files, problems, environ, lenient=lenient)


def reload(
    config_file: Path | None,
    data_dir: Path,
    environ: Mapping[str, str],
    in_force: Mapping[Path, str],
    *,
    app_folder: Path = APP_FOLDER,
) -> Loaded:
    """Read everything again. Strict; a file of `in_force` that sets nothing any more, or is cut off, is a problem too."""
    loaded = load(config_file, data_dir, environ, app_folder=app_folder)
    problems = [
        f"{path}: it is empty or gone; what it set stays in force until a restart"
        for path in in_force
        if path not in loaded.texts
    ]
    problems += _cut_off(in_force, loaded.texts)
    if problems:
        raise ConfigurationError(problems)
    return loaded


def start(
    data_dir: Path, environ: Mapping[str, str], last_good: Mapping[Path, str], *, app_folder: Path = APP_FOLDER
) -> Loaded:
    """The usual files, to serve whatever they hold. Where they are wrong, the texts of the last good configuration count.

    Without those, keys are needed and there are no providers; but what has no say in who may ask whom is just left out.
    A wrong environment is not the files' fault: it is left out, too.
    """
    files = _files(None, data_dir, environ, app_folder)
    problems: list[str] = []
    texts = _read(files, problems, required=False)
    problems += _lost(last_good, texts, environ)
    try:
        return _understand(texts, files, problems, environ)
    except ConfigurationError as error:
        wrong = error.problems
    if not problems and _files_are_good(texts, environ):
        return _understand(texts, files, [], environ, lenient=True)
    if last_good:
        kept = _understand(last_good, files, [], environ, lenient=True)
        said = (*wrong, *kept.problems, "the last good configuration is used until this is mended")
        return replace(kept, problems=said, good=False)
    rest = _understand(texts, files, [], environ, lenient=True)
    if not problems and _files_are_good(texts, environ, but_for=_HARMLESS):
        return rest
    said = (*wrong, "no provider is used, and callers need a key, until this is mended")
    return replace(rest, settings=_locked(rest.settings), problems=said, good=False)


def _locked(settings: Settings) -> LockedSettings:
    kept = {f.name: getattr(settings, f.name) for f in fields(settings)}
    return LockedSettings(**kept | {"auth": Auth.KEYS, "providers": ()})


def is_named(config_file: Path | None, environ: Mapping[str, str]) -> bool:
    """Whether the user says which file it is; then nothing else will do."""
    return config_file is not None or bool(environ.get(_CONFIG_VARIABLE))


def secrets(settings: Settings) -> set[str]:
    """Every value that no log, page or message may show."""
    found = {key for provider in settings.providers for key in provider.api_keys}
    found |= {
        value
        for provider in settings.providers
        for name, value in provider.headers.items()
        if _SECRET_HEADER.search(name)
    }
    found |= {part.rsplit(" ", 1)[-1] for part in found}
    return {value for value in (*found, settings.admin_key, settings.mqtt.password) if value}


def _files(config_file: Path | None, data_dir: Path, environ: Mapping[str, str], app_folder: Path) -> tuple[Path, ...]:
    """Lowest precedence first."""
    options = data_dir / _OPTIONS
    if config_file is None and environ.get(_CONFIG_VARIABLE):
        config_file = Path(environ[_CONFIG_VARIABLE])
    if config_file is not None:
        return (options, config_file)
    found = [options, data_dir / FILE_NAME]
    if environ.get("SUPERVISOR_TOKEN"):
        found.append(app_folder / FILE_NAME)
    return tuple(found)


def _read(files: tuple[Path, ...], problems: list[str], *, required: bool) -> dict[Path, str]:
    """What the files hold that are there; `required`: the last of them has to be."""
    texts = {}
    for path in files:
        try:
            texts[path] = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            if required and path == files[-1]:
                problems.append(f"{path}: there is no such file")
        except (OSError, UnicodeDecodeError) as error:
            problems.append(f"{path}: cannot be read ({getattr(error, 'strerror', None) or 'it is not UTF-8 text'})")
    return texts


def _lost(last_good: Mapping[Path, str], texts: Mapping[Path, str], environ: Mapping[str, str]) -> list[str]:
    """What the files held at the last start and do not now by mishap: who removes a file of his own means it."""
    problems = [
        f"{path}: it is empty, and held settings before (to go without it, remove it)"
        for path in last_good
        if path in texts and not texts[path].strip()
    ]
    if environ.get("SUPERVISOR_TOKEN"):
        problems += [
            f"{path}: the app's options are gone" for path in last_good if path.name == _OPTIONS and path not in texts
        ]
    return problems + _cut_off(last_good, texts)


def _cut_off(before: Mapping[Path, str], texts: Mapping[Path, str]) -> list[str]:
    """Files that end within a line of what they held before: only half of them was written."""
    return [
        f"{path}: it ends in the middle of a line, so it seems half-written"
        for path, old in before.items()
        if (new := texts.get(path))
        and old.endswith("\n")
        and old.startswith(new)
        and "\n" not in old[len(new) - 1 :][:2]
    ]


def _understand(
    texts: Mapping[Path, str],
    files: tuple[Path, ...],
    problems: list[str],
    environ: Mapping[str, str],
    *,
    lenient: bool = False,
) -> Loaded:
    """Settings out of texts, lowest precedence first. `problems`: those of reading them."""
    problems = list(problems)
    layers = _layers(texts, problems)
    known = _key_variables(merge(layers.values())[0], environ)
    env = app.from_environment(environ, known)
    problems += [problem.text for problem in env.problems]
    raw, sources = merge([*layers.values(), Layer("environment", env.raw, env.origins)])
    settings, more = _settle(raw, environ, sources, lenient=lenient)
    problems += more
    if problems and not lenient:
        raise ConfigurationError(problems)
    held = {path: texts[path] for path, layer in layers.items() if layer.raw}
    return Loaded(settings, tuple(problems), sources, files, held, good=not problems)


def _files_are_good(texts: Mapping[Path, str], environ: Mapping[str, str], but_for: frozenset[str] = _NOTHING) -> bool:
    """Whether they would do if nothing were set by the environment, and these sections left out."""
    problems: list[str] = []
    raw = merge(_layers(texts, problems).values())[0]
    kept = {key: value for key, value in raw.items() if key not in but_for}
    return not problems and check(kept, environ)[0] is not None


def _layers(texts: Mapping[Path, str], problems: list[str]) -> dict[Path, Layer]:
    return {
        path: _options_layer(path, text, problems) if path.name == _OPTIONS else _yaml_layer(path, text, problems)
        for path, text in texts.items()
    }


def _options_layer(path: Path, text: str, problems: list[str]) -> Layer:
    try:
        options = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        problems.append(f"{path}: line {error.lineno}, column {error.colno}: not JSON ({error.msg})")
        return Layer(str(path), {}, {})
    translated = app.from_options(options)
    problems += [problem.text for problem in translated.problems]
    return Layer(str(path), translated.raw, translated.origins)


def _yaml_layer(path: Path, text: str, problems: list[str]) -> Layer:
    try:
        raw = parse_yaml(text)
    except ConfigurationError as error:
        problems += [f"{path}: {problem}" for problem in error.problems]
        raw = {}
    return Layer(str(path), raw, {})


def _key_variables(raw: Json, environ: Mapping[str, str]) -> dict[str, str]:
    """Variables that only this configuration gives a meaning: keys of its own providers, and those it names itself."""
    known = dict.fromkeys(_ELSEWHERE, "")
    providers = raw.get("providers")
    for name, data in (providers if isinstance(providers, dict) else {}).items():
        if name not in CLOUD and isinstance(name, str):
            known[f"{app.PREFIX}{name.upper().replace('-', '_')}_API_KEY"] = f"providers.{name}.api_key"
        variables = data.get("api_key_env", []) if isinstance(data, dict) else []
        for variable in variables if isinstance(variables, list) else [variables]:
            if isinstance(variable, str) and variable in environ:
                known[variable] = ""
    return known


def _settle(
    raw: Json, environ: Mapping[str, str], sources: Mapping[str, str], *, lenient: bool
) -> tuple[Settings, list[str]]:
    """Check, and leave out what is wrong until the rest passes."""
    said: list[str] = []
    for _ in range(_ROUNDS):
        settings, problems = check(raw, environ)
        if settings is not None:
            return settings, said
        lines = [_with_source(problem, sources) for problem in problems]
        if not lenient:
            return Settings(), lines
        raw, done = without(raw, [problem.path for problem in problems])
        said += [f"{line} - {words}" for line, words in zip(lines, done, strict=True)]
    return Settings(), said


def _with_source(problem: Problem, sources: Mapping[str, str]) -> str:
    path = problem.path
    while path:
        here = dotted(path)
        if here in sources:
            return f"{problem.text} ({sources[here]})"
        if inner := {source for key, source in sources.items() if key.startswith((f"{here}.", f"{here}["))}:
            return f"{problem.text} ({', '.join(sorted(inner))})"
        path = path[:-1]
    return problem.text
