"""What settings say by reference: `${NAME}` and `os.environ/NAME` for environment variables, `!secret NAME` for `secrets.yaml`.

Variables of any name are put in where keys, logins and addresses stand, and nowhere else: the router's own settings have
variables of their own (`CHEAPROUTER_*`). What was put in is a secret: it is never shown, logged, or written back. A reference
that leads nowhere stays in the settings as what is wrong there, so that nothing is ever sent in its stead. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from ..core.models import Json
from ..core.records import dataclass

SECRETS: Final = "secrets.yaml"
HOLDER: Final = "x-"
"""What keys begin with that only hold something to be used elsewhere, as in Docker Compose's files."""

_Path = tuple[str | int, ...]
_PLACES: Final[tuple[tuple[str, ...], ...]] = (
    ("providers", "*", "api_key"),
    ("providers", "*", "api_keys"),
    ("providers", "*", "base_url"),
    ("providers", "*", "headers"),
    ("providers", "*", "proxy"),
    ("mqtt", "url"),
    ("mqtt", "host"),
    ("mqtt", "username"),
    ("mqtt", "password"),
    ("admin_key",),
)
"""Where variables are put in: at these paths and below."""

_BROKER: Final = ("mqtt",)
"""There, too, where it is a bare address."""

_NAME: Final = r"[A-Za-z_][A-Za-z0-9_]{0,99}"
_BRACES: Final = re.compile(rf"\$?\$\{{(?:({_NAME})(?::?-([^${{}}]*))?\}})?")
"""`$${` stands for `${` itself; an opening without all that belongs to it is a mistake."""

_WHOLE: Final = re.compile(rf"os\.environ/({_NAME})")
_BARE: Final = re.compile(rf"\$({_NAME})")
_ELSEWHERE: Final = (
    "`${%s}` is not put in here: variables are only in keys, headers, addresses and logins of providers and MQTT, "
    "and in admin_key (the router's own settings have CHEAPROUTER_... variables); for the text itself write $${"
)


@dataclass(frozen=True, slots=True)
class SecretName:
    """`!secret NAME`, as a file has it."""

    name: str


@dataclass(frozen=True, slots=True)
class Missing:
    """Stands where a reference leads nowhere. `why`: in words that name it."""

    why: str


class Hidden(str):
    """A text that was put in: it may be used, and never shown."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Put:
    """Settings with everything put in, and all that was: what no log, page or message may show."""

    raw: Json
    secrets: frozenset[str] = frozenset()


def variable_text(name: str, default: str | None = None) -> str:
    """`!env_var NAME DEFAULT` in the other spelling."""
    return f"${{{name}}}" if default is None else f"${{{name}:-{default}}}"


def uses_secrets(raw: Any) -> bool:
    """Whether there is any `!secret` in settings, holders aside."""
    if isinstance(raw, dict):
        return any(uses_secrets(value) for key, value in raw.items() if not is_holder(key))
    return any(map(uses_secrets, raw)) if isinstance(raw, list) else isinstance(raw, SecretName)


def is_holder(key: Any) -> bool:
    return isinstance(key, str) and key.startswith(HOLDER)


def put_in(raw: Json, environ: Mapping[str, str], secrets: Mapping[str, Any] | str) -> Put:
    """Everything put in, and the holders at the top left out.

    `secrets`: by name, or why there are none. The settings given stay as they are.
    """
    work = _Putting(environ, secrets)
    done = {key: work.value(value, (key,)) for key, value in raw.items() if not is_holder(key)}
    return Put(done, frozenset(work.used))


class _Putting:
    def __init__(self, environ: Mapping[str, str], secrets: Mapping[str, Any] | str) -> None:
        self._environ = environ
        self._secrets = secrets
        self.used: set[str] = set()

    def value(self, value: Any, path: _Path) -> Any:
        if isinstance(value, dict):
            return {key: self.value(inner, (*path, key)) for key, inner in value.items()}
        if isinstance(value, list):
            return [self.value(inner, (*path, place)) for place, inner in enumerate(value)]
        if isinstance(value, SecretName):
            return self._secret(value.name)
        return self._text(value, path) if isinstance(value, str) else value

    def _secret(self, name: str) -> Hidden | Missing:
        if isinstance(self._secrets, str):
            return Missing(f"`!secret {name}`: {self._secrets}")
        found = self._secrets.get(name)
        if not isinstance(found, str) or not found:
            said = "is not there" if name not in self._secrets else "is empty" if not found else "is no text"
            return Missing(f"`!secret {name}`: `{name}` {said} in {SECRETS}")
        self.used.add(found)
        return Hidden(found)

    def _text(self, text: str, path: _Path) -> Any:
        if "$" not in text and not text.startswith("os.environ"):
            return text
        if not _takes_variables(path):
            return _left_alone(text)
        try:
            if whole := _WHOLE.fullmatch(text) or (_BARE.fullmatch(text) if _is_key(path) else None):
                return Hidden(self._variable(whole[1], None, whole[0]))
            put = _BRACES.sub(self._replaced, text)
        except LookupError as error:
            return Missing(str(error.args[0]))
        return Hidden(put) if put != text else text

    def _replaced(self, found: re.Match[str]) -> str:
        if found[0].startswith("$$"):
            return found[0][1:]
        if found[1] is None:
            raise LookupError(
                "`${` begins the name of a variable, such as ${NAME} or ${NAME:-default}; for itself write $${"
            )
        return self._variable(found[1], found[2], f"${{{found[1]}}}")

    def _variable(self, name: str, default: str | None, written: str) -> str:
        value = self._environ.get(name, "").strip() or default
        if not value:
            raise LookupError(f"`{written}`: the environment variable {name} is not set")
        self.used.add(value)
        return value


def _takes_variables(path: _Path) -> bool:
    return path == _BROKER or any(_begins(path, place) for place in _PLACES)


def _begins(path: _Path, place: tuple[str, ...]) -> bool:
    return len(path) >= len(place) and all(part in ("*", here) for part, here in zip(place, path, strict=False))


def _is_key(path: _Path) -> bool:
    return any(_begins(path, place) for place in _PLACES[:2])


def _left_alone(text: str) -> Any:
    """Where no variable is put in, one that is named is a mistake."""
    named = next((found for found in _BRACES.finditer(text) if found[1] and not found[0].startswith("$$")), None)
    if named is not None:
        return Missing(_ELSEWHERE % named[1])
    return text.replace("$${", "${")
