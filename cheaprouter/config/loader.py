"""Where settings come from: files and environment variables, read and laid over each other.

Precedence, highest first: environment (`CHEAPROUTER_*`), the YAML file, the app's options (`<data>/options.json`), defaults.
The file is the one named by `--config` or CHEAPROUTER_CONFIG; without one, `<data>/cheaprouter.yaml` if there, and in the app
`/config/cheaprouter.yaml` (the folder that its user can reach) over that. Never `./config.yaml`.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import orjson
import yaml

from ..core.errors import ConfigurationError
from ..core.models import Json
from . import options as app
from .kinds import CLOUD
from .layers import Layer, merge
from .lenient import without
from .problems import Problem, dotted
from .schema import check
from .settings import Settings

FILE_NAME: Final = "cheaprouter.yaml"
APP_FOLDER: Final = Path("/config")
_CONFIG_VARIABLE: Final = "CHEAPROUTER_CONFIG"
_ELSEWHERE: Final = (_CONFIG_VARIABLE, "CHEAPROUTER_DATA")
_SECRET_HEADER: Final = re.compile(r"auth|key|token|secret|cookie|password", re.IGNORECASE)
_ROUNDS: Final = 20


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings, what was wrong and left out, where each dotted key came from, and the files to watch (there or not)."""

    settings: Settings
    problems: tuple[str, ...] = ()
    sources: Mapping[str, str] = field(default_factory=dict)
    files: tuple[Path, ...] = ()


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
    layers = _file_layers(files, problems, required=config_file is not None or _CONFIG_VARIABLE in environ)
    known = _key_variables(merge(layers)[0], environ)
    env = app.from_environment(environ, known)
    problems += [problem.text for problem in env.problems]
    raw, sources = merge([*layers, Layer("environment", env.raw, env.origins)])
    settings, more = _settle(raw, environ, sources, lenient=lenient)
    problems += more
    if problems and not lenient:
        raise ConfigurationError(problems)
    return Loaded(settings, tuple(problems), sources, files)


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
    options = data_dir / "options.json"
    if config_file is None and environ.get(_CONFIG_VARIABLE):
        config_file = Path(environ[_CONFIG_VARIABLE])
    if config_file is not None:
        return (options, config_file)
    found = [options, data_dir / FILE_NAME]
    if environ.get("SUPERVISOR_TOKEN"):
        found.append(app_folder / FILE_NAME)
    return tuple(found)


def _file_layers(files: tuple[Path, ...], problems: list[str], *, required: bool) -> list[Layer]:
    layers = []
    for path in files:
        is_options = path.name == "options.json" and path == files[0]
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            if required and not is_options:
                problems.append(f"{path}: there is no such file")
            continue
        except (OSError, UnicodeDecodeError) as error:
            problems.append(f"{path}: cannot be read ({getattr(error, 'strerror', None) or 'it is not UTF-8 text'})")
            continue
        layers.append(_options_layer(path, text, problems) if is_options else _yaml_layer(path, text, problems))
    return layers


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


def parse_yaml(text: str) -> Json:
    """A YAML file's top mapping. Raises ConfigurationError naming line and column; a key written twice is an error too."""
    try:
        raw = yaml.load(text, _Strict)  # noqa: S506 - a SafeLoader that also refuses keys written twice
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise ConfigurationError([f"{where}not YAML ({error.problem or error.context})"]) from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigurationError([f"not YAML ({str(error).splitlines()[0]})"]) from None
    if raw is None:
        return {}
    if not isinstance(raw, dict):
        raise ConfigurationError([f"expected a mapping of settings at the top, got a {type(raw).__name__}"])
    return raw


class _Strict(yaml.SafeLoader):
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:  # noqa: FBT001, FBT002 - PyYAML's signature
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, Hashable) and key in seen and key != "<<":
                raise yaml.constructor.ConstructorError(None, None, f"`{key}` is written twice", key_node.start_mark)
            if isinstance(key, Hashable):
                seen.add(key)
        return super().construct_mapping(node, deep=deep)


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
